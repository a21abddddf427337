"""What language models made of each word of a text; `metrics.tokens` has the metrics of that.

Distributions over all words are never kept, only what the numbers need of them: all generations
read the text side by side, and an ensemble's probability is the mean of its members'.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ban_tf.datasets import text_batches
from ban_tf.distillation.teachers import mean_logits
from ban_tf.tasks.language_training import reset_states

_MANY_UNKNOWN = 0.1  # a share of unknown words that is warned of

Scores = dict[str, np.ndarray]


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
    if average == "logits" and len(logs) > 1:
        return tf.nn.log_softmax(tf.add_n(logs) / len(logs))
    return mean_logits(logs)


def _of_words(logs: tf.Tensor, following: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "log_probability": tf.gather(logs, following, batch_dims=2),
        "wrong": tf.argmax(logs, -1, tf.int32) != following,
        "confidence": tf.exp(tf.reduce_max(logs, -1)),
        "sum_of_squares": tf.reduce_sum(tf.exp(2.0 * logs), -1),
    }


def warn_of_unknown_words(share: float, part: str) -> None:
    """Warns where many words of a text count as `<unk>`.

    Args:
        share: Their share.
        part: Which text it is, in words.
    """
    if share > _MANY_UNKNOWN:
        logging.warning(
            "%.1f %% of the words of the %s text are unknown and count as <unk>, which is easy to "
            "predict: its perplexity is not comparable with that of another vocabulary.",
            100 * share,
            part,
        )
