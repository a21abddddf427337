"""A run on disk: its files, its generations, and how it is read.

`rundir` writes whole files, which `manifests` names and checks; `generations` and `history` are
what a run keeps of its training, and `surroundings` notes where that was; `reading` reads a run,
also one in progress; `inference` loads its models.
"""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "RunDirectory": "rundir",
        "ReadOnlyDirectory": "rundir",
        "Generation": "generations",
        "RunReader": "reading",
    },
)
