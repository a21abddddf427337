"""A label for each word: born-again taggers that read sentences of unequal length.

Padding counts for nothing: the embedding masks it, Keras passes the mask on to the outputs, and
losses, distillation and metrics leave masked positions out. Run as
`python examples/token_classifier.py`; it takes some seconds on a CPU.
"""

import keras
import numpy as np

import ban_tf

WORDS, TAGS, LONGEST = 40, 3, 12
random = np.random.default_rng(0)
KINDS = random.integers(0, TAGS, WORDS)  # of each word, as long as no word changes it


def tagged():
    """A sentence, and its tags: word 1 is "not", after which a word has the next tag."""
    words = random.integers(1, WORDS, random.integers(3, LONGEST + 1))
    after_not = np.concatenate([[False], words[:-1] == 1])
    return words, (KINDS[words] + after_not) % TAGS


sentences, tags = zip(*(tagged() for _ in range(600)), strict=True)
x = keras.utils.pad_sequences(sentences, LONGEST, padding="post")  # 0 is padding
y = keras.utils.pad_sequences(tags, LONGEST, padding="post")  # of padding, any tag will do


def build():
    words = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(WORDS, 16, mask_zero=True)(words)
    hidden = keras.layers.Bidirectional(keras.layers.GRU(16, return_sequences=True))(hidden)
    return keras.Model(words, keras.layers.Dense(TAGS)(hidden))


def fit(teacher=None, **options):
    model = ban_tf.BornAgainModel(build(), teacher=teacher, **options)
    model.compile(keras.optimizers.Adam(0.01), weighted_metrics=["accuracy"])
    model.fit(x, y, epochs=6, batch_size=50, validation_split=0.2, verbose=2)
    return model


first = fit()
second = fit(teacher=first, objective="kd+labels")
second.student.save("token_classifier.keras")  # a plain Keras model
