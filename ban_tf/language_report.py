"""What a lineage of language models is worth: perplexity, and how sure each word was.

`summary.json` is that of `report.summary`, an example being a word of the test text, with two
further numbers in each row, `perplexity` and `validation_perplexity`. Distributions over all
words are never kept, only what the numbers need of them: all generations read the text side by
side, and an ensemble's probability is the mean of its members'.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ban_tf import analysis_report, lineage
from ban_tf.datasets import text, text_batches
from ban_tf.ensemble import ensemble
from ban_tf.generations import model_bytes
from ban_tf.language_training import reset_states
from ban_tf.options import Options
from ban_tf.report import statistics, summary, tensorboard
from ban_tf.rundir import RunDirectory

Scores = dict[str, np.ndarray]


def report(
    options: Options,
    family: lineage.Lineage,
    data: text.TextData,
    directory: RunDirectory,
    stateless: Callable[[int], keras.Model],
) -> dict[str, Any]:
    """Evaluates a finished lineage and writes what came out into its directory.

    Args:
        options: What was asked for.
        family: A finished lineage.
        data: Whose validation and test texts are used.
        directory: Where the files go.
        stateless: Makes a model of a generation's shape that keeps no state between batches.

    Returns:
        The summary.
    """
    models = [family.model(each.number) for each in family.generations]
    groups = [[number] for number in range(len(models))] + _ensembles(len(models))
    sizes = (options.batch_size, options.unroll)
    validation, test = (
        score(models, groups, sizes, tokens, options.ensemble_average)
        for tokens in (data.validation, data.test)
    )
    result = _summarise(options, family, groups, validation, test, data)
    _write(options, family, directory, result, stateless)
    return result


def _ensembles(generations: int) -> list[list[int]]:
    return [
        list(range(first, last + 1)) for first in (1, 0) for last in range(first + 1, generations)
    ]


def score(
    models: list[keras.Model],
    groups: list[list[int]],
    sizes: tuple[int, int],
    tokens: np.ndarray,
    average: str = "probabilities",
) -> list[Scores]:
    """Has models read a text, and notes what each group of them made of each word.

    Args:
        models: Networks that keep their state.
        groups: Numbers of the models whose distributions are averaged.
        sizes: Streams and steps of a batch.
        tokens: int32 `[tokens]`.
        average: "probabilities" or "logits".

    Returns:
        For each group arrays `[tokens - 1]`: `log_probability` of the word that came, whether it
        was not the likeliest (`wrong`), the `confidence` in the likeliest, and the
        `sum_of_squares` of all probabilities.
    """

    @tf.function
    def read(words: tf.Tensor, following: tf.Tensor) -> list[dict[str, tf.Tensor]]:
        logs = [tf.nn.log_softmax(model(words, training=False)) for model in models]
        return [
            _of_words(_mean([logs[member] for member in group], average), following)
            for group in groups
        ]

    for model in models:
        reset_states(model)
    collected: list[dict[str, list[np.ndarray]]] = [{} for _ in groups]
    for words, following, weights in text_batches.evaluation_batches(tokens, *sizes):
        counted = weights.numpy() > 0
        for found, group in zip(read(words, following), collected, strict=True):
            for name, values in found.items():
                group.setdefault(name, []).append(values.numpy()[counted])
    return [{name: np.concatenate(arrays) for name, arrays in group.items()} for group in collected]


def _mean(logs: list[tf.Tensor], average: str) -> tf.Tensor:
    """Log-probabilities of several models' mean, `[batch, steps, words]`."""
    if len(logs) == 1:
        return logs[0]
    if average == "logits":
        return tf.nn.log_softmax(tf.add_n(logs) / len(logs))
    return tf.reduce_logsumexp(tf.stack(logs), axis=0) - tf.math.log(float(len(logs)))


def _of_words(logs: tf.Tensor, following: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "log_probability": tf.gather(logs, following, batch_dims=2),
        "wrong": tf.argmax(logs, -1, tf.int32) != following,
        "confidence": tf.exp(tf.reduce_max(logs, -1)),
        "sum_of_squares": tf.reduce_sum(tf.exp(2.0 * logs), -1),
    }


