"""Images that JAX augments and normalizes on its device, against those of NumPy."""

import jax_process
import numpy as np
import pytest

pytestmark = [jax_process.needed, pytest.mark.nightly]

PROGRAM = """
import functools, json
import jax
jax.config.update("jax_num_cpu_devices", 2)
import keras, numpy as np
from ban_tf import datasets
from ban_tf.compat import jax_devices
from ban_tf.datasets import ImageData, Split, class_weights, device_images, normalization
from ban_tf.datasets import numpy_mixing, numpy_pipeline, numpy_policies, pipeline
from ban_tf.errors import InputError

random = np.random.default_rng(0)
EXAMPLES, SIZE = 26, (14, 11, 3)
MEAN, STD = np.array([0.5, 0.4, 0.3], "float32"), np.array([0.2, 0.25, 0.3], "float32")
IMAGES = random.integers(0, 256, (EXAMPLES, *SIZE), dtype=np.uint8)
MASKS = random.choice(np.array([0, 1, 2, 255], np.uint8), (EXAMPLES, *SIZE[:2]))
NUMBERS = np.arange(EXAMPLES, dtype=np.int32)
programs, sent = [], {}
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **more: programs.append(name)
)
def compiled():
    return programs.count("/jax/core/compile/backend_compile_duration")

def data(labels=NUMBERS, images=IMAGES):
    split = Split(images, labels)
    return ImageData("some", split, split, split, ("a", "b", "c"), MEAN, STD, True)

def in_both_ways(made, changed=lambda batches: batches):
    found = []
    for on_device in (False, True):
        device_images.serves = lambda: on_device
        found.append(list(changed(made())))
    device_images.serves = lambda: True
    return found

def differences(made, changed=lambda batches: batches):
    host, device = in_both_ways(made, changed)
    assert len(host) == len(device) > 1
    largest = 0.0
    for ours, same in zip(device, host):
        for part, other in zip(keras.tree.flatten(ours), keras.tree.flatten(same), strict=True):
            assert (part.dtype, part.shape) == (other.dtype, other.shape)
            largest = max(largest, np.abs(np.asarray(part, float) - np.asarray(other)).max())
    images = device[0][0] if isinstance(device[0], tuple) else device[0]
    assert isinstance(images, jax.Array) and images.dtype == np.float32
    return float(largest)

def training(augment, labels=NUMBERS, **more):
    settings = {"batch_size": 8, "epochs": 3, "seed": 5, "view_seed": 7, "views": 2} | more
    return numpy_pipeline.training_batches(data(labels), augment=augment, **settings)

def view(augment, number=1):
    given = {"view_seed": 7, "view": number, "augment": augment, "first": 0}
    return numpy_pipeline.view_batches(data(), batch_size=9, **given)

found = {"differences": {}}
for augment in ("none", "crop", "standard", "strong"):
    shards = {"num_shards": 4, "shard_range": range(1, 3), "first_epoch": 1, "first_step": 2}
    for name, labels in {"classes": NUMBERS, "masks": MASKS}.items():
        made = {
            "whole": functools.partial(training, augment, labels),
            "shards": functools.partial(training, augment, labels, **shards),
        }
        for kind, batches in made.items():
            found["differences"][f"{augment}, {kind}, {name}"] = differences(batches)
    found["differences"][f"{augment}, a view, uneven"] = differences(lambda: view(augment))
for name, labels in {"classes": NUMBERS, "masks": MASKS}.items():
    some = data(labels)
    found["differences"][f"evaluation, uneven, {name}"] = differences(
        lambda: numpy_pipeline.evaluation_batches(some.test, some, 9)
    )
found["differences"]["images alone, uneven"] = differences(
    lambda: numpy_pipeline.image_batches(data().test, data(), 9, 3)
)

# Further sizes; of strong augmentation each image passes every kind of operation.
found["sizes"] = {}
for size in ((9, 12, 1), (17, 6, 4), (40, 27, 3)):
    pixels = random.integers(0, 256, (60, *size), dtype=np.uint8)
    some = random.choice(np.array([0, 1, 2, 255], np.uint8), (60, *size[:2]))
    normal = np.full(size[2], 0.5, "float32")
    for augment in ("standard", "strong"):
        drawn = numpy_pipeline._draw(augment, 60, 7, 1)
        kinds = set(drawn[2][0]) if augment == "strong" else range(14)
        host, device = (
            device_images.Preparation(normal, normal / 2, augment, on) for on in (False, True)
        )
        expected = host.images(pixels, drawn), host.masks(some, drawn)
        equal = [len(kinds) == 14]
        for rows in (range(60), range(3, 10)):
            part = numpy_policies.select(drawn, list(rows))
            got = device.images(pixels[rows], part), device.masks(some[rows], part)
            equal += [isinstance(array, jax.Array) for array in got]
            equal += [bool(np.array_equal(a, b[rows])) for a, b in zip(got, expected)]
        found["sizes"][f"{augment}, {size}"] = equal

weights = np.array([0.5, 1.0, 3.0], "float32")
found["differences"]["weights of pixels"] = differences(
    lambda: training("crop", MASKS), lambda batches: class_weights.weighted(batches, weights)
)
found["mixed"] = {
    name: differences(
        lambda: training("crop", NUMBERS % 3),
        lambda batches: numpy_mixing.mixed_batches(batches, 3, 4, **alphas),
    )
    for name, alphas in {
        "mixup": {"mixup_alpha": 0.2},
        "cutmix": {"cutmix_alpha": 1.0},
        "both": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
    }.items()
}

# What teachers saw, in other batches than their students.
found["seen"] = []
for augment in ("crop", "standard", "strong"):
    recorded = np.concatenate([np.asarray(part) for part in view(augment)])
    for images, numbers in list(training(augment))[3:6]:  # of the epoch with the view
        found["seen"].append(bool(np.array_equal(images, recorded[numbers])))

# A plain reference: padded, cut out, flipped, in float64.
down, right, flip = numpy_pipeline._draw("crop", EXAMPLES, 7, 1)[0]
padded = np.pad(IMAGES, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
expected = []
for image, top, left, mirrored in zip(padded, down, right, flip):
    cut = image[top : top + SIZE[0], left : left + SIZE[1]]
    expected.append(cut[:, ::-1] if mirrored else cut)
expected = (np.array(expected) / 255 - MEAN.astype(float)) / STD.astype(float)
cropped = np.concatenate([*map(np.asarray, view("crop"))])
found["from float64"] = float(np.abs(cropped - expected).max())

# One program for each shape; the number of them for a new size, and in the epochs after that.
small = data(images=IMAGES[:, :12])
found["compiled"] = {}
for augment in ("crop", "standard", "strong"):
    counts = found["compiled"][augment] = []
    for run in range(2):
        for epochs in (1, 4):
            before = compiled()
            settings = {"batch_size": 8, "epochs": epochs, "seed": run, "view_seed": run}
            list(numpy_pipeline.training_batches(small, augment=augment, views=9, **settings))
            list(numpy_pipeline.evaluation_batches(small.test, small, 9))  # 9, 9 and 8
            counts.append(compiled() - before)

# What goes to the device.
def recording(function, *settings):
    program = original(function, *settings)
    def call(*arrays):
        host = [part for part in keras.tree.flatten(arrays) if isinstance(part, np.ndarray)]
        sent[augment].add(tuple((part.dtype.name, *part.shape) for part in host))
        return program(*arrays)
    return call
original, device_images.compiled = device_images.compiled, recording
for augment in ("crop", "strong"):
    sent[augment] = set()
    list(training(augment, MASKS if augment == "strong" else NUMBERS))
device_images.compiled = original
found["sent"] = {name: sorted(calls) for name, calls in sent.items()}

# Images that are not uint8 stay with NumPy.
others = {}
for dtype in ("float32", "uint16"):
    for augment in ("none", "crop"):
        prepare = device_images.Preparation(MEAN, STD, augment)
        images = IMAGES.astype(dtype) * (200 if dtype == "uint16" else 0.5)
        images = images.astype(dtype)
        drawn = numpy_pipeline._draw(augment, EXAMPLES, 7, 1)
        got = prepare.images(images, drawn)
        if augment == "none":
            same = np.array_equal(got, normalization.normalized(images, MEAN, STD))
        else:
            pixel = (cropped * STD + MEAN) * 255 * (200 if dtype == "uint16" else 0.5)
            same = np.allclose((got * STD + MEAN) * 255, pixel, rtol=1e-4, atol=0.02)
        others[f"{dtype}, {augment}"] = [type(got).__name__, got.dtype.name, bool(same)]
found["others"] = others
try:
    device_images.Preparation(MEAN, STD, "crop").images(IMAGES[:, :4], drawn)
except InputError as error:
    found["too small"] = str(error)

views = in_both_ways(lambda: [datasets.views(data(), "crop")["data"](0)])
found["own views"] = [views[1][0].dtype.name, bool(np.array_equal(*views))]

# Among two devices, which mix nothing themselves.
jax_devices.start(["cpu:0", "cpu:1"])
found["shared"] = []

class Network(keras.Sequential):
    def train_step(self, state, batch):
        def note(sharding):
            found["shared"].append(list(sharding.shard_shape(batch[0].shape)))
        jax.debug.inspect_array_sharding(batch[0], callback=note)
        return super().train_step(state, batch)

network = Network([keras.Input(SIZE), keras.layers.Flatten(), keras.layers.Dense(3)])
network.compile("sgd", "categorical_crossentropy")
mixed = numpy_mixing.mixed_batches(training("crop", NUMBERS % 3), 3, 4, mixup_alpha=0.2)
with jax_devices.sharing(True):
    network.fit(mixed, verbose=0)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    return jax_process.run(PROGRAM)


def test_the_device_prepares_batches_as_numpy_does_bit_by_bit(found):
    assert len(found["differences"]) == 4 * 5 + 4
    assert not any(found["differences"].values()), found["differences"]


@pytest.mark.parametrize("augment", ["standard", "strong"])
@pytest.mark.parametrize("size", [(9, 12, 1), (17, 6, 4), (40, 27, 3)])
def test_each_operation_gives_the_same_bits_in_all_sizes_and_batches(augment, size, found):
    assert found["sizes"][f"{augment}, {size}"] == [True] * 9


def test_crops_flips_and_normalization_follow_their_definition(found):
    assert found["from float64"] < 1e-6


def test_a_student_sees_the_views_that_its_teacher_saw(found):
    assert found["seen"] == [True] * 9


@pytest.mark.parametrize("mixed", ["mixup", "cutmix", "both"])
def test_images_are_mixed_on_the_device_as_by_numpy(mixed, found):
    assert found["mixed"][mixed] < 1e-6


def test_a_program_is_compiled_once_for_each_shape(found):
    assert found["compiled"] == {
        "crop": [3, 0, 0, 0],  # of a batch of 8; evaluation in batches of 9 and 8
        "standard": [1, 0, 0, 0],
        "strong": [6, 0, 0, 0],  # beside the crop of "standard"
    }


def test_pixels_go_to_the_device_as_bytes(found):
    table = ["float32", 256, 3]
    images, draws = ["uint8", 8, 14, 11, 3], [["int32", 8]] * 3
    assert found["sent"]["crop"] == [[table], [images, *draws]]
    arrays = [part for call in found["sent"]["strong"] for part in call]
    of_bytes = [["uint8", 8], ["uint8", 8, 14, 11, 1], images]  # of erased images the gray
    assert sorted(part for part in arrays if part[0] == "uint8") == of_bytes
    assert [part for part in arrays if part[0] == "float32"] == [table]
    # Of what was drawn numbers of images, of their rows and of their columns.
    others = [part for part in arrays if part[0] not in ("uint8", "float32")]
    assert {part[0] for part in others} == {"int32", "bool"}
    assert all(np.prod(part[1:]) <= 8 * 14 for part in others)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize("augment", ["none", "crop"])
def test_other_images_than_bytes_stay_with_numpy(dtype, augment, found):
    assert found["others"][f"{dtype}, {augment}"] == ["ndarray", "float32", True]


def test_own_teachers_are_given_the_same_pixels(found):
    assert found["own views"] == ["float32", True]


def test_devices_share_batches_that_one_of_them_prepared(found):
    assert found["shared"] == [[4, 14, 11, 3]]


def test_images_that_are_too_small_are_refused(found):
    assert "14" not in found["too small"] and "they have 4x11" in found["too small"]
