"""Access to the operating system: files, signals, hardware, seeds and custom modules.

`files` writes files atomically and locks them, `signals` defers Ctrl-C and SIGTERM until the state
is saved, `seeds` derives seeds, `shown` makes text safe for the screen and the shell.
"""
