"""Names of architectures, and builders of the user's own."""

import re
import subprocess
import sys
import textwrap
import traceback

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.config.options import FLAGS
from ban_tf.errors import BanError, CustomCodeError, InputError


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("wrn", "wrn-16-1"),
        ("WRN", "wrn-16-1"),
        ("wrn-28-10", "wrn-28-10"),
        ("WRN-10-2", "wrn-10-2"),
        ("densenet", "densenet-22-12"),
        ("densenet-90-60@Depth=2", "densenet-90-60@depth=2"),
        ("package.module:function", "package.module:function"),
    ],
)
def test_names_are_completed(name, full):
    assert architectures.resolve(name) == full


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrn-17-1", r"name=wrn-17-1.*6n\+4.*not 17.*wrn-16-1"),
        ("wrn-4-1", r"name=wrn-4-1.*6n\+4.*wrn-10-1"),
        ("wrn-16-0", "name=wrn-16-0.*width.*at least 1"),
        ("wrn-16", "name=wrn-16.*wrn-DEPTH-WIDTH"),
        ("wrn-16--1", "name=wrn-16--1.*wrn-DEPTH-WIDTH"),
        ("wnr-28-10", r"name=wnr-28-10.*did you mean wrn-28-10\?"),
        ("perceptron", "name=perceptron: unknown.*wrn-DEPTH-WIDTH.*package.module:function"),
        ("", "name=: unknown"),
        ("my module:build", "package.module:function"),
        ("module:", "package.module:function"),
    ],
)
def test_wrong_names_are_explained(name, message):
    with pytest.raises(ValueError, match=message):
        architectures.resolve(name)


def test_names_are_checked_without_keras():
    code = """
    import sys
    from ban_tf import architectures
    architectures.resolve("wrn")
    assert not {"keras", "tensorflow"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize(
    ("input_shape", "num_classes"),
    [((8, 8, 1), 0), ((8, 8), 10), ((0, 8, 1), 10), (None, 10), ((8, 8, 1), 2.5)],
)
def test_wrong_sizes_are_refused(input_shape, num_classes):
    with pytest.raises(ValueError, match=r"`input_shape` must be.*Received"):
        architectures.build("wrn", input_shape, num_classes)


@pytest.mark.parametrize(
    ("build", "arguments", "options", "message"),
    [
        ("build", (3, (8, 8, 1), 2), {}, "`name` must be that of a network. Received: 3"),
        ("build", ("unet", (8, 8, 1), 2), {}, "is for masks; build it with per_pixel=True"),
        ("build", ("wrn", (8, 8, 1), 2), {"dropout": "x"}, "`dropout` must be a number"),
        ("build", ("wrn", (8, 8, 1), 2), {"dropout": True}, "`dropout` must be a number"),
        ("build", ("densenet", (8, 8, 1), 2), {"bottleneck": "no"}, "`bottleneck` must be True or"),
        ("build", ("keras:VGG16", (8, 8, 3), 2), {"freeze": 3}, "`freeze` must be a text"),
        ("build_table_network", ("mlp", -1, 2), {}, "`features` must be an integer of at least 1"),
        ("build_text_classifier", ("bilstm", 9, 5, 0), {}, "`num_classes` must be an integer"),
        ("build_language_model", ("lstm", "words"), {}, "`vocabulary` must be a list of words"),
        ("build_language_model", ("lstm", []), {}, "`vocabulary` must be a list of words"),
        ("build_language_model", ("lstm", ["a"]), {"dropout": 2}, "dropout=2: the dropout rate"),
        ("build_table_network", ("mlp", 3, 1), {"dropout": -1}, "dropout=-1: the dropout rate"),
        ("pretrained", ("VGG16", (32, 32, 3), 2), {"freeze": True}, "freeze=True must be backbone"),
        ("build", ("keras:VGG16", (32, 32, 3), 2), {"backbone_learning_rate": -1}, "at least 0"),
        ("check_settings", ("wrn", {}), {}, "`names` must be a list of names"),
        ("check_settings", (["wrn"], {"foo": 1}), {}, "^foo=1: names=wrn takes dropout"),
        ("build_language_model", ("lstm", ["a"], 0), {}, "`batch_size` must be an integer"),
    ],
)
def test_arguments_of_wrong_types_are_refused(build, arguments, options, message):
    with pytest.raises(InputError, match=message):
        getattr(architectures, build)(*arguments, **options)


def test_integers_of_numpy_are_sizes():
    three = np.int64(3)
    assert architectures.build("wrn-10-1", (8, 8, 1), three).output_shape == (None, 3)
    assert architectures.build_table_network("mlp-1-8", three, three).output_shape == (None, 3)
    assert architectures.build_text_classifier("bilstm", np.int64(9), 5, 2).output_shape[-1] == 2


def test_parameters_of_networks_for_masks_are_counted():
    trained, _ = architectures.count_parameters("unet-1-4", (8, 8, 1), 3)
    model = architectures.build("unet-1-4", (8, 8, 1), 3, per_pixel=True)
    assert trained == sum(weight.size for weight in map(np.asarray, model.trainable_weights))


def test_unknown_options_are_refused_unless_off():
    with pytest.raises(ValueError, match="growth=12: name=wrn-16-1 takes dropout"):
        architectures.build("wrn", (8, 8, 1), 10, growth=12)
    with pytest.raises(ValueError, match="bottleneck=False: name=wrn-16-1 takes dropout"):
        architectures.build("wrn", (8, 8, 1), 10, bottleneck=False)
    assert architectures.build("wrn", (8, 8, 1), 10, growth=None).output_shape == (None, 10)


BUILDERS = """
import keras

