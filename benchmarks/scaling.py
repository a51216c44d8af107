"""What grows with the devices, and what with the size of the input.

    KERAS_BACKEND=jax python benchmarks/scaling.py

On JAX, with 1, 2, 4 and 8 virtual devices: how many collectives the compiled
training step has, plain and guided, and how many bytes they carry, read off
the program that XLA writes down while `fit` runs. On each backend: the time of
a step for batches of 32 images of 28 × 28 to 224 × 224 pixels, and for each
pixel, beside those of the passes that it is made of.
"""

import argparse
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import common
import keras
import numpy as np
import passes

import keras_sgt

TRAININGS = {
    "plain": {"kl_weight": 0.0},
    "guided": {},
    "guided, batch_fraction=1/4": {"batch_fraction": 0.25},
}
COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all"
    r"|collective-permute)(?:-start)?\("
)
SHAPE = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")


def guided(size, options):
    network = keras.Sequential(
        [
            keras.Input((size, size, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )
    model = keras_sgt.SaliencyGuidedModel(network, seed=0, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def images(size, number):
    rng = np.random.default_rng(0)
    x = rng.random((number, size, size, 1), dtype="float32")
    return x, rng.integers(0, 10, number).astype("int32")


# Collectives.


def train_on(devices, training):
    """In a process of its own: two steps on so many virtual devices."""
    if devices > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    x, y = images(28, 64)
    model = guided(28, TRAININGS[training])
    model.fit(x, y, batch_size=32, verbose=0)


def collectives(devices, training):
    """The number and the bytes of each kind in the largest program."""
    with tempfile.TemporaryDirectory() as folder:
        flags = (
            f"--xla_force_host_platform_device_count={devices} "
            f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
        )
        subprocess.run(
            [sys.executable, __file__, "--train-on", str(devices), training],
            env={**os.environ, "XLA_FLAGS": flags},
            check=True,
        )
        programs = [
            path.read_text()
            for path in pathlib.Path(folder).glob("*after_optimizations.txt")
        ]
    program = max(programs, key=len)  # the training step
    found = COLLECTIVE.findall(program)
    return {
        "devices": devices,
        "training": training,
        "all_reduces": sum(kind == "all-reduce" for _, kind in found),
        "others": sum(kind != "all-reduce" for _, kind in found),
        "bytes": sum(bytes_of(shapes) for shapes, _ in found),
    }


def bytes_of(shapes):
    total = 0
    for name, bits, lengths in SHAPE.findall(shapes):
        width = 1 if name == "pred" else int(bits) // 8
        numbers = [int(length) for length in lengths.split(",") if length]
        total += width * int(np.prod(numbers))
    return total


# Sizes.


def step_times(sizes, batch_size, rounds):
    """Of each training, and of each pass of a step by itself."""
    rows = []
    for size in sizes:
        steps = max(1, 224 // size)  # `fit` takes time of its own
        x, y = images(size, batch_size)
        functions = {
            name: functools.partial(trained, guided(size, options), x, y, steps)
            for name, options in TRAININGS.items()
        }
        network = guided(size, {}).model
        parts = passes.of(network, keras_sgt.masking.FeatureMasking(), x, y)
        functions |= {
            f"pass: {name}": functools.partial(repeated, part, steps)
            for name, part in parts.items()
        }
        for name, time in common.interleaved(functions, rounds).items():
            time = {key: round(ms / steps, 3) for key, ms in time.items()}
            pixels = batch_size * size**2
            row = {
                "size": size,
                "training": name,
                **time,
                # Of the round that other programs disturbed least.
                "ns_a_pixel": round(1e6 * time["min_ms"] / pixels, 2),
            }
            rows.append(row)
            print(*(f"{value!s:>28}" for value in row.values()))
    return rows


def trained(model, x, y, steps):
    x, y = np.concatenate([x] * steps), np.concatenate([y] * steps)
    model.fit(x, y, batch_size=len(x) // steps, verbose=0)


def repeated(part, steps):
    for _ in range(steps):
        part()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[28, 56, 112, 224]
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train-on", nargs=2, help=argparse.SUPPRESS)
    args = vars(parser.parse_args())
    only = args.pop("train_on")
    if only:
        return train_on(int(only[0]), only[1])
    found = {}
    if keras.backend.backend() == "jax":
        found["collectives"] = [
            collectives(devices, training)
            for devices in args["devices"]
            for training in TRAININGS
        ]
        for row in found["collectives"]:
            print(*(f"{value!s:>28}" for value in row.values()))
    found["steps"] = step_times(
        args["sizes"], args["batch_size"], args["rounds"]
    )
    common.save("scaling", {**args, **found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
