"""Metrics of predictions, and their uncertainty.

Only NumPy, SciPy and scikit-learn are needed here.

- `table`: the definitions of all metrics: name, label, format, and which direction is better.
- `classification`: metrics of log-probabilities; `tokens`: metrics of language models.
- `calibration`: reliability bins, and the expected calibration error.
- `ensembles`: the mean of several distributions, and the disagreement of members.
- `intervals`: intervals and tests for proportions, for pairs, and over repetitions.
- `block_bootstrap`: intervals over the words of a text, which are not independent.
- `summary`: the schema of `summary.json`.
"""
