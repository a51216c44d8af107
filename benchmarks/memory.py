"""What guided training needs in memory: the peak of a guided and a plain step.

    KERAS_BACKEND=jax python benchmarks/memory.py

The paper's MNIST network in a process of its own for each training: the most
memory that three steps need, above what the process held before. Compilation
counts too, so the batch is large.
"""

import argparse
import os

import common
import numpy as np
import step

TRAININGS = {
    "plain": {"guided": False},
    "guided": {"guided": True},
    "guided, batch_fraction=1/4": {"guided": True, "batch_fraction": 0.25},
}


def fit(training, batch_size):
    rng = np.random.default_rng(0)
    x = rng.random((3 * batch_size, 28, 28, 1), dtype="float32")
    y = rng.integers(0, 10, 3 * batch_size).astype("int32")
    model = step.trainer(**TRAININGS[training])
    return lambda: model.fit(x, y, batch_size=batch_size, verbose=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", choices=TRAININGS)
    args = parser.parse_args()
    if args.peak_of:
        print(common.peak_mib(fit(args.peak_of, args.batch_size)))
        return
    rows = []
    for training in TRAININGS:
        peaks = [
            common.in_a_process(
                *("--peak-of", training, "--batch-size", args.batch_size)
            )
            for _ in range(args.rounds)
        ]
        row = {"training": training, "peak_mib": sorted(peaks)}
        rows.append(row)
        median = sorted(peaks)[args.rounds // 2]
        plain = sorted(rows[0]["peak_mib"])[args.rounds // 2]
        row["times_plain"] = round(median / plain, 2)
        print(*(f"{value!s:>28}" for value in row.values()), flush=True)
    del args.peak_of
    common.save("memory", {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
