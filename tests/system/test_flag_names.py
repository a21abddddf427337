"""Tests how errors name what was given: flags on the command line, arguments in Python."""

import pytest

import ban_tf
from ban_tf.errors import InputError
from ban_tf.system import flag_names


@flag_names.as_arguments(arch="name")
def _refuse(name, dropout=0.0):
    raise InputError(
        f"--arch={name} takes no --dropout (--dropout={dropout}); pip install --upgrade it, or see "
        "folder/--dropout."
    )


@flag_names.as_arguments(arch="network")
def _outer(network):
    return _refuse(network)


@flag_names.as_arguments()
def _open(**options):
    raise InputError("--compression=2 is too much.")


def _message(function, *given):
    with pytest.raises(InputError) as caught:
        function(*given)
    return str(caught.value)


def test_a_caller_in_python_gets_arguments():
    assert _message(_refuse, "wrn-9") == (
        "name=wrn-9 takes no `dropout` (dropout=0.0); pip install --upgrade it, or see "
        "folder/--dropout."
    )
    assert _message(_open) == "compression=2 is too much."


def test_the_first_of_nested_functions_has_the_names():
    assert _message(_outer, "wrn-9").startswith("network=wrn-9 takes no --dropout (--dropout=0.0)")


def test_the_command_line_gets_flags():
    with flag_names.kept():
        assert _message(_refuse, "wrn-9").startswith("--arch=wrn-9 takes no --dropout (")
    assert _message(_refuse, "wrn-9").startswith("name=")  # afterwards as before


def test_custom_code_names_its_own_mistakes():
    @flag_names.as_arguments(arch="network")
    def build(network):
        with flag_names.apart():
            return _refuse("wrn-9")

    assert _message(build, "my_networks:build").startswith("name=wrn-9 takes no `dropout`")


def test_an_error_keeps_its_class_and_its_cause():
    cause = KeyError("there")

    @flag_names.as_arguments()
    def refuse(top):
        raise ban_tf.errors.RunDirectoryError(f"--top={top}") from cause

    with pytest.raises(ban_tf.errors.RunDirectoryError, match=r"^top=3$") as caught:
        refuse(3)
    assert caught.value.__cause__ is cause


def test_texts_outside_of_public_functions_are_unchanged():
    assert flag_names.worded("--dataset=digits") == "--dataset=digits"
