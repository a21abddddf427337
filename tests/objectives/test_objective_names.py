"""Finding objectives by name, as functions and as what was saved."""

import functools
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import warm

from ban_tf import objectives
from ban_tf.objectives import names


def squared_error(labels, teacher_logits, student_logits):
    return keras.ops.mean((teacher_logits - student_logits) ** 2, axis=-1)


def test_the_table_of_names_needs_neither_keras_nor_tensorflow():
    code = (
        "import sys, ban_tf.objectives.names as n; n.parse('kd+labels');"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "name, expected",
    [
        ("kd", ("kd", 0.0)),
        ("kd+labels", ("kd", 1.0)),
        ("dkd", ("dkd", 1.0)),
        ("labels", ("labels", 1.0)),
        ("package.module:function", ("package.module:function", 0.0)),
        ("package.module:function+labels", ("package.module:function", 1.0)),
    ],
)
def test_names_show_whether_the_labels_are_used(name, expected):
    assert names.parse(name) == expected


@pytest.mark.parametrize(
    "name", ["dkp", "", "kd+label", "kd+", "KDD", "labels+labels", ":f", "keras:"]
)
def test_unknown_names_are_refused_with_the_argument_or_the_flag_and_the_value(name):
    with pytest.raises(ValueError, match=re.escape(f"`objective` {name!r}")):
        names.parse(name)
    with pytest.raises(ValueError, match=re.escape(f"--objective={name}")):
        names.parse(name, flag=True)


def test_a_close_match_and_all_known_names_are_offered():
    with pytest.raises(ValueError, match="did you mean dkpp") as error:
        names.parse("dkppp")
    assert all(name in str(error.value) for name in names.OBJECTIVES)


@pytest.mark.parametrize("name", names.OBJECTIVES)
def test_every_name_resolves_to_its_class(name):
    entry = names.OBJECTIVES[name]
    objective, label_weight = objectives.resolve(name)
    assert type(objective) is getattr(objectives, entry.name)
    assert entry.name in objectives.__all__
    # The object alone brings the same weight along as its name.
    assert label_weight == entry.label_weight == objective.label_weight
    assert objectives.resolve(objective) == (objective, label_weight)
    assert objectives.resolve(f"{name}+labels")[1] == 1.0 if name != "labels" else True
    assert objective.get_config().items() >= entry.options.items()


@pytest.mark.parametrize("alias", ["BAN", "KD", "CWTM", "DKPP", "DKD", "DIST"])
def test_aliases_are_the_classes(alias):
    assert issubclass(getattr(objectives, alias), objectives.Objective)
    assert alias in dir(objectives)


def test_unknown_attributes_are_refused():
    with pytest.raises(AttributeError, match="Nothing"):
        objectives.Nothing  # noqa: B018


def test_instances_functions_and_dictionaries_resolve():
    instance = objectives.KD(2.0)
    assert objectives.resolve(instance) == (instance, 0.0)
    assert objectives.resolve(objectives.Labels())[1] == 1.0
    assert objectives.resolve(squared_error)[0].function is squared_error
    found, label_weight = objectives.resolve({"a": "kd", "b": squared_error}, temperature=None)
    assert isinstance(found["a"], objectives.KD)
    assert isinstance(found["b"], objectives.FunctionObjective)
    assert label_weight == 1.0


def test_options_reach_the_objective():
    assert objectives.resolve("kd+labels", temperature=3)[0].temperature == 3.0
    assert objectives.get("dkd", beta=2.0, temperature=1.0).beta == 2.0
    assert objectives.get(objectives.KD(standardize=True), temperature=2.0).standardize


@pytest.mark.parametrize("objective", ["cwtm", "labels", squared_error, {"a": "importance"}])
def test_a_temperature_for_an_objective_without_one_is_refused(objective):
    with pytest.raises(ValueError, match=r"`temperature` is 2.0, but .* has no temperature"):
        objectives.resolve(objective, temperature=2.0)


@pytest.mark.parametrize("objective", [3, None, ["kd"], objectives.KD])
def test_what_is_no_objective_is_refused(objective):
    with pytest.raises(ValueError, match="`objective` must be"):
        objectives.resolve(objective)


