"""Training on several devices and processes: strategies, workers and clusters.

`cluster` reads `TF_CONFIG`, `slurm` creates it from Slurm's variables.
"""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Workers": "workers",
    },
)