def _summarise(
    options: Options,
    family: lineage.Lineage,
    groups: list[list[int]],
    validation: list[Scores],
    test: list[Scores],
    data: text.TextData,
) -> dict[str, Any]:
    rows = [
        {
            **_metrics(scores, test[0] if index else None),
            "validation_perplexity": _perplexity(validation[index]),
        }
        for index, scores in enumerate(test)
    ]
    count = len(family.generations)
    return {
        "format": summary.FORMAT,
        "run": {
            "dataset": data.name,
            "architecture": " to ".join(options.architectures),
            "objective": options.objective,
            "seed": options.seed,
            "epochs": options.epochs,
            "command": f"python -m ban_tf.main --flagfile={options.directory / 'run.cfg'}",
        },
        "average": options.ensemble_average,
        "generations": [
            {
                "generation": each.number,
                "taught_by": each.taught_by,
                **row,
                "seconds": each.seconds,
                "extra": {},
            }
            for each, row in zip(family.generations, rows[:count], strict=True)
        ],
        "ensembles": [
            {"name": f"generations {group[0]}-{group[-1]}", "members": group, **row}
            for group, row in zip(groups[count:], rows[count:], strict=True)
        ],
    }


def _perplexity(scores: Scores) -> float:
    return float(np.exp(-np.mean(scores["log_probability"], dtype=np.float64)))


def _metrics(scores: Scores, reference: Scores | None) -> dict[str, Any]:
    """The metrics of `statistics.evaluate`, from what was kept of each word's distribution."""
    scores = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    wrong, confidence = scores["wrong"], scores["confidence"]
    place = np.minimum(np.ceil(confidence * 15).astype(int), 15)
    gaps = [np.sum((1.0 - wrong - confidence)[place == each]) for each in range(16)]
    change = None
    if reference is not None:
        before = np.asarray(reference["wrong"], bool)
        difference, low, high = statistics.paired_difference(wrong.astype(bool), before)
        p_value = statistics.mcnemar(wrong == 0, ~before)
        change = {
            "difference": difference,
            "low": low,
            "high": high,
            "mcnemar_p": p_value,
            "significant": bool((low > 0 or high < 0) and p_value < 0.05),
        }
    return {
        "examples": len(wrong),
        "error": float(np.mean(wrong)),
        "accuracy": float(1.0 - np.mean(wrong)),
        "negative_log_likelihood": float(-np.mean(scores["log_probability"])),
        "expected_calibration_error": float(np.abs(gaps).sum() / len(wrong)),
        "brier_score": float(
            np.mean(scores["sum_of_squares"] - 2.0 * np.exp(scores["log_probability"]) + 1.0)
        ),
        "confidence": float(np.mean(confidence)),
        "error_interval": list(statistics.wilson_interval(int(wrong.sum()), len(wrong))),
        "change_in_error": change,
        "perplexity": _perplexity(scores),
    }


def _cells(result: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            row.get("name", f"generation {row.get('generation')}"),
            row.get("taught_by", ""),
            f"{row['validation_perplexity']:.2f}",
            f"{row['perplexity']:.2f}",
            f"{100 * row['error']:.2f}",
            f"{row['seconds']:.1f}" if "seconds" in row else "",
        )
        for row in (*result["generations"], *result["ensembles"])
    ]


_HEADINGS = ("", "taught by", "validation perplexity", "test perplexity", "error (%)", "seconds")


def show(result: dict[str, Any]) -> None:
    """Prints the perplexities of all generations and ensembles."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if column < 2 else "right")
    for row in _cells(result):
        table.add_row(*row)
    Console(highlight=False).print(table)


def _write(
    options: Options,
    family: lineage.Lineage,
    directory: RunDirectory,
    result: dict[str, Any],
    stateless: Callable[[int], keras.Model],
) -> None:
    members = []
    for generation in family.generations[1:] or family.generations:
        members.append(stateless(generation.number))
        members[-1].set_weights(generation.weights)
    lines = ["| " + " | ".join(row) + " |" for row in (_HEADINGS, ("---",) * 6, *_cells(result))]
    title = f"# Born-again {options.arch} on {result['run']['dataset']}\n\n"
    files = {
        "config.json": json.dumps(options.settings(), indent=1).encode(),
        "ensemble.keras": model_bytes(ensemble(members, options.ensemble_average)),
        "summary.json": json.dumps(result, indent=1).encode(),
        "summary.md": (title + "\n".join(lines) + "\n").encode(),
    }
    figure = analysis_report.draw(directory, [each.number for each in family.generations])
    if figure:
        files[analysis_report.FIGURE] = figure
        files["summary.md"] += f"\n{analysis_report.WORDS}".encode()
    directory.commit(files)
    tensorboard.write_summary(directory.path / "tensorboard", result)
