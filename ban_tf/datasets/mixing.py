"""Mixes the examples of batches by mixup, by CutMix, or by one of both for each batch.

Draws depend on (seed, step), as for other augmentation.
"""

from __future__ import annotations

import tensorflow as tf

from ban_tf.datasets import cutmix, mixup


@tf.autograph.experimental.do_not_convert  # whose conversion takes longer than tracing
def mixed_batches(
    batches: tf.data.Dataset,
    num_classes: int,
    seed: int,
    first_step: int = 0,
    *,
    mixup_alpha: float | None = None,
    cutmix_alpha: float | None = None,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> tf.data.Dataset:
    """Mixes every batch of a dataset.

    Args:
        batches: (images, labels) as for `mixup.mix`, of all replicas.
        num_classes: The number of classes.
        seed: The seed of the draws.
        first_step: The step of the whole training with which the dataset starts.
        mixup_alpha: See `mixup.mix`; None for no mixup.
        cutmix_alpha: See `cutmix.cut`; None for no CutMix. Beside mixup, each batch has one of
            both, equally often.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.

    Returns:
        A dataset of (images, labels), labels as distributions.
    """

    def by_mixup(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> tuple:
        return mixup.mix(images, labels, num_classes, mixup_alpha or 0.0, draws)

    def by_cutmix(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> tuple:
        return cutmix.cut(images, labels, num_classes, cutmix_alpha or 0.0, draws)

    def mix(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        draws = tf.cast(tf.stack([tf.constant(seed, tf.int64), step]), tf.int32)
        if not cutmix_alpha:
            return by_mixup(*batch, draws)
        if not mixup_alpha:
            return by_cutmix(*batch, draws)
        which, draws = tf.unstack(tf.random.split(draws, 2))
        return tf.cond(
            tf.random.stateless_uniform([], which) < 0.5,
            lambda: by_mixup(*batch, draws),
            lambda: by_cutmix(*batch, draws),
        )

    def some(*batch: tf.Tensor) -> tf.data.Dataset:
        cut = [
            tf.stack(tf.split(part, num_shards)[shard_range.start : shard_range.stop])
            for part in batch
        ]
        return tf.data.Dataset.from_tensor_slices(tuple(cut))

    mixed = batches.enumerate(first_step).map(mix, tf.data.AUTOTUNE, deterministic=True)
    return mixed if num_shards == 1 else mixed.flat_map(some).prefetch(2 * len(shard_range))
