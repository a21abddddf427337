"""Wall time of a lineage of four on a frozen backbone over that of four stock Keras fine-tunings.

Run as `python -m benchmarks.frozen_backbone`. Processes take turns: `ban-tf train --gens=3
--arch=MobileNetV2 --freeze=backbone`, evaluation and saving included; and a program in stock Keras
that fits a head on the same frozen backbone once, on the same images and for as many epochs,
evaluates and saves it. The ratio is the first over four times the second. Weights are random, which
takes as long.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks import measuring

GENERATIONS = 3
STOCK = """
import json, sys
from benchmarks import frozen_backbone
frozen_backbone.stock_training(**json.loads(sys.argv[1]))
"""


def stock_training(folder: str, epochs: int, batch_size: int, size: int, path: str) -> None:
    """Fine-tunes as the guides of Keras do: a frozen backbone, pooling, and a dense layer."""
    import keras

    def read(part: str) -> Any:
        return keras.utils.image_dataset_from_directory(
            f"{folder}/{part}", image_size=(size, size), batch_size=batch_size
        ).cache()

    backbone = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )
    backbone.trainable = False
    images = keras.Input((size, size, 3))
    features = backbone(keras.layers.Rescaling(1 / 127.5, -1)(images), training=False)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(images, keras.layers.Dense(4)(pooled))
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    train, test = read("train"), read("test")
    model.fit(train, epochs=epochs, validation_data=test, verbose=0)
    model.evaluate(test, verbose=0)
    model.save(path)


def draw(folder: pathlib.Path, examples: int, size: int) -> None:
    """Writes images of four classes: noise of several levels."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", examples), ("test", examples // 5)):
        for number in range(count):
            place = folder / part / f"class_{number % 4}"
            place.mkdir(parents=True, exist_ok=True)
            picture = rng.integers(0, 100, (size, size, 3)) + 40 * (number % 4)
            Image.fromarray(picture.astype(np.uint8)).save(place / f"{number}.png")


def measure(arguments: Any) -> dict[str, Any]:
    """Runs both, in turn."""
    seconds: dict[str, list[float]] = {"ban_tf": [], "keras": []}
    with tempfile.TemporaryDirectory() as place:
        images = pathlib.Path(place) / "images"
        draw(images, arguments.examples, arguments.size)
        for turn in range(arguments.repeats):
            ours = [
                *(sys.executable, "-m", "ban_tf", "train", f"--gens={GENERATIONS}"),
                *("--arch=MobileNetV2", "--weights=none", "--freeze=backbone"),
                *(f"--dataset=folder:{images}", "--augment=no", f"--epochs={arguments.epochs}"),
                *(f"--batch_size={arguments.batch_size}", "--progress=none"),
                *(f"--workdir={place}/run-{turn}", f"--seed={turn}"),
            ]
            common = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "size")}
            given = json.dumps({**common, "folder": str(images), "path": f"{place}/model.keras"})
            stock = [sys.executable, "-c", STOCK, given]
            seconds["ban_tf"].append(measuring.timed(lambda command=ours: _run(command)))
            seconds["keras"].append(measuring.timed(lambda command=stock: _run(command)))
    ratios = np.array(seconds["ban_tf"]) / (GENERATIONS + 1) / np.array(seconds["keras"])
    settings = {name: value for name, value in vars(arguments).items() if name != "json"}
    return {**settings, "seconds": seconds, "ratios": ratios.tolist()}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, repeats=1, examples=2_000, epochs=10, batch_size=32, size=96)
    arguments = parser.parse_args()
    result = measure(arguments)
    print(
        f"MobileNetV2 at {arguments.size} pixels, {arguments.examples} images, {arguments.epochs} "
        f"epochs: ban_tf {np.median(result['seconds']['ban_tf']):.0f} s for {GENERATIONS + 1} "
        f"generations, keras {np.median(result['seconds']['keras']):.0f} s for one training; "
        f"ratio to as many {np.median(result['ratios']):.2f}"
    )
    measuring.write(arguments.json, result)


if __name__ == "__main__":
    main()
