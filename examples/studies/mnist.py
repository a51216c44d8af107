"""Trains one small network three times and shows what guided training changes.

    python examples/quickstart.py

trains the convolutional network of the paper on scikit-learn's handwritten
digits (nothing is downloaded): traditionally, saliency guided, and with the
random-mask control, which masks as many features but picks them blindly. It
prints one table and writes `saliency.png`. `--dataset mnist` and
`--dataset fashion_mnist` read the larger sets through tensorflow_datasets.
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
import matplotlib.pyplot as plt
import numpy as np

import keras_sgt
from keras_sgt import attribution, datasets, evaluation

sys.path.insert(0, str(pathlib.Path(__file__).parent / "studies"))
import networks

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


def load(name, train_images, test_images, seed=0):
    """Images in [0, 1] and labels: `(x_train, y_train), (x_test, y_test)`."""
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = digits.images[..., None].astype("float32") / 16
        y = digits.target
        order = np.random.default_rng(seed).permutation(len(x))
        test, train = order[:450], order[450:]
        sets = [(x[train], y[train]), (x[test], y[test])]
    else:
        data = datasets.load(name)
        sets = [(data.train.x, data.train.y), (data.test.x, data.test.y)]
    sizes = (train_images, test_images)
    return [(x[:n], y[:n].astype("int32")) for (x, y), n in zip(sets, sizes)]


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
    model = networks.mnist_cnn(x.shape[1:], int(y.max()) + 1)
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


def figure(x, y, results, path):
    """Images, their gradient maps after each training, and the drop curves."""
    samples = [int(np.flatnonzero(y == label)[0]) for label in range(5)]
    columns = len(results) + 1
    plot = plt.figure(figsize=(11, 6.4), layout="constrained")
    left, right = plot.subfigures(1, 2, width_ratios=[1.25, 1])
    axes = left.subplots(len(samples), columns)
    for row, i in zip(axes, samples):
        row[0].imshow(x[i, ..., 0], cmap="gray_r")
        for axis, (_, maps, _) in zip(row[1:], results.values()):
            shown = maps[i, ..., 0]
            axis.imshow(shown, cmap="inferno", vmax=np.percentile(shown, 99))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], ["image", *results]):
        axis.set_title(title.replace(" ", "\n", 1), fontsize=10)
    left.suptitle("|gradient| of the true class", fontsize=11)
    axis = right.subplots()
    for (name, (_, _, drop)), style in zip(results.items(), ("--", "-", ":")):
        removed = 100 * np.asarray(drop.levels)
        axis.plot(removed, drop.curve, style, label=name, linewidth=2)
    axis.set(
        xlabel="most salient pixels removed (%)",
        ylabel="accuracy",
        title="Accuracy drop: steeper is better",
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    plot.savefig(path, dpi=110)
    plt.close(plot)


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
        choices=["digits", "mnist", "fashion_mnist"],
        default="digits",
        help="digits come with scikit-learn",
    )
    parser.add_argument("--train-images", type=int, help="the first so many")
    parser.add_argument("--test-images", type=int, help="the first so many")
    parser.add_argument("--epochs", type=int, help="30 for digits, else 12")
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


def main(argv=None):
    args = arguments(argv)
    args.epochs = args.epochs or (30 if args.dataset == "digits" else 12)
    (x, y), (x_test, y_test) = load(
        args.dataset, args.train_images, args.test_images
    )
    print(
        f"{args.dataset}: {len(x)} training and {len(x_test)} test images, "
        f"Keras {keras.__version__} on {keras.backend.backend()}"
    )
    rows, shown, models = [], {}, {}
    for seed in args.seeds:
        for name, ranking in TRAININGS.items():
            print(f"\n{name}, seed {seed}")
            model, seconds = train(ranking, x, y, seed, args)
            models[name] = model
            result = evaluate(model, seconds, x_test, y_test)
            shown.setdefault(name, result)
            rows.append(
                {
                    "dataset": args.dataset,
                    "train_images": len(x),
                    "test_images": len(x_test),
                    "training": name,
                    "seed": seed,
                    "epochs": args.epochs,
                    "batch_size": args.batch_size,
                    "mask_fraction": args.mask_fraction,
                    "kl_weight": args.kl_weight,
                    **{k: round(float(v), 4) for k, v in result[0].items()},
                    "backend": keras.backend.backend(),
                    "keras": keras.__version__,
                    "keras_sgt": keras_sgt.__version__,
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                }
            )
    print_table(rows)
    figure(x_test, y_test, shown, args.figure)
    print(f"\nwrote {args.figure}")
    if args.report:
        compared = keras_sgt.compare(
            models, x_test, y_test, truth=x_test > 0, from_logits=True
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
