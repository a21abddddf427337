"""Teachers that run on the host with Keras on JAX, in a process of its own."""

import jax_process
import numpy as np
import pytest

pytestmark = pytest.mark.nightly

PROGRAM = """
import json, tempfile
import keras, numpy as np
import ban_tf
random = np.random.default_rng(0)
x, y = random.normal(size=(32, 6)).astype("float32"), random.integers(0, 4, 32)

def network(seed, classes=4):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(classes)])

def trained(teacher):
    model = ban_tf.BornAgainModel(network(0), teacher, "kd")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model.student.get_weights()[0].tolist()

kernel, bias = network(1).get_weights()
path = tempfile.mkdtemp() + "/r"
ban_tf.record(lambda batch: batch @ kernel + bias, x, path, dtype="float32", verbose=False)
recorded = ban_tf.RecordedTeacher(path)
found = {
    "model": trained(network(1)),
    "function": trained(lambda batch: batch @ kernel + bias),
    "recorded": trained(recorded),
    "mixed": trained([(recorded, 1.0), (network(1), 2.0)]),
}
partial = [3, None, 0, 0, 1]
kernel, bias = network(2, 5).get_weights()
found["mapped"] = trained(ban_tf.MappedTeacher(network(2, 5), partial))
found["mapped function"] = trained(
    ban_tf.MappedTeacher(lambda batch: batch @ kernel + bias, partial)
)
try:
    model = ban_tf.BornAgainModel(network(0), recorded, "kd")
    model.compile("sgd")
    model.fit(((x[i:i + 8] * 2, y[i:i + 8]) for i in range(0, 32, 8)), verbose=0)
except ban_tf.errors.InputError as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


@jax_process.needed
def test_all_kinds_teach_as_the_models_that_they_are():
    found = jax_process.run(PROGRAM)
    for name in ("function", "recorded", "mixed"):
        np.testing.assert_allclose(found[name], found["model"], atol=1e-5)
    np.testing.assert_allclose(found["mapped function"], found["mapped"], atol=1e-5)
    assert found["refused"].startswith("A batch holds 8 of 8 examples")
