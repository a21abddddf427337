"""Wall time of a whole lineage over that of as many trainings in stock Keras.

Run as `python -m benchmarks.whole_run --data_dir=...`, where TFDS's CIFAR-10 is. Processes take
turns: `ban_tf.main --gens=3`, recorded teachers, evaluation and saving included; and a program in
stock Keras that trains, evaluates and saves the same network once, on the same batches. The ratio
is the first over four times the second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks import measuring

GENERATIONS = 3
STOCK = """
import json, sys
from benchmarks import whole_run
whole_run.stock_training(**json.loads(sys.argv[1]))
"""


def stock_training(
    data_dir: str | None,
    dataset: str,
    network: str,
    policy: str,
    examples: int,
    epochs: int,
    batch_size: int,
    path: str,
) -> None:
    """Trains, evaluates and saves a network as a Keras user would: `model.fit`, stock layers."""
    import keras

    from ban_tf import architectures, datasets
    from ban_tf.datasets import pipeline
    from benchmarks import training

    keras.config.set_dtype_policy(policy)
    data = datasets.load(dataset, data_dir=data_dir, train_examples=examples)
    model = training.with_stock_layers(
        architectures.build(network, data.input_shape, data.num_classes)
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    model.fit(
        pipeline.training_batches(
            data, batch_size=batch_size, epochs=epochs, seed=0, augment=data.augment
        ),
        epochs=epochs,
        steps_per_epoch=pipeline.steps_per_epoch(data, batch_size),
        validation_data=pipeline.evaluation_batches(data.validation, data, 500),
        verbose=0,
    )
    model.evaluate(pipeline.evaluation_batches(data.test, data, 500), verbose=0)
    model.save(path)


def measure(arguments: Any) -> dict[str, Any]:
    """Runs both, in turn."""
    seconds = {"ban_tf": [], "keras": []}
    common = {
        "data_dir": arguments.data_dir,
        "dataset": arguments.dataset,
        "network": arguments.network,
        "policy": arguments.precision,
        "examples": arguments.examples,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
    }
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, "-m", "ban_tf.main", f"--gens={GENERATIONS}"),
                *(f"--arch={arguments.network}", f"--dataset={arguments.dataset}"),
                *(f"--train_examples={arguments.examples}", f"--epochs={arguments.epochs}"),
                *(f"--batch_size={arguments.batch_size}", f"--precision={arguments.precision}"),
                *("--teacher_signal=recorded", f"--teacher_views={arguments.views}"),
                *(f"--workdir={folder}/run", "--progress=none"),
                *([f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []),
            ]
            seconds["ban_tf"].append(measuring.timed(lambda command=command: _run(command)))
            stock = json.dumps({**common, "path": f"{folder}/model.keras"})
            command = [sys.executable, "-c", STOCK, stock]
            seconds["keras"].append(measuring.timed(lambda command=command: _run(command)))
    ratios = np.array(seconds["ban_tf"]) / (GENERATIONS + 1) / np.array(seconds["keras"])
    return {**common, "views": arguments.views, "seconds": seconds, "ratios": ratios.tolist()}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(
        __doc__, repeats=1, examples=5_000, epochs=10, views=2, batch_size=128
    )
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data_dir")
    parser.add_argument("--network", default="wrn-16-1")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    arguments.data_dir = arguments.data_dir or None
    result = measure(arguments)
    print(
        f"{arguments.network} {arguments.precision}, {arguments.epochs} epochs: ban_tf "
        f"{np.median(result['seconds']['ban_tf']):.0f} s for {GENERATIONS + 1} generations, keras "
        f"{np.median(result['seconds']['keras']):.0f} s for one training; ratio to as many "
        f"{np.median(result['ratios']):.2f}"
    )
    measuring.write(arguments.json, result)


if __name__ == "__main__":
    main()
