"""What measures cost: beside plain prediction, and beside a loop.

    KERAS_BACKEND=tensorflow python benchmarks/evaluation_cost.py

1. The accuracy-drop curve of 10,000 MNIST test images at 10 levels, and the
   10 calls of `predict` that it needs, for the paper's MNIST network and for a
   small dense one, where everything but prediction weighs more. The images
   come from TensorFlow Datasets where it is installed, else they are random.
2. Weighted precision and recall of 1,000 maps of 50 × 50, against the
   benchmark's way of computing them, sample by sample and cell by cell. Ours
   includes its two random baselines; the loop does not, which flatters it.
"""

import argparse
import pathlib
import sys
import time

import common
import keras
import numpy as np
from keras import layers

from keras_sgt import evaluation

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
import networks

LEVELS = np.arange(1, 10) / 10


def images(count):
    """Test images of MNIST, `(count, 28, 28, 1)`, and where they are from."""
    try:
        import tensorflow_datasets as tfds

        data = tfds.load("mnist", split="test", batch_size=-1, download=False)
        x = tfds.as_numpy(data)["image"][:count].astype("float32")
        return (x / 255 - 0.1307) / 0.3081, "MNIST test"
    except (ImportError, AssertionError):
        rng = np.random.default_rng(0)
        return rng.random((count, 28, 28, 1), dtype="float32"), "random"


def dense_network():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def accuracy_drop(model, x, rounds, batch_size=256):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, len(x))
    # Half of them tie at zero, as where a network is dead or an image black.
    attributions = np.maximum(rng.normal(size=x.shape), 0).astype("float32")

    def predictions():
        for _ in range(10):
            model.predict(x, batch_size=batch_size, verbose=0)

    def curve():
        return evaluation.accuracy_drop(
            model, x, y, attributions, batch_size=batch_size
        )

    model.predict(x[: 2 * batch_size + 1], batch_size=batch_size, verbose=0)
    found = common.interleaved(
        {"10 predictions": predictions, "accuracy_drop": curve}, rounds
    )
    ratio = found["accuracy_drop"]["median_ms"]
    ratio /= found["10 predictions"]["median_ms"]
    return {**found, "ratio": round(ratio, 3)}


def by_loops(maps, truth):
    """Precision and recall as the benchmark goes about it."""
    precision, recall = np.zeros((2, len(LEVELS)))
    for sample, true in zip(maps, truth):
        values = np.abs(sample).ravel()
        values = (values - values.min()) / (values.max() - values.min())
        order = np.argsort(values)[::-1]
        true_cells = np.flatnonzero(true)
        total, size = values.sum(), 1
        for i, level in enumerate(LEVELS):
            while values[order[:size]].sum() / total < level:
                size += 1
            positive = order[:size]
            hit = miss = lost = 0.0
            for cell, is_true in zip(positive, np.isin(positive, true_cells)):
                if is_true:
                    hit += values[cell]
                else:
                    miss += values[cell]
            found = np.isin(true_cells, positive)
            for cell, is_found in zip(true_cells, found):
                if not is_found:
                    lost += values[cell]
            precision[i] += hit / (hit + miss)
            recall[i] += hit / (hit + lost)
    return precision / len(maps), recall / len(maps)


def weighted_precision_recall(count, rounds):
    rng = np.random.default_rng(0)
    maps = rng.random((count, 50, 50))
    truth = np.zeros(maps.shape, bool)
    truth[:, 10:40, 10:40] = True

    def ours():
        return evaluation.weighted_precision_recall(maps, truth)

    found = common.interleaved({"ours": ours}, rounds)["ours"]
    start = time.perf_counter()
    precision, recall = by_loops(maps, truth)
    loop = 1000 * (time.perf_counter() - start)
    result = ours()
    np.testing.assert_allclose(result.precision, precision, atol=1e-10)
    np.testing.assert_allclose(result.recall, recall, atol=1e-10)
    return {
        "ours, with both random baselines": found,
        "loop_ms": round(loop, 1),
        "times_faster": round(loop / found["median_ms"], 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--maps", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    x, source = images(arguments.images)
    content = {
        "rounds": arguments.rounds,
        "accuracy_drop": {
            "images": f"{len(x)}, {source}",
            "MNIST network": accuracy_drop(
                networks.mnist_cnn(), x, arguments.rounds
            ),
            "dense network": accuracy_drop(
                dense_network(), x, arguments.rounds
            ),
        },
        "weighted_precision_recall": {
            "maps": f"{arguments.maps} of 50 × 50",
            **weighted_precision_recall(arguments.maps, arguments.rounds),
        },
    }
    print(content)
    common.save("evaluation_cost", content)


if __name__ == "__main__":
    main()
