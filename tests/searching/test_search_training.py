"""Models are trained with what they were compiled with, itself."""

import pathlib
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

pytest.importorskip("optuna")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import problems

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def first_traditional(build_model):
    """The model that a search trains first."""
    return problems.stopped(build_model, (X, Y), (X, Y), 1).best.model


def compiled(optimizer=None, **options):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, "relu", bias_initializer="ones"),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.1),
        "sparse_categorical_crossentropy",
        **options,
    )
    return model


def spared():
    """Weights decay, but for biases: no configuration says that."""
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return compiled(optimizer)


def of_own_optimizer():
    class Own(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, 2 * learning_rate)

    return compiled(Own(0.1))


def of_own_metrics():
    def mean_output(y, outputs):
        return ops.mean(outputs)

    class Largest(keras.metrics.Mean):
        def update_state(self, y, outputs, sample_weight=None):
            super().update_state(ops.max(outputs))

    return compiled(
        metrics=[mean_output, Largest(), lambda y, outputs: ops.min(outputs)]
    )


def of_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return compiled()
    finally:
        keras.config.set_dtype_policy(policy)


def fit(model, **options):
    keras.utils.set_random_seed(0)
    model.fit(X, Y, verbose=0, **options)


def same_weights(model, other):
    for ours, theirs in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "build", [spared, of_own_optimizer, of_own_metrics, of_half_precision]
)
def test_training_is_that_of_keras(build):
    trained = first_traditional(build)
    keras.utils.set_random_seed(0)
    plain = build()
    fit(plain)
    same_weights(trained, plain)
    for model in (trained, plain):  # and so it goes on
        fit(model, shuffle=False)
    same_weights(trained, plain)


def test_an_optimizer_of_two_models_is_refused():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="same Adam twice"):
        first_traditional(lambda: compiled(optimizer))
