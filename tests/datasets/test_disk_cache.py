"""Images larger than memory: written once beside the data, also after a kill, and mapped."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.datasets import decoding, disk_cache

_FORMS = {"values": disk_cache.Form((6, 2), np.uint8)}


def _fill(arrays, first):
    for row in range(first, 6):
        arrays["values"][row] = row
        yield row + 1


def _killed_after(rows):
    def fill(arrays, first):
        for done in _fill(arrays, first):
            yield done
            if done == rows:
                raise KeyboardInterrupt

    return fill


def test_writing_continues_where_it_stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        disk_cache.on_disk(tmp_path / "a", _FORMS, _killed_after(4), "x")
    assert not (tmp_path / "a").exists()
    firsts = []

    def fill(arrays, first):
        firsts.append(first)
        yield from _fill(arrays, first)

    for _ in range(2):  # the second time, it is there
        found = disk_cache.on_disk(tmp_path / "a", _FORMS, fill, "x")["values"]
        np.testing.assert_array_equal(found[:, 0], range(6))
        assert isinstance(found, np.memmap) and not found.flags.writeable
    assert firsts == [4]


def test_a_damaged_cache_is_written_again(tmp_path):
    disk_cache.on_disk(tmp_path / "a", _FORMS, _fill, "x")
    file = tmp_path / "a" / "values.npy"
    file.write_bytes(file.read_bytes()[:-3])
    found = disk_cache.on_disk(tmp_path / "a", _FORMS, _fill, "x")["values"]
    np.testing.assert_array_equal(found[:, 1], range(6))


def test_two_builders_write_once(tmp_path, capfd):
    written, results, begun = [], [], threading.Event()

    def fill(arrays, first):
        begun.set()
        written.append(first)
        other.join(0.2)  # it waits for the lock
        yield from _fill(arrays, first)

    def build():
        results.append(disk_cache.on_disk(tmp_path / "a", _FORMS, fill, "x"))

    def second():
        begun.wait()
        build()

    other = threading.Thread(target=second)
    other.start()
    build()
    other.join()
    assert written == [0] and len(results) == 2
    assert "Another process writes" in capfd.readouterr().err


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_cache, "_reserve", full)
    with pytest.raises(ValueError, match=r"--dataset=x: .*No space left.*--cache=memory"):
        disk_cache.on_disk(tmp_path / "a", _FORMS, _fill, "x")


def _folder(root):
    generator = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (10 + index, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return f"folder:{root}"


def _caches(root):
    return sorted(entry for entry in (root / disk_cache.NAME).iterdir() if entry.is_dir())


def test_images_on_disk_are_those_in_memory(tmp_path, caplog):
    name = _folder(tmp_path)
    (tmp_path / "train/cat/broken.png").write_bytes(b"not an image")
    how = {"image_size": (8, 8), "skip_bad_files": True, "validation_fraction": 0.3}
    memory = datasets.load(name, cache="memory", **how)
    caplog.clear()
    with caplog.at_level("WARNING"):
        for _ in range(2):  # the second time, from the cache
            disk = datasets.load(name, cache="disk", **how)
            assert disk.train.is_read_by_rows and disk.test.is_read_by_rows
            assert not memory.train.is_read_by_rows
            assert disk.content == memory.content and disk.skipped == memory.skipped
            assert disk.train.files == memory.train.files
            np.testing.assert_array_equal(disk.mean, memory.mean)
            for part in ("train", "validation", "test"):
                ours, theirs = getattr(disk, part), getattr(memory, part)
                np.testing.assert_array_equal(ours.labels, theirs.labels)
                np.testing.assert_array_equal(ours.images[:], theirs.images)
    # The cache itself is no file that is not read.
    assert all("that are left out" in record.getMessage() for record in caplog.records)
    assert len(_caches(tmp_path)) == 1


def test_a_cache_belongs_to_its_files_and_settings(tmp_path):
    name = _folder(tmp_path)
    how = {"image_size": (8, 8), "cache": "disk"}
    first = datasets.load(name, **how)
    datasets.load(name, **how, test_fraction=0.3, seed=3)
    assert len(_caches(tmp_path)) == 1
    datasets.load(name, **how, resize="pad")
    assert len(_caches(tmp_path)) == 2
    file = tmp_path / "test/dog/0.png"
    Image.new("RGB", (9, 9), "red").save(file)
    os.utime(file, (1, 1))
    assert datasets.load(name, **how).content != first.content
    assert len(_caches(tmp_path)) == 3


def test_a_killed_reader_decodes_no_image_twice(tmp_path, monkeypatch):
    name = _folder(tmp_path)
    how = {"image_size": (8, 8), "cache": "disk"}
    decode_rows, firsts = decoding.decode_rows, []
    monkeypatch.setattr(decoding, "_AT_A_TIME", 4)

    def counted(*arguments):
        firsts.append(arguments[-1])
        if len(firsts) == 3:
            raise KeyboardInterrupt
        decode_rows(*arguments)

    monkeypatch.setattr(decoding, "decode_rows", counted)
    with pytest.raises(KeyboardInterrupt):
        datasets.load(name, **how)
    data = datasets.load(name, **how)
    assert firsts == [0, 4, 8, 8, 12, 16]
    assert data.content == datasets.load(name, image_size=(8, 8)).content


def test_auto_goes_to_disk_if_memory_is_small(tmp_path, monkeypatch):
    name = _folder(tmp_path)
    assert not datasets.load(name, image_size=(8, 8)).train.is_read_by_rows
    monkeypatch.setattr(disk_cache.hardware, "memory", lambda: 3 * 18 * 8 * 8 * 3 - 1)
    assert datasets.load(name, image_size=(8, 8)).train.is_read_by_rows


def test_memory_that_is_too_small_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache.hardware, "memory", lambda: 1000)
    with pytest.raises(ValueError, match="cache=memory needs more than"):
        datasets.load(_folder(tmp_path), image_size=(8, 8), cache="memory")


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    name = _folder(tmp_path)
    (tmp_path / disk_cache.NAME).write_bytes(b"a file, so that there can be no folder")
    with pytest.raises(ValueError, match=r"cannot be written to .*cache=memory"):
        datasets.load(name, image_size=(8, 8), cache="disk")
