"""The lowest versions are those of setup.cfg, and each is one that a constraint can name."""

import scripts

lowest = scripts.load(".ci/lowest.py")


def test_a_floor_becomes_a_version():
    given = ["a>=1.2", 'b-c[d,e]>=3; python_version < "3.13"', "pandas", "ruff==0.1", "# >=1", ""]
    assert lowest.lowest(given) == ["a==1.2", 'b-c==3; python_version < "3.13"']


def test_every_package_of_setup_cfg_with_a_floor_is_held_to_it():
    floors = [line for line in lowest.requirements() if ">=" in line.partition(";")[0]]
    found = lowest.lowest(floors)
    assert len(found) == len({line.replace("[and-cuda]", "") for line in floors})
    assert {"tensorflow==2.21", "tensorboard==2.21", "keras==3.12"} < set(found)