import ban_tf

def good(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])

def unbuilt(input_shape, num_classes):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(num_classes)])

class Subclassed(keras.Model):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(num_classes)

    def call(self, inputs):
        return self.dense(self.flatten(inputs))

def one_class_more(input_shape, num_classes):
    return good(input_shape, num_classes + 1)

def other_input(input_shape, num_classes):
    return good((3, *input_shape), num_classes)

def two_outputs(input_shape, num_classes):
    model = good(input_shape, num_classes)
    return keras.Model(model.inputs, [model.outputs[0], model.outputs[0] * 2])

def half_precision(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape), keras.layers.Flatten(),
        keras.layers.Dense(num_classes, dtype="float16")])

def no_model(input_shape, num_classes):
    return "model"

def raises(input_shape, num_classes):
    raise RuntimeError("out of ideas")

def misspells(input_shape, num_classes):
    return ban_tf.architectures.build("wrn-9", input_shape, num_classes)

def of_classes(num_classes):
    return good((8, 8, 1), num_classes)

constant = 3
"""


@pytest.fixture
def builders(tmp_path, monkeypatch):
    """The name of an importable module with the builders above."""
    (tmp_path / "my_networks.py").write_text(BUILDERS)
    (tmp_path / "my_broken_networks.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_networks"
    for module in ("my_networks", "my_broken_networks"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("function", ["good", "unbuilt", "Subclassed"])
def test_users_builder(builders, function):
    model = architectures.build(f"{builders}:{function}", (8, 8, 1), 10, dropout=0.0)
    assert isinstance(model, keras.Model)
    assert model(keras.ops.ones((2, 8, 8, 1))).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_networks:goood", "has no goood; did you mean good"),
        ("my_networks:constant", "constant must be a function.*not int"),
        ("my_networks:of_classes", r"of_classes must take \(input_shape, num_classes\)"),
        ("my_networks:no_model", "must return a keras.Model, not str"),
        ("my_networks:one_class_more", r"must give one output \[batch, 10\], not \(None, 11\)"),
        ("my_networks:two_outputs", r"must give one output \[batch, 10\], not several"),
        ("my_networks:half_precision", "output must be float32, not float16"),
        ("my_networks:other_input", r"does not take images of shape \(8, 8, 1\)"),
        ("no_networks_here:build", "there is no module no_networks_here"),
    ],
)
def test_faults_of_a_users_builder_are_explained(builders, name, message):
    with pytest.raises(InputError, match=f"name={name}: .*{message}"):
        architectures.build(name, (8, 8, 1), 10)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("my_networks:raises", RuntimeError, "^out of ideas$"),
        ("my_broken_networks:build", ModuleNotFoundError, "no_such_module"),
    ],
)
def test_what_a_users_code_raises_passes_unchanged(builders, name, error, message):
    with pytest.raises(error, match=message) as caught:
        architectures.build(name, (8, 8, 1), 10)
    assert not isinstance(caught.value, InputError)
    assert caught.traceback[-1].path.name.startswith("my_") or error is ModuleNotFoundError


def test_a_builder_that_calls_this_package_wrongly_keeps_its_traceback(builders):
    with pytest.raises(
        CustomCodeError, match=r"^my_networks:misspells failed: name=wrn-9"
    ) as caught:
        architectures.build("my_networks:misspells", (8, 8, 1), 10)
    assert not isinstance(caught.value, BanError)  # which the command line prints as a sentence
    assert "my_networks.py" in "".join(traceback.format_exception(caught.value))


def test_options_for_a_users_builder_are_refused(builders):
    with pytest.raises(
        ValueError, match=r"dropout=0.3: .* takes backbone_learning_rate, freeze, weights"
    ):
        architectures.build(f"{builders}:good", (8, 8, 1), 10, dropout=0.3)


@pytest.mark.parametrize(
    "name",
    [
        *("wrn-10-1", "wrn-16-4", "densenet-22-12", "densenet-22-12@depth=2"),
        *("densenet-22-24@compression=0.75", "densenet-22-12@compression=1.5"),
        *("resnet-wide-2-1@densenet-22-12", "resnet-bottleneck-4-0.5@densenet-22-12"),
    ],
)
def test_the_bound_on_parameters_is_below_their_number(name):
    family = architectures.names.family_of(name)
    layers, parameters = family.extent(**family.parse(name))
    assert layers > 3
    assert parameters < architectures.count_parameters(name, (8, 8, 1), 10)[0]
    architectures.check_extent(name)


@pytest.mark.parametrize("name", architectures.FAMILIES)
def test_every_family_has_what_names_need_and_is_in_the_help(name):
    family = architectures.names.family_of(name)
    assert architectures.resolve(name) == family.DEFAULT
    assert family.FORM.startswith(f"{name}-")
    settings = family.parse(family.DEFAULT)
    assert settings.keys() <= {*family.NAMED}
    options = dict.fromkeys(architectures.settings(family.DEFAULT), 0.5)
    assert all(number > 0 for number in family.extent(**settings, **options))
    shown = FLAGS["arch"].help + FLAGS["student_arch"].help
    assert re.search(rf"(?<![\w-]){name}-", shown), "not in the help of --arch"


@pytest.mark.parametrize("name", ["lstm-2-16", "cnn-lstm-1-32"])
def test_the_bound_on_parameters_is_below_those_of_language_models(name):
    family = architectures.names.family_of(name)
    _, parameters = family.extent(**family.parse(name))
    assert parameters < architectures.count_parameters(name, ["<eos>", "a", "b"])[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrn-100000-1", "100,000 layers"),
        ("wrn-10-100000", "GiB"),
        ("densenet-10000-12", "10,000 layers"),
        ("densenet-1000-12@depth=10", "10,000 layers"),
        ("densenet-10-1000000", "GiB"),
        ("lstm-5000-8", "5,000 layers"),
        ("cnn-lstm-1-1000000", "GiB"),
        ("resnet-wide-1000-1@densenet-22-12", "6,000 layers"),
    ],
)
def test_networks_that_no_machine_trains_are_refused_without_building_them(name, message):
    with pytest.raises(InputError, match=message):
        architectures.check_extent(name)


def test_endless_numbers_in_names_are_refused():
    with pytest.raises(InputError, match="nine digits"):
        architectures.resolve(f"wrn-{'1' * 5000}-1")
