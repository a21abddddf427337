"""Kills a run at random moments, goes on with it each time, and compares what comes out.

    python -m tests.soak.kill_and_resume --kills=50

An undisturbed run comes first. Then the same command is started again and again and killed with
SIGKILL, each time after a random part of the time that the undisturbed run took to do a
generation, until enough kills are done; one last start finishes it. Every array and every row
must be bit-identical to the undisturbed run's. Prints one JSON object: kills, resumes, the
places where they fell, files that were torn, and whether all was identical.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np

SETTINGS = (
    "--train_examples=400",
    "--arch=wrn-10-1",
    "--dropout=0.2",
    "--objective=dkpp",
    "--checkpoint=best",
    "--deterministic",
    "--progress=lines",
)


def command(directory: pathlib.Path, gens: int, epochs: int, checkpoint_steps: int) -> list[str]:
    """Returns the command of a run."""
    return [
        *(sys.executable, "-m", "ban_tf.main", *SETTINGS, f"--gens={gens}", f"--epochs={epochs}"),
        *(f"--checkpoint_steps={checkpoint_steps}", f"--workdir={directory}"),
    ]


def soak(kills: int, gens: int, epochs: int, checkpoint_steps: int, seed: int) -> dict:
    """Kills a run so many times; returns what happened.

    Raises:
        AssertionError: A start failed by itself, or something is not identical.
    """
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole, killed = pathlib.Path(place) / "whole", pathlib.Path(place) / "killed"
        arguments = (gens, epochs, checkpoint_steps)
        started = time.perf_counter()
        subprocess.run(command(whole, *arguments), check=True, capture_output=True)
        seconds = time.perf_counter() - started
        places, torn, done, finished_early = collections.Counter(), 0, 0, 0
        while done < kills:
            process = subprocess.Popen(
                command(killed, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                _, error = process.communicate(timeout=moments.uniform(0.0, seconds))
                assert process.returncode == 0, error.decode()
                # It was finished before it could be killed: the next starts on nothing.
                finished_early += 1
                _compare(killed, whole, gens)
                _remove(killed)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                done += 1
                places[_place(killed)] += 1
                torn += len(list(killed.rglob("*.partial")))
                print(f"kill {done}: {_place(killed)}", file=sys.stderr, flush=True)
        last = subprocess.run(command(killed, *arguments), capture_output=True, check=False)
        assert last.returncode == 0, last.stderr.decode()
        arrays = _compare(killed, whole, gens)
        left = [path.name for path in killed.rglob("*") if path.name.endswith(".partial")]
        assert not left, left
    return {
        "kills": done,
        "runs_finished": finished_early + 1,
        "seconds_of_the_undisturbed_run": round(seconds, 1),
        "kills_by_place": dict(places),
        "files_half_written_when_killed": torn,
        "arrays_compared_each_time": arrays,
        "identical": True,
    }


def _place(directory: pathlib.Path) -> str:
    """How far a run is, as its manifest says."""
    path = directory / "manifest.json"
    if not path.exists():
        return "before anything was written"
    known = json.loads(path.read_text())["facts"].get("generations", {})
    done = sum(facts["finished"] for facts in known.values())
    return f"{done} generations finished"


def _compare(ours: pathlib.Path, theirs: pathlib.Path, gens: int) -> int:
    from ban_tf import checkpoints

    arrays = 0
    for number in range(gens + 1):
        folder = f"generation-{number}"
        mine, other = ((run / folder / "history.csv").read_bytes() for run in (ours, theirs))
        assert mine == other, f"{folder}/history.csv differs"
        weights = [_weights(run / folder / "model.keras") for run in (ours, theirs)]
        predictions = [
            checkpoints.unpack((run / folder / "predictions.npz").read_bytes())[0]
            for run in (ours, theirs)
        ]
        for left, right in zip(
            weights[0] + predictions[0], weights[1] + predictions[1], strict=True
        ):
            np.testing.assert_array_equal(left, right)
            arrays += 1
    events = [
        sorted(path.name for path in (run / "tensorboard").iterdir()) for run in (ours, theirs)
    ]
    assert events[0] == events[1]
    return arrays


def _logged_steps(directory: pathlib.Path) -> dict[str, list[int]]:
    """The steps of every generation's loss, with what is there twice or missing."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted(directory.glob("generation-*")):
        events = EventAccumulator(str(folder))
        events.Reload()
        found[folder.name] = [event.step for event in events.Tensors("training/loss")]
    return found


def _weights(path: pathlib.Path) -> list[np.ndarray]:
    import keras

    return keras.models.load_model(path, compile=False).get_weights()


def _remove(directory: pathlib.Path) -> None:
    import shutil

    shutil.rmtree(directory)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--gens", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--checkpoint_steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(soak(**vars(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
