"""Numbers from arrays, by NumPy and SciPy alone.

`statistics` has intervals and paired tests; `summary` the schema of `summary.json`.
"""
