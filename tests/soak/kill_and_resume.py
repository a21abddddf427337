"""Kills commands at random moments, resumes them each time, and compares the results.

    python -m tests.soak.kill_and_resume --kills=50
    python -m tests.soak.kill_and_resume --kills=8 --signal=TERM recording text export

An undisturbed run comes first. Then the same command is started again and again and killed, every
other time when a file of a certain phase is written (see scenarios.py), else after a random time,
until enough kills are done; one last start finishes it. SIGKILL kills at once; after SIGTERM and
SIGINT, the process has to end by itself with the right code and one line. After each kill,
everything that a manifest names has to be whole. In the end every array, row, metric, prediction
and TensorBoard step has to be bit-identical to those of the undisturbed run, and no other file may
exist. What may differ is time: seconds, dates, examples per second.

Prints one JSON object per scenario: kills, resumes, the phases of the kills, bytes lost, how long a
process took to end, and whether all was identical.
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

from tests import warm
from tests.soak.scenarios import SCENARIOS, Command, Scenario, line

# What a process ends with. One that is met before it is set up for signals just ends.
_CODES = {"KILL": (-9,), "TERM": (143, -15), "INT": (130, -2), "HUP": (129, -1)}
# Keys of JSON files, and tags of TensorBoard, that tell the time.
_TIMES = ("seconds", "finished", "command", "environment", "words_per_second")
_TIMED_TAGS = ("speed/examples_per_second", "summary", "_hparams_/session_start_info")
_TICK = 0.005  # seconds between two looks at the files of a phase


def soak(
    scenario: Scenario, kills: int, size: Command, seed: int, signal_name: str = "KILL"
) -> dict[str, Any]:
    """Kills a scenario so many times; returns what happened.

    Args:
        scenario: One of `SCENARIOS`.
        kills: How many kills.
        size: Further flags of the trainings.
        seed: Of the moments of the kills.
        signal_name: A key of `_CODES`.

    Raises:
        AssertionError: A start failed by itself, or something is lost or not identical.
    """
    moments = random.Random(seed)
    slowest, half_written, starts, finished = 0.0, 0, 0, 0
    places: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        whole, place, original = (pathlib.Path(folder) / name for name in ("whole", "it", "before"))
        for path in (whole, original):
            path.mkdir()
        if scenario.before:
            warm.run(line(scenario.before, original, size), check=True)
            shutil.copytree(original, whole, dirs_exist_ok=True)
        started = time.perf_counter()
        for command in scenario.commands:
            warm.run(line(command, whole, size), check=True)
        seconds = time.perf_counter() - started
        expected = contents(whole)
        shutil.copytree(original, place)
        while True:
            left = kills - sum(places.values())
            processes = [warm.start(line(command, place, size)) for command in scenario.commands]
            starts += 1
            victim = moments.choice(processes)
            phase = moments.choice(scenario.phases) if scenario.phases and left % 2 else ""
            delay = moments.uniform(0.0, 0.2 if phase else seconds / 2 / len(processes))
            if left and _wait(victim, place, phase, delay):
                slowest = max(slowest, _stop(victim, place, signal_name))
                where = phase or _progress(place)
                places[where] += 1
                half_written += sum(path.stat().st_size for path in place.rglob("*.partial"))
                print(f"kill {sum(places.values())}: {where}", file=sys.stderr, flush=True)
            killed = victim.poll() not in (None, 0)
            for process in processes:
                _, error = process.communicate()
                if process is not victim or not killed:
                    assert process.returncode == 0, error
            _assert_whole(place)
            if killed:
                continue
            finished += 1
            compared = compare(contents(place), expected)
            if not left:
                break
            shutil.rmtree(place)  # it was finished before all kills were done
            shutil.copytree(original, place)
    return {
        "kills": sum(places.values()),
        "resumes": starts - finished,
        "finished": finished,
        "seconds_undisturbed": round(seconds, 1),
        "kills_by_phase": dict(places),
        "bytes_lost_of_what_counted": 0,
        "slowest_end_in_seconds": round(slowest, 2),
        "bytes_half_written_when_killed": half_written,
        "compared_each_time": compared,
        "identical": True,
    }


def _wait(process: Any, place: pathlib.Path, phase: str, delay: float) -> bool:
    """Waits for the moment of a kill; returns whether the process is still there.

    Args:
        process: The process.
        place: The folder of the scenario.
        phase: A pattern of files; one that is written now begins the delay. "" begins it at once.
        delay: Seconds.
    """
    if phase:
        before = _written(place, phase)
        while _written(place, phase) == before:
            try:
                process.wait(_TICK)
                return False
            except subprocess.TimeoutExpired:
                pass
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        return True
    return False


def _written(place: pathlib.Path, pattern: str) -> dict[pathlib.Path, tuple[int, int]]:
    """Returns size and time of the files of a pattern."""
    found = {}
    for path in place.glob(pattern):
        try:
            state = path.stat()
        except FileNotFoundError:  # it was replaced just now
            continue
        found[path] = (state.st_size, state.st_mtime_ns)
    return found


def _stop(process: Any, place: pathlib.Path, name: str) -> float:
    """Sends a signal, checks that the process ends as it should, and returns the seconds."""
    training = "train" in process.args
    silent = not training or "--noreport" in process.args
    reported = silent or any(place.rglob("report.html"))
    started = time.perf_counter()
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.wait()
    seconds = time.perf_counter() - started
    if process.returncode == 0:  # it was done just then
        assert reported, f"it went on after SIG{name}"
        return seconds
    error = process.stderr.read()
    assert process.returncode in _CODES[name], error
    assert "Traceback" not in error, error
    if process.returncode > 0 and training:
        # A warning, such as of a generation that collapsed, may stand before it.
        said = [text for text in error.splitlines() if "the same command resumes" in text]
        assert said and said == error.strip().splitlines()[-1:], error
    return seconds


def _progress(place: pathlib.Path) -> str:
    """How far the runs of a folder are, as their manifests say."""
    done = [_progress_of(path) for path in _manifests(place)]
    return ", ".join(filter(None, done)) or "before anything was written"


def _progress_of(path: pathlib.Path) -> str:
    manifest = json.loads(path.read_text())
    known = manifest["facts"].get("generations", {})
    done = sum(facts["finished"] for facts in known.values())
    if any(name.startswith(f"generation-{done}/checkpoint-") for name in manifest["files"]):
        return f"within generation {done}"
    if any(name.endswith("predictions.npz") for name in manifest["files"]):
        return "in the reports"
    return f"after {done} generations" if known else ""


def _manifests(place: pathlib.Path) -> list[pathlib.Path]:
    return sorted(place.rglob("manifest.json"))


def _assert_whole(place: pathlib.Path) -> None:
    """Reads everything that the manifests name, which checks sizes and hashes."""
    from ban_tf.runs.reading import RunReader

    for path in _manifests(place):
        run = RunReader(path.parent)
        for name in run.names():
            run.read(name)


def contents(place: pathlib.Path) -> dict[str, Any]:
    """Returns everything that a folder holds and that does not tell the time, by name."""
    from ban_tf.training import checkpoints

    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if not path.is_file():
            continue
        if path.suffix == ".keras":
            weights = _weights(path)
            found |= {f"{name}[{index}]": array for index, array in enumerate(weights)}
        elif path.name == "predictions.npz":
            found[name] = checkpoints.unpack(path.read_bytes())[0][0]
        elif path.name.startswith("events.out.tfevents."):
            events = _events(path)
            assert not events.keys() & found.keys(), f"{path.parent} holds two event files"
            found |= {f"{path.parent.relative_to(place)}: {tag}": events[tag] for tag in events}
        elif path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            facts = json.dumps(manifest["facts"]).replace(str(place), "PLACE")
            found[name] = (_timeless(json.loads(facts)), sorted(manifest["files"]))
        elif path.suffix == ".json" and not path.name.startswith("manifest."):
            text = path.read_text().replace(str(place), "PLACE")
            found[name] = _timeless(json.loads(text))
        elif path.suffix == ".cfg":
            found[name] = path.read_text().replace(str(place), "PLACE")
        elif path.suffix in (".csv", ".npy", ".npz") and path.name != "timings.csv":
            found[name] = path.read_bytes()
        else:
            found[name] = "exists"
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
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


def size(gens: int, epochs: int, checkpoint_steps: int) -> Command:
    """Returns the flags of the size of a training."""
    return f"--gens={gens}", f"--epochs={epochs}", f"--checkpoint_steps={checkpoint_steps}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="kills of each scenario")
    parser.add_argument("--gens", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--checkpoint_steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=_CODES, default="KILL")
    parser.add_argument("scenarios", nargs="*", default=["images"], help=", ".join(SCENARIOS))
    known = parser.parse_args()
    flags = size(known.gens, known.epochs, known.checkpoint_steps)
    for name in known.scenarios:
        outcome = soak(SCENARIOS[name], known.kills, flags, known.seed, known.signal)
        print(json.dumps({name: outcome}, indent=1), flush=True)


if __name__ == "__main__":
    main()
