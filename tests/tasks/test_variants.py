"""What the paper tried and dropped, and when to stop."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf import architectures
from ban_tf.distillation import activations
from ban_tf.tasks import saturation


def test_activations_are_compared_where_the_resolution_changes():
    models = [architectures.build("wrn-10-1", (8, 8, 1), 3) for _ in range(2)]
    assert activations.matching_layers(*models) == [
        ("group2_block1_first_relu", "group2_block1_first_relu"),
        ("group3_block1_first_relu", "group3_block1_first_relu"),
        ("final_relu", "final_relu"),
    ]


@pytest.mark.nightly
def test_activations_are_drawn_together():
    keras.utils.set_random_seed(0)
    teacher, student = (architectures.build("wrn-10-1", (8, 8, 1), 3) for _ in range(2))
    losses = activations.activation_losses(teacher, student, 1.0)
    model = ban_tf.BornAgainModel(student, teacher, "kd", distillation_losses=losses)
    model.compile(keras.optimizers.Adam(0.01))
    images = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    history = model.fit(images, np.zeros(32), batch_size=32, epochs=6, verbose=0).history
    assert history["distillation_loss"][-1] < 0.9 * history["distillation_loss"][0]


def test_networks_without_a_common_activation_are_refused():
    teacher = architectures.build("wrn-10-1", (8, 8, 1), 3)
    student = architectures.build("wrn-10-2", (8, 8, 1), 3)
    with pytest.raises(ValueError, match="--activation_weight needs activations of one shape"):
        activations.activation_losses(teacher, student, 1.0)


def _predictions(right):
    """Log-probabilities of two classes, label 0 throughout."""
    return np.log(np.where(np.asarray(right)[:, None], [[0.9, 0.1]], [[0.1, 0.9]]))


def test_an_error_that_fell_within_its_interval_has_not_improved():
    labels = np.zeros(400, int)
    before = np.arange(400) >= 80
    clearly, hardly = np.arange(400) >= 40, np.arange(400) >= 79
    assert saturation.error_improved(_predictions(clearly), _predictions(before), labels)
    assert not saturation.error_improved(_predictions(hardly), _predictions(before), labels)
    assert not saturation.error_improved(_predictions(before), _predictions(clearly), labels)


def test_a_perplexity_that_fell_within_its_interval_has_not_improved():
    generator = np.random.default_rng(0)
    before = generator.normal(-5, 2, 7000)
    noise = generator.normal(0, 1, 7000)
    assert saturation.likelihood_improved(before + noise + 0.2, before)
    assert not saturation.likelihood_improved(before + noise - noise.mean() + 0.01, before)
    assert not saturation.likelihood_improved(before, before + noise + 0.2)


def test_the_end_of_a_lineage_is_announced(capsys):
    assert not saturation.ends(improved=True, number=2)
    assert capsys.readouterr().out == ""
    assert saturation.ends(improved=False, number=2)
    assert "Generation 2 is not better than generation 1" in capsys.readouterr().out
