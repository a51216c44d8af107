"""What should go unnoticed: the import, and memory after many steps.

    KERAS_BACKEND=jax python benchmarks/import_and_held_memory.py

The time that `import keras_sgt` adds to `import keras`, in processes of their
own; and the memory that the process holds after 500, 1,000, 1,500 and 2,000
guided steps (Linux), with a last batch that is smaller than the others.
"""

import argparse
import os
import pathlib
import subprocess
import sys

import common
import keras
import numpy as np

import keras_sgt

IMPORT = """
import time
import keras
start = time.perf_counter()
import keras_sgt
print(1000 * (time.perf_counter() - start))
"""


def import_ms(rounds, checkout=None):
    def once():
        # Of the folder it runs in, if there is a package.
        call = [sys.executable, "-c", IMPORT]
        done = subprocess.run(
            call, check=True, capture_output=True, cwd=checkout
        )
        return float(done.stdout)

    return sorted(round(once(), 1) for _ in range(rounds))


def held_mib():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def memory(steps, batch_size=64):
    """MiB after each quarter of the steps."""
    model = keras_sgt.SaliencyGuidedModel(
        keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                keras.layers.Conv2D(8, 3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    images = 50 * batch_size - batch_size // 2  # 50 steps an epoch
    x = np.random.default_rng(0).random((images, 28, 28, 1), "float32")
    y = np.arange(images) % 10
    found = []
    for _ in range(4):
        epochs = steps // 4 // 50
        model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
        found.append(round(held_mib(), 1))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    found = {
        "import_ms": import_ms(args.rounds),
        "held_mib": memory(args.steps),
    }
    print(found)
    common.save("import_and_held_memory", {**vars(args), **found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
