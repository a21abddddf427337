"""What depends on the internals of Keras and TensorFlow.

The kinds of a model's outputs (`output_kinds`, from `loss_kinds`, `model_ends` and `traced_ends`),
masks and weights, copies and fingerprints of models, training on several replicas
(`keras_distribution`, `distribute`), and iterators of `tf.data`.
"""
