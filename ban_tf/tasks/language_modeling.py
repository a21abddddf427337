"""Language modeling: `text`, and files of text.

Networks are stateful, teacher and student in step; the learning rate is lowered when validation
perplexity no longer falls; and the reported metric is perplexity (Furlanello et al., 2018, section
4.3).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import keras

from ban_tf import architectures, objectives
from ban_tf.compat import distribute
from ban_tf.compat.streams import with_streams
from ban_tf.datasets import content, text, text_batches
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import tokens
from ban_tf.runs import class_files, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import hardware
from ban_tf.tasks import (
    data_facts,
    language_inference,
    language_scores,
    language_teachers,
    language_training,
    recording_choice,
    saturation,
)
from ban_tf.tasks.language_training import (
    LanguageAnalysis,
    Perplexity,
    PlateauSchedule,
    StateReset,
)
from ban_tf.tasks.task import Task

# Words of the training text for `--analyse`.
_ANALYZED = 20_000


class LanguageModeling(Task):
    """Networks that predict the next word of a text; see `Task`."""

    finished = language_inference
    shown = ("loss", "perplexity", "val_perplexity")
    analysis = LanguageAnalysis
    validation_metric = "perplexity"
    kind = "language"
    data: text.TextData
    _test_scores: list[language_scores.Scores]
    _validated: dict[tuple[int, ...], float]  # validation perplexity of generations

    @property
    def _sizes(self) -> tuple[int, int]:
        """Streams and steps of a batch."""
        return self.options.batch_size, self.options.unroll

    def load(self) -> None:
        """Reads the text."""
        self.data = text.load(self.options.dataset)
        streams, steps = self._sizes
        logits = streams // self.workers.count * steps * len(self.data.vocabulary)
        hardware.check_memory(
            8 * logits,
            f"--batch_size={streams} with --unroll={steps}",
            f"the logits of {len(self.data.vocabulary):,} words and their gradients",
        )
        if self.workers.chief:
            language_training.warn_of_missing_labels(self.options)
            for part in ("validation", "test"):
                language_scores.warn_of_unknown_words(self.data.unknown_share(part), part)

    def describe(self) -> str:
        """Returns the name of the text and its numbers of words."""
        data = self.data
        return (
            f"{data.name}: {len(data.train):,} training, {len(data.validation):,} validation, "
            f"{len(data.test):,} test words, {len(data.vocabulary):,} different ones, "
            f"{100 * data.unknown_share('test'):.1f} % of the test words unknown"
        )

    def open(self, directory: RunDirectory) -> None:
        """Decides whether the outputs of teachers are recorded, and checks that there is space."""
        self.recorded = recording_choice.is_recorded(self.options, directory)
        if self.recorded:
            forms = language_teachers.forms(self.options, self.data)
            recording_choice.check_space(self.options, *forms)

    def remarks(self) -> list[str]:
        """Returns how large the recordings of teachers are."""
        if not self.recorded:
            return []
        forms = language_teachers.forms(self.options, self.data)
        return [recording_choice.describe_space(self.options, *forms)]

    def identity(self) -> Mapping[str, Any]:
        """Returns the numbers of words and a hash of the text."""
        data = self.data
        train, different = len(data.train) + len(data.validation), len(data.vocabulary)
        known_by = content.of_tokens(data.vocabulary, (data.train, data.validation, data.test))
        return {
            "words": f"{train} to train with and {len(data.test)} to test with, {different} "
            "different ones",
            "data": data_facts.known_by(known_by),
        }

    def files(self) -> Mapping[str, bytes]:
        """Returns the vocabulary, without which the models cannot be used."""
        data = self.data
        shares = {part: data.unknown_share(part) for part in ("train", "validation", "test")}
        facts = {"dataset": data.name, "unknown_share": shares, "words": list(data.vocabulary)}
        return {reading.VOCABULARY: json.dumps(facts, indent=1).encode()}

    def steps_per_epoch(self) -> int:
        """Returns the number of batches in the training text."""
        return text_batches.training_steps(self.data.train, *self._sizes)

    def examples_per_step(self) -> int:
        """Returns the number of words in a batch."""
        return self.options.batch_size * self.options.unroll

    def training_batches(self, generation: int, epoch: int, step: int, *teacher: Any) -> Any:
        """Returns the training text, repeated without end, from a step of an epoch on."""
        return self.workers.distribute_dataset(
            text_batches.training_batches,
            self.data.train,
            *self._sizes,
            first_step=step,
            teacher_logits=self._record(generation, language_teachers.TRAIN, *teacher),
        )

    def validation_batches(self) -> Any:
        """Returns the validation text."""
        return self._validation if self.recorded else self._validation(0)

    def _validation(self, generation: int, *teacher: Any) -> Any:
        """Returns the validation text for a generation, with its recorded teacher if any."""
        return self.workers.validation_dataset(
            text_batches.evaluation_batches,
            self.data.validation,
            *self._sizes,
            teacher_logits=self._record(generation, language_teachers.VALIDATION, *teacher),
        )

    def _record(self, generation: int, part: str, *teacher: Any) -> Callable[[Any], Any] | None:
        """Records the teacher of a generation, if one is given; returns its logits by rows."""
        if not any(teacher):
            return None
        recorded = self.workers.run_on_chief_first(
            lambda: language_teachers.record(self.options, self.data, part, teacher[0], generation)
        )
        return functools.partial(recorded.logits, 0)

    def analyzed_batches(self) -> Any:
        """Returns the beginning of the training text, in the streams of one replica."""
        some = self.data.train[: _ANALYZED + 1]
        streams = self.options.batch_size // self.workers.replicas
        return text_batches.training_batches(some, streams, self.options.unroll)

    def build(self, network: str) -> keras.Model:
        """Builds a stateful network.

        In the scope of a strategy its state has the per-replica batch size.
        """
        streams = self.options.batch_size // distribute.replica_count()
        with architectures.named(self.flag_of(network)):
            return architectures.build_language_model(
                network, self.data.vocabulary, streams, **self.options.architecture_settings()
            )

    def first_model(self) -> keras.Model | None:
        """Returns the model of `--teacher_from`, with states of its own for each stream.

        Raises:
            InputError: It is no language model of these words.
        """
        path = self.options.teacher_from
        if not path:
            return None
        given = language_teachers.given(path, self.data.vocabulary)
        streams = self.options.batch_size
        self.given = with_streams(given, streams)
        with self.workers.scope():
            return with_streams(given, streams // distribute.replica_count())

    def _models(self, lineage: Lineage, *numbers: int) -> list[keras.Model]:
        """Returns generations with states for all streams, also where replicas share them."""
        given = self.given
        return [lineage.model(number) if number or given is None else given for number in numbers]

    def ensemble_member(self, lineage: Lineage, number: int) -> keras.Model:
        """Returns a stateless copy of a generation."""
        (model,) = self._models(lineage, number)
        return with_streams(model, None)

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy and perplexity."""
        loss = objectives.LabelCrossEntropy(label_smoothing=self.options.label_smoothing)
        return {"loss": loss, "weighted_metrics": [Perplexity()]}

    def callbacks(self, generation: int, rows: list[dict]) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that reset the states and that lower the learning rate."""
        options = self.options
        callbacks: list[keras.callbacks.Callback] = [StateReset()]
        if options.schedule == "plateau":
            callbacks.append(
                PlateauSchedule(options.plateau_factor, options.plateau_threshold, rows)
            )
        return callbacks

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether validation perplexity fell by more than its 95 % interval."""
        number = lineage.generations[-1].number
        models = self._models(lineage, number - 1, number)
        before, now = language_scores.score(models, [[0], [1]], self._sizes, self.data.validation)
        return saturation.likelihood_improved(now["log_probability"], before["log_probability"])

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates perplexity, error and confidence on the words of the text."""
        models = self._models(lineage, *range(len(lineage.generations)))
        average = self.options.ensemble_average
        validation, test = (
            language_scores.score(models, groups, self._sizes, words, average)
            for words in (self.data.validation, self.data.test)
        )
        self._validated = {
            tuple(group): tokens.perplexity(scores)
            for group, scores in zip(groups, validation, strict=True)
        }
        self._test_scores = test[: len(models)]
        language_scores.keep(self._test_scores, directory)
        return [
            {
                **tokens.evaluate(scores, test[0] if index else None),
                "validation_perplexity": self._validated[tuple(groups[index])],
            }
            for index, scores in enumerate(test)
        ]

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float]:
        """Returns the perplexities of the validation text, as `rows` has measured them."""
        return [self._validated[tuple(group)] for group in groups]

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the words that the report shows, and those around them."""
        words, vocabulary = self.data.test, self.data.vocabulary
        shown = language_scores.contexts(self._test_scores, words, vocabulary)
        directory.commit(class_files.snippet_files(shown))
