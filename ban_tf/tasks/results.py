"""What a finished lineage is worth: its predictions on the test set, its summary, its files.

The predictions are kept beside the models, so that whatever is reported later needs no second
pass over the data.
"""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from absl import logging

from ban_tf import datasets
from ban_tf.compat import outputs
from ban_tf.config import flag_needs
from ban_tf.config.options import Options
from ban_tf.datasets import pipeline
from ban_tf.distillation.ensemble import ensemble
from ban_tf.errors import CorruptFileError
from ban_tf.lineage import lineage
from ban_tf.metrics import classification, summary
from ban_tf.report import analysis_report, content, examples, page, plots, table, tensorboard
from ban_tf.runs import generations, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import provenance
from ban_tf.training import checkpoints

EVALUATION_BATCH = 500


def report(
    options: Options,
    family: lineage.Lineage,
    data: datasets.ImageData,
    directory: RunDirectory,
) -> dict[str, Any]:
    """Evaluates a lineage on the test set and writes what came out into its directory.

    Args:
        options: What was asked for.
        family: A finished lineage.
        data: Whose test split is used.
        directory: Where the files go.

    Returns:
        The summary; see `report.summary`.
    """
    predictions = _predictions(family, data, directory)
    result = _summarise(options, family, data, predictions)
    _write(options, family, directory, result)
    _keep_test(data, predictions, directory)
    _write_tensorboard(options, family, data, directory, predictions, result)
    directory.write_uncounted("report.html", page.write(content.read(directory.path)).encode())
    return result


def data_facts(data: datasets.ImageData) -> reading.DataFacts:
    """Returns what has to be known of data to use a model on other images."""
    return reading.DataFacts(
        data.name,
        tuple(data.class_names),
        tuple(int(size) for size in data.input_shape),
        tuple(float(value) for value in data.mean),
        tuple(float(value) for value in data.std),
    )


def command(options: Options) -> str:
    """Returns the command that gives a run: every flag that does something, if not by default."""
    defaults = Options()
    flags = [
        flag_needs.written(name, value)
        for name, value in options.effective().items()
        if value != getattr(defaults, name)
    ]
    return shlex.join(["python", "-m", "ban_tf.main", *flags])


def run_facts(options: Options, dataset: str) -> dict[str, Any]:
    """Returns what a summary says of how a run was made.

    Args:
        options: What was asked for.
        dataset: The name of the data.
    """
    return {
        "dataset": dataset,
        "architecture": " to ".join(options.architectures),
        "objective": options.objective,
        "seed": options.seed,
        "epochs": options.epochs,
        "command": command(options),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(" ", "seconds"),
        "environment": provenance.environment(),
        "files": {
            "generation-*/model.keras": "each generation, a plain Keras model",
            "ensemble.keras": "the mean of the born-again generations",
            "run.cfg": "a flagfile that gives this run again",
            "report.html": "this and more, with figures, in one page",
            "tensorboard": "its curves",
        },
    }


def compared(options: Options) -> dict[str, Any]:
    """Returns the flags that TensorBoard's HParams tab compares runs by."""
    return options.settings() | {"gens": options.gens, "epochs": options.epochs}


def _predictions(
    family: lineage.Lineage,
    data: datasets.ImageData,
    directory: RunDirectory,
) -> list[np.ndarray]:
    """Each generation's log-probabilities on the test set, `[examples, classes]`."""
    models: dict[Callable, keras.Model] = {}
    results = []
    for generation in family.generations:
        name = f"generation-{generation.number}/predictions.npz"
        found = _kept(directory, name)
        if found is None:
            if generation.given:
                predictor = family.model(generation.number)
            else:
                build = family.builder(generation.number)
                predictor = models[build] = models.get(build) or build()
                predictor.set_weights(generation.weights)
            found = log_probabilities(predictor, data.test, data)
            directory.commit({name: checkpoints.pack([found])})
        results.append(found)
    return results


def _kept(directory: RunDirectory, name: str) -> np.ndarray | None:
    """Predictions that were made before; None if there are none, or their file is damaged."""
    if name not in directory.names():
        return None
    try:
        return checkpoints.unpack(directory.read(name))[0][0]
    except CorruptFileError as error:
        logging.warning("%s It is made anew.", error)
        return None


def log_probabilities(
    model: keras.Model, split: datasets.Split, data: datasets.ImageData
) -> np.ndarray:
    """Returns a model's log-probabilities for one split of the data, `[examples, classes]`."""
    batches = pipeline.evaluation_batches(split, data, EVALUATION_BATCH)
    activation = next(iter(outputs.final_activations(model).values()), "linear")
    raw = model.predict(batches.map(lambda images, labels: images), verbose=0)
    return outputs.log_probabilities(raw, activation)


def _summarise(
    options: Options,
    family: lineage.Lineage,
    data: datasets.ImageData,
    predictions: list[np.ndarray],
) -> dict[str, Any]:
    members = [
        summary.Member(
            generation.number,
            generation.taught_by,
            log_probabilities,
            seconds=generation.seconds,
            extra={"collapsed": True} if generation.collapsed else {},
        )
        for generation, log_probabilities in zip(family.generations, predictions, strict=True)
    ]
    facts = run_facts(options, data.name)
    return summary.summarise(facts, members, data.test.labels, average=options.ensemble_average)


def _keep_test(
    data: datasets.ImageData, predictions: list[np.ndarray], directory: RunDirectory
) -> None:
    """Keeps what reports show of the test set, so that they can be made again without it."""
    labels = np.asarray(data.test.labels)
    shown = examples.worth_showing(predictions, labels)
    test = reading.Test(labels, shown, np.asarray(data.test.images[shown]))
    directory.commit({reading.TEST: test.to_bytes()})


def _write_tensorboard(
    options: Options,
    family: lineage.Lineage,
    data: datasets.ImageData,
    directory: RunDirectory,
    predictions: list[np.ndarray],
    result: dict[str, Any],
) -> None:
    """Writes all event files anew, from what the run directory holds."""
    logs = directory.path / "tensorboard"
    tensorboard.write_histories(logs, family.generations)
    labels, names = np.asarray(data.test.labels), data.class_names
    pictures = {"reliability diagram": {}, "confusion matrix": {}}
    for number, each in enumerate(predictions):
        title = f"generation {number}"
        bins = classification.reliability(each, labels)
        counts = classification.confusion_matrix(each, labels)
        pictures["reliability diagram"][number] = plots.reliability_diagrams({title: bins})
        pictures["confusion matrix"][number] = plots.confusion_matrix(counts, names, title)
    tensorboard.write_summary(logs, result, compared(options), pictures, str(directory.path))


def _write(
    options: Options, family: lineage.Lineage, directory: RunDirectory, result: dict[str, Any]
) -> None:
    numbers = [each.number for each in family.generations[1:]] or [0]
    models = [family.model(number) for number in numbers]
    mean = ensemble(models, options.ensemble_average, output_kind="categorical")
    files = {
        "config.json": json.dumps(options.settings(), indent=1).encode(),
        "ensemble.keras": generations.model_bytes(mean),
        "summary.json": json.dumps(result, indent=1).encode(),
    }
    figure = analysis_report.draw(directory, [each.number for each in family.generations])
    if figure:
        directory.commit({analysis_report.FIGURE: figure})
    files["summary.md"] = table.write_markdown(result, analysed=figure is not None).encode()
    for row in result["generations"]:
        files[f"generation-{row['generation']}/metrics.json"] = json.dumps(row, indent=1).encode()
    directory.commit(files)
