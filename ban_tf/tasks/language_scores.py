"""Predictions of language models for each word of a text; `metrics.tokens` evaluates them.

Distributions over all words are not stored, only the values that the metrics need. All
generations read the text together, and an ensemble's probability is the mean of its members'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops

from ban_tf.compat import compiled, outputs
from ban_tf.compat.loss_kinds import CATEGORICAL
from ban_tf.datasets import text_batches
from ban_tf.distillation.teachers import mean_logits
from ban_tf.runs import class_files
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks.language_training import reset_states
from ban_tf.training import checkpoints

_SHOWN = 12  # words with a better prediction in a report, and as many with a worse one
_BEFORE = 9  # words before each of them
_MANY_UNKNOWN = 0.1  # fraction of unknown words from which a warning is shown

Scores = dict[str, np.ndarray]


def score(
    models: list[keras.Model],
    groups: list[list[int]],
    sizes: tuple[int, int],
    tokens: np.ndarray,
    average: str = "probabilities",
) -> list[Scores]:
    """Runs models on a text, and returns scores of each group for each word.

    Args:
        models: Stateful networks to logits, or to probabilities.
        groups: Indices of the models whose distributions are averaged.
        sizes: Streams and steps of a batch.
        tokens: int32 `[tokens]`.
        average: "probabilities" or "logits".

    Returns:
        For each group arrays `[tokens - 1]`, in the order of the text: `log_probability` of the
        actual word, whether it was not the most likely one (`wrong`), the probability of the most
        likely one (`confidence`), and the `sum_of_squares` of all probabilities.
    """
    ends = [outputs.first_activation(model) for model in models]

    def look(batch: Any) -> list[dict[str, Any]]:
        words, following = batch
        logs = [
            ops.log_softmax(outputs.to_logits(model(words, training=False), end, CATEGORICAL))
            for model, end in zip(models, ends, strict=True)
        ]
        return [
            _of_words(_mean([logs[member] for member in group], average), following)
            for group in groups
        ]

    read = compiled.inference(look, models)
    for model in models:
        reset_states(model)
    collected: list[dict[str, list[np.ndarray]]] = [{} for _ in groups]
    for words, following, _ in text_batches.evaluation_batches(tokens, *sizes):
        for found, group in zip(read((words, following)), collected, strict=True):
            for name, values in found.items():
                group.setdefault(name, []).append(values)
    # Streams one after the other are the text; padding is at its end.
    return [
        {
            name: np.concatenate(arrays, axis=1).reshape(-1)[: len(tokens) - 1]
            for name, arrays in group.items()
        }
        for group in collected
    ]


def _mean(logs: list[Any], average: str) -> Any:
    """Returns log-probabilities of the mean of several models, `[batch, steps, words]`."""
    if average == "logits" and len(logs) > 1:
        return ops.log_softmax(sum(logs[1:], start=logs[0]) / len(logs))
    return mean_logits(logs)


def _of_words(logs: Any, following: Any) -> dict[str, Any]:
    actual = ops.take_along_axis(logs, ops.expand_dims(following, -1), axis=-1)
    return {
        "log_probability": actual[..., 0],
        "wrong": ops.cast(ops.argmax(logs, axis=-1), "int32") != following,
        "confidence": ops.exp(ops.max(logs, axis=-1)),
        "sum_of_squares": ops.sum(ops.exp(2.0 * logs), axis=-1),
    }


def keep(scores: list[Scores], directory: RunDirectory) -> None:
    """Stores the scores of each generation for reports; see `class_files.read_word_scores`.

    Args:
        scores: Those of generations 0, 1, ...
        directory: The run directory.
    """
    directory.commit(
        {
            f"generation-{number}/predictions.npz": checkpoints.pack(
                [of_one[name].astype(np.float32) for name in class_files.WORD_SCORES]
            )
            for number, of_one in enumerate(scores)
        }
    )


def contexts(scores: list[Scores], tokens: np.ndarray, vocabulary: Sequence[str]) -> dict[int, str]:
    """Returns the words that the last generation predicts much better or worse than the first.

    Args:
        scores: Those of generations 0, 1, ...; of one alone, its least likely words are chosen.
        tokens: int32 `[tokens]`.
        vocabulary: The words.

    Returns:
        By their index in the scores: some words before each, the word in brackets, and the next.
    """
    change = scores[-1]["log_probability"].astype(np.float64)
    if len(scores) > 1:
        change = change - scores[0]["log_probability"]
    order = np.argsort(change, kind="stable")
    chosen = order[:_SHOWN] if len(scores) == 1 else [*order[:_SHOWN], *order[::-1][:_SHOWN]]
    found = {}
    for index in sorted({int(index) for index in chosen}):
        words = [vocabulary[token] for token in tokens[max(0, index + 1 - _BEFORE) : index + 3]]
        place = min(index + 1, _BEFORE)
        words[place] = f"[{words[place]}]"
        found[index] = " ".join(words)
    return found


def warn_of_unknown_words(share: float, part: str, scored: bool = True) -> None:
    """Warns if many words of a text are unknown.

    Args:
        share: Their fraction.
        part: The name of the text.
        scored: Whether its perplexity is measured, which depends on them.
    """
    if share <= _MANY_UNKNOWN:
        return
    sentence = "%.1f %% of the words of the %s text are unknown and become <unk>"
    if scored:
        sentence += (
            ", which is easy to predict: its perplexity is not comparable with that of another "
            "vocabulary"
        )
    logging.warning(f"{sentence}.", 100 * share, part)
