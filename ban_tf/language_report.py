"""What a lineage of language models is worth: perplexity, and how sure each word was.

`summary.json` is that of `report.summary`, an example being a word of the test text, with two
further numbers in each row, `perplexity` and `validation_perplexity`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ban_tf import analysis_report, language_scores, lineage, results
from ban_tf.datasets import text
from ban_tf.ensemble import ensemble
from ban_tf.generations import model_bytes
from ban_tf.language_scores import Scores
from ban_tf.options import Options
from ban_tf.report import summary, tensorboard
from ban_tf.rundir import RunDirectory


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
        language_scores.score(models, groups, sizes, tokens, options.ensemble_average)
        for tokens in (data.validation, data.test)
    )
    result = _summarise(options, family, groups, validation, test, data)
    _write(options, family, directory, result, stateless)
    return result


def _ensembles(generations: int) -> list[list[int]]:
    return [
        list(range(first, last + 1)) for first in (1, 0) for last in range(first + 1, generations)
    ]


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
            **language_scores.metrics(scores, test[0] if index else None),
            "validation_perplexity": language_scores.perplexity(validation[index]),
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
        table.add_column(heading, justify="left" if column < 2 else "right", no_wrap=column < 2)
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
    }
    figure = analysis_report.draw(directory, [each.number for each in family.generations])
    if figure:
        directory.commit({analysis_report.FIGURE: figure})
    content = title + "\n".join(lines) + "\n" + analysis_report.markdown(directory)
    files["summary.md"] = content.encode()
    directory.commit(files)
    logs = directory.path / "tensorboard"
    tensorboard.write_histories(logs, family.generations)
    tensorboard.write_summary(logs, result, results.compared(options), name=str(directory.path))
