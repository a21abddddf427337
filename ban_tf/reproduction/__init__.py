"""The paper's tables, row by row: `ban-tf reproduce --list`.

`tables` has the paper's experiments and results, `study` reproduces them.
"""
