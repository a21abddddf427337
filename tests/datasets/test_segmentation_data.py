"""Images and masks: read, resized, augmented together, and what does not fit is named."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ban_tf.datasets import mask_folders, masks, pipeline, policies, segmentation
from ban_tf.errors import InputError

RNG = np.random.default_rng(0)


def write(folder, name, mask, mode="L", image=None):
    """Writes a mask, and an image of its size; both `None` are left out."""
    for inner in ("images", "masks"):
        (folder / inner / name).parent.mkdir(parents=True, exist_ok=True)
    if image is None and mask is not None:
        image = RNG.integers(0, 256, (*np.shape(mask)[:2], 3))
    if image is not None:
        Image.fromarray(np.uint8(image)).save(folder / "images" / f"{name}.jpg")
    if mask is not None:
        picture = Image.fromarray(np.uint8(mask))
        if mode == "P":
            picture.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
        picture.save(folder / "masks" / f"{name}.png")


def some_mask(shape=(12, 10), values=(0, 1, 2, 255)):
    return RNG.choice(values, shape).astype(np.uint8)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_folder_of_parts_is_read_as_it_is(tmp_path, mode):
    drawn = {}
    for part in ("train", "val", "Test"):
        for name in ("2", "10", "deep/1"):
            drawn[part, name] = some_mask()
            write(tmp_path / part, name, drawn[part, name], mode)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    data = segmentation.load(f"segmentation:{tmp_path}")
    assert data.class_names == ("sky", "road", "car")
    assert data.input_shape == (12, 10, 3)
    for part, split in (("train", data.train), ("val", data.validation), ("Test", data.test)):
        assert [name.removeprefix(f"{part}/images/") for name in split.files] == [
            "2.jpg",
            "10.jpg",
            "deep/1.jpg",
        ]
        expected = [drawn[part, name] for name in ("2", "10", "deep/1")]
        np.testing.assert_array_equal(split.labels, expected)


def test_a_folder_without_parts_is_split_the_same_way_whatever_the_seed(tmp_path):
    for number in range(20):
        write(tmp_path, str(number), some_mask((4, 4), (0, 1)))
    first, second = (
        segmentation.load(f"segmentation:{tmp_path}", seed=seed, test_fraction=0.25)
        for seed in (0, 1)
    )
    assert first.test.files == second.test.files
    assert first.validation.files != second.validation.files
    assert [len(part.labels) for part in (first.train, first.validation, first.test)] == [13, 2, 5]
    every = {*first.train.files, *first.validation.files, *first.test.files}
    assert len(every) == 20
    assert first.class_names == ("class 0", "class 1")
    assert first.content == second.content


def test_any_index_may_be_that_of_pixels_without_a_class(tmp_path):
    mask = some_mask(values=(0, 1, 2, 7))
    for number in range(3):
        write(tmp_path, str(number), mask)
    data = segmentation.load(f"segmentation:{tmp_path}", void_label=7, validation_fraction=0)
    np.testing.assert_array_equal(data.train.labels[0], np.where(mask == 7, 255, mask))
    assert data.num_classes == 3
    with pytest.raises(InputError, match="there are 3 classes, 0 to 2"):
        segmentation.load(f"segmentation:{tmp_path}", void_label=None, class_names="abc")


def good_pair(folder, name="good"):
    write(folder, name, np.arange(48).reshape(6, 8) % 3)


BROKEN = {
    "bad.jpg has no mask": lambda folder: write(folder, "bad", None, image=np.zeros((6, 8, 3))),
    "bad.png has no image": lambda folder: (
        write(folder, "bad", np.zeros((6, 8))),
        (folder / "images" / "bad.jpg").unlink(),
    ),
    "bad.png has 5x8 pixels, but bad.jpg has 6x8": lambda folder: write(
        folder, "bad", np.zeros((5, 8)), image=np.zeros((6, 8, 3))
    ),
    "bad.png has the class index 3, but there are 3 classes, 0 to 2": lambda folder: write(
        folder, "bad", np.full((6, 8), 3)
    ),
    "bad.png is not a mask of class indices, as its pixels are colors": lambda folder: write(
        folder, "bad", np.zeros((6, 8, 3))
    ),
    "bad.png cannot be read as an image": lambda folder: (
        write(folder, "bad", np.zeros((6, 8))),
        (folder / "masks" / "bad.png").write_bytes(b"no image"),
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_does_not_fit_is_named_in_a_sentence(tmp_path, message):
    good_pair(tmp_path)
    good_pair(tmp_path, "better")
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    segmentation.load(f"segmentation:{tmp_path}")
    BROKEN[message](tmp_path)
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        segmentation.load(f"segmentation:{tmp_path}")
    assert "good" not in str(raised.value).replace("pytest-good", "")


def test_a_folder_of_another_layout_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="names no folder"):
        mask_folders.check(f"segmentation:{tmp_path / 'absent'}")
    good_pair(tmp_path / "train")
    with pytest.raises(InputError, match="holds train; it must hold the folders images and masks"):
        mask_folders.check(f"segmentation:{tmp_path}")
    good_pair(tmp_path / "test")
    mask_folders.check(f"segmentation:{tmp_path}")
    (tmp_path / "classes.txt").write_text("only\n")
    with pytest.raises(InputError, match="has 1 classes; it must name 2 to 255"):
        mask_folders.check(f"segmentation:{tmp_path}")
    (tmp_path / "classes.txt").write_text("a\na\n")
    with pytest.raises(InputError, match="has a twice"):
        mask_folders.check(f"segmentation:{tmp_path}")


def test_masks_of_one_class_beside_void_are_refused(tmp_path):
    for name in "ab":
        write(tmp_path, name, np.arange(48).reshape(6, 8) % 2 * 255)
    with pytest.raises(InputError, match="has class 0 alone in its masks"):
        segmentation.load(f"segmentation:{tmp_path}")


def test_a_part_without_a_class_anywhere_is_refused(tmp_path):
    good_pair(tmp_path / "train")
    write(tmp_path / "test", "x", np.full((6, 8), 255))
    with pytest.raises(InputError, match="no pixel with a class in its test masks"):
        segmentation.load(f"segmentation:{tmp_path}", class_names="abc")


@pytest.mark.parametrize("method", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(30, 64), (64, 40), (31, 77)])
def test_masks_are_resized_as_their_images(method, shape):
    """An image that shows its own mask, in few large areas, still shows it afterwards."""
    from ban_tf.datasets import resizing

    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 3 :, shape[1] // 4 :] = 1
    image = Image.fromarray(200 * mask)
    small = masks.at_size(Image.fromarray(mask), (16, 24), method)
    pixels = resizing.to_array(image, (16, 24), method, 1)[..., 0]
    assert set(np.unique(small)) <= {0, 1, 255}
    assert ((small == 255).any()) == (method == "pad")
    shown = np.where(small == 255, True, (pixels > 100) == (small == 1))
    assert shown.mean() > 0.97
    # And back: what was cut off has no class, all else is as before but for the edges.
    back = masks.at_original_size(small, shape, method)
    assert back.shape == shape
    left_out = back == 255
    assert left_out.any() == (method == "crop")
    assert (back == mask)[~left_out].mean() > 0.9


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_masks_are_augmented_as_their_images(policy):
    """Images whose channels are their masks, in large areas: both move alike."""
    areas = RNG.integers(0, 2, (16, 4, 4, 1), dtype=np.uint8)
    areas = np.repeat(np.repeat(areas, 16, 1), 16, 2)
    drawn = policies.draw(policy, 16, tf.constant([3, 4]))
    moved = policies.apply_to_masks(policy, tf.constant(areas[..., 0]), drawn).numpy()
    assert moved.shape == (16, 64, 64)
    if policy == "none":
        np.testing.assert_array_equal(moved, areas[..., 0])
        return
    assert (moved != areas[..., 0]).mean() > 0.05
    if policy == "strong":
        return  # colors change as well
    images = policies.apply(policy, tf.constant(200 * areas), drawn).numpy()[..., 0]
    assert ((images > 100) == (moved == 1)).mean() > 0.97


def test_a_map_moves_a_mask_as_its_image_and_fills_it_with_void():
    from ban_tf.datasets import trivial_augment

    areas = np.repeat(np.repeat(RNG.integers(0, 2, (60, 4, 4), dtype=np.uint8), 8, 1), 8, 2)
    first = trivial_augment.OPERATIONS.index("rotate")
    operation = tf.constant(np.arange(60) % 5 + first, tf.int32)
    drawn = trivial_augment.Drawn(operation, tf.linspace(-1.0, 1.0, 60))
    images = trivial_augment.apply(tf.constant(areas[..., None] * 255), drawn).numpy()[..., 0]
    moved = trivial_augment.apply_to_masks(tf.constant(areas[..., None]), drawn).numpy()[..., 0]
    inside = moved != 255
    assert 0.01 < 1 - inside.mean() < 0.3
    assert ((images > 127) == (moved == 1))[inside].mean() > 0.97
    assert np.all(np.abs(images[~inside].astype(int) - 128) < 128)


def test_batches_depend_on_seed_epoch_and_example_alone():
    data = segmentation.load("segmentation", train_examples=24, validation_fraction=0)
    settings = {"batch_size": 6, "epochs": 3, "seed": 5, "augment": "crop"}
    every = [*pipeline.training_batches(data, **settings)]
    later = [*pipeline.training_batches(data, **settings, first_epoch=1, first_step=2)]
    assert len(every) == 12
    for (images, labels), (same, also) in zip(every[6:], later, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, also)
    labels = np.concatenate([labels for _, labels in every])
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == {-1, 0, 1, 2, 3}
    shards = pipeline.training_batches(data, **settings, num_shards=2, shard_range=range(1, 2))
    np.testing.assert_array_equal(next(iter(shards))[1], every[0][1][3:])


def test_evaluation_has_all_masks_in_order_without_augmentation():
    data = segmentation.load("segmentation:shapes", image_size=(20, 28))
    found = np.concatenate(
        [labels for _, labels in pipeline.evaluation_batches(data.test, data, 50)]
    )
    assert found.shape == (120, 20, 28)
    np.testing.assert_array_equal(np.where(found == -1, 255, found), data.test.labels)


def test_a_mask_is_written_with_its_colors_and_read_again(tmp_path):
    mask = some_mask()
    (tmp_path / "mask.png").write_bytes(masks.to_png(mask, 3))
    np.testing.assert_array_equal(masks.read(tmp_path / "mask.png"), mask)
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), masks.colors(3)[mask])
    assert len(np.unique(masks.colors(60)[:60], axis=0)) == 60
