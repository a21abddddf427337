"""Time and memory of training on photographs in files, beside stock Keras.

Run as `python -m benchmarks.photographs`, or with photographs of your own, a folder of classes:
`--images=FOLDER`. Without them there are `--examples` photographs of 12 megapixels: a few drawn
ones, whose copies differ in a comment. Processes take turns: `ban-tf train --gens=0`, its reports
included, and `keras.utils.image_dataset_from_directory` with `fit`, evaluation and saving. Both
train the same small network on the same files at `--size` pixels, a fifth of them for testing.
Processor time and the largest memory are what the kernel counted of each process.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks import measuring

HEIGHT, WIDTH = 3000, 4000
CLASSES, DRAWN = 4, 8
STOCK = """
import json, sys
from benchmarks import photographs
photographs.stock_training(**json.loads(sys.argv[1]))
"""


def network(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """Returns a network so small that reading the photographs is what takes the time."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(input_shape),
            layers.Conv2D(8, 8, strides=8, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(num_classes),
        ]
    )


def stock_training(folder: str, epochs: int, batch_size: int, size: int, path: str) -> None:
    """Trains as the guides of Keras do."""
    import keras

    train, test = keras.utils.image_dataset_from_directory(
        folder,
        image_size=(size, size),
        batch_size=batch_size,
        crop_to_aspect_ratio=True,
        validation_split=0.2,
        subset="both",
        seed=0,
        verbose=False,
    )
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            network((size, size, 3), len(train.class_names)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    model.fit(train, epochs=epochs, verbose=0)
    model.evaluate(test, verbose=0)
    model.save(path)


def draw(folder: pathlib.Path, examples: int) -> None:
    """Writes photographs of 12 megapixels: waves of a few colors, with some noise."""
    from PIL import Image

    rng = np.random.default_rng(0)
    rows, columns = np.linspace(0, 6, HEIGHT)[:, None], np.linspace(0, 6, WIDTH)
    drawn = []
    for number in range(DRAWN):
        waves = np.stack([np.sin(rows * k + number) * np.cos(columns * k) for k in (1, 2, 3)], -1)
        noise = rng.normal(scale=3, size=(HEIGHT, WIDTH, 1))
        pixels = (127 + 90 * waves + noise).clip(0, 255).astype(np.uint8)
        file = folder.parent / f"drawn-{number}.jpg"
        Image.fromarray(pixels).save(file, quality=85)
        drawn.append(file.read_bytes())
    for number in range(examples):
        content, label = drawn[number % DRAWN], number % CLASSES
        # A comment behind the marker that begins the file: the files differ, the pixels do not.
        comment = b"%08d" % number
        comment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        place = folder / f"class_{label}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(content[:2] + comment + content[2:])


def measured(command: list[str]) -> dict[str, float]:
    """Runs a command.

    Args:
        command: It and its arguments.

    Returns:
        Its seconds, those of the processor, and its largest memory in GB.

    Raises:
        RuntimeError: It failed.
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read().decode(errors="replace"))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "gigabytes": usage.ru_maxrss * unit / 1e9,
    }


def measure(arguments: Any) -> dict[str, Any]:
    """Runs both, in turn."""
    found: dict[str, list[dict[str, float]]] = {"ban_tf": [], "keras": []}
    with tempfile.TemporaryDirectory() as place:
        images = arguments.images
        if images is None:
            images = pathlib.Path(place) / "images"
            draw(images, arguments.examples)
        for turn in range(arguments.repeats):
            ours = [
                *(sys.executable, "-m", "ban_tf", "train", "--gens=0", "--augment=none"),
                *(f"--dataset=folder:{images}", "--arch=benchmarks.photographs:network"),
                *(f"--image_size={arguments.size}", f"--epochs={arguments.epochs}"),
                *(f"--batch_size={arguments.batch_size}", "--validation_fraction=0"),
                *(f"--workdir={place}/run-{turn}", "--progress=none"),
            ]
            common = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "size")}
            given = json.dumps({**common, "folder": str(images), "path": f"{place}/model.keras"})
            stock = [sys.executable, "-c", STOCK, given]
            for name, command in {"ban_tf": ours, "keras": stock}.items():
                if name in arguments.only:
                    found[name].append(measured(command))
    return found


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, repeats=1, examples=600, epochs=3, batch_size=32, size=224)
    parser.add_argument("--images", type=pathlib.Path, help="a folder of classes; else drawn ones")
    parser.add_argument("--only", nargs="+", default=["ban_tf", "keras"])
    arguments = parser.parse_args()
    found = measure(arguments)
    for name, turns in found.items():
        for turn in turns:
            print(
                f"{name}: {turn['seconds']:.0f} s, {turn['processor_seconds']:.0f} s of the "
                f"processor, {turn['gigabytes']:.2f} GB at most"
            )
    if all(found.values()):
        for unit in ("processor_seconds", "gigabytes"):
            ours, theirs = (np.array([turn[unit] for turn in turns]) for turns in found.values())
            print(f"ratio of {unit.replace('_', ' ')}: {np.median(ours / theirs):.2f}")
    measuring.write(
        arguments.json, {"examples": arguments.examples, "epochs": arguments.epochs, **found}
    )


if __name__ == "__main__":
    main()
