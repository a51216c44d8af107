"""What guided training costs: a guided step beside a plain one.

    KERAS_BACKEND=jax python benchmarks/step_cost.py

`keras.Model.fit` and guided `fit` of the paper's MNIST network run in turn in
one process; the ratio of their medians is the cost. With `--keep-memory`, glibc
is told to keep freed memory, which PyTorch otherwise asks the system for again
in every step, page by page.
"""

import argparse
import functools
import os
import pathlib
import sys

import common
import keras
import numpy as np

import keras_sgt

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
import networks

KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 30),
}


def trainer(guided, batch_fraction=1.0, **options):
    model = networks.mnist_cnn()
    if guided:
        model = keras_sgt.SaliencyGuidedModel(
            model, batch_fraction=batch_fraction, **options
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep-memory", action="store_true")
    args = parser.parse_args()
    if args.keep_memory and not KEEP_MEMORY.items() <= os.environ.items():
        environment = {**os.environ, **KEEP_MEMORY}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    images = args.batch_size * args.steps
    rng = np.random.default_rng(0)
    x = rng.random((images, 28, 28, 1), dtype="float32")
    y = rng.integers(0, 10, images).astype("int32")
    trainers = {
        "plain": trainer(False),
        "guided": trainer(True),
        "guided, kl_weight=0": trainer(True, kl_weight=0),
        "guided, batch_fraction=1/4": trainer(True, batch_fraction=0.25),
    }

    functions = {
        name: functools.partial(
            common.fit_seconds, model, x, y, args.batch_size
        )
        for name, model in trainers.items()
    }
    times = common.interleaved(functions, args.rounds)
    rows = []
    for name, time in times.items():
        row = {
            "training": name,
            **{key: round(v / args.steps, 2) for key, v in time.items()},
            "times_plain": round(
                time["median_ms"] / times["plain"]["median_ms"], 2
            ),
        }
        rows.append(row)
        print(*(f"{value!s:>28}" for value in row.values()))
    name = "step_cost-keep-memory" if args.keep_memory else "step_cost"
    common.save(name, {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
