"""Text classifiers: padding counts for nothing, and saved models need nothing but Keras."""

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.errors import InputError

NAMES = ("bilstm-2-8", "text-cnn-6", "text-transformer-2-8", "text-transformer-1-64")
WORDS, LENGTH, CLASSES = 30, 12, 3


def _texts(lengths, seed=0):
    texts = np.random.default_rng(seed).integers(1, WORDS, (len(lengths), LENGTH))
    for row, length in zip(texts, lengths, strict=True):
        row[length:] = 0
    return texts.astype("int32")


def _build(name, **options):
    keras.utils.set_random_seed(1)
    return architectures.build_text_classifier(name, WORDS, LENGTH, CLASSES, **options)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", NAMES)
def test_padding_counts_for_nothing(name):
    """Neither the embedding of padding nor how much there is of it changes an output."""
    model, texts = _build(name), _texts([1, 5, 12])
    expected = np.asarray(model(texts))
    embedding = model.get_layer("embedding")
    (weights,) = embedding.get_weights()
    weights[0] = 1e4
    embedding.set_weights([weights])
    np.testing.assert_allclose(model(texts), expected, rtol=1e-5, atol=1e-6)
    shorter = architectures.build_text_classifier(name, WORDS, 5, CLASSES)
    values = model.get_weights()
    if "transformer" in name:  # positions that are never read
        values = [value[:5] if value.shape[0] == LENGTH else value for value in values]
    shorter.set_weights(values)
    np.testing.assert_allclose(shorter(texts[:2, :5]), expected[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_text_has_finite_outputs_and_gradients(name):
    model = _build(name, dropout=0.2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    texts = _texts([0, 0, 4])
    model.fit(texts, np.array([0, 1, 2]), epochs=1, batch_size=3, verbose=0)
    assert np.isfinite(model(texts)).all()


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_is_one_of_stock_layers(name, tmp_path):
    model, texts = _build(name), _texts([3, 12])
    model.save(tmp_path / "model.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in model._flatten_layers())
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = np.asarray(model(texts))
    np.testing.assert_array_equal(loaded(texts), expected)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(texts), expected)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_has_logits_of_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _build(name)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = model(_texts([3, 12]))
    assert logits.dtype == "float32" and np.isfinite(logits).all()


def test_the_convolutions_are_those_of_kim():
    """Kim, 2014: maxima of ReLU over windows of 3, 4 and 5 words; here in float64 NumPy."""
    model, texts = _build("text-cnn-6"), _texts([7])
    (words,) = model.get_layer("embedding").get_weights()
    text = words[texts[0, :7]].astype("float64")
    maxima = []
    for width in (3, 4, 5):
        kernel, bias = model.get_layer(f"convolution{width}").get_weights()
        before = (width - 1) // 2
        padded = np.pad(text, ((before, width - 1 - before), (0, 0)))
        windows = np.stack([padded[start : start + width] for start in range(7)])
        found = np.einsum("twe,wef->tf", windows, kernel.astype("float64")) + bias
        maxima.append(np.maximum(found, 0).max(0))
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.concatenate(maxima) @ kernel + bias
    np.testing.assert_allclose(model(texts)[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bilstm-0-8", "named bilstm-LAYERS-UNITS"),
        ("text-cnn-1-2", "named text-cnn-FILTERS"),
        ("text-transformer-2", "named text-transformer-LAYERS-UNITS"),
        ("lstm-1-8", "is not a text classifier"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        architectures.build_text_classifier(name, WORDS, LENGTH, CLASSES)
    with pytest.raises(InputError, match="is for labeled texts; build_text_classifier builds it"):
        architectures.build("bilstm", (8, 8, 1), 3)


def test_names_are_completed_and_parameters_counted():
    assert architectures.resolve("bilstm") == "bilstm-1-64"
    assert architectures.resolve("text-cnn") == "text-cnn-64"
    assert architectures.settings("text-transformer") == {"dropout"}
    trained, _ = architectures.count_parameters("bilstm-1-4", WORDS, LENGTH, CLASSES)
    assert trained == WORDS * 4 + 2 * 4 * (4 * 4 + 4 * 4 + 4) + 8 * 3 + 3
