"""Evaluates a finished lineage and writes its summary, files and report."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from ban_tf.config import idle
from ban_tf.config.options import Options
from ban_tf.distillation.ensemble import ensemble
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import summary
from ban_tf.report import analysis_report, content, page, predictions, table, tensorboard
from ban_tf.runs import generations
from ban_tf.runs.preferred import ENSEMBLE
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import environment, shown

if TYPE_CHECKING:
    from ban_tf.tasks.task import Task

PAGE = "report.html"


def report(task: Task, lineage: Lineage, directory: RunDirectory) -> dict[str, Any]:
    """Evaluates a lineage on the test data and writes the results into its directory.

    Args:
        task: The task of the lineage.
        lineage: A finished lineage.
        directory: The run directory.

    Returns:
        The summary; see `metrics.summary`.
    """
    rows = task.rows(lineage, summary.groups(len(lineage.generations)), directory)
    result = _summarize(task, lineage, rows) | _validated(task, lineage)
    _write(task, lineage, directory, result)
    task.keep_test(directory)
    logs = directory.folder("tensorboard")
    tensorboard.write_histories(logs, lineage.generations)
    figures = task.figures() if task.options.report else {}
    tensorboard.write_summary(logs, result, compared(task.options), figures, str(directory.path))
    lost = [generation.number for generation in lineage.generations if not generation.history]
    found = content.read(directory.path, lost)
    table_of_examples = predictions.write(found)
    if table_of_examples is not None:
        directory.write_untracked(predictions.FILE, table_of_examples)
    write_page(found, task.options, directory)
    return result


def write_page(found: content.Content, options: Options, directory: RunDirectory) -> None:
    """Writes `report.html`; with `--noreport` only removes one of earlier results.

    Args:
        found: The content of the report.
        options: The options of the run.
        directory: The run directory.
    """
    if options.report:
        directory.write_untracked(PAGE, page.write(found).encode())
    else:
        directory.remove_untracked((PAGE,))


def command(options: Options) -> str:
    """Returns the command that repeats a run: the effective flags that differ from defaults."""
    defaults = Options()
    flags = [
        idle.written(name, value)
        for name, value in options.effective().items()
        if value != getattr(defaults, name)
    ]
    return shown.command(["python", "-m", "ban_tf.main", *flags])


def run_facts(options: Options, dataset: str) -> dict[str, Any]:
    """Returns how a run was made, for its summary.

    Args:
        options: The options of the run.
        dataset: The name of the dataset.
    """
    return {
        "dataset": dataset,
        "architecture": " to ".join(options.architectures),
        "objective": options.objective,
        "seed": options.seed,
        "epochs": options.epochs,
        "command": command(options),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(" ", "seconds"),
        "environment": environment.describe(),
        "files": {
            "generation-*/model.keras": "each generation, a plain Keras model",
            "ensemble.keras": "the mean of the born-again generations",
            "run.cfg": "a flagfile that repeats this run",
            **({PAGE: "this and more, with figures, in one page"} if options.report else {}),
            "tensorboard": "its curves",
        },
    }


def compared(options: Options) -> dict[str, Any]:
    """Returns the flags for TensorBoard's HParams tab."""
    return options.settings() | {"gens": options.gens, "epochs": options.epochs}


def _validated(task: Task, lineage: Lineage) -> dict[str, Any]:
    """Returns the results on validation data, by which `predict` and `export` choose a model."""
    numbers = [generation.number for generation in lineage.generations]
    # A given teacher is not what the run is for: it may be too large, which is why it is a teacher.
    trained = [generation.number for generation in lineage.generations if not generation.pretrained]
    models = {str(number): [number] for number in trained}
    if len(numbers) > 1:
        models[ENSEMBLE] = numbers[1:]
    scores = task.validation_scores(lineage, list(models.values())) if models else None
    if scores is None:
        return {}
    found = dict(zip(models, scores, strict=True))
    return {"validation": {"metric": task.validation_metric, "models": found}}


def _summarize(task: Task, lineage: Lineage, rows: list[dict[str, Any]]) -> dict[str, Any]:
    members = [
        summary.Member(
            generation.number,
            generation.taught_by,
            None,
            seconds=generation.seconds,
            extra={"collapsed": True} if generation.collapsed else {},
        )
        for generation in lineage.generations
    ]
    facts = run_facts(task.options, task.options.dataset)
    average = task.options.ensemble_average
    return summary.assemble(facts, members, rows, average, task.kind)


def _write(task: Task, lineage: Lineage, directory: RunDirectory, result: dict[str, Any]) -> None:
    options = task.options
    numbers = [generation.number for generation in lineage.generations[1:]] or [0]
    models = [task.ensemble_member(lineage, number) for number in numbers]
    mean = task.saved_ensemble(
        ensemble(models, options.ensemble_average, output_kind=task.output_kind)
    )
    files = {
        "config.json": json.dumps(options.settings(), indent=1).encode(),
        "ensemble.keras": generations.model_bytes(mean),
        "summary.json": json.dumps(result, indent=1).encode(),
    }
    figure = analysis_report.draw(
        directory, [generation.number for generation in lineage.generations]
    )
    if figure:
        directory.commit({analysis_report.FIGURE: figure})
    files["summary.md"] = table.write_markdown(result, has_analysis=figure is not None).encode()
    for row in result["generations"]:
        files[f"generation-{row['generation']}/metrics.json"] = json.dumps(row, indent=1).encode()
    directory.commit(files)
