"""What a comparison of many samples needs in memory, and how large its page is.

    KERAS_BACKEND=tensorflow python benchmarks/report_size.py

Two small networks, six methods, images of MNIST's size; a process of its own
for each number of samples.
"""

import argparse
import json
import pathlib
import tempfile

import common
import keras
import numpy as np
from keras import layers

import keras_sgt
from keras_sgt import attribution

METHODS = {
    "gradient": attribution.Gradient,
    "input_x_gradient": attribution.InputXGradient,
    "integrated_gradients": lambda model: attribution.IntegratedGradients(
        model, n_steps=10
    ),
    "smooth_grad": lambda model: attribution.SmoothGrad(
        model, nt_samples=10, seed=0
    ),
    "deep_lift": attribution.DeepLIFT,
    "random": lambda model: attribution.Random(model, seed=0),
}


def network():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )


def page_of(samples):
    """Compares and saves; the size of the page in KiB."""
    rng = np.random.default_rng(0)
    x = rng.random((samples, 28, 28, 1), dtype="float32")
    result = keras_sgt.compare(
        {"one": network(), "other": network()},
        x,
        np.arange(samples) % 10,
        methods=METHODS,
        measures=["accuracy_drop", "gini"],
        batch_size=256,
        verbose=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.html"
        result.save(path)
        return round(path.stat().st_size / 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--of", type=int)
    args = parser.parse_args()
    if args.of:
        sizes = []
        peak = common.peak_mib(lambda: sizes.append(page_of(args.of)))
        data = round(args.of * 28 * 28 * 4 / 2**20)
        print(
            json.dumps(
                {"peak_mib": peak, "inputs_mib": data, "page_kib": sizes[0]}
            )
        )
        return
    rows = [
        {"samples": n, **common.in_a_process("--of", n)} for n in args.samples
    ]
    print(*rows, sep="\n")
    common.save("report_size", {"methods": list(METHODS), "rows": rows})


if __name__ == "__main__":
    main()
