"""A finished run of small untrained networks, and files that were made to do harm."""

from __future__ import annotations

import io
import json
import os
import pathlib
import socket
import struct
import zlib

import h5py
import keras
import numpy as np

from ban_tf.distillation.ensemble import ensemble
from ban_tf.metrics import summary
from ban_tf.runs import manifests, reading
from ban_tf.runs.rundir import MANIFEST, PREVIOUS, RunDirectory
from ban_tf.system import archives

EXAMPLES = 40
DEEP = b"[" * 100_000 + b"]" * 100_000


def make(path):
    """Writes a finished run on the digits, of two generations that were never trained."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=EXAMPLES)
    predictions = []
    for _ in range(2):
        logits = rng.normal(size=(EXAMPLES, 10))
        predictions.append(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))
    members = [
        summary.Member(number, "labels" if number == 0 else "generation 0", rows, 1.0)
        for number, rows in enumerate(predictions)
    ]
    about = {"dataset": "digits", "architecture": "small", "objective": "kd", "seed": 0}
    data = reading.DataFacts("digits", tuple("0123456789"), (8, 8, 1), (0.3,), (0.4,))
    images = rng.integers(256, size=(2, 8, 8, 1), dtype="uint8")
    models = [_network() for _ in range(2)]
    files = {
        "run.cfg": b"--gens=1\n",
        "data.json": data.to_json(),
        "test.npz": reading.Test(labels, np.arange(2), images).to_bytes(),
        "summary.json": json.dumps(summary.summarize(about, members, labels)).encode(),
        "ensemble.keras": keras_bytes(ensemble(models[1:], output_kind="categorical"), path.parent),
    }
    for number, rows in enumerate(predictions):
        folder = f"generation-{number}"
        files[f"{folder}/model.keras"] = keras_bytes(models[number], path.parent)
        files[f"{folder}/predictions.npz"] = npz(**{"00000": rows})
        files[f"{folder}/history.csv"] = b"epoch,loss,val_accuracy\n1,2.0,0.5\n"
    generation = {"epochs": 1, "finished": True, "teachers": {}, "taught_by": "labels"}
    metadata = {
        "settings": {"dataset": "digits", "arch": "small", "objective": "kd", "seed": 0},
        "generations": {"0": generation, "1": generation},
    }
    with RunDirectory(path) as directory:
        directory.commit(files, metadata=metadata)
    return path


def _network():
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def huge_config():
    return _network().to_json().replace('"units": 10,', '"units": 10000000000,').encode()


def keras_bytes(model, folder):
    model.save(folder / "model.keras")
    return (folder / "model.keras").read_bytes()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def replace(run, name, content):
    """Replaces a file of a run, and its size and hash in the manifest."""
    path = run / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    change_manifest(
        run, lambda manifest: manifest["files"].update({name: manifests.entry(content)})
    )


def change_manifest(run, change):
    """Changes the manifest, and its checksum."""
    manifest = json.loads((run / MANIFEST).read_bytes())
    del manifest["sha256"]
    change(manifest)
    (run / MANIFEST).write_bytes(manifests.encode(manifest))
    (run / PREVIOUS).unlink(missing_ok=True)


def change_json(run, name, change):
    """Changes a JSON file of a run, and its hash in the manifest."""
    value = json.loads((run / name).read_bytes())
    change(value)
    replace(run, name, json.dumps(value).encode())


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_socket(path):
    path.unlink()
    folder = pathlib.Path.cwd()
    os.chdir(path.parent)  # the path of a socket has at most a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(folder)


def make_folder(path):
    path.unlink()
    path.mkdir()


def make_link(path):
    """Moves a file out of the run, and puts a link to it in its place."""
    moved = path.parents[1] / f"moved-{path.name}"
    if path.parent.name.startswith("generation-"):
        moved = path.parents[2] / moved.name
    path.rename(moved)
    path.symlink_to(moved)


def make_loop(path):
    path.unlink()
    path.symlink_to(path.name)


SPECIAL = {
    "a pipe": make_pipe,
    "a socket": make_socket,
    "a folder": make_folder,
    "a link out of the run": make_link,
    "a link to itself": make_loop,
}


def bomb(name, gigabytes=3.9):
    """Returns a zip archive of a few megabytes that holds gigabytes of zeros.

    Deflated zeros repeat byte by byte after a full flush, so that nothing large is compressed.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = int(gigabytes * 2**30) // 2**20
    data = once + again * (count - 1) + packer.flush()
    sizes = 0, len(data), count * 2**20  # the checksum is of no interest
    encoded = name.encode()
    head = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, *sizes, len(encoded), 0) + encoded
    listed = struct.pack(
        *("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, *sizes),
        *(len(encoded), 0, 0, 0, 0, 0, 0),
    )
    listed += encoded
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(head) + len(data), 0)
    return head + data + listed + end


def claiming(name="00000"):
    """Returns an `.npz` file whose only array claims a trillion numbers."""
    header = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(header, described)
    return zipped({f"{name}.npy": header.getvalue() + bytes(64)})


def zipped(entries):
    buffer = io.BytesIO()
    with archives.zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def keras_with(model_file, **changed):
    """Returns a `.keras` file with some of its entries replaced; underscores stand for points."""
    with archives.zipfile.ZipFile(io.BytesIO(model_file)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**entries, **{name.replace("_", "."): value for name, value in changed.items()}})


def hdf5(fill):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def _large(file):
    file.create_dataset("layers/dense/vars/0", (2**30, 4), "f4", chunks=True, compression="gzip")


WEIGHTS = {
    "weights of 16 GB in no bytes": hdf5(_large),
    "weights in another file": hdf5(lambda file: file.update({"a": h5py.ExternalLink("b", "/")})),
    "weights of nothing": hdf5(lambda file: None),
    "weights that are no HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "no bytes of weights": b"",
}
