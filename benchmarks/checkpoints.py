"""What saving costs: the share of a training's time that goes into its checkpoints.

    python -m benchmarks.checkpoints --dataset=cifar10 --data_dir=... --train_examples=5000

Takes the flags of `ban_tf.main`, trains generation 0 for three epochs in a temporary directory,
and prints, as JSON, the seconds of each epoch and those spent in saving at its end.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time

from absl import app, flags

from ban_tf.config import options
from ban_tf.training import checkpointing


def main(arguments: list[str]) -> None:
    """Trains, with a clock around what is written."""
    from ban_tf.runs import history
    from ban_tf.tasks import runner

    saving, epochs = [], []
    save, end = checkpointing.Checkpointer.on_epoch_end, history.HistoryCallback.on_epoch_end

    def timed_save(self, epoch, logs=None):
        started = time.perf_counter()
        save(self, epoch, logs)
        saving.append(time.perf_counter() - started)

    def timed_end(self, epoch, logs=None):
        end(self, epoch, logs)
        epochs.append(self.record.timings[-1]["seconds"])

    checkpointing.Checkpointer.on_epoch_end = timed_save
    history.HistoryCallback.on_epoch_end = timed_end
    with tempfile.TemporaryDirectory() as directory:
        flags.FLAGS.workdir = f"{directory}/run"
        runner.run(options.from_flags(flags.FLAGS))
    shares = [saved / (saved + trained) for saved, trained in zip(saving, epochs, strict=True)]
    result = {
        "epoch_seconds": [round(timing, 2) for timing in epochs],
        "saving_seconds": [round(entry, 4) for entry in saving],
        "median_share": round(statistics.median(shares), 5),
    }
    print(json.dumps(result), file=sys.stderr)


if __name__ == "__main__":
    options.define_flags()
    flags.FLAGS.set_default("gens", "0")
    flags.FLAGS.set_default("epochs", "3")
    app.run(main)
