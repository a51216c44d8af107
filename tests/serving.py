"""Trains and saves with keras_sgt, or loads and predicts without it."""

import importlib.util
import sys

import keras
import numpy as np

what, file = sys.argv[1:]
x = np.random.default_rng(0).random((20, 6), dtype="float32")
if what == "train":
    import keras_sgt

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    guided = keras_sgt.SaliencyGuidedModel(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile("adam", loss)
    guided.fit(x, np.arange(20) % 3, verbose=0)
    guided.model.save(file)
    np.save(f"{file}.npy", guided.predict(x, verbose=0))
else:
    assert importlib.util.find_spec("keras_sgt") is None, "still installed"
    served = keras.models.load_model(file).predict(x, verbose=0)
    np.testing.assert_allclose(served, np.load(f"{file}.npy"), atol=1e-6)
    print("served without keras_sgt")
