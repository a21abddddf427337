"""`report.html` of one run: its settings, its results and their uncertainty.

This module has the sections of all runs; `class_sections` (for classifiers), `text_sections` and
`label_sections` have the others.
"""

from __future__ import annotations

from typing import Any

from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS
from ban_tf.report import (
    class_sections,
    document,
    label_sections,
    metric_section,
    plots,
    predictions,
    regression_sections,
    segmentation_sections,
    table,
    text_sections,
)
from ban_tf.report.content import Content
from ban_tf.runs import preferred

# The module of each kind of results; each has `CURVES` and `further`.
_SECTIONS = {
    "classification": class_sections,
    "text": text_sections,
    "language": text_sections,
    "segmentation": segmentation_sections,
    "regression": regression_sections,
    "multi_label": label_sections,
}
_CURVES_WORDS = (
    "A line for each generation. Curves that still rise or fall at the end ask for more epochs; a "
    "validation loss that rises while the training loss falls is overfitting."
)


def write(content: Content) -> str:
    """Returns the self-contained page.

    Args:
        content: The content of the report.
    """
    run = content.summary["run"]
    kind = _SECTIONS[kinds.of(content.summary).name]
    sections = [
        document.Section("Results", _results(content)),
        metric_section.by_generation(content),
        document.Section("Learning curves", _curves(content, kind.CURVES)),
        document.Section("The gradient of distillation", _gradient(content)),
        *kind.further(content),
        document.Section("Quantized exports", _exports(content)),
        document.Section("How this was made", _provenance(content)),
    ]
    title = f"Born-again {run['architecture']} on {run['dataset']}"
    verdict = document.Paragraph(table.notes(content.summary), kind="verdict")
    return document.render(title, sections, [verdict, *_use(content)])


def _use(content: Content) -> list[document.Block]:
    """Returns a link to the model that validation prefers, why, and its change on the test set."""
    chosen = preferred.of_summary(content.summary)
    if not (content.path / chosen.file).is_file():
        return []
    link = (f"Use this file: {chosen.file}", chosen.file)
    reasons = document.Paragraph(" ".join([chosen.reason, *_gain(content.summary, chosen.model)]))
    return [document.Links([link]), reasons]


def _gain(summary: dict[str, Any], model: str) -> list[str]:
    """Returns a sentence on how a model differs from generation 0, unless it is that one."""
    kind, rows = kinds.of(summary), summary["generations"]
    whole = f"generations 1-{len(rows) - 1}"
    if model != preferred.ENSEMBLE:
        found = [(f"generation {model}", row) for row in rows if str(row["generation"]) == model]
    elif len(rows) == 2:  # the average of one generation
        found = [("generation 1", rows[1])]
    else:
        found = [
            (f"the ensemble of {whole}", row)
            for row in summary["ensembles"]
            if row["name"] == whole
        ]
    changes = [(name, kind.change(row)) for name, row in found]
    return [
        f"Against generation 0, {name} changes the {kind.metric.label} by "
        f"{kind.metric.change(change['difference'], change['low'], change['high'])} (95 % "
        f"interval), which is {'' if change['significant'] else 'not '}significant."
        for name, change in changes
        if change
    ]


def _results(content: Content) -> list[document.Block]:
    summary = content.summary
    blocks: list[document.Block] = [
        document.table(
            f"Generations, measured on {table.measured_on(summary)}",
            table.one_line(table.generation_headings(summary)),
            table.generation_rows(summary),
            texts=2,
        )
    ]
    if summary["ensembles"]:
        blocks.append(
            document.table(
                f"Ensembles, averaging the {table.averaged(summary)} of their members",
                table.one_line(table.ensemble_headings(summary)),
                table.ensemble_rows(summary),
            )
        )
    blocks.append(_significance(content))
    links = _files(content)
    return [*blocks, document.Subheading("Files"), document.Links(links)] if links else blocks


def _files(content: Content) -> list[tuple[str, str]]:
    """Returns links to what is used later: models, and predictions of the test set."""
    found = []
    if predictions.has_table(content):
        words = "Predictions for each test example, a table for spreadsheets (predictions.csv)"
        found.append((words, predictions.FILE))
    models = [("The ensemble of all generations, one Keras model", "ensemble.keras")]
    for row in content.summary["generations"]:
        number = row["generation"]
        models.append((f"Generation {number}, a Keras model", f"generation-{number}/model.keras"))
    found += [
        (f"{words} ({name})", name) for words, name in models if (content.path / name).is_file()
    ]
    return found


