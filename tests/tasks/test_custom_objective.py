"""A custom objective is called once before anything is trained."""

import pytest

from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import runner

_MODULE = """
from keras import ops


def good(labels, teacher, student):
    assert len(student.shape) - len(labels.shape) in (0, 1)
    return ops.mean(ops.square(teacher - student), axis=-1)


def mean(labels, teacher, student):
    return ops.mean(ops.square(teacher - student))


def of_batch(labels, teacher, student):
    return ops.mean(ops.square(teacher - student), axis=0)


def constant(labels, teacher, student):
    return ops.mean(teacher, axis=-1)


def hard(labels, teacher, student):
    return ops.argmax(student, axis=-1)


def two(teacher, student):
    return ops.mean(ops.square(teacher - student), axis=-1)


def broken(labels, teacher, student):
    return student.no_such_attribute
"""


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    (tmp_path / "tiny_objectives.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def prepare(name, **changes):
        settings = {"arch": "wrn-10-1", **changes}
        objective = f"tiny_objectives:{name}"
        given = options.Options(objective=objective, workdir=str(tmp_path / "run"), **settings)
        runner.prepare(options.check(given))

    yield prepare
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mixup": 0.2},
        {"dataset": "text", "arch": "lstm-1-4", "batch_size": 4},
    ],
)
def test_one_that_returns_a_loss_per_sample_is_accepted(changes, prepare):
    prepare("good", **changes)
    prepare("good+labels", **changes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean", r"one loss per sample"),
        ("of_batch", r"--objective=tiny_objectives:of_batch must return .* returned \(10,\)"),
        ("constant", "--objective=tiny_objectives:constant must be a differentiable function"),
        ("hard", "--objective=tiny_objectives:hard must be a differentiable function"),
        ("two", "must take labels, teacher logits and student logits"),
        ("absent", "tiny_objectives has no absent"),
    ],
)
def test_one_that_nothing_can_learn_from_is_refused(name, message, prepare):
    with pytest.raises(InputError, match=message) as caught:
        prepare(name)
    assert "\n" not in str(caught.value)


def test_its_own_errors_are_left_to_it(prepare):
    with pytest.raises(AttributeError, match="no_such_attribute") as caught:
        prepare("broken")
    assert any(entry.path.name == "tiny_objectives.py" for entry in caught.traceback)
