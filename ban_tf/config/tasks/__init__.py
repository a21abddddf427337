"""The declarations of the tasks of this package, one in a file."""
