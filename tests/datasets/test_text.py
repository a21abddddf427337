"""Text in Mikolov's format, and batches in which every stream continues where it stopped."""

import numpy as np
import pytest

from ban_tf.datasets import text, text_batches


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my.train.txt").write_text(" the cat sat \n the dog sat \n")
    (tmp_path / "my.valid.txt").write_text("the cow sat\n")
    (tmp_path / "my.test.txt").write_text("the dog\n\n")
    return tmp_path


def _words(data, part):
    return [data.vocabulary[token] for token in getattr(data, part)]


def test_a_folder_is_read_in_the_format_of_mikolov(folder):
    data = text.load(f"text:{folder}")
    assert data.vocabulary == ("<eos>", "sat", "the", "cat", "dog", "<unk>")
    assert _words(data, "train") == ["the", "cat", "sat", "<eos>", "the", "dog", "sat", "<eos>"]
    assert _words(data, "validation") == ["the", "<unk>", "sat", "<eos>"]
    assert _words(data, "test") == ["the", "dog", "<eos>"]
    assert data.train.dtype == np.int32


def test_one_file_is_split_in_order(tmp_path):
    (tmp_path / "all.txt").write_text("".join(f"a line {number}\n" for number in range(20)))
    data = text.load(f"text:{tmp_path / 'all.txt'}")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [64, 8, 8]
    assert _words(data, "train")[-2:] == ["15", "<eos>"]
    assert _words(data, "test")[:3] == ["a", "line", "<unk>"]


def test_the_embedded_text_is_large_enough_and_whole():
    data = text.load("text")
    assert len(data.vocabulary) == 2001
    assert len(data.train) > 30_000 and min(len(data.validation), len(data.test)) > 3_000
    for part in (data.train, data.validation, data.test):
        unknown = np.mean(part == data.vocabulary.index("<unk>"))
        assert unknown < 0.1 and part.max() < len(data.vocabulary)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "my.valid.txt").unlink(), r"one file \*.valid.txt; it has 0"),
        (lambda path: (path / "b.test.txt").write_text("x"), r"one file \*.test.txt; it has 2"),
        (lambda path: (path / "my.test.txt").write_text("\n"), "no words in its part test"),
        (lambda path: (path / "my.train.txt").write_bytes(b"\xff\xfe"), "my.train.txt cannot be"),
    ],
)
def test_unusable_text_is_refused(folder, spoil, message):
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        text.load(f"text:{folder}")


def test_a_byte_order_mark_is_no_word_and_a_line_separator_ends_no_line(tmp_path):
    file = tmp_path / "all.txt"
    file.write_bytes("\ufeffthe cat\u2028sat\r\n\ufeff\r\nthe\x0cdog\x85\n".encode())
    assert text.read_lines(file) == [["the", "cat", "sat"], ["the", "dog"]]


def test_words_are_encoded_with_a_vocabulary_that_is_given():
    vocabulary = ("<eos>", "the", "<unk>")
    tokens = text.encode(["the", "cow", "<eos>"], vocabulary)
    np.testing.assert_array_equal(tokens, [1, 2, 0])
    assert text.unknown_share(vocabulary, tokens) == 1 / 3
    with pytest.raises(ValueError, match=r"lacks 1 of the words, such as 'cow', and has no <unk>"):
        text.encode(["the", "cow"], ("<eos>", "the"))


def test_a_text_to_test_with_is_a_whole_file_or_the_test_part_of_a_folder(folder):
    assert text.read_test(f"text:{folder}") == ["the", "dog", "<eos>"]
    assert text.read_test(f"text:{folder / 'my.valid.txt'}") == ["the", "cow", "sat", "<eos>"]
    (folder / "my.test.txt").write_text("\n")
    with pytest.raises(ValueError, match="has no words to test with"):
        text.read_test(f"text:{folder}")


def test_a_path_that_is_not_there_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="--dataset=text:/nowhere is not a file or folder"):
        text.check("text:/nowhere")


def test_rows_of_training_batches_resume_where_they_stopped():
    tokens = np.arange(50, dtype=np.int32)
    batches = list(text_batches.training_batches(tokens, 2, 7).as_numpy_iterator())
    assert len(batches) == text_batches.training_steps(tokens, 2, 7) == 3
    words = np.concatenate([words for words, _ in batches], axis=1)
    following = np.concatenate([following for _, following in batches], axis=1)
    np.testing.assert_array_equal(words, [np.arange(21), np.arange(21, 42)])
    np.testing.assert_array_equal(following, words + 1)


@pytest.mark.parametrize("length", [2, 15, 43, 50])
def test_evaluation_predicts_every_word_but_the_first_once(length):
    tokens = np.arange(length, dtype=np.int32)
    batches = text_batches.evaluation_batches(tokens, 2, 7).as_numpy_iterator()
    words, following, weights = (
        np.concatenate(part, axis=1) for part in zip(*batches, strict=True)
    )
    np.testing.assert_array_equal(np.sort(following[weights > 0]), tokens[1:])
    np.testing.assert_array_equal(words[weights > 0] + 1, following[weights > 0])


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match=r"--batch_size=4 streams of --unroll=35 .* has 100"):
        text_batches.training_steps(np.arange(100), 4, 35)
