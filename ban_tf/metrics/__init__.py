"""Numbers from arrays: what predictions are worth, and how sure that is.

Only NumPy, SciPy and scikit-learn are needed here.

- `table`: every metric once: its name, its words, how it is shown, and which way is better.
- `classification`: metrics of log-probabilities; `tokens`: those of each word of a text.
- `calibration`: examples by confidence, and the expected calibration error.
- `ensembles`: the mean of several distributions, and how much members disagree.
- `intervals`: intervals and tests of one proportion, of pairs, and over repetitions.
- `summary`: the schema of `summary.json`.
"""
