"""Networks of the user, `--arch=module:function`, for texts, tables and masks; also of KerasHub."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import runner
from ban_tf.tasks.run import Run
from tests.tasks import segmenters

pytestmark = pytest.mark.nightly

_HERE = "tests.tasks.test_own_networks"


def bag_of_words(words, length, num_classes):
    """A text classifier that is the mean of its words."""
    numbers = keras.Input((length,), dtype="int32")
    x = keras.layers.Embedding(words, 8, mask_zero=True)(numbers)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(numbers, keras.layers.Dense(num_classes)(x))


def bert(words, length, num_classes):
    """A text classifier of KerasHub, which knows the words of a run by their numbers."""
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=words,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=length,
    )
    classifier = keras_hub.models.BertTextClassifier(backbone, num_classes, preprocessor=None)
    numbers = keras.Input((length,), dtype="int32")
    inputs = {
        "token_ids": numbers,
        "segment_ids": keras.ops.zeros_like(numbers),
        "padding_mask": keras.ops.cast(keras.ops.not_equal(numbers, 0), "int32"),
    }
    return keras.Model(numbers, classifier(inputs))


def deeplab(input_shape, num_classes):
    """A segmenter of KerasHub."""
    import keras_hub

    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=input_shape,
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P3",
        dilation_rates=[2],
        upsampling_size=2,
        projection_filters=4,
        spatial_pyramid_pooling_channels=8,
        segmentation_head_channels=8,
        image_shape=input_shape,
    )
    images = keras.Input(input_shape)
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes, activation=None)
    x = segmenter(images)
    if x.shape[1:3] != input_shape[:2]:
        x = keras.layers.Resizing(*input_shape[:2])(x)
    return keras.Model(images, x)


def linear(features, units):
    """The simplest network for tables."""
    return keras.Sequential([keras.Input((features,)), keras.layers.Dense(units)])


def softmax(features, units):
    """A network that does not end in logits."""
    model = linear(features, units)
    model.add(keras.layers.Softmax())
    return model


def _run(folder, dataset, function, **changes):
    given = {"epochs": 1, "gens": 2, "progress": "none", "optimizer": "adam", "learning_rate": 0.01}
    given |= {"report": False}
    wanted = options.Options(
        dataset=dataset, arch=f"{_HERE}:{function}", workdir=str(folder), **{**given, **changes}
    )
    return runner.run(options.check(wanted))


def _texts(folder):
    lines = ["text,label"]
    for index in range(40):
        lines.append(f"word{index % 7} {'good' if index % 2 else 'bad'} film,{index % 2}")
    (folder / "texts.csv").write_text("\n".join(lines))
    return f"csv:{folder / 'texts.csv'}"


def _averaged(run, inputs):
    """Checks that the saved ensemble is loaded, and averages its members."""
    mean = np.mean([run.predict(inputs, number) for number in (1, 2)], axis=0)
    np.testing.assert_allclose(run.predict(inputs), mean, atol=1e-5)


def test_texts_and_tables_are_learned_by_networks_of_the_user(tmp_path):
    _run(tmp_path / "texts", _texts(tmp_path), "bag_of_words", batch_size=8, max_length=5)
    _averaged(Run(tmp_path / "texts"), ["good film", "bad film"])
    found = _run(tmp_path / "table", "table:wine", "linear", batch_size=16, epochs=5)
    assert found["generations"][0]["error"] < 0.5
    with pytest.raises(InputError, match=r"softmax: the model ends in a softmax; end it in logits"):
        _run(tmp_path / "refused", "table:wine", "softmax", batch_size=16)
    with pytest.raises(InputError, match=r"linear must take \(words, length, num_classes\); it"):
        _run(tmp_path / "refused", f"csv:{tmp_path / 'texts.csv'}", "linear", batch_size=8)
    with pytest.raises(InputError, match=r"a network of your own, .* has lstm"):
        _run(tmp_path / "refused", "text", "linear")


def test_segmenters_of_keras_hub_are_trained_saved_and_averaged(tmp_path):
    pytest.importorskip("keras_hub")
    segmenters.draw(tmp_path / "data", {"train": 12, "test": 4}, (16, 16))
    dataset = f"segmentation:{tmp_path / 'data'}"
    found = _run(tmp_path / "run", dataset, "deeplab", batch_size=4, augment="none")
    assert 0 <= found["generations"][2]["mean_iou"] <= 1
    _averaged(Run(tmp_path / "run"), [tmp_path / "data/test/images/0.png"])


def test_text_classifiers_of_keras_hub_are_trained_saved_and_averaged(tmp_path):
    pytest.importorskip("keras_hub")
    _run(tmp_path / "run", _texts(tmp_path), "bert", batch_size=8, max_length=5)
    _averaged(Run(tmp_path / "run"), ["good film", "bad film"])
