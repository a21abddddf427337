"""The operating system, nothing of ours: files, signals, hardware, seeds, a user's own modules.

`files` writes files as a whole and locks them, `signals` delays Ctrl-C and SIGTERM until a state is
saved, `seeds` derives one seed from another.
"""
