"""Small versions of one row of each kind, for a CPU and offline: the rows under `quick`."""

from __future__ import annotations

from ban_tf.reproduction import columns
from ban_tf.reproduction.experiment import Experiment


def experiments() -> list[Experiment]:
    """Returns all rows under `quick`, for which the paper has no figures."""
    return [
        _pair("wrn"),
        Experiment(
            "quick/densenet",
            "quick/densenet",
            columns.TABLE_2_RUNS,
            columns.table_2((None,) * 10),
            teacher="quick/densenet",
        ),
        _pair("wrn-to-densenet"),
        _pair("densenet-depth"),
        _pair("densenet-compression"),
        _pair("resnet-wide"),
        _pair("resnet-bottleneck"),
        _language("lstm"),
        _language("cnn-lstm"),
    ]


def _pair(name: str) -> Experiment:
    flagfile = f"quick/{columns.flagfile(name)}"
    return Experiment(f"quick/{name}", flagfile, {"ban": ()}, columns.pair(None, None))


def _language(name: str) -> Experiment:
    flagfile = f"quick/{columns.flagfile(name)}"
    return Experiment(f"quick/{name}", flagfile, {"ban+l": ()}, columns.language(*[None] * 4))
