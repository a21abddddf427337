"""The paper's tables, row by row: `python -m ban_tf.experiments --list`.

`tables` says what the paper trained and what came out, `study` trains it again.
"""
