"""The paper's tables, row by row: `ban-tf reproduce --list`.

`tables` says what the paper trained and what came out, `study` trains it again.
"""
