"""`report.html` of one run: what was done, what came out, and how far it can be believed."""

from __future__ import annotations

import io

import numpy as np

from ban_tf.report import examples, markup, plots, statistics, table
from ban_tf.report.content import Content

_CURVES = {
    "val_accuracy": "validation accuracy",
    "val_label_loss": "validation loss (labels)",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}
_MOST_CONFUSED = 10
_MOST_DIAGRAMS = 12


def write(content: Content) -> str:
    """Returns the page, which needs no other file.

    Args:
        content: What is known of the run.
    """
    run = content.summary["run"]
    sections = [
        ("Results", _results(content)),
        ("Error by generation", _errors(content)),
        ("Learning curves", _curves(content)),
        ("The gradient of distillation", _gradient(content)),
        ("Calibration", _calibration(content)),
        ("Confusion", _confusion(content)),
        ("Newly right and newly wrong", _changes(content)),
        ("Ensemble and diversity", _ensemble(content)),
        ("How this was made", _provenance(content)),
    ]
    title = f"Born-again {run['architecture']} on {run['dataset']}"
    verdict = markup.paragraph(table.notes(content.summary), kind="verdict")
    return markup.page(title, [each for each in sections if each[1]], verdict)


def _results(content: Content) -> str:
    summary = content.summary
    parts = [
        markup.table(
            f"Generations, measured on {summary['generations'][0]['examples']} test examples",
            table.one_line(table.GENERATION_HEADINGS),
            table.generation_rows(summary),
            texts=2,
        )
    ]
    if summary["ensembles"]:
        parts.append(
            markup.table(
                f"Ensembles, averaging the {summary['average']} of their members",
                table.one_line(table.ENSEMBLE_HEADINGS),
                table.ensemble_rows(summary),
            )
        )
    return "\n".join([*parts, _significance(content)])


def _significance(content: Content) -> str:
    summary = content.summary
    named = [(f"generation {row['generation']}", row) for row in summary["generations"]]
    named += [(f"ensemble of {row['name']}", row) for row in summary["ensembles"]]
    named += [("final student", row) for row in table.final_student(summary)]
    rows = [
        (
            name,
            "{:.2f} to {:.2f}".format(*(100 * end for end in row["error_interval"])),
            f"{row['brier_score']:.4f}",
            f"{row['change_in_error']['mcnemar_p']:.3g}" if row["change_in_error"] else "",
            _judgement(row["change_in_error"]),
        )
        for name, row in named
    ]
    headings = (
        "generation or ensemble",
        "error, Wilson's 95 % interval (%)",
        "Brier score",
        "p (McNemar, exact)",
        "against generation 0",
    )
    return markup.table("Uncertainty, and each row against generation 0", headings, rows)


def _judgement(change: dict | None) -> str:
    if change is None:
        return ""
    if not change["significant"]:
        return "no significant difference"
    return "better" if change["difference"] < 0 else "worse"


def _errors(content: Content) -> str:
    rows = content.summary["generations"]
    words = "; ".join(f"generation {row['generation']} {100 * row['error']:.2f} %" for row in rows)
    return markup.figure(
        plots.svg(plots.error_by_generation(content.summary)),
        "svg+xml",
        f"Test error by generation with 95 percent intervals: {words}. "
        "The table above has the ensembles.",
        "Bars are Wilson's 95 % intervals; points are set side by side to keep them apart.",
    )


def _curves(content: Content) -> str:
    logged = {name for rows in content.histories.values() for row in rows for name in row}
    quantities = {name: words for name, words in _CURVES.items() if name in logged}
    if not quantities:
        return ""
    figures = []
    names = list(quantities)
    for pair in (names[:2], names[2:]):
        if pair:
            shown = {name: quantities[name] for name in pair}
            figures.append(
                markup.figure(
                    plots.svg(plots.learning_curves(content.histories, shown)),
                    "svg+xml",
                    f"Curves over epochs: {' and '.join(shown.values())}. " + _last(content, shown),
                    wide=True,
                )
            )
    return "\n".join(figures)


def _last(content: Content, shown: dict[str, str]) -> str:
    ends = [
        f"generation {number} ends at "
        + " and ".join(f"{rows[-1][name]:.3f}" for name in shown if name in rows[-1])
        for number, rows in content.histories.items()
        if rows and any(name in rows[-1] for name in shown)
    ]
    return "; ".join(ends) + "."


def _named_predictions(content: Content) -> dict[str, np.ndarray]:
    named = {f"generation {number}": each for number, each in enumerate(content.predictions)}
    members, mean = content.ensemble()
    if len(members) > 1:
        named[f"ensemble {members[0]}-{members[-1]}"] = mean
    return named


def _gradient(content: Content) -> str:
    if content.analysis is None:
        return ""
    return markup.figure(
        content.analysis,
        "png",
        "Share of dark knowledge in the gradient, agreement with the teacher and divergence from "
        "it, epoch for epoch, and how sure the teacher was. The numbers are in "
        "generation-*/analysis.json.",
        "After each epoch, on the same training examples (Furlanello et al., 2018, eqs. 7 to 10). "
        "Weights by the teacher's confidence are equal where their entropy is 1.",
        wide=True,
    )


