"""Tiny Keras models with fixed weights, and what they give in plain NumPy.

Every backend is checked against the same NumPy arithmetic, which shares no
code with Keras.
"""

import keras
import numpy as np
from keras import layers


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


class Images:
    """6 × 6 colour images, a convolution, 3 classes."""

    def __init__(self, activation="softmax"):
        rng = np.random.default_rng(1)
        self.kernel = rng.normal(size=(3, 3, 2, 4))
        self.dense = rng.normal(size=(64, 3)) / 10
        self.activation = activation
        self.x = rng.normal(size=(24, 6, 6, 2)).astype("float32")
        self.attributions = rng.normal(size=self.x.shape)
        self.y = rng.integers(0, 3, 24)

    def keras(self):
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(4, 3, activation="relu", use_bias=False),
                layers.Flatten(),
                layers.Dense(3, self.activation, use_bias=False),
            ]
        )
        model.set_weights([self.kernel, self.dense])
        return model

    def logits(self, x):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        hidden = np.einsum("nijcab,abco->nijo", windows, self.kernel)
        return np.maximum(hidden, 0).reshape(len(x), -1) @ self.dense

    def probabilities(self, x):
        return softmax(self.logits(np.asarray(x, "float64")))


class Texts:
    """Texts of 12 token ids, averaged embeddings, 3 classes."""

    def __init__(self):
        rng = np.random.default_rng(2)
        self.embedding = rng.normal(size=(30, 5)) * 3
        self.embedding[0] = 0
        self.dense = rng.normal(size=(5, 3))
        self.tokens = rng.integers(3, 30, (16, 12))
        for row, length in zip(self.tokens, rng.integers(2, 13, 16)):
            row[length:] = 0
        self.scores = rng.normal(size=self.tokens.shape)

    def keras(self):
        model = keras.Sequential(
            [
                keras.Input((12,), dtype="int32"),
                layers.Embedding(30, 5),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3, "softmax", use_bias=False),
            ]
        )
        model.set_weights([self.embedding, self.dense])
        return model

    def probabilities(self, tokens):
        return softmax(self.embedding[tokens].mean(1) @ self.dense)


def linear(weights, activation=None):
    """`x @ weights`, a Keras model."""
    weights = np.asarray(weights, "float32")
    model = keras.Sequential(
        [
            keras.Input(weights.shape[:1]),
            layers.Dense(weights.shape[1], activation, use_bias=False),
        ]
    )
    model.set_weights([weights])
    return model


class Predicts:
    """The least that a measure needs of a model, and the calls it made."""

    def __init__(self, function):
        self.function = function
        self.calls = []

    def predict(self, x, batch_size=None, verbose="auto"):
        self.calls.append(np.array(x))
        return self.function(np.array(x))
