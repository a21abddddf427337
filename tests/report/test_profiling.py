"""`--profile`: the graph that TensorBoard draws, a profile, and nothing that is there already."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ban_tf
from ban_tf.report import profiling


def _network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="answers")])


class Subclassed(keras.Model):
    """A network whose inputs are known only as it is called."""

    def __init__(self):
        super().__init__()
        self.answers = keras.layers.Dense(3)

    def call(self, inputs):
        return self.answers(inputs)


def _two_inputs():
    left, right = keras.Input((4,)), keras.Input((4,))
    answers = keras.layers.Dense(3, name="answers")(keras.layers.Add()([left, right]))
    return keras.Model([left, right], answers)


def _fit(model, directory, steps, several=False):
    inputs = np.zeros((2 * steps, 4), "float32")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(
        [inputs, inputs] if several else inputs,
        np.zeros(len(inputs)),
        batch_size=2,
        callbacks=[profiling.Profile(directory, 2)],
        verbose=0,
    )
    return directory / "profile" / "generation-2"


def _events(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("steps", [10, 5])
def test_graph_and_profile_are_recorded(steps, tmp_path):
    teacher = _network()
    folder = _fit(
        ban_tf.BornAgainModel(_network(), teacher=teacher, objective="kd"), tmp_path, steps
    )
    (profile,) = folder.rglob("*.xplane.pb")
    assert b"step_num" in profile.read_bytes()  # or TensorBoard cannot tell a step's time
    events = _events(folder)
    assert any("answers" in node.name for node in events.Graph().node)
    tags = events.Tags()
    assert not tags["scalars"] and not tags["tensors"]  # they are in the run of the generation


def test_a_network_of_several_inputs_has_a_graph(tmp_path):
    folder = _fit(ban_tf.BornAgainModel(_two_inputs()), tmp_path, steps=2, several=True)
    assert any("answers" in node.name for node in _events(folder).Graph().node)


def test_a_network_without_fixed_inputs_has_a_profile_all_the_same(tmp_path):
    folder = _fit(Subclassed(), tmp_path, steps=10)
    assert list(folder.rglob("*.xplane.pb"))
    assert not _events(folder).Tags()["graph"]
