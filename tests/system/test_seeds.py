"""Derived seeds: the same everywhere, different for every place."""

import random

import numpy as np

from ban_tf.system import seeds


def test_seeds_differ_by_place_and_are_the_same_on_every_machine():
    places = [("weights", k) for k in range(50)] + [
        ("data", k, e) for k in range(9) for e in (0, 7)
    ]
    drawn = [seeds.derive_seed(0, *place) for place in places]
    assert len(set(drawn)) == len(places)
    assert all(0 <= seed < 2**31 for seed in drawn)
    assert seeds.derive_seed(3, "weights", 1) == seeds.derive_seed(3, "weights", 1)
    assert seeds.derive_seed(3, "weights", 1) != seeds.derive_seed(4, "weights", 1)


def test_a_seeded_block_repeats_itself_and_leaves_the_callers_draws_alone():
    random.seed(5)
    np.random.seed(5)
    expected = (random.random(), np.random.rand())
    random.seed(5)
    np.random.seed(5)
    with seeds.seeded(1):
        first = (random.random(), np.random.rand())
    with seeds.seeded(1):
        assert (random.random(), np.random.rand()) == first
    assert (random.random(), np.random.rand()) == expected