@pytest.mark.parametrize(
    "objective",
    [
        objectives.Labels(0.1),
        objectives.KD(2.0, standardize=True),
        objectives.CWTM(),
        objectives.ImportanceWeighted(),
        objectives.DKPP(3.0),
        objectives.DKD(0.5, 2.0, 3.0),
        objectives.DIST(0.5, 2.0, 3.0),
        objectives.FunctionObjective(squared_error),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_objectives_survive_saving(objective):
    saved = keras.saving.serialize_keras_object(objective)
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is type(objective)
    assert again.get_config() == objective.get_config()


@pytest.mark.nightly
def test_what_was_saved_is_found_in_another_process():
    code = (
        "import ban_tf, json, sys; from ban_tf import objectives;"
        "found, weight = objectives.resolve(json.loads(sys.argv[1]));"
        "assert found['a'].beta == 2.0 and found['b'].temperature == 3.0, found;"
        "print(objectives.resolve(json.loads(sys.argv[1])['a'])[0])"
    )
    saved = keras.saving.serialize_keras_object(
        {"a": objectives.DKD(beta=2.0), "b": objectives.DKPP(3.0)}
    )
    found = warm.run([sys.executable, "-c", code, json.dumps(saved)], check=True)
    assert found.stdout.strip() == repr(objectives.DKD(beta=2.0))


def test_a_saved_class_that_is_not_imported_is_refused():
    config = {"module": "mine", "class_name": "Mine", "config": {}, "registered_name": "p>Mine"}
    with pytest.raises(ValueError, match="saved as Mine, which is not known here"):
        objectives.get(config)


def test_a_saved_function_does_not_import_its_module():
    with pytest.raises(ValueError, match="import this before loading it"):
        objectives.FunctionObjective.from_config({"function": "this:loss"})
    assert "this" not in sys.modules


def test_a_function_in_a_module_of_ones_own_is_found_again(monkeypatch, tmp_path):
    (tmp_path / "own_objective.py").write_text(
        "class Losses:\n"
        "    @staticmethod\n"
        "    def absolute(labels, teacher_logits, student_logits):\n"
        "        return abs(teacher_logits - student_logits).sum(axis=-1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    objective, label_weight = objectives.resolve("own_objective:Losses.absolute+labels")
    assert label_weight == 1.0
    np.testing.assert_array_equal(objective(None, np.ones((2, 3)), np.zeros((2, 3))), [3, 3])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert again.function is objective.function


def test_a_function_is_an_objective():
    teacher, student = np.random.default_rng(0).normal(size=(2, 6, 5))
    found = objectives.get(squared_error)(None, teacher, student)
    np.testing.assert_allclose(found, ((teacher - student) ** 2).mean(-1))


def test_a_function_is_found_by_its_place():
    found = objectives.get("keras.ops:where")
    assert found.function is keras.ops.where
    message = "objective=keras.losses:mean_squared_error: it must take labels, teacher logits and"
    with pytest.raises(ValueError, match=message):
        objectives.get("keras.losses:mean_squared_error")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no_such_package:f", "there is no module no_such_package"),
        ("keras.losses:no_such", "keras.losses has no no_such"),
    ],
)
def test_a_function_that_is_not_there_is_refused(place, message):
    with pytest.raises(ValueError, match=message):
        objectives.get(place)


def test_a_place_without_a_function_is_refused():
    with pytest.raises(ValueError, match="must be a function"):
        objectives.get("keras:__version__")


def test_a_function_must_return_one_loss_per_sample():
    def total(labels, teacher_logits, student_logits):
        return keras.ops.sum(student_logits)

    with pytest.raises(ValueError, match="one loss per sample"):
        objectives.get(total)(None, np.zeros((6, 5)), np.zeros((6, 5)))


@pytest.mark.parametrize("function", [functools.partial(squared_error), lambda y, t, s: s[..., 0]])
def test_a_function_without_a_name_cannot_be_saved(function):
    objective = objectives.get(function)
    assert "FunctionObjective(" in repr(objective)
    with pytest.raises(ValueError, match="no name to save"):
        objective.get_config()


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_the_table_knows_which_objectives_have_a_temperature(name):
    """The command line refuses --temperature by it, before Keras is imported."""
    has = "temperature" in objectives.get(name).get_config()
    assert objectives.OBJECTIVES[name].has_temperature == has


def test_the_former_spelling_of_standardized_is_known():
    assert names.parse("kd-standardised+labels") == ("kd-standardized", 1.0)
    assert objectives.get("kd-standardised").standardize
    config = keras.saving.serialize_keras_object(objectives.KD(2.0, standardize=True))
    config["config"]["standardise"] = config["config"].pop("standardize")
    assert objectives.get(config).get_config() == {"temperature": 2.0, "standardize": True}


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_the_table_knows_which_objectives_are_for_regression(name):
    kinds = objectives.get(name).kinds
    assert objectives.OBJECTIVES[name].regression == (tuple(kinds) == ("values",))
