"""The flags of a training run: their declaration, help, checks, and the resulting `Options`."""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Options": "options",
        "define_flags": "options",
        "from_flags": "options",
    },
)
