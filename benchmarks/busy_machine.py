"""A comparison while other programs use the cores: passes and threads.

    KERAS_BACKEND=torch python benchmarks/busy_machine.py

`compare` of two small networks on images of MNIST's size, while a program that
only counts runs on every core: with passes of 64 samples and with those that it
takes by itself, on all threads of PyTorch and on one. In turn, in one process.
"""

import argparse
import contextlib
import os
import subprocess
import sys

import common
import keras
import numpy as np
from keras import layers

import keras_sgt

COUNTS = "while True: pass"


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )


@contextlib.contextmanager
def busy(programs):
    """A context in which so many programs use a core each."""
    started = [
        subprocess.Popen([sys.executable, "-c", COUNTS])
        for _ in range(programs)
    ]
    try:
        yield
    finally:
        for program in started:
            program.kill()
            program.wait()


def main():
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((args.images, 28, 28, 1), dtype="float32")
    models = {"one": network(0), "other": network(1)}
    cores = os.cpu_count()

    def compared(batch_size, threads):
        def run():
            torch.set_num_threads(threads)
            keras_sgt.compare(
                models,
                x,
                np.arange(len(x)) % 10,
                methods=["gradient"],
                measures=["deletion", "gini"],
                batch_size=batch_size,
                verbose=0,
            )

        return run

    ways = {
        f"{name}, {threads} thread{'s' if threads > 1 else ''}": compared(
            batch_size, threads
        )
        for threads in (cores, 1)
        for name, batch_size in (("passes of 64", 64), ("its own", None))
    }
    with busy(cores):
        rows = common.interleaved(ways, args.rounds)
    for name, row in rows.items():
        print(name, row)
    common.save("busy_machine", {**vars(args), "programs": cores, "rows": rows})


if __name__ == "__main__":
    main()
