"""What is killed: commands, and the files whose appearance shows that a phase has begun."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

Command = tuple[str, ...]  # flags of `ban-tf`; "PLACE" is the folder of the scenario


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Commands that are killed and started again until they end.

    Attributes:
        commands: They run side by side, and one of them is killed at a time.
        phases: Patterns of files in the folder; half of the kills come when one is written.
        before: A command that runs first, undisturbed.
    """

    commands: tuple[Command, ...]
    phases: tuple[str, ...] = ()
    before: Command | None = None


def line(command: Command, place: pathlib.Path, size: Command) -> list[str]:
    """Returns the command line of a command.

    Args:
        command: One of a scenario.
        place: The folder of the scenario.
        size: Further flags of `ban-tf train`.
    """
    verb, *flags = command  # the last one counts where a flag is given twice
    flags = [flag.replace("PLACE", str(place)) for flag in flags]
    return [sys.executable, "-m", "ban_tf", verb, *(size if verb == "train" else ()), *flags]


def train(*flags: str, name: str = "run") -> Command:
    """Returns a training whose run is in the folder `name`."""
    return ("train", "--deterministic", "--progress=lines", f"--workdir=PLACE/{name}", *flags)


_SMALL = ("--train_examples=400", "--arch=wrn-10-1")
_IMAGES = (*_SMALL, "--dropout=0.2", "--objective=dkpp", "--checkpoint=best")
_RECORDED = (*_SMALL, "--teacher_signal=recorded", "--recordings=PLACE/recordings")

SCENARIOS = {
    "images": Scenario(
        (train(*_IMAGES),),
        ("run/generation-0/checkpoint-*", "run/generation-1/*", "run/ensemble.keras"),
    ),
    "text": Scenario(
        (train("--dataset=text", "--arch=lstm-1-16"),),
        ("run/generation-0/checkpoint-*", "run/generation-1/*", "run/ensemble.keras"),
    ),
    "recording": Scenario((train(*_RECORDED, "--objective=kd"),), ("recordings/**/view-*",)),
    "evaluation": Scenario((train(*_IMAGES),), ("run/ensemble.keras", "run/*predictions*")),
    "final_student": Scenario(
        (train(*_IMAGES, "--final_student", "--gens=2"),),
        ("run/final_student*/**/checkpoint-*",),
    ),
    "seeds": Scenario(
        (train(*_IMAGES, "--seeds=2"),),
        ("run/seed-0/summary.json", "run/seed-1/generation-1/*", "run/seed-1/summary.json"),
    ),
    "shared recording": Scenario(
        (
            train(*_RECORDED, "--objective=kd", name="one"),
            train(*_RECORDED, "--objective=dkpp", name="two"),
        ),
        ("recordings/**/view-*",),
    ),
    "report": Scenario((("report", "PLACE/run"),), before=train(*_SMALL)),
    "export": Scenario(
        (("export", "PLACE/run", "--to=saved_model", "--output=PLACE/exported"),),
        (".ban_tf-exported.partial/**/*",),
        before=train(*_SMALL),
    ),
}
