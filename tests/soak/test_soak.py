"""A short soak; the long one is a command, see kill_and_resume.py."""

import dataclasses

import pytest

from tests.soak.kill_and_resume import size, soak
from tests.soak.scenarios import SCENARIOS, Scenario, train

SMALL = Scenario(
    (
        train(
            *("--train_examples=400", "--arch=tests.soak.network:build"),
            *("--objective=dkpp", "--checkpoint=best", "--noreport"),
        ),
    ),
    SCENARIOS["images"].phases,
)


def test_a_run_killed_within_an_epoch_ends_bit_identical():
    within = dataclasses.replace(SMALL, phases=SMALL.phases[1:2])
    outcome = soak(within, kills=1, size=size(1, 2, 2), seed=3)
    assert outcome["kills"] == 1
    assert outcome["identical"]
    assert outcome["compared_each_time"] > 50


@pytest.mark.nightly
def test_a_run_killed_three_times_anywhere_ends_bit_identical():
    outcome = soak(SMALL, kills=3, size=size(1, 2, 2), seed=3)
    assert outcome["kills"] == 3
    assert outcome["identical"]
    assert outcome["compared_each_time"] > 50


@pytest.mark.nightly
def test_a_run_killed_five_times_anywhere_ends_bit_identical():
    outcome = soak(SCENARIOS["images"], kills=5, size=size(1, 2, 2), seed=3)
    assert outcome["kills"] == 5
    assert outcome["identical"]
    assert outcome["compared_each_time"] > 50
