"""LSTM language models: sizes of the paper, states that are carried, words as characters."""

import itertools

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.architectures import cnn_lstm, text_blocks

WORDS = ("<eos>", "the", "cat", "dog", "sat", "<unk>")


@pytest.fixture(scope="module")
def ten_thousand_words():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789'-.$&*#/<>N_"
    return [
        "".join(word) for word in itertools.islice(itertools.product(letters, repeat=3), 10_000)
    ]


def test_a_very_long_word_does_not_widen_the_table_of_characters():
    table = cnn_lstm.characters(("a" * 5000, "b"), least=3)
    assert table.shape == (2, 66)
    np.testing.assert_array_equal(table[1, :4], [1, 4, 2, 0])


@pytest.mark.parametrize(
    ("name", "paper", "millions"),
    [("lstm-2-1500", 52, 51.01), ("cnn-lstm-2-650", 19, 19.37)],
)
def test_sizes_of_the_paper(name, paper, millions, ten_thousand_words):
    """Furlanello et al., 2018, Table 6, to within 3 %."""
    trained, _ = architectures.count_parameters(name, ten_thousand_words)
    assert round(trained / 1e6, 2) == millions
    assert trained / 1e6 == pytest.approx(paper, rel=0.03)


@pytest.mark.parametrize("name", ["lstm-2-8", "cnn-lstm-2-8"])
def test_state_is_carried_from_batch_to_batch(name):
    """Two halves of a text, one after the other, are read as the whole is."""
    keras.utils.set_random_seed(0)
    carrying = architectures.build_language_model(name, WORDS, batch_size=2)
    whole = architectures.build_language_model(name, WORDS, dropout=0.5)
    whole.set_weights(carrying.get_weights())
    words = np.random.default_rng(0).integers(0, len(WORDS), (2, 10))
    halves = np.concatenate([carrying(words[:, :6]), carrying(words[:, 6:])], axis=1)
    np.testing.assert_allclose(halves, whole(words), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "dropouts", "largest"),
    [
        ("lstm-2-8", ["embedding_dropout", "dropout1", "dropout2"], 0.04),
        ("cnn-lstm-2-8", ["dropout1", "dropout2"], 0.05),
    ],
)
def test_dropout_and_initial_weights_are_those_of_the_papers(name, dropouts, largest):
    """Zaremba et al., 2014; Kim et al., 2016, have none between highway and LSTM."""
    model = architectures.build_language_model(name, WORDS, dropout=0.5)
    layers = [layer.name for layer in model.layers]
    assert [item for item in layers if "dropout" in item] == dropouts
    assert layers[layers.index("lstm1") + 1] == "dropout1"
    for weight in model.trainable_weights:
        if "bias" not in weight.name:
            assert 0.5 * largest < np.abs(weight).max() <= largest, weight.path


@pytest.mark.parametrize("steps", [None, 6])
def test_a_causal_transformer_reads_only_what_is_before_a_word(steps):
    keras.utils.set_random_seed(0)
    model = architectures.build_language_model("causal-transformer-2-8", WORDS, steps=steps)
    words = np.random.default_rng(0).integers(0, len(WORDS), (2, 6))
    expected = np.asarray(model(words))
    for place in range(6):
        changed = words.copy()
        changed[:, place] = (words[:, place] + 1) % len(WORDS)
        found = np.asarray(model(changed))
        np.testing.assert_allclose(found[:, :place], expected[:, :place], rtol=1e-4, atol=1e-6)
        assert (np.abs(found - expected)[:, place:].max(axis=(0, 2)) > 1e-5).all()


def test_positions_are_distinguished_by_sines_of_many_rates():
    """Vaswani et al., 2017, section 3.5: rates from 1 to 1/10,000; here in float64 NumPy."""
    x, words = keras.Input((5, 6)), keras.Input((5,), dtype="int32")
    model = keras.Model([x, words], text_blocks.add_sines(x, words, 6))
    found = model([np.zeros((1, 5, 6)), np.zeros((1, 5), "int32")])[0]
    angles = np.arange(5)[:, None] / 10_000 ** (np.arange(3) / 3)
    np.testing.assert_allclose(found, np.hstack([np.sin(angles), np.cos(angles)]), atol=1e-6)


def test_embeddings_are_tied():
    model = architectures.build_language_model("lstm-1-8", WORDS)
    shapes = sorted(tuple(weight.shape) for weight in model.trainable_weights)
    assert shapes == sorted([(len(WORDS), 8), (8, 32), (8, 32), (32,)])


@pytest.mark.first_cases(3)
@pytest.mark.parametrize("name", ["lstm-1-8", "cnn-lstm-1-8", "causal-transformer-1-8"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_models_load_without_this_package_and_give_float32(name, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = architectures.build_language_model(name, WORDS, dropout=0.2)
    finally:
        keras.config.set_dtype_policy("float32")
    words = np.array([[1, 2, 4, 0]])
    logits = model(words)
    assert logits.shape == (1, 4, len(WORDS))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={})
    rounding = 1e-6 if policy == "float32" or "lstm" in name else 0.03  # of bfloat16
    np.testing.assert_allclose(loaded(words), logits, rtol=1e-5, atol=rounding)
    modules = {type(layer).__module__.split(".")[0] for layer in loaded.layers}
    assert modules == {"keras"}


def test_words_are_spelt():
    table = cnn_lstm.characters(("ab", "b"), least=6)
    np.testing.assert_array_equal(table, [[1, 3, 4, 2, 0, 0], [1, 4, 2, 0, 0, 0]])


def test_words_that_are_spelt_alike_are_taken_alike():
    """The network sees characters alone; and its table of them is not trained."""
    model = architectures.build_language_model("cnn-lstm-1-8", ("ab", "ab", "c"))
    first, second = model(np.array([[0]])), model(np.array([[1]]))
    np.testing.assert_array_equal(first, second)
    assert not model.get_layer("spelling").trainable_weights


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lstm-1500", "named lstm-LAYERS-UNITS"),
        ("lstm-0-8", "named lstm-LAYERS-UNITS"),
        ("cnn-lstm-2", "named cnn-lstm-LAYERS-UNITS"),
        ("cnn-2-8", "unknown architecture"),
    ],
)
def test_wrong_names_are_explained(name, message):
    with pytest.raises(ValueError, match=f"name={name}: .*{message}"):
        architectures.resolve(name)


def test_bare_names_are_completed():
    assert architectures.resolve("lstm") == "lstm-1-128"
    assert architectures.resolve("cnn-lstm") == "cnn-lstm-1-128"


def test_networks_for_images_and_for_text_are_kept_apart():
    with pytest.raises(ValueError, match="lstm-1-128 is a language model"):
        architectures.build("lstm", (8, 8, 1), 10)
    with pytest.raises(ValueError, match="wrn-16-1 is not a language model"):
        architectures.build_language_model("wrn", WORDS)
