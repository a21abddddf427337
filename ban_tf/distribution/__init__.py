"""Several devices and several processes: strategies, workers, and the clusters that start them.

`cluster` reads `TF_CONFIG`, `slurm` makes it from Slurm's variables.
"""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Workers": "workers",
    },
)
