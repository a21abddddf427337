"""What a run shows: statistics, tables, progress and TensorBoard.

Everything here reads a finished or running run, or plain arrays; nothing trains.
`statistics`, `summary` and `table` need no TensorFlow.
"""
