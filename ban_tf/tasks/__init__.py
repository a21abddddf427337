"""Tasks: what is learned from which data, so that generations of networks can be trained on it.

`declaration` says what is known of a task before its data is loaded, `registry` finds the task of
a data set by its name, `task` is the interface that a task implements, and `runner` trains,
evaluates and reports the generations of a run, whatever its task. `image_classification` and
`language_modeling` are the two tasks of this package.

Nothing is imported here: flags are checked against declarations before TensorFlow is imported.
"""
