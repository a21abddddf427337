"""Tables of image files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.config import needs, options
from ban_tf.datasets import names

_SPLITS = {"train": 6, "Val": 2, "TEST": 2}


def _images(root, count=10):
    """Makes images whose values are known; returns their paths, with a comma in each."""
    (root / "my, images").mkdir()
    for label in range(2):
        for index in range(count):
            file = root / "my, images" / f"{label}-{index}.png"
            Image.new("L", (6, 6), 100 * label + index).save(file)
    return [f"my, images/{label}-{index}.png" for index in range(count) for label in range(2)]


def _table(root, lines, encoding="utf-8"):
    file = root / "table.csv"
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return f"csv:{file}"


def test_a_table_with_splits_is_read(tmp_path):
    paths = _images(tmp_path)
    parts = [part for part, count in _SPLITS.items() for _ in range(2 * count)]
    lines = [f'"{path}",c {path[11]},{part}' for path, part in zip(paths, parts, strict=True)]
    name = _table(tmp_path, ["Path,label,split", *lines], "utf-8-sig")
    data = datasets.load(name)
    assert data.class_names == ("c 0", "c 1")
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [12, 4, 4]
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0] // 100, split.labels)
    assert data.test.files[0] == "my, images/0-8.png"
    assert names.has_validation(name) and not names.may_be_split(name)


def test_a_table_without_splits_is_split(tmp_path):
    paths = _images(tmp_path)
    name = _table(tmp_path, ["label,path", *(f'{path[11]},"{path}"' for path in paths)])
    data = datasets.load(name, test_fraction=0.4, cache="disk")
    assert data.train.is_read_by_rows and len(data.test.labels) == 8
    assert needs.SPLIT.met(options.Options(dataset=name))
    assert options.check(options.Options(dataset=name)).dataset == name


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["file,label", "a,b"], "has file, label, and no path"),
        (["path;label", "a;b"], "separated by commas"),
        ([""], "it has none"),
        (["path,label"], "lists no images"),
        (["path,label", "a.png,"], "empty label in line 2"),
        (["path,label", ",b"], "empty path in line 2"),
        (["path,label", "a,b.png,c"], "more cells in line 2"),
        (["path,label,split", "a,b,dev"], "the split dev in line 2"),
        (["path,label,split", "a,b,"], "empty split in line 2"),
        (["path,label,split", "a,b,train", "b,c,train"], "no rows of the split test"),
        (["path,label", "a,b"], r"1 class\(es\)"),
        (["path,label,split", "a,b,train", "a,c,train", "a,d,test"], "not in train: d"),
        (["path,label,split", "a,b,train", "a,c,train", "a,b,test"], "without test images: c"),
        (["path,label", '"a,b'], "is not a CSV"),
    ],
)
def test_a_wrong_table_is_refused_in_one_sentence(tmp_path, lines, complaint):
    name = _table(tmp_path, lines)
    with pytest.raises(ValueError, match=rf"^name=csv:.*{complaint}") as caught:
        datasets.check(name)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        datasets.check(f"csv:{tmp_path / 'absent.csv'}")
    with pytest.raises(ValueError, match="is a folder: type name=folder:"):
        datasets.check(f"csv:{tmp_path}")
    with pytest.raises(ValueError, match="is not a CSV in UTF-8"):
        datasets.check(_table(tmp_path, ["path,label", "\u00e4,b"], "latin-1"))


def test_a_table_without_its_prefix_is_recognized(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _table(tmp_path, ["path,label"])
    for name in ("table.csv", "./table.csv"):
        with pytest.raises(ValueError, match=rf"type name=csv:{name} "):
            datasets.load(name)


def test_missing_files_are_named_or_left_out(tmp_path):
    paths = [*_images(tmp_path), "my, images/0-absent.png"]
    name = _table(tmp_path, ["path,label", *(f'"{path}",{path[11]}' for path in paths)])
    with pytest.raises(ValueError, match=r"bad files \(1\): .*0-absent\.png does not exist\."):
        datasets.load(name)
    data = datasets.load(name, skip_bad_files=True)
    assert len(data.skipped) == 1
