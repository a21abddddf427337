"""What the last bits of a training depend on besides its settings: versions, threads, processor.

A run notes them. A run that is resumed under others is a valid one, but not bit-identical to an
uninterrupted one; this is said, and nothing is refused.
"""

from __future__ import annotations

from absl import logging

from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import environment

_KEY = "surroundings"
# Operations beside one another change nothing of each other: measured, see docs/resuming.md.
_HARMLESS = ("threads between operations",)


def note(directory: RunDirectory) -> None:
    """Notes the surroundings of a training that begins or is resumed, and warns of changes."""
    if not directory.writes:
        return
    before, now = directory.metadata.get(_KEY, {}), environment.numerics()
    changed = [
        f"{name} {before.get(name, 'none')} before, {now.get(name, 'none')} now"
        for name in {**before, **now}
        if before and name not in _HARMLESS and before.get(name) != now.get(name)
    ]
    if changed:
        logging.warning(
            "%s is resumed with other versions, threads or hardware (%s): its weights may differ "
            "in their last bits from those of a run that was not interrupted.",
            directory.path,
            "; ".join(changed),
        )
    if before != now:
        directory.commit(metadata={_KEY: now})
