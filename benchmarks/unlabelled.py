"""What digits without labels add to a hundred with labels.

Run as `python -m benchmarks.unlabelled [SEEDS]`. Of the embedded digits the first 100 training
images have labels, and the other 1,337 are written to a folder without labels. For each seed, the
born-again generation learns with them and, as its control, without them, since no image passes
`--unlabelled_confidence=1`; both from the same generation 0 and for as many steps. The changes in
test error are printed with their 95 % intervals over seeds.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image

from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.metrics import intervals
from ban_tf.tasks import runner

LABELLED = 100
COMMON = {
    "arch": "wrn-10-1",
    "train_examples": LABELLED,
    "validation_fraction": 0.0,
    "gens": 1,
    "epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.05,
    "progress": "none",
}


def errors(folder: pathlib.Path, seed: int) -> dict[str, float]:
    """Returns the test errors of a seed, in percent."""
    found = {}
    for kind, confidence in (("with", 0.0), ("without", 1.0)):
        checked = options.check(
            options.Options(
                workdir=str(folder / f"{kind}-{seed}"),
                seed=seed,
                unlabelled=f"folder:{folder / 'images'}",
                unlabelled_confidence=confidence,
                **COMMON,
            )
        )
        with contextlib.redirect_stdout(io.StringIO()):
            result = runner.run(checked)
        found["generation 0"], found[f"generation 1 {kind} them"] = (
            100 * row["error"] for row in result["generations"]
        )
    return found


def main(seeds: int) -> None:
    """Measures all seeds and prints the errors and the changes."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "images").mkdir()
        for index, image in enumerate(digits.load().train.images[LABELLED:]):
            Image.fromarray(image[..., 0]).save(folder / "images" / f"{index:04}.png")
        rows = []
        for seed in range(seeds):
            rows.append(errors(folder, seed))
            print(f"seed {seed}:", rows[-1], flush=True)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    for kind, errors_of in columns.items():
        print(f"{kind}: {errors_of.mean():.2f} %")
    with_them = columns["generation 1 with them"]
    for base in ("generation 0", "generation 1 without them"):
        change = intervals.mean_interval(with_them - columns[base])
        print(f"against {base}: {change.mean:+.2f} [{change.low:+.2f}, {change.high:+.2f}]")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
