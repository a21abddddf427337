"""What a lineage of language models is worth: perplexity, and how sure each word was.

`summary.json` is that of `report.summary`, an example being a word of the test text, with two
further numbers in each row, `perplexity` and `validation_perplexity`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.config.options import Options
from ban_tf.datasets import text
from ban_tf.distillation.ensemble import ensemble
from ban_tf.lineage import lineage
from ban_tf.metrics import summary, tokens
from ban_tf.metrics.tokens import Scores
from ban_tf.report import analysis_report, content, page, table, tensorboard
from ban_tf.runs.generations import model_bytes
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import language_scores, results


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
            **tokens.evaluate(scores, test[0] if index else None),
            "validation_perplexity": tokens.perplexity(validation[index]),
        }
        for index, scores in enumerate(test)
    ]
    count = len(family.generations)
    result = {
        "format": summary.FORMAT,
        "run": results.run_facts(options, data.name),
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
    summary.judge(result)
    return result


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
    files = {
        "config.json": json.dumps(options.settings(), indent=1).encode(),
        "ensemble.keras": model_bytes(
            ensemble(members, options.ensemble_average, output_kind="categorical")
        ),
        "summary.json": json.dumps(result, indent=1).encode(),
    }
    figure = analysis_report.draw(directory, [each.number for each in family.generations])
    if figure:
        directory.commit({analysis_report.FIGURE: figure})
    files["summary.md"] = table.write_markdown(result, analysed=figure is not None).encode()
    for row in result["generations"]:
        files[f"generation-{row['generation']}/metrics.json"] = json.dumps(row, indent=1).encode()
    directory.commit(files)
    logs = directory.path / "tensorboard"
    tensorboard.write_histories(logs, family.generations)
    tensorboard.write_summary(logs, result, results.compared(options), name=str(directory.path))
    directory.write_uncounted("report.html", page.write(content.read(directory.path)).encode())
