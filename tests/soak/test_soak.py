"""A short soak; the long one is a command, see kill_and_resume.py."""

from tests.soak import kill_and_resume


def test_a_run_killed_five_times_anywhere_ends_bit_identical():
    outcome = kill_and_resume.soak(kills=5, gens=1, epochs=2, checkpoint_steps=2, seed=3)
    assert outcome["kills"] == 5
    assert outcome["identical"]
    assert outcome["compared_each_time"] > 50
