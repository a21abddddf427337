"""The generational loop: `Lineage`, its results and its table."""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Lineage": "lineage",
    },
)
