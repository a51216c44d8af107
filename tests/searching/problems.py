"""Small problems with a known truth, for searches in any process."""

import itertools

import keras
import numpy as np
from keras import layers

import keras_sgt
from keras_sgt.guidance import AdversarialConsistency


def table(samples=240, seed=0):
    """8 columns, the class in the first 4: x, y, truth."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8)).astype("float32")
    y = (x[:, :4].sum(1) > 0).astype("int32")
    return x, y, np.arange(8) < 4


def build_table():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu"),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def digits(samples=900):
    """scikit-learn's digits beside a block that says nothing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = found.images[:samples, ..., None].astype("float32") / 16
    x, truth = keras_sgt.datasets.null_blocks(x)
    return x, found.target[:samples].astype("int32"), truth


def build_digits():
    model = keras.Sequential(
        [
            keras.Input((16, 8, 1)),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def stopped(build_model, train, validation, trainings, storage=None):
    """A search of one candidate that the user stops after some trainings."""
    made = itertools.count()  # two are looked at, one is for the candidate

    def build():
        if next(made) >= 3 + trainings:
            raise KeyboardInterrupt
        return build_model()

    found = keras_sgt.search(
        build,
        train,
        validation,
        candidates={"mine": lambda trial: AdversarialConsistency(0.1)},
        epochs=1,
        storage=storage,
        verbose=0,
    )
    assert found.interrupted
    return found
