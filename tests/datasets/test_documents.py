"""Labeled texts in folders, in tables and embedded, and their words as numbers."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from ban_tf.datasets import docstrings, documents, names, plain_words, tokenizing
from ban_tf.errors import InputError


def _folder(root, parts, count=5):
    for part in parts:
        for label in ("no", "yes 10", "yes 9"):
            folder = root / part / label / "deep"
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.TXT").write_text(f"{part} {label} {index}", "utf-8-sig")
            (folder / ".hidden.txt").write_text("no text of the data set")
            (folder / "notes.md").write_text("no text either")
    return f"documents:{root}"


def test_a_folder_with_parts_is_read(tmp_path):
    name = _folder(tmp_path, ("train", "Val", "TEST"))
    data = documents.load(name)
    assert data.class_names == ("no", "yes 9", "yes 10")
    for part, folder in ((data.train, "train"), (data.validation, "Val"), (data.test, "TEST")):
        assert len(part.texts) == 15
        for text, label, file in zip(part.texts, part.labels, part.files, strict=True):
            index = text.split()[-1]
            assert text == f"{folder} {data.class_names[label]} {index}"
            assert file.replace("\\", "/").endswith(f"{data.class_names[label]}/deep/{index}.TXT")
    assert names.has_validation(name) and not names.may_be_split(name)


def test_a_folder_of_classes_is_split_the_same_whatever_the_seed(tmp_path):
    name = _folder(tmp_path, ("",), count=10)
    first, second = (documents.load(name, seed=seed, test_fraction=0.3) for seed in (0, 1))
    assert [len(part.texts) for part in (first.train, first.validation, first.test)] == [18, 3, 9]
    assert first.test.texts == second.test.texts and first.content == second.content
    assert first.validation.texts != second.validation.texts
    assert names.may_be_split(name) and not names.has_validation(name)
    some = documents.load(name, train_examples=10, validation_fraction=0.0)
    assert len(some.train.texts) == 10 and some.content != first.content
    known = documents.load_test(name, ("yes 10", "yes 9", "no"))
    assert len(known.texts) == 30
    assert known.labels[known.texts.index(" yes 9 3".strip())] == 1
    with pytest.raises(InputError, match="classes that the run was not trained on: no"):
        documents.load_test(name, ("yes 9", "yes 10"))


def test_a_table_of_texts_is_read(tmp_path):
    lines = ['"of two\nlines, one",b', "short,a", "short too,a", "third,b"] * 5
    (tmp_path / "table.csv").write_text("\n".join(["text,Label", *lines]) + "\n")
    data = documents.load(f"csv:{tmp_path / 'table.csv'}", validation_fraction=0.0)
    assert data.class_names == ("a", "b") and data.train.files is None
    assert len(data.test.texts) == 4 and len(data.train.texts) == 16
    found = dict(zip(data.train.texts, data.train.labels, strict=True))
    assert found == {"of two\nlines, one": 1, "short": 0, "short too": 0, "third": 1}


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda root: None, "no folders of classes with .txt files"),
        (lambda root: _folder(root, ("train",)), "has train, but no test"),
        (lambda root: _folder(root / "x", ("a",)), "has 1 class"),
    ],
)
def test_another_layout_is_refused(tmp_path, make, complaint):
    make(tmp_path)
    with pytest.raises(InputError, match=complaint):
        documents.check(f"documents:{tmp_path}")
    for absent in ("absent", "~nobody-has-this-name/absent", ""):
        with pytest.raises(InputError, match=r"is not a folder; give documents:FOLDER"):
            documents.check(f"documents:{absent}")


def test_files_that_are_no_text_are_named(tmp_path):
    name = _folder(tmp_path, ("train", "test"))
    bad = tmp_path / "train" / "no" / "bad.txt"
    for content, complaint in (
        (b"\xff\xfe\xfa", r"bad\.txt cannot be read as UTF-8 text \(it is not UTF-8\)\."),
        (b" ", "no te"),
    ):
        bad.write_bytes(content)
        documents.check(name)  # reads none
        with pytest.raises(InputError, match=complaint):
            documents.load(name)


def test_the_embedded_texts_are_many_and_do_not_name_their_class():
    data = documents.load("documents")
    assert data.class_names == docstrings.CLASSES
    counts = np.bincount(data.train.labels)
    assert len(data.test.texts) > 200 and counts.min() >= 15 and len(data.train.texts) > 800
    texts = [*data.train.texts, *data.validation.texts, *data.test.texts]
    assert len(set(texts)) == len(texts) and not any("scipy" in text.split() for text in texts)
    assert max(len(text.split()) for text in texts) < 1000


def test_words_become_numbers_as_keras_numbers_them():
    words = tokenizing.learn(["The cat, the dog!", "a dog the"], most=3)
    assert words[0] == "the" and words[1] == "dog" and len(words) == 3
    numbers = tokenizing.encode(["THE dog flew.", "", "the the the the the"], words, 4)
    np.testing.assert_array_equal(numbers, [[2, 3, 1, 0], [0, 0, 0, 0], [2, 2, 2, 2]])
    assert numbers.dtype == np.int32 and tokenizing.unknown_share(numbers) == 1 / 7
    assert tokenizing.encode([], words, 4).shape == (0, 4)
    assert tokenizing.unknown_share(numbers[1]) == 0.0
    config = json.dumps(keras.saving.serialize_keras_object(tokenizing.layer(words, 4)))
    assert '"the", "dog"' in config  # a saved model has them, too
    with pytest.raises(InputError, match="no words"):
        tokenizing.learn(["...", " "], most=3)


def test_words_without_tensorflow_are_those_of_keras():
    odd = [
        "IT's  a\u00a0CAT\t\u00c4\u00d6\u0130 \u03a3\u0391\u03a3",
        "x-y_z\n[UNK] caf\u00e9\u2014ok \u2019no\u2019",
        "!?",
        "",
    ]
    data = documents.load("documents", train_examples=60)
    texts = [*odd, *data.train.texts]
    words = tokenizing.learn(texts, 500)
    assert plain_words.learn(texts, 500) == words and len(words) == 500
    texts += data.test.texts[:50]
    numbers = tokenizing.encode(texts, words, 30)
    np.testing.assert_array_equal(plain_words.encode(texts, words, 30), numbers)
    assert plain_words.encode([], words, 4).shape == (0, 4)
