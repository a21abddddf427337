"""Tables, reports, progress and TensorBoard logs of runs.

Everything here reads runs or plain arrays; nothing is trained. `table` needs no TensorFlow.
"""
