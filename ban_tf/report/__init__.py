"""What a run shows: tables, progress and TensorBoard.

Everything here reads a finished or running run, or plain arrays; nothing trains.
`summary` and `table` need no TensorFlow.
"""
