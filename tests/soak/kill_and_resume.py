"""Kills a run at random moments, goes on with it each time, and compares what comes out.

    python -m tests.soak.kill_and_resume --kills=50
    python -m tests.soak.kill_and_resume --kills=20 --signal=TERM -- --dataset=text --arch=lstm-1-16

An undisturbed run comes first. Then the same command is started again and again and killed after
a random time, until enough kills are done; one last start finishes it. SIGKILL kills at once; after
SIGTERM and SIGINT, the process has to end by itself with the right code and one line. After each
kill, everything that the manifest names has to be whole. In the end every array, row, metric,
prediction and TensorBoard step has to be bit-identical to the undisturbed run's, and no file may
be there that is not there as well. What may differ is time: seconds, dates, examples per second.

Prints one JSON object: kills, resumes, the places where they fell, bytes lost, how long a process
took to end, and whether all was identical. Further flags of `ban_tf.main` stand behind `--` and
replace `SETTINGS`.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

SETTINGS = (
    "--train_examples=400",
    "--arch=wrn-10-1",
    "--dropout=0.2",
    "--objective=dkpp",
    "--checkpoint=best",
)
# What a process ends with. One that is met before it is set up for signals just ends.
_CODES = {"KILL": (-9,), "TERM": (143, -15), "INT": (130, -2)}
# Keys of JSON files, and tags of TensorBoard, that tell the time.
_TIMES = ("seconds", "finished", "command", "environment", "words_per_second")
_TIMED_TAGS = ("speed/examples_per_second", "summary", "_hparams_/session_start_info")


def command(
    directory: pathlib.Path, gens: int, epochs: int, checkpoint_steps: int, settings: Any
) -> list[str]:
    """Returns the command of a run."""
    return [
        *(sys.executable, "-m", "ban_tf.main", *settings, f"--gens={gens}", f"--epochs={epochs}"),
        *(f"--checkpoint_steps={checkpoint_steps}", "--deterministic", "--progress=lines"),
        f"--workdir={directory}",
    ]


def soak(
    kills: int,
    gens: int,
    epochs: int,
    checkpoint_steps: int,
    seed: int,
    signal_name: str = "KILL",
    settings: Any = SETTINGS,
) -> dict[str, Any]:
    """Kills a run so many times; returns what happened.

    Raises:
        AssertionError: A start failed by itself, or something is lost or not identical.
    """
    moments = random.Random(seed)
    slowest = 0.0
    with tempfile.TemporaryDirectory() as place:
        whole, killed = pathlib.Path(place) / "whole", pathlib.Path(place) / "killed"
        arguments = (gens, epochs, checkpoint_steps, settings)
        started = time.perf_counter()
        subprocess.run(command(whole, *arguments), check=True, capture_output=True)
        seconds = time.perf_counter() - started
        expected = contents(whole)
        places, half_written, done, starts, finished = collections.Counter(), 0, 0, 0, 0
        while True:
            process = subprocess.Popen(
                command(killed, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            starts += 1
            # Half of the whole: as often before something is reached as after it.
            patience = moments.uniform(0.0, seconds / 2) if done < kills else None
            try:
                _, error = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                reported = (killed / "report.html").exists()
                slowest = max(slowest, _stop(process, signal_name))
                # Else the signal was not heard.
                assert process.returncode or reported, f"it went on after SIG{signal_name}"
                done += 1
                places[_place(killed)] += 1
                half_written += sum(path.stat().st_size for path in killed.rglob("*.partial"))
                _assert_whole(killed)
                print(f"kill {done}: {_place(killed)}", file=sys.stderr, flush=True)
                continue
            assert process.returncode == 0, error.decode()
            finished += 1
            compared = compare(contents(killed), expected)
            if done == kills:
                break
            shutil.rmtree(killed)  # it was finished before all kills were done
    return {
        "kills": done,
        "resumes": starts - finished,
        "runs_finished": finished,
        "seconds_of_the_undisturbed_run": round(seconds, 1),
        "kills_by_place": dict(places),
        "bytes_lost_of_what_counted": 0,
        "slowest_end_in_seconds": round(slowest, 2),
        "bytes_half_written_when_killed": half_written,
        "compared_each_time": compared,
        "identical": True,
    }


def _stop(process: subprocess.Popen, name: str) -> float:
    """Sends a signal, and sees to it that the process ends as it should; returns the seconds."""
    started = time.perf_counter()
    process.send_signal(getattr(signal, f"SIG{name}"))
    _, error = process.communicate()
    lines = error.decode().strip().splitlines()
    if process.returncode:  # else it was done just then
        assert process.returncode in _CODES[name], error.decode()
        if process.returncode > 0:
            # A warning, such as of a generation that collapsed, may stand before it.
            said = [line for line in lines if "the same command resumes" in line]
            assert said and said == lines[-1:] and b"Traceback" not in error, error.decode()
    return time.perf_counter() - started


def _place(directory: pathlib.Path) -> str:
    """How far a run is, as its manifest says."""
    path = directory / "manifest.json"
    if not path.exists():
        return "before anything was written"
    manifest = json.loads(path.read_text())
    known = manifest["facts"].get("generations", {})
    done = sum(facts["finished"] for facts in known.values())
    if any(name.startswith(f"generation-{done}/checkpoint-") for name in manifest["files"]):
        return f"within generation {done}"
    if list(directory.glob("final_student-*")):
        return "in the final student"
    if any(name.endswith("predictions.npz") for name in manifest["files"]):
        return "in the reports"
    return f"after {done} generations"


def _assert_whole(directory: pathlib.Path) -> None:
    """Reads everything that the manifest names, which checks sizes and hashes."""
    from ban_tf.runs.reading import RunReader

    if (directory / "manifest.json").exists():
        run = RunReader(directory)
        for name in run.names():
            run.read(name)


def contents(directory: pathlib.Path) -> dict[str, Any]:
    """Returns everything that a finished run holds and that does not tell the time, by name."""
    from ban_tf.training import checkpoints

    found: dict[str, Any] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if not path.is_file():
            continue
        if path.suffix == ".keras":
            found |= {f"{name}[{i}]": each for i, each in enumerate(_weights(path))}
        elif path.name == "predictions.npz":
            found[name] = checkpoints.unpack(path.read_bytes())[0][0]
        elif path.name.startswith("events.out.tfevents."):
            events = _events(path)
            assert not events.keys() & found.keys(), f"{path.parent} holds two event files"
            found |= {f"{path.parent.relative_to(directory)}: {tag}": events[tag] for tag in events}
        elif path.suffix == ".json" and not path.name.startswith("manifest."):
            text = path.read_text().replace(str(directory), "RUN")  # a final student's teacher
            found[name] = _timeless(json.loads(text))
        elif path.suffix == ".cfg":
            found[name] = path.read_text().replace(str(directory), "RUN")
        elif path.suffix in (".csv", ".npy", ".npz") and path.name != "timings.csv":
            found[name] = path.read_bytes()
        else:
            found[name] = "is there"
    manifest = json.loads((directory / "manifest.json").read_text())
    found["facts"], found["counted"] = manifest["facts"], sorted(manifest["files"])
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    return value


def _weights(path: pathlib.Path) -> list[np.ndarray]:
    import keras

    return keras.models.load_model(path, compile=False).get_weights()


def _events(path: pathlib.Path) -> dict[str, list[Any]]:
    """Returns steps and values in the order of the file, by tag."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, list[Any]] = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.tag not in _TIMED_TAGS:
                content = value.tensor.SerializeToString(deterministic=True)
                found.setdefault(value.tag, []).append((event.step, content))
    return found


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> int:
    """Makes sure that two runs hold the same; returns how many things were compared.

    Args:
        ours: What `contents` returned.
        theirs: The same for the other run.

    Raises:
        AssertionError: Something is missing or differs.
    """
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
    for name, expected in theirs.items():
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(ours[name], expected, err_msg=name)
        else:
            assert ours[name] == expected, f"{name} differs"
    return len(theirs)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--gens", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--checkpoint_steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", dest="signal_name", choices=_CODES, default="KILL")
    parser.add_argument("settings", nargs="*", default=SETTINGS)
    print(json.dumps(soak(**vars(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
