"""Access to the operating system: files, signals, hardware, seeds and custom modules.

`files` writes files atomically and locks them, `lock_state` looks at locks, `signals` defers
Ctrl-C, SIGTERM and SIGHUP until the state is saved, `seeds` derives seeds, `shown` makes text safe
for the screen and the shell, `arguments` checks what a function is given.
"""
