"""N replicas, and N workers, train as one device does at the same global batch.

What is compared: the loss of every step, all metrics of training and validation, and the weights.
"""

import json
import os
import pathlib
import sys

import numpy as np
import pytest
import warm

from ban_tf.system.ports import free_ports

PROGRAM = pathlib.Path(__file__).with_name("cases.py")

MIRRORED = ["cwtm", "first-batch"]
# Run each night, as all below; `test_command.py` has recorded teachers by default, too.
ALSO_MIRRORED = (
    ["kd", "dkpp", "annealed", "weights-by-term", "void-kd", "unlabeled", "unlabeled-with-loss"]
    + ["compiled-loss", "weights", "added-losses", "features", "steps-left-over", "clipping"]
    + ["ensemble", "recorded", "eager", "fewer-than-replicas", "void-cwtm", "float16"]
    + ["masks", "batch-norm"]
)
# Those in which the number of replicas matters, and not only that there are several.
ON_FOUR = ["kd", "cwtm", "dkpp", "first-batch", "fewer-than-replicas", "void-cwtm"]
ON_WORKERS = (
    ["kd", "first-batch", "masks", "batch-norm", "float16", "cwtm", "dkpp", "fewer-than-replicas"]
    + ["compiled-loss", "weights", "added-losses", "features", "steps-left-over", "clipping"]
    + ["ensemble", "recorded", "eager", "annealed", "weights-by-term"]
)
STOCK = ["stock-first-batch", "stock-last-batch", "stock-several-steps"]


def start(out, count, names, **environment):
    return warm.start(
        [sys.executable, PROGRAM, out, count, *names],
        env={**os.environ, **environment},
    )


def finish(process):
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def start_workers(folder, names):
    """Starts two workers, which write `worker-0.npz` and `worker-1.npz`."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    started = []
    for index in (0, 1):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        out = folder / f"worker-{index}.npz"
        started.append(start(out, "workers", names, TF_CONFIG=json.dumps(task)))
    return started


def read(folder):
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came out, by where it ran: "1" and "2" devices."""
    folder = tmp_path_factory.mktemp("replicas")
    started = [
        start(folder / "1.npz", "1", MIRRORED),
        start(folder / "2.npz", "2", [*MIRRORED, "local-batch-norm"]),
    ]
    for process in started:
        finish(process)
    return read(folder)


@pytest.fixture(scope="module")
def further(tmp_path_factory, outcomes):
    """The same with all else on "1", "2" and "4" devices, and on "worker-0" and "worker-1"."""
    folder = tmp_path_factory.mktemp("further")
    started = [
        start(folder / "1.npz", "1", [*ALSO_MIRRORED, *STOCK]),
        start(folder / "2.npz", "2", [*ALSO_MIRRORED, *STOCK]),
        *start_workers(folder, [*ON_WORKERS, "stock-last-batch"]),
    ]
    for process in started:
        finish(process)
    finish(start(folder / "4.npz", "4", ON_FOUR))
    return {place: {**outcomes.get(place, {}), **found} for place, found in read(folder).items()}


def parts(arrays, name, replicas):
    prefix = f"{name}/{replicas}/"
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def assert_alike(one, other, rtol=2e-5, atol=2e-6):
    assert one.keys() == other.keys()
    assert any(key.startswith("weights") for key in one)
    for key, expected in one.items():
        np.testing.assert_allclose(other[key], expected, rtol=rtol, atol=atol, err_msg=key)


def assert_replicas_alike(found, name):
    assert_alike(parts(found["1"], name, 1), parts(found["2"], name, 2), **tolerance(name))


@pytest.mark.parametrize("name", MIRRORED)
def test_two_replicas_train_as_one_device(outcomes, name):
    assert_replicas_alike(outcomes, name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ALSO_MIRRORED)
def test_two_replicas_train_as_one_device_in_all_else(further, name):
    assert_replicas_alike(further, name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ON_WORKERS)
def test_two_workers_train_as_one_device(further, name):
    one, chief, other = (
        parts(further[place], name, replicas)
        for place, replicas in (("1", 1), ("worker-0", 2), ("worker-1", 2))
    )
    assert_alike(one, chief, **tolerance(name))
    for key, expected in chief.items():
        np.testing.assert_array_equal(other[key], expected, err_msg=key)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ON_FOUR)
def test_four_replicas_train_as_one_device(further, name):
    assert_alike(parts(further["1"], name, 1), parts(further["4"], name, 4))


def tolerance(name):
    # A loss in float16 is rounded before it is added up.
    return {"rtol": 1e-3, "atol": 1e-3} if name == "float16" else {}


def test_an_empty_share_leaves_batch_normalization_finite(outcomes):
    # 9 examples in batches of 8: the second replica has none of the last batch.
    found = parts(outcomes["2"], "local-batch-norm", 2)
    assert found
    assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.nightly
def test_keras_itself_still_needs_mending(further):
    """Fails when Keras trains right by itself: `keras_distribution` can then do without."""
    two = further["2"]
    assert parts(two, "stock-first-batch", 2)["failed"], "Keras takes an uneven first batch"
    assert parts(two, "stock-several-steps", 2)["failed"], "Keras takes several steps (#19246)"
    one = parts(further["1"], "stock-last-batch", 1)
    apart = np.abs(one["weights"] - parts(two, "stock-last-batch", 2)["weights"]).max()
    assert apart > 1e-3, "Keras weighs the examples of uneven shares rightly"
    workers = parts(further["worker-0"], "stock-last-batch", 2)
    assert workers["failed"], "Keras trains on several workers (#20585)"