def _significance(content: Content) -> document.Table:
    summary = content.summary
    kind = kinds.of(summary)
    extra = ("brier_score",) if kind.compared == "error" else ()
    named = [(f"generation {row['generation']}", row) for row in summary["generations"]]
    named += [(f"ensemble of {row['name']}", row) for row in summary["ensembles"]]
    named += [("final student", row) for row in table.final_student(summary)]
    rows = [
        (
            name,
            " to ".join(map(kind.metric.shown, kind.interval_of(row))),
            *(METRICS[name].shown(row[name]) for name in extra),
            *_p_values(kind, kind.change(row)),
            _judgement(kind, kind.change(row)),
        )
        for name, row in named
    ]
    headings = (
        "generation or ensemble",
        f"{kind.metric.label}, {kind.interval} 95 % interval",
        *(METRICS[name].label for name in extra),
        f"p ({kind.test})",
        "p, adjusted",
        "against generation 0",
    )
    return document.table("Uncertainty, and each row against generation 0", headings, rows)


def _p_values(kind: kinds.Kind, change: dict | None) -> tuple[str, ...]:
    return tuple(f"{change[name]:.3g}" if change else "" for name in (kind.p_value, "adjusted_p"))


def _judgement(kind: kinds.Kind, change: dict | None) -> str:
    if change is None:
        return ""
    if not change["significant"]:
        return "no significant difference"
    return "better" if kind.metric.improved(change["difference"]) else "worse"


def _curves(content: Content, known: dict[str, str]) -> list[document.Block]:
    logged = {name for rows in content.histories.values() for row in rows for name in row}
    quantities = {name: words for name, words in known.items() if name in logged}
    figures: list[document.Block] = []
    names = list(quantities)
    for pair in (names[:2], names[2:]):
        if pair:
            shown = {name: quantities[name] for name in pair}
            figures.append(
                document.Figure(
                    plots.svg(plots.learning_curves(content.histories, shown)),
                    "svg+xml",
                    f"Curves over epochs: {' and '.join(shown.values())}. " + _last(content, shown),
                    _CURVES_WORDS,
                    wide=True,
                )
            )
    return figures


def _last(content: Content, shown: dict[str, str]) -> str:
    ends = [
        f"generation {number} ends at "
        + " and ".join(f"{rows[-1][name]:.3f}" for name in shown if name in rows[-1])
        for number, rows in content.histories.items()
        if rows and any(name in rows[-1] for name in shown)
    ]
    return "; ".join(ends) + "."


def _gradient(content: Content) -> list[document.Block]:
    if content.analysis is None:
        return []
    picture = document.Figure(
        content.analysis,
        "png",
        "Share of dark knowledge in the gradient, agreement with the teacher and divergence from "
        "it per epoch, and the confidence of the teacher. The values are in "
        "generation-*/analysis.json.",
        "After each epoch, on the same training examples (Furlanello et al., 2018, eqs. 7 to 10). "
        "Weights by the teacher's confidence are equal if their entropy is 1.",
        wide=True,
    )
    return [picture]


def _exports(content: Content) -> list[document.Block]:
    rows = []
    of_numbers = any(entry.get("metric") == "rmse" for entry in content.exports.values())
    metric = METRICS["rmse" if of_numbers else "error"]
    for name, entry in content.exports.items():
        change = entry["changed"]
        for precision, measured, changed in (
            ("float32", entry["float32"], ""),
            (
                entry["kind"],
                entry["quantized"],
                f"{change:.4g}" if of_numbers else f"{100 * change:.2f}",
            ),
        ):
            rows.append(
                (
                    name,
                    precision,
                    metric.shown(measured["error"]),
                    f"{measured['bytes'] / 1000:,.0f}",
                    f"{measured['milliseconds']:.3f}",
                    changed,
                )
            )
    if not rows:
        return []
    headings = (
        *("file", "precision", metric.label, "size (kB)", "one image (ms)"),
        "mean change from float32" if of_numbers else "another class than float32 (%)",
    )
    caption = "By LiteRT on the test set, on one thread of the machine that exported them"
    return [document.table(caption, headings, rows, texts=2)]


def _provenance(content: Content) -> list[document.Block]:
    run, kind = content.summary["run"], kinds.of(content.summary)
    seconds = sum(row["seconds"] or 0.0 for row in content.summary["generations"])
    facts = {
        "dataset": run["dataset"],
        "architecture": run["architecture"],
        "objective": run["objective"],
        "seed": str(run["seed"]),
        "epochs per generation": str(run.get("epochs", "unknown")),
        "training time": f"{seconds:.0f} seconds",
        **({"finished": run["finished"]} if run.get("finished") else {}),
        **run.get("environment", {}),
    }
    blocks: list[document.Block] = [
        document.table("Setting", ("what", "value"), list(facts.items()), texts=2)
    ]
    if run.get("command"):
        blocks += [
            document.Paragraph("The command that repeats this run:"),
            document.Code(run["command"]),
        ]
    blocks += [
        document.Paragraph("To resume it, for instance with a larger --gens:"),
        document.Code(content.resume),
        document.Paragraph(
            f"The test set was only used for evaluation, never for selection. {kind.method} The "
            "p-values are adjusted for the number of rows by Benjamini and Hochberg's procedure, "
            "so that no more than 5 % of the rows called better or worse are expected to be "
            "neither. A change counts as significant if its interval excludes zero and the "
            "adjusted p-value is below 0.05."
        ),
    ]
    return blocks
