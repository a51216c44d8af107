"""What settings that change in every step cost: traces and memory.

    KERAS_BACKEND=jax python benchmarks/changing_settings.py

Ten times 300 steps of a small network, with a callback that assigns `kl_weight`
and `mask_fraction` in every step, and class weights in every second `fit`: how
often the network was called or traced in each, and what the process held after
it (Linux).
"""

import argparse
import os

import common
import keras
import numpy as np
from import_and_held_memory import held_mib

import keras_sgt


class Counting(keras.Model):
    """A network that counts how often it is called, or traced."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential(
            [
                keras.layers.Conv2D(8, 3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return self.network(x)


class Changing(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        self.model.kl_weight = 0.5 + 0.001 * batch
        self.model.mask_fraction = 0.2 + 0.001 * batch


def measured(steps, fits, batch_size=32):
    network, rows = Counting(), []
    guided = keras_sgt.SaliencyGuidedModel(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile("adam", loss)
    images = steps // fits * batch_size - batch_size // 2
    x = np.random.default_rng(0).random((images, 14, 14, 1), "float32")
    y = np.arange(images) % 10
    for number in range(fits):
        before = network.calls
        weights = {i: 1.0 + i % 2 for i in range(10)} if number % 2 else None
        guided.fit(
            x,
            y,
            batch_size=batch_size,
            class_weight=weights,
            callbacks=[Changing()],
            verbose=0,
        )
        row = {
            "class_weight": bool(weights),
            "steps": int(guided.optimizer.iterations),
            "network_calls": network.calls - before,
            "held_mib": round(held_mib(), 1),
        }
        rows.append(row)
        print(*(f"{value!s:>12}" for value in row.values()))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--fits", type=int, default=10)
    args = parser.parse_args()
    rows = measured(args.steps, args.fits)
    common.save("changing_settings", {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
