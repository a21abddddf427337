"""Training one generation: checkpoints, optimizers, schedules and precision."""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "SGD": "optimizers",
        "Schedule": "optimizers",
        "make_optimizer": "optimizers",
    },
)
