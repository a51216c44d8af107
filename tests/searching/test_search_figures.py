"""What a search shows of its models."""

import dataclasses
import pathlib
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.searching import figures

pytest.importorskip("optuna")
pytest.importorskip("matplotlib")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import problems

X = np.random.default_rng(0).normal(size=(40, 4, 4, 1)).astype("float32")
Y = (X[:, 0, 0, 0] > 0).astype("int32")


def build(from_logits):
    """A linear model of one unit."""
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(1)]
    )
    if not from_logits:  # a sigmoid that is not known as one
        model.add(layers.Lambda(lambda z: 1 / (1 + ops.exp(-z))))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits))
    return model


@pytest.mark.parametrize("from_logits", [True, False])
def test_maps_of_one_unit_are_of_the_predicted_class(from_logits):
    search = problems.stopped(lambda: build(from_logits), (X, Y), (X, Y), 1)
    models = dict.fromkeys(("traditional", "guided"), search.best)
    shown = figures.maps(dataclasses.replace(search, models=models)).axes[1:]

    x, y, _ = search.plan.confirmed_by  # one of each class, then the first
    x = x[[np.argmax(y == 0), np.argmax(y == 1), 0, 1, 2, 3]]
    kernel, bias = search.best.model.get_weights()
    logits = x.reshape(len(x), -1) @ kernel + bias
    assert len({*np.sign(logits).ravel()}) == 2
    expected = np.sign(logits)[..., None] * kernel.reshape(1, 4, 4)
    picture = keras_sgt.report.plot_maps(expected).images[0].get_array()
    for ax in shown:
        np.testing.assert_allclose(ax.images[0].get_array(), picture, atol=0.01)
