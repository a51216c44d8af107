"""Clean and masked samples in one pass: the same step, where it is taken.

Algorithm 1's loss, from one pass of each batch by itself, is computed here.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt

STEPS, WORDS, CLASSES = 6, 20, 3


def words_and_labels(samples=8):
    rng = np.random.default_rng(0)
    x = rng.integers(1, WORDS, (samples, STEPS)).astype("int32")
    x[:, -2:] = 0
    return x, rng.integers(0, CLASSES, samples).astype("int32")


class Own(layers.Layer):
    """Compares each sample with the others of its batch."""

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


class OwnCell(layers.SimpleRNNCell):
    def call(self, sequence, states, training=False):
        output, states = super().call(sequence, states, training=training)
        return output - ops.mean(output, axis=0, keepdims=True), states


def network(*middle, recurrent=None, **of_input):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(**(of_input or {"shape": (STEPS,)}), dtype="int32")
    wide = keras.initializers.RandomUniform(-2, 2)  # so that masking tells
    x = layers.Embedding(WORDS, 4, wide, mask_zero=True)(inputs)
    x = (recurrent or layers.Bidirectional(layers.LSTM(3)))(x)
    for layer in middle:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


ONE_PASS = {
    "lstm": network,
    "gru": lambda: network(recurrent=layers.GRU(3)),
    "cells": lambda: network(
        recurrent=layers.RNN([layers.LSTMCell(3), layers.GRUCell(3)])
    ),
    "normalised": lambda: network(layers.LayerNormalization()),
    "nested": lambda: keras.Sequential([keras.Input((STEPS,)), network()]),
    "batch size": lambda: network(batch_shape=(8, STEPS)),
    "convolution": lambda: network(
        layers.Reshape((6, 1)),
        layers.Conv1D(4, 3, activation="tanh"),
        layers.GlobalAveragePooling1D(),
    ),
}
TWO_PASSES = {
    "batch normalisation": lambda: network(layers.BatchNormalization()),
    "own layer": lambda: network(Own()),
    "own cell": lambda: network(recurrent=layers.RNN(OwnCell(3))),
    "operation": lambda: network(
        lambda x: x - ops.mean(x, axis=0, keepdims=True)
    ),
    "lambda": lambda: network(
        layers.Lambda(lambda x: x - ops.mean(x, axis=0, keepdims=True))
    ),
    "own activation": lambda: network(
        layers.Dense(3, lambda x: x - ops.mean(x, axis=0, keepdims=True))
    ),
    "softmax over samples": lambda: network(
        layers.Softmax(axis=0),
        layers.Dense(3, kernel_initializer=keras.initializers.Identity(20)),
    ),
    "nested own layer": lambda: keras.Sequential([network(Own())]),
    "not recurrent": lambda: network(recurrent=layers.GlobalAveragePooling1D()),
}


def guide(model, rate=0.0, **settings):
    masking = keras_sgt.masking.TokenMasking()
    guided = keras_sgt.SaliencyGuidedModel(model, masking=masking, **settings)
    guided.compile(
        keras.optimizers.SGD(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return guided


def algorithm_1(model, x, y, masked, share=1, kl_weight=1.0):
    """The loss and the divergence, from a pass of each batch by itself."""
    clean = ops.log_softmax(model(x, training=True))
    other = ops.log_softmax(model(masked, training=True))
    clean, other = map(ops.convert_to_numpy, (clean, other))
    entropy = -clean[np.arange(len(y)), y].mean()
    clean = clean[::share]
    divergence = (np.exp(clean) * (clean - other)).sum(1).mean()
    return entropy + kl_weight * divergence, divergence


@pytest.mark.parametrize(
    ("network_of", "share"),
    [
        *((name, 1) for name in ("lstm", "gru", "convolution")),
        *(
            pytest.param(name, 1, marks=pytest.mark.slow_to_compile)
            for name in ("cells", "normalised", "nested", "batch size")
        ),
        *(
            pytest.param(name, 1, marks=pytest.mark.slow_to_compile)
            for name in TWO_PASSES
        ),
        ("lstm", 4),
    ],
)
def test_the_loss_is_that_of_a_pass_of_each(network_of, share):
    model = {**TWO_PASSES, **ONE_PASS}[network_of]()
    x, y = words_and_labels()
    guided = guide(model, kl_weight=0.7, batch_fraction=1 / share)
    masked = guided.mask_on_batch(x[::share], y[::share])
    logs = guided.train_on_batch(x, y, return_dict=True)
    loss, divergence = algorithm_1(model, x, y, masked, share, 0.7)
    np.testing.assert_allclose(logs["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(logs["divergence"], divergence, rtol=1e-3)
    assert divergence > 1e-4


@pytest.mark.parametrize("share", [1, 2])
def test_padding_takes_no_part(share):
    """Keras's losses leave out the steps that an output marks as padding.

    From Keras 3.16 on recurrent layers do not mark them any more: whether
    padding counts is read off plain training.
    """
    model = network(recurrent=layers.LSTM(3, return_sequences=True))
    x, _ = words_and_labels()
    y = np.random.default_rng(0).integers(0, CLASSES, x.shape).astype("int32")
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(0.0), loss)
    plain_loss = plain.train_on_batch(x, y, return_dict=True)["loss"]
    guided = guide(model, batch_fraction=1 / share)
    masked = guided.mask_on_batch(x[::share], y[::share])
    logs = guided.train_on_batch(x, y, return_dict=True)
    clean, other = (
        ops.convert_to_numpy(ops.log_softmax(model(each)))
        for each in (x, masked)
    )
    entropy = -np.take_along_axis(clean, y[..., None], axis=-1)[..., 0]
    words = x > 0
    if abs(entropy[words].mean() - plain_loss) > 1e-4:
        words = np.ones_like(words)
    np.testing.assert_allclose(entropy[words].mean(), plain_loss, rtol=1e-4)
    clean = clean[::share]
    divergence = (np.exp(clean) * (clean - other)).sum(-1)[words[::share]]
    loss = entropy[words].mean() + divergence.mean()
    np.testing.assert_allclose(logs["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(logs["divergence"], divergence.mean(), rtol=1e-3)


@pytest.mark.parametrize("network_of", ONE_PASS)
def test_the_gradient_is_that_of_a_pass_of_each(network_of):
    model = ONE_PASS[network_of]()
    x, y = words_and_labels()
    guided = guide(model, rate=1.0, kl_weight=20.0)
    masked = guided.mask_on_batch(x, y)
    before = model.get_weights()
    guided.train_on_batch(x, y)
    gradient = [b - a for b, a in zip(before, model.get_weights())]
    squares = sum(float((g.astype("float64") ** 2).sum()) for g in gradient)
    step = 0.01 / squares**0.5

    def loss(sign):
        model.set_weights(
            [w + sign * step * g for w, g in zip(before, gradient)]
        )
        return algorithm_1(model, x, y, masked, kl_weight=20.0)[0]

    slope = (loss(1) - loss(-1)) / (2 * step)
    np.testing.assert_allclose(slope, squares, rtol=0.02)


def passes_in_training(model):
    """How often a step goes through the first recurrent or pooling layer."""
    found = []
    layer = model.layers[2]
    original = layer.call

    def counted(*args, training=None, **kwargs):
        found.append(training)
        return original(*args, training=training, **kwargs)

    vars(layer)["call"] = counted
    guide(model).train_on_batch(*words_and_labels())
    return found.count(True)


@pytest.mark.parametrize(
    ("build", "passes"),
    [
        (ONE_PASS["lstm"], 1),
        (TWO_PASSES["batch normalisation"], 2),
        (TWO_PASSES["operation"], 2),
    ],
)
def test_recurrent_networks_are_gone_through_once(build, passes):
    assert passes_in_training(build()) == passes


class Unsaved(layers.Layer):
    """A layer whose arguments no file can hold."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def test_a_layer_that_cannot_be_saved_trains():
    x, y = words_and_labels()
    history = guide(network(Unsaved(lambda x: x - 1))).fit(x, y, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_inputs_and_outputs_in_dicts():
    x = {"text": keras.Input((STEPS, 4)), "number": keras.Input((2,))}
    last = layers.GRU(3)(x["text"])
    both = layers.Concatenate()([last, x["number"]])
    heads = {
        "kind": layers.Dense(CLASSES, name="kind")(both),
        "size": layers.Dense(1, name="size")(both),
    }
    guided = keras_sgt.SaliencyGuidedModel(keras.Model(x, heads))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile(
        keras.optimizers.SGD(0.0), {"kind": loss, "size": "mean_squared_error"}
    )
    rng = np.random.default_rng(0)
    x = {
        "text": rng.random((8, STEPS, 4), dtype="float32"),
        "number": rng.random((8, 2), dtype="float32"),
    }
    y = {"kind": np.arange(8) % CLASSES, "size": np.ones((8, 1), "float32")}
    masked = guided.mask_on_batch(x, y)
    logs = guided.train_on_batch(x, y, return_dict=True)
    clean, other = (
        keras.tree.map_structure(ops.convert_to_numpy, guided.model(data))
        for data in (x, masked)
    )
    kinds = [
        ops.convert_to_numpy(ops.log_softmax(o["kind"])) for o in (clean, other)
    ]
    divergence = (np.exp(kinds[0]) * (kinds[0] - kinds[1])).sum(1).mean()
    divergence += ((clean["size"] - other["size"]) ** 2).mean()
    np.testing.assert_allclose(logs["divergence"], divergence, rtol=1e-3)
