"""Recorded teachers: what is stored, resuming after a kill, and equality with online teachers."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from ban_tf.distillation import recording

FORM = recording.Form(views=3, examples=25, classes=6)


def _logits(examples=25, classes=6, seed=0):
    return np.random.default_rng(seed).normal(0, 3, (examples, classes)).astype("float32")


class Source:
    """Inputs that name their view and example; a teacher that counts and can be killed."""

    def __init__(self, calls_to_live=10**9):
        self.left = calls_to_live
        self.seen = []

    def batches(self, view, first):
        rows = np.arange(first, 25)
        return [(view, rows[start : start + 7]) for start in range(0, len(rows), 7)]

    def logits(self, batch):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        view, rows = batch
        self.seen += [(view, int(row)) for row in rows]
        return _logits(seed=view)[rows]


def _record(path, source, form=FORM, **options):
    return recording.record(path, form, source.batches, source.logits, **options)


def test_every_view_is_read_back_to_the_rounding_of_float16(tmp_path):
    recorded = _record(tmp_path / "a", Source())
    chosen = tf.constant([3, 24, 0, 3])
    for view in range(3):
        logits = recorded.logits(tf.constant(view), chosen)
        assert logits.shape == (4, 6)
        np.testing.assert_allclose(logits, _logits(seed=view)[chosen.numpy()], rtol=2**-11)
    assert sum(file.stat().st_size for file in (tmp_path / "a").glob("*.npy")) == (
        FORM.bytes + 3 * (192 + 32)
    )


def test_logits_beyond_float16_stay_finite_and_in_order():
    rows = recording.pack(np.float32([[1e6, 0.0, -1e6]]), recording.Form(1, 1, 3))
    logits = recording.unpack(rows, recording.Form(1, 1, 3))
    assert np.isfinite(logits).all() and (np.diff(logits) < 0).all()


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_top_classes_are_kept_and_the_rest_is_spread_evenly(scale):
    form = recording.Form(1, 25, 6, top=2)
    logits = _logits() * scale
    given = special.softmax(logits.astype("float64"), axis=-1)
    kept = special.softmax(recording.unpack(recording.pack(logits, form), form), axis=-1)
    expected = given.copy()
    for row in expected:
        others = np.argsort(row)[:-2]
        row[others] = row[others].mean()
    np.testing.assert_allclose(kept, expected, atol=2e-3)
    np.testing.assert_array_equal(kept.argmax(-1), logits.argmax(-1))
    # The file that holds such rows is an .npy file like any other.
    assert form.bytes == 25 * (3 * 2 + 2 * 2)


def test_structured_rows_are_memory_mapped(tmp_path):
    form = recording.Form(3, 25, 6, top=2)
    recorded = _record(tmp_path, Source(), form)
    assert isinstance(recorded.view(1), np.memmap)
    expected = recording.unpack(recording.pack(_logits(seed=1), form), form)
    np.testing.assert_array_equal(
        recorded.logits(tf.constant(1), tf.range(25, dtype=tf.int32)), expected
    )


def test_a_killed_recording_resumes_at_the_first_missing_row(tmp_path):
    killed = Source(calls_to_live=6)  # a whole view and two batches of the next
    with pytest.raises(KeyboardInterrupt):
        _record(tmp_path, killed)
    with (tmp_path / "view-00001.begun").open("ab") as file:
        file.write(b"half")  # a row that the kill cut off
    resumed, counted = Source(), []
    recorded = _record(tmp_path, resumed, advance=counted.append)
    assert not set(killed.seen) & set(resumed.seen)
    assert len(killed.seen) + len(resumed.seen) == sum(counted) == 75
    for view in range(3):
        np.testing.assert_allclose(recorded.view(view), _logits(seed=view), rtol=2**-11)
    again = Source()
    _record(tmp_path, again)
    assert not again.seen


@pytest.mark.parametrize("damage", ["flipped", "cut off", "emptied", "header"])
def test_a_complete_view_that_has_changed_is_recorded_again(tmp_path, damage):
    _record(tmp_path, Source())
    file = tmp_path / "view-00001.npy"
    content = bytearray(file.read_bytes())
    content[{"header": 30}.get(damage, 300)] ^= 1
    file.write_bytes({"cut off": content[:-40], "emptied": b""}.get(damage, content))
    again = Source()
    recorded = _record(tmp_path, again)
    assert {view for view, _ in again.seen} == {1}
    for view in range(3):
        np.testing.assert_allclose(recorded.view(view), _logits(seed=view), rtol=2**-11)


@pytest.mark.parametrize("tail", [b"\0" * 30, b"half"], ids=["zeros", "half a row"])
def test_rows_that_no_write_has_reached_are_recorded_again(tmp_path, tail):
    with pytest.raises(KeyboardInterrupt):
        _record(tmp_path, Source(calls_to_live=2))
    with (tmp_path / "view-00000.begun").open("ab") as file:
        file.write(tail)
    resumed = Source()
    recorded = _record(tmp_path, resumed)
    assert (0, 14) in resumed.seen and (0, 13) not in resumed.seen
    np.testing.assert_allclose(recorded.view(0), _logits(), rtol=2**-11)


def test_a_recording_larger_than_the_disk_is_refused_before_it_starts(tmp_path):
    source = Source()
    with pytest.raises(ValueError, match=r"the `top` classes alone.*another `path`"):
        _record(tmp_path, source, recording.Form(10**9, 10**9, 10))
    assert not source.seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 2, 3), "`views` must be an integer of at least 1"),
        ((1, "a", 3), "`examples` must be an integer of at least 1"),
        ((1, 2, 3, 1.5), "`top` must be an integer, or None"),
        ((1, 2, 3, None, "float64"), "`precision` must be 'float16' or 'float32'"),
    ],
)
def test_wrong_forms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        recording.Form(*arguments)


@pytest.mark.parametrize("top", [0, 6])
def test_top_must_leave_something_to_spread(top):
    with pytest.raises(ValueError, match="`top` must be between"):
        recording.Form(1, 1, 6, top)


def test_a_view_of_another_shape_or_that_is_no_file_is_not_read(tmp_path):
    _record(tmp_path, Source())
    other = recording.Form(1, 20, 6)
    recording.record(tmp_path / "other", other, lambda *_: [(0, np.arange(20))], Source().logits)
    (tmp_path / "other" / "view-00000.npy").replace(tmp_path / "view-00001.npy")
    again = Source()
    recorded = _record(tmp_path, again)
    assert {view for view, _ in again.seen} == {1} and recorded.view(1).shape == (25, 6)
    for name in ("view-00001.npy", "lock"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match="it is not a regular file"):
            _record(tmp_path, Source())
