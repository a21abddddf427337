"""Every network that `build` returns is the same but for its weights: what is kept was trained."""

import keras
import numpy as np
import pytest

import ban_tf

layers, ops = keras.layers, keras.ops
X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = (np.sin(3 * X[:, 0]) > 0).astype("int32")
DRAWS = np.random.default_rng(1)


def sequential(*inner):
    return keras.Sequential([keras.Input((4,)), *inner, layers.Dense(2)])


def random_features():
    inputs = keras.Input((4,))
    features = ops.cos(ops.matmul(inputs, DRAWS.normal(size=(4, 8)).astype("float32")))
    return keras.Model(inputs, layers.Dense(2)(features))


def position_table():
    inputs = keras.Input((4, 1))
    table = ops.take(DRAWS.normal(size=(4, 3)).astype("float32"), ops.arange(4), axis=0)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs + table)))


def closure_of_a_lambda():
    table = DRAWS.normal(size=(4, 8)).astype("float32")
    return sequential(layers.Lambda(lambda x: ops.matmul(x, table)))


class Features(keras.Model):
    def __init__(self):
        super().__init__()
        self.tables = [{"first": DRAWS.normal(size=(4, 8)).astype("float32")}]
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(ops.matmul(inputs, self.tables[0]["first"]))


def subclass():
    model = Features()
    model(X[:1])
    return model


class Scale(layers.Layer):
    def __init__(self):
        super().__init__()
        self.factor = float(DRAWS.uniform(1, 2))

    def call(self, inputs):
        return inputs * self.factor


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (random_features, "an array of Matmul"),
        (position_table, "an array of"),
        (closure_of_a_lambda, "Lambda"),
        (subclass, "Features"),
        (lambda: sequential(Scale()), "Scale"),
        (lambda: sequential(sequential(Scale())), "Scale"),
        (lambda: sequential(layers.Dropout(DRAWS.uniform(0, 0.5))), "`rate` of Dropout"),
        (lambda: sequential(layers.Dense(int(DRAWS.integers(3, 3000)))), "`units` of Dense"),
    ],
)
def test_what_is_drawn_while_building_is_refused(build, names):
    with pytest.raises(ValueError, match=f"`build` returns networks that differ in .*{names}"):
        ban_tf.Lineage(build, generations=1)
    with pytest.raises(ValueError, match=f"`student_build` returns networks .*{names}"):
        lineage = ban_tf.Lineage(sequential, generations=1, student_build=build)
        lineage.fit(X, Y, verbose=0, compile={"optimizer": "sgd"})


def test_a_single_generation_is_the_network_that_was_trained():
    """The constructor builds one network, and training two more."""
    lineage = ban_tf.Lineage(random_features, generations=0)
    with pytest.raises(ValueError, match="`build` returns networks that differ"):
        lineage.fit(X, Y, verbose=0)


class RandomFeatures(layers.Layer):
    """Random features as they should be: a weight that is not trained."""

    def __init__(self, seed=None):
        super().__init__()
        self.seed = seed or int(DRAWS.integers(1, 1000))

    def build(self, input_shape):
        initializer = keras.initializers.RandomNormal(seed=self.seed)
        self.table = self.add_weight(shape=(4, 8), initializer=initializer, trainable=False)

    def call(self, inputs):
        return ops.cos(ops.matmul(inputs, self.table))

    def get_config(self):
        return {"seed": self.seed}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "build",
    [
        lambda: sequential(RandomFeatures()),
        lambda: sequential(
            layers.Dense(
                8, kernel_initializer=keras.initializers.HeNormal(int(DRAWS.integers(999)))
            ),
            layers.Dropout(0.1, seed=int(DRAWS.integers(999))),
        ),
    ],
)
def test_what_is_kept_computes_what_was_trained(build, tmp_path):
    """Constants that are weights, and seeds, may differ from generation to generation."""
    lineage = ban_tf.Lineage(
        build, generations=1, objective="kd+labels", directory=tmp_path, keep="last"
    )
    lineage.fit(
        X,
        Y,
        epochs=2,
        verbose=0,
        validation_data=(X, Y),
        compile={"optimizer": "adam", "metrics": ["accuracy"], "run_eagerly": True},
    )
    for number, row in enumerate(lineage.table()):
        path = tmp_path / f"generation-{number}" / "model.keras"
        custom = {"RandomFeatures": RandomFeatures}
        for model in (lineage.model(number), keras.models.load_model(path, custom)):
            accuracy = np.mean(np.argmax(model(X), axis=-1) == Y)
            np.testing.assert_allclose(accuracy, row["val_accuracy"], atol=1e-6)
