"""The README's picture, and the table of docs/studies.md.

MNIST, or Fashion-MNIST, small and repeated.

    python examples/studies/mnist.py --train-images 8000 --seeds 0 1 2

trains the paper's network traditionally, saliency guided, and with the
random-mask control, from several seeds, and writes what `--csv`, `--figure` and
`--report` name. The images come through tensorflow_datasets.
"""

import argparse
import csv
import os
import pathlib
import platform
import statistics
import sys
import time

import keras
import networks
import numpy as np

import keras_sgt
from keras_sgt import attribution, datasets, evaluation

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import quickstart

TRAININGS = {
    "traditional": None,
    "saliency guided": "signed",
    "random-mask control": "random",
}
MEASURES = {
    "accuracy": "accuracy ↑",
    "drop_auc": "accuracy-drop area ↓",
    "mass_on_object": "|gradient| on object ↑",
    "epoch_seconds": "epoch seconds",
}


class EpochSeconds(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def train(ranking, x, y, seed, args):
    """Trains one network; returns it and the median seconds of an epoch."""
    keras.utils.set_random_seed(seed)
    model = networks.mnist_cnn()
    trained = model
    if ranking is not None:  # the one line that this library adds
        trained = keras_sgt.SaliencyGuidedModel(
            model,
            mask_fraction=args.mask_fraction,
            kl_weight=args.kl_weight,
            masking=keras_sgt.masking.FeatureMasking(ranking, seed=seed),
        )
    trained.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    clock = EpochSeconds()
    trained.fit(
        x,
        y,
        batch_size=args.batch_size,
        epochs=args.epochs,
        callbacks=[clock],
        verbose=args.verbose,
    )
    return model, statistics.median(clock.seconds)


def evaluate(model, seconds, x, y):
    """The measures of the table, with the maps and the curve behind them."""
    maps = np.abs(attribution.Gradient(model)(x, y, batch_size=500))
    drop = evaluation.accuracy_drop(model, x, y, maps)
    measures = {
        "accuracy": drop.curve[0],
        "drop_auc": drop.value,
        "mass_on_object": evaluation.relevance_mass(maps, x > 0).value,
        "epoch_seconds": seconds,
    }
    return measures, maps, drop


def print_table(rows):
    """One line for each training, mean ± deviation over seeds."""
    print(f"\n{'':21}", *(f"{title:>22}" for title in MEASURES.values()))
    for name in TRAININGS:
        cells = []
        for measure in MEASURES:
            values = [r[measure] for r in rows if r["training"] == name]
            cell = f"{statistics.mean(values):.3f}"
            if len(values) > 1:
                cell += f" ± {statistics.stdev(values):.3f}"
            cells.append(f"{cell:>22}")
        print(f"{name:21}", *cells)


def write_csv(rows, path):
    """All runs, renamed into place when complete."""
    with open(f"{path}.part", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    os.replace(f"{path}.part", path)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--dataset",
        choices=["mnist", "fashion_mnist"],
        default="mnist",
        help="read through tensorflow_datasets",
    )
    parser.add_argument("--train-images", type=int, help="the first so many")
    parser.add_argument("--test-images", type=int, help="the first so many")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--mask-fraction", type=float, default=0.5)
    parser.add_argument("--kl-weight", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--figure", default="saliency.png", help="PNG to write")
    parser.add_argument(
        "--report", help="HTML page to write, of the last seed's models"
    )
    parser.add_argument("--csv", help="CSV to write, a line for each run")
    parser.add_argument("--verbose", type=int, default=2, help="as for `fit`")
    return parser.parse_args(argv)


def row(name, seed, sizes, measures, args):
    """A line of the table of runs."""
    return {
        "dataset": args.dataset,
        "train_images": sizes[0],
        "test_images": sizes[1],
        "training": name,
        "seed": seed,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "mask_fraction": args.mask_fraction,
        "kl_weight": args.kl_weight,
        **{key: round(float(value), 4) for key, value in measures.items()},
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_sgt": keras_sgt.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def main(argv=None):
    args = arguments(argv)
    data = datasets.load(args.dataset)
    x, y = data.train.x[: args.train_images], data.train.y[: args.train_images]
    test = data.test.x[: args.test_images], data.test.y[: args.test_images]
    sizes = len(x), len(test[0])
    print(
        f"{args.dataset}: {sizes[0]} training and {sizes[1]} test images, "
        f"Keras {keras.__version__} on {keras.backend.backend()}"
    )
    rows, maps, drops, models = [], {}, {}, {}
    for seed in args.seeds:
        for name, ranking in TRAININGS.items():
            print(f"\n{name}, seed {seed}")
            models[name], seconds = train(ranking, x, y, seed, args)
            measures, *shown = evaluate(models[name], seconds, *test)
            if name not in maps:
                maps[name], drops[name] = shown
            rows.append(row(name, seed, sizes, measures, args))
    print_table(rows)
    quickstart.figure(*test, maps, drops, args.figure)
    print(f"\nwrote {args.figure}")
    if args.report:
        compared = keras_sgt.compare(
            models, *test, truth=test[0] > 0, from_logits=True
        )
        print(f"\n{compared}")
        compared.save(args.report)
        print(f"wrote {args.report}")
    if args.csv:
        write_csv(rows, args.csv)
        print(f"wrote {args.csv}")
    return rows


if __name__ == "__main__":
    main()
