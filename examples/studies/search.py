"""Does `keras_sgt.search` find a guidance that pays, and none where none does?

    python examples/studies/search.py --quick
    python examples/studies/search.py --tasks mnist adult noise

searches on data whose truth is known, images beside a null block and census
columns beside shuffled copies, and on images whose labels are noise, where no
guidance can be better than its control. The verdict is on samples that nothing
was chosen by. How it is judged: the first two are to win, of 20 repetitions of
the third (`--repetitions 20`) at most two may. A line of the table is one
search.
"""

import argparse
import functools
import time

import keras
import networks
import numpy as np
import runner
import tabular

import keras_sgt
from keras_sgt import datasets


def images(name, train, valid, noise=False, seed=0):
    """Images beside a null block: `(x, y)` twice, and the second's truth."""
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        x, y = found.images[..., None] / 16, found.target
    else:
        data = datasets.load(name).train
        x, y = data.x[: train + valid], data.y[: train + valid]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[: train + valid]
    x, truth = datasets.null_blocks(x[order].astype("float32"), seed=seed)
    y = rng.permutation(y[order]) if noise else y[order]
    y = y.astype("int32")
    return (x[:train], y[:train]), (x[train:], y[train:]), truth[train:]


def census(train, valid):
    parts = tabular.splits(train)
    x = np.concatenate([part.x for part in parts[1:]])[:valid]
    y = np.concatenate([part.y for part in parts[1:]])[:valid]
    truth = np.concatenate([part.truth for part in parts[1:]])[:valid]
    return (parts[0].x, parts[0].y), (x, y), truth


def small_cnn(shape):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(16, 3, strides=shape[1] // 8, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


# Data, network, epochs and trials; at full size and, quickly, at less.
TASKS = {
    "mnist": (
        lambda quick: images(
            "mnist", *((1500, 1500) if quick else (8000, 4000))
        ),
        functools.partial(small_cnn, (56, 28, 1)),
        (6, 10),
        (6, 30),
    ),
    "adult": (
        lambda quick: census(*((2000, 2000) if quick else (8000, 6000))),
        lambda: networks.mlp(28),
        (6, 10),
        (6, 30),
    ),
    "noise": (
        lambda quick, seed=0: images("digits", 500, 800, noise=True, seed=seed),
        functools.partial(small_cnn, (16, 8, 1)),
        (5, 5),
        (4, 4),
    ),
}
CANDIDATES = ["adversarial", "masked_adversarial"]


def searched(task, args, repetition):
    data, network, epochs, trials = TASKS[task]
    options = {"seed": repetition} if task == "noise" else {}
    train, valid, truth = data(args.quick, **options)
    which = 0 if args.quick else 1

    def build_model():
        model = network()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        return model

    start = time.perf_counter()
    found = keras_sgt.search(
        build_model,
        train,
        valid,
        truth=truth,
        candidates=CANDIDATES if args.quick else "default",
        trials=trials[which],
        epochs=epochs[which],
        seeds=3,
        seed=repetition,
        batch_size=64,
        verbose=args.verbose,
    )
    return {
        "task": task,
        "size": "quick" if args.quick else "full",
        "repetition": repetition,
        "wins": found.wins,
        "verdict": found.verdict,
        "seconds": time.perf_counter() - start,
        **runner.circumstances(),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=runner.Help
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    runner.names(parser, "--tasks", TASKS, "of these", ["mnist", "adult"])
    parser.add_argument("--repetitions", type=int, default=1, metavar="N")
    parser.add_argument("--verbose", type=int, default=0)
    parser.add_argument("--csv", metavar="FILE", help="table to write")
    args = parser.parse_args(argv)
    table = runner.Table(args.csv)
    for task in args.tasks:
        for repetition in range(args.repetitions):
            which = {
                "task": task,
                "size": "quick" if args.quick else "full",
                "repetition": str(repetition),
            }
            if any(which.items() <= row.items() for row in table.rows):
                continue
            row = searched(task, args, repetition)
            table.add([row])
            print(f"{task}: {row['seconds']:.0f} s. {row['verdict']}")
    return table.rows


if __name__ == "__main__":
    main()
