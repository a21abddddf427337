"""The operating system: files, signals, environment, seeds."""
