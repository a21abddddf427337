"""How long a user waits before anything happens.

Run as `python -m benchmarks.start_up`. Each thing is a process of its own, a few times over:
`--help`, `import keras`, `import ban_tf` after it, and the digits run until its first training
step is done. Wall times on a busy machine are upper bounds: the fastest of each counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

from benchmarks import measuring

HELP = [sys.executable, "-m", "ban_tf.main", "--help"]
IMPORTS = """
import time
start = time.perf_counter()
import keras
keras.Model  # some of keras is only loaded on access
middle = time.perf_counter()
import ban_tf
print(middle - start, time.perf_counter() - middle)
"""
# A training that is interrupted after the first step of its first epoch.
FIRST_STEP = """
import sys
import keras
from ban_tf.config import options
from ban_tf.tasks import runner

class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        sys.exit(0)

progress = runner._callbacks
runner._callbacks = lambda *arguments: [*progress(*arguments), Stop()]
runner.run(options.check(options.Options(workdir=sys.argv[1], progress="none")))
"""


def measure(repeats: int) -> dict[str, Any]:
    """Times each, `repeats` times in turn.

    Returns:
        Seconds, the fastest of each.
    """
    seconds = {"help": [], "import keras": [], "import ban_tf after it": [], "first step": []}
    for _ in range(repeats):
        seconds["help"].append(measuring.timed(lambda: _run(HELP)))
        keras, ban_tf = map(float, _run([sys.executable, "-c", IMPORTS]).split()[-2:])
        seconds["import keras"].append(keras)
        seconds["import ban_tf after it"].append(ban_tf)
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", FIRST_STEP, folder]
            seconds["first step"].append(measuring.timed(lambda command=command: _run(command)))
    return {name: min(values) for name, values in seconds.items()}


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # absl ends --help with 1
        raise RuntimeError(done.stderr)
    return done.stdout


def main() -> None:
    """Measures and prints."""
    arguments = measuring.parser(__doc__, repeats=3).parse_args()
    result = measure(arguments.repeats)
    for name, value in result.items():
        print(f"{name:<24}{value:6.2f} s")
    measuring.write(arguments.json, result)


if __name__ == "__main__":
    main()
