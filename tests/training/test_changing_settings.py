"""What changes while a model trains costs no new trace."""

import keras
import numpy as np
import pytest

import keras_sgt

STEPS = 40


@keras.saving.register_keras_serializable(package="test")
class Counting(keras.Model):
    """A network that counts how often it is called, or traced."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return self.dense(x)


class Changing(keras.callbacks.Callback):
    """Another weight and another fraction in every step."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.kl_weight = 0.5 + 0.1 * (batch % 7)
        self.model.mask_fraction = 0.1 + 0.1 * (batch % 5)


def calls_of_fits(fits):
    """How often the network was called in each of several `fit`s."""
    network, calls = Counting(), []
    guided = keras_sgt.SaliencyGuidedModel(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile("sgd", loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8 * STEPS - 4, 6)).astype("float32")
    y = rng.integers(0, 3, len(x)).astype("int32")
    for kl_weight, options in fits:
        before = network.calls
        guided.kl_weight = kl_weight
        guided.fit(x, y, batch_size=8, verbose=0, **options)
        calls.append(network.calls - before)
    assert all(np.isfinite(w).all() for w in guided.get_weights())
    return calls


WEIGHED = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
KINDS = {
    "class_weight": [
        (1.0, {"callbacks": [Changing()]}),
        (1.0, {"callbacks": [Changing()], **WEIGHED}),
    ],
    "kl_weight is 0": [(1.0, {}), (0.0, {})],
}


@pytest.mark.parametrize("kinds", list(KINDS))
def test_a_second_fit_of_a_kind_traces_nothing(kinds):
    calls = calls_of_fits(3 * KINDS[kinds])
    if keras_sgt.backend.TRACED:
        assert calls[2:] == [0, 0, 0, 0]
        assert 0 < sum(calls) < STEPS
    else:  # each step runs the network, as often as ever
        assert calls[2:4] == calls[4:]
