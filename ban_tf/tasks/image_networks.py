"""The networks of a run on images. All of them take the pixels of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras

from ban_tf import architectures, datasets
from ban_tf.architectures import adapted, backbones, pixels
from ban_tf.compat import outputs
from ban_tf.config.options import Options
from ban_tf.datasets import policies
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.layers import batch_normalization
from ban_tf.layers.fold import fold
from ban_tf.runs import eval_batches, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import devices, hardware, seeds
from ban_tf.tasks import given_teacher, number_scores
from ban_tf.tasks.given_recording import targets_of
from ban_tf.tasks.task import Task

_RANDOM = {"weights": backbones.NONE, "freeze": None, "backbone_learning_rate": None}


def check_memory(networks: Sequence[keras.Model], batch_size: int, workers: Workers) -> None:
    """Checks that a batch of the largest feature maps fits into the memory of a processor.

    Args:
        networks: Those that are trained.
        batch_size: The value of `--batch_size`.
        workers: The workers that share a batch.

    Raises:
        InputError: It does not.
    """
    if devices.accelerators():
        return
    hardware.check_memory(
        8 * eval_batches.largest_map(networks) * (batch_size // workers.count),
        f"--batch_size={batch_size}",
        "the largest feature maps and their gradients",
    )


def common_end(networks: Sequence[keras.Model], options: Options, workers: Workers) -> str:
    """Returns the last activation of all networks that a run trains.

    Raises:
        InputError: They end differently, or a batch of their feature maps does not fit into the
            memory of a processor.
    """
    check_memory(networks, options.batch_size, workers)
    ends = {outputs.first_activation(network) for network in networks}
    if len(ends) > 1:
        raise InputError(
            f"--student_arch={options.student_arch} and --arch={options.arch} must both end in "
            "logits or both in probabilities."
        )
    return ends.pop()


class ImageNetworks:
    """Builds the networks of a run.

    The run has the pixels that its born-again networks take. A network that takes other ones, or a
    given teacher, is wrapped.

    Args:
        task: The task of the run.
        data: The data, normalized by the statistics of its training images.
        per_pixel: Whether networks classify each pixel.

    Attributes:
        data: The data in the pixels of the run.
        form: The pixels of the run, one of `pixels.FORMS`.
        target: The number that networks predict, standardized; given teachers have it in its own
            unit. None for classes.
    """

    target: number_scores.Target | None = None

    def __init__(self, task: Task, data: datasets.ImageData, per_pixel: bool = False):
        self._task, self._per_pixel = task, per_pixel
        self._normalized = pixels.Pixels(data.mean, data.std)
        self.data = data
        policy = policies.resolve(task.options.augment, data.augment, data.input_shape)
        policies.check(policy, data.input_shape)
        with seeds.seeded(0):  # does not advance the random state
            self._forms = {name: self._form_of(name) for name in task.options.architectures}
        self.form = self._forms[task.options.architectures[-1]]
        mean, std, _ = self._described(self.form)
        self.data = dataclasses.replace(data, mean=mean, std=std)

    def _form_of(self, network: str) -> str:
        """Returns the form of pixels that a network takes."""
        form = self._task.options.input
        if form != "auto":
            return form
        if architectures.is_pretrained(network):
            return pixels.RAW  # which they prepare inside
        return pixels.of_model(self._built(network)) if ":" in network else pixels.NORMALIZED

    @property
    def normalized_data(self) -> datasets.ImageData:
        """The data, normalized by the statistics of its training images."""
        mean, std, _ = self._normalized
        return dataclasses.replace(self.data, mean=mean, std=std)

    def _described(self, form: str) -> pixels.Pixels:
        return pixels.described(form, *self._normalized[:2])

    def build(self, network: str, random: bool = False) -> keras.Model:
        """Builds a network from images of the run's pixels to logits.

        Args:
            network: Its name.
            random: Whether its backbone starts from random weights, and nothing is frozen.
        """
        model = self._built(network, random)
        if self._task.options.sync_batch_norm:
            batch_normalization.synchronize(model)
        own, given = self._described(self._forms[network]), self._described(self.form)
        return pixels.taking(model, own, given)

    def _built(self, network: str, random: bool = False) -> keras.Model:
        mean, std, _ = self._normalized
        settings = {**self._task.settings_of(network), **(_RANDOM if random else {})}
        with architectures.named(self._task.flag_of(network)):
            return architectures.build(
                network,
                self.data.input_shape,
                self.data.num_classes,
                mean=mean,
                std=std,
                per_pixel=self._per_pixel,
                **settings,
            )

    def end(self, networks: Sequence[keras.Model]) -> str:
        """Returns the last activation of all networks that a run trains; see `common_end`."""
        return common_end(networks, self._task.options, self._task.workers)

    def given(self, path: str) -> keras.Model:
        """Loads the model of `--teacher_from`.

        Args:
            path: Its file.

        Returns:
            A model that takes the images of the run.

        Raises:
            InputError: It does not fit the data, or is no better than chance.
        """
        options = self._task.options
        model = given_teacher.load(path, self.data.input_shape)
        given_teacher.check_fits(model, path, options.dataset, self.data, self.data.num_classes)
        given_teacher.check_classes(path, options.dataset, self.data)
        return self._taking(model, path, None)

    def teacher(self, path: str) -> tuple[keras.Model, list[int | None] | None]:
        """Loads a teacher of generation 0, of any size and perhaps of other classes.

        Args:
            path: Its file.

        Returns:
            A model that takes the images of the run, in --teacher_precision unless that is auto,
            and the class of the data of each of its classes; None if they are the same.

        Raises:
            InputError: It does not fit the data, or is no better than chance.
        """
        options, data = self._task.options, self.data
        model = given_teacher.load(path, self.data.input_shape)
        mapped = options.teacher_classes
        given_teacher.check_fits(
            model, path, options.dataset, data, None if mapped else data.num_classes
        )
        if options.teacher_precision not in ("same", "auto"):
            model = fold(model, options.teacher_precision)
        classes = model.output_shape[-1]
        names = given_teacher.class_names_of(path)
        targets = targets_of(names, classes, data, mapped, f"--teacher_from={path}")
        return self._taking(model, path, targets), targets

    def _taking(
        self, model: keras.Model, path: str, targets: list[int | None] | None
    ) -> keras.Model:
        """Returns a given model, made to take the images of the run, after checking it."""
        form = given_teacher.form_of(model, path, self._task.options.teacher_input)
        # Only of one class of each image it is known how often chance is right.
        if self._task.output_kind == "categorical" and not self._per_pixel:
            given_teacher.check_accuracy(model, path, form, self.data, self._normalized, targets)
        own = given_teacher.described(model, form, self._normalized)
        taking = adapted.adapted(model, own, self._described(self.form), self.data.input_shape)
        if self.target is None:
            return taking
        images = keras.Input(taking.input_shape[1:])
        numbers = number_scores.from_unit_of(self.target)(taking(images))
        return keras.Model(images, numbers, name=f"standardized_{taking.name}")

    def check_resumed(self, directory: RunDirectory) -> None:
        """Checks that a resumed run has the same pixels.

        Raises:
            RunDirectoryError: It has others.
        """
        if reading.DATA not in directory.names() or not directory.names("generation-"):
            return
        now = reading.DataFacts.of(self.data, self._task.options.resize)
        if directory.lists(reading.DATA, now.to_json()):
            return  # whether or not the file is whole: it is written again
        facts = reading.read_data_facts(reading.RunReader(directory.path))
        before = pixels.name_of(facts.mean, facts.std)
        if before != self.form:
            raise RunDirectoryError(
                f"{directory.path} holds a run on {before} pixels, but its networks now take "
                f"{self.form} ones; start again in another directory."
            )
