"""A born-again text classifier: an embedding, a mask over the padding, a recurrent layer.

Run as `python examples/text_classifier.py`; it takes some seconds on a CPU.
"""

import keras
import numpy as np

import ban_tf

random = np.random.default_rng(0)
WORDS = {
    "weather": ["rain", "wind", "sun", "cloud", "storm", "snow", "degrees", "tomorrow"],
    "sport": ["goal", "team", "match", "score", "player", "season", "win", "tomorrow"],
    "food": ["bread", "salt", "oven", "soup", "taste", "sugar", "win", "degrees"],
}
vocabulary = sorted({word for words in WORDS.values() for word in words})
number = {word: index + 1 for index, word in enumerate(vocabulary)}  # 0 is padding


def sentence(topic):
    words = random.choice(WORDS[topic], random.integers(2, 9))
    return [number[word] for word in words]


labels = random.integers(0, len(WORDS), 600)
sentences = [sentence(list(WORDS)[label]) for label in labels]
tokens = keras.utils.pad_sequences(sentences, maxlen=8, padding="post")


def build():
    return keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            keras.layers.Embedding(len(vocabulary) + 1, 16, mask_zero=True),
            keras.layers.GRU(16),
            keras.layers.Dense(len(WORDS)),
        ]
    )


def fit(teacher=None, **options):
    model = ban_tf.BornAgainModel(build(), teacher=teacher, **options)
    model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    model.fit(tokens, labels, epochs=5, batch_size=64, validation_split=0.2, verbose=2)
    return model


# On text, learning from labels beside the teacher does best (Furlanello et al., 2018, table 6).
first = fit()
second = fit(teacher=first, objective="kd+labels", temperature=2.0)
second.student.save("text_classifier.keras")