def _calibration(content: Content) -> str:
    named = dict(list(_named_predictions(content).items())[-_MOST_DIAGRAMS:])
    labels = content.test.labels
    measured = {name: statistics.evaluate(each, labels) for name, each in named.items()}
    rows = [
        (
            name,
            f"{100 * each['confidence']:.2f}",
            f"{100 * each['accuracy']:.2f}",
            f"{each['expected_calibration_error']:.4f}",
            f"{each['negative_log_likelihood']:.4f}",
            f"{each['brier_score']:.4f}",
        )
        for name, each in measured.items()
    ]
    headings = (
        "generation or ensemble",
        "mean confidence (%)",
        "accuracy (%)",
        "expected calibration error",
        "negative log-likelihood",
        "Brier score",
    )
    diagrams = {name: statistics.reliability(each, labels) for name, each in named.items()}
    return markup.figure(
        plots.svg(plots.reliability_diagrams(diagrams)),
        "svg+xml",
        "Reliability diagrams: accuracy against confidence in 15 bins, for "
        + ", ".join(named)
        + ". The table below has their calibration errors.",
        "Dots below the diagonal are over-confident. The larger a dot, the more examples; lines "
        "are Wilson's 95 % intervals.",
        wide=True,
    ) + markup.table("Calibration", headings, rows)


def _confusion(content: Content) -> str:
    named = _named_predictions(content)
    chosen = {name: named[name] for name in dict.fromkeys(("generation 0", list(named)[-1]))}
    parts = []
    for name, each in chosen.items():
        counts = statistics.confusion_matrix(each, content.test.labels)
        worst = _most_confused(counts, content.class_names)
        most = "; ".join(f"{true} taken for {other}, {n} times" for true, other, n, _ in worst[:3])
        parts.append(
            markup.figure(
                plots.svg(plots.confusion_matrix(counts, content.class_names, name)),
                "svg+xml",
                f"Confusion matrix of {name}. Most often confused: {most or 'nothing'}.",
            )
        )
        if worst:
            headings = ("true class", "taken for", "times", "of this class (%)")
            caption = f"Most frequent confusions of {name}"
            parts.append(markup.table(caption, headings, worst, texts=2))
    return "\n".join(parts)


def _most_confused(
    counts: np.ndarray, class_names: tuple[str, ...]
) -> list[tuple[str, str, str, str]]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSED]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    return [
        (
            class_names[true],
            class_names[other],
            str(wrong[true, other]),
            f"{100 * wrong[true, other] / counts[true].sum():.1f}",
        )
        for true, other in pairs
        if wrong[true, other]
    ]


def _changes(content: Content) -> str:
    parts = []
    for number in range(1, len(content.predictions)):
        found = examples.changes(*content.predictions[number - 1 : number + 1], content.test.labels)
        parts.append(markup.subheading(f"Generation {number} against generation {number - 1}"))
        for kind, listed in zip(("right", "wrong"), found, strict=True):
            shown = [_example(content, each) for each in listed[: examples.SHOWN]]
            more = f", of which {len(shown)} are shown" if len(shown) < len(listed) else ""
            parts.append(markup.paragraph(f"{len(listed)} newly {kind}{more}."))
            if shown:
                parts.append(markup.gallery(shown))
    return "\n".join(parts)


def _example(content: Content, change: examples.Change) -> str:
    true, before, after = (content.class_names[each] for each in change[1:])
    place = np.flatnonzero(content.test.shown == change.index)
    words = f"test example {change.index}: true {true}, was {before}, is {after}"
    if not len(place):
        return markup.paragraph(words)
    return markup.figure(_image(content.test.images[place[0]]), "png", f"Image of {words}", words)


def _image(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "png")
    return file.getvalue()


def _ensemble(content: Content) -> str:
    members, mean = content.ensemble()
    if len(members) < 2:
        return ""
    labels = content.test.labels
    errors = [float(np.mean(each.argmax(axis=-1) != labels)) for each in content.predictions]
    single = [errors[member] for member in members]
    together = float(np.mean(mean.argmax(axis=-1) != labels))
    everyone = statistics.pairwise_disagreement(content.predictions)
    pairs = everyone[np.ix_(members, members)][np.triu_indices(len(members), 1)]
    change = 100 * (together - np.mean(single))
    words = (
        f"The ensemble of generations {members[0]} to {members[-1]} has {100 * together:.2f} % "
        f"test error; its members have {100 * np.mean(single):.2f} % on average and "
        f"{100 * min(single):.2f} % at best. Averaging changes their mean error by {change:+.2f} "
        f"points. Two members disagree on {100 * pairs.mean():.2f} % of the test examples on "
        "average."
    )
    names = [str(number) for number in range(len(everyone))]
    rows = [
        (name, *(f"{100 * cell:.2f}" for cell in row))
        for name, row in zip(names, everyone, strict=True)
    ]
    return markup.paragraph(words) + markup.table(
        "Test examples on which two generations disagree (%)",
        ("generation", *names),
        rows,
    )


def _provenance(content: Content) -> str:
    run = content.summary["run"]
    seconds = sum(row["seconds"] or 0.0 for row in content.summary["generations"])
    facts = {
        "data set": run["dataset"],
        "architecture": run["architecture"],
        "objective": run["objective"],
        "seed": str(run["seed"]),
        "epochs of a generation": str(run.get("epochs", "unknown")),
        "training time": f"{seconds:.0f} seconds",
        **({"finished": run["finished"]} if run.get("finished") else {}),
        **run.get("environment", {}),
    }
    parts = [markup.table("Setting", ("what", "value"), list(facts.items()), texts=2)]
    if run.get("command"):
        parts += [markup.paragraph("The command that gives this run:"), markup.code(run["command"])]
    parts += [
        markup.paragraph("To go on with it, for instance with a larger --gens:"),
        markup.code(content.resume),
        markup.paragraph(
            "The test set was only reported on, never chosen by. Changes against generation 0 are "
            "paired on the same test examples: the interval is Agresti and Min's (2005), the test "
            "is McNemar's exact one, and a change counts as significant only if both agree at "
            "95 %. Nothing is corrected for multiple comparisons. Calibration error has 15 bins "
            "of equal width (Guo et al., 2017)."
        ),
    ]
    return "\n".join(parts)
