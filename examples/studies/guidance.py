"""Which guidance pays? Each beside traditional training and its own control.

    python examples/studies/guidance.py --quick
    python examples/studies/guidance.py --tasks digits adult --csv guidance.csv

How it is judged, written down before it was run:

- A guidance has a few settings (`GUIDANCES`). Each is trained once from the
  selection seed. Of those whose validation accuracy is at most half a point
  below that of traditional training, the one with the highest relevance on the
  truth of the validation samples (by the gradient) is taken; if none is, the
  one of the highest accuracy.
- That setting, its own control, and traditional training are then trained from
  every seed, from the same initial weights, and read once on the test samples.
- Relevance on the truth by gradient, integrated gradients and SmoothGrad is
  what is asked for; areas of accuracy under removal with fills that no
  guidance has seen (the mean, another sample's values) and the change of maps
  under noise are of another kind, and are optimised by none.
- A win: better than traditional training and than its control by two standard
  errors of the paired differences in measures of at least two kinds (relevance
  on the truth by any method, a drop area, the change under noise), worse than
  traditional training by as much in none, accuracy within half a point.

A line of the table is one trained network as one saliency method sees it.
Runs that the table holds already are not run again.
"""

import argparse
import functools
import time

import keras
import networks
import numpy as np
import runner
import tabular
import time_series

import keras_sgt
from keras_sgt import attribution, datasets, evaluation, guidance, masking

TOLERANCE = 0.005
SELECTION_SEED = 1000
WHICH = (
    *("task", "guidance", "setting", "role", "seed"),
    *("epochs", "train_samples"),
)


def signed(**options):
    return masking.FeatureMasking(channel_axis=None, **options)


def removing(top):
    return guidance.Comprehensiveness(top=top, weight=0.5)


# Name: settings by their name in the table. Tables rank by magnitude.
GUIDANCES = {
    "masked": {
        f"λ={weight}": functools.partial(
            guidance.MaskedConsistency, weight=weight
        )
        for weight in (0.3, 1.0)
    },
    "masked, magnitude": {
        f"λ={weight}": lambda weight=weight: guidance.MaskedConsistency(
            weight=weight, masking=signed(ranking="absolute")
        )
        for weight in (0.3, 1.0)
    },
    "adversarial": {
        f"ε={epsilon}": functools.partial(
            guidance.AdversarialConsistency, epsilon
        )
        for epsilon in (0.05, 0.1, 0.3, 0.5)
    },
    "masked, then moved": {
        f"ε={epsilon}": lambda epsilon=epsilon: guidance.AdversarialConsistency(
            epsilon, masking=signed()
        )
        for epsilon in (0.1, 0.5)
    },
    "adversarial and comprehensive": {
        f"ε={epsilon}": lambda epsilon=epsilon: [
            guidance.AdversarialConsistency(epsilon, direction="score"),
            removing(0.2),
        ]
        for epsilon in (0.1, 0.3)
    },
    "comprehensive": {
        f"q={top}": functools.partial(removing, top) for top in (0.1, 0.2)
    },
    "gradient penalty": {
        f"λ={weight}": functools.partial(
            guidance.GradientPenalty, weight=weight
        )
        for weight in (0.1, 1.0)
    },
    "random masking": {"uniform": guidance.RandomMasking},
}


def digits(seed=0):
    """Scikit-learn's digits, each beside a null block."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = (found.images / 16).astype("float32")[..., None]
    x, truth = datasets.null_blocks(x, seed=seed)
    return _split(x, found.target.astype("int32"), truth, 1000, 300)


def mnist(name="mnist", samples=8000):
    """MNIST or Fashion-MNIST, each image beside a null block."""
    found = datasets.load(name)
    x = np.concatenate([found.train.x[: samples + 1000], found.test.x[:1000]])
    y = np.concatenate([found.train.y[: samples + 1000], found.test.y[:1000]])
    x, truth = datasets.null_blocks(x.astype("float32"))
    return _split(x, y, truth, samples, 1000)


def _split(x, y, truth, train, valid):
    if len(x) < 3000:  # in an order of its own
        order = np.random.default_rng(0).permutation(len(x))
        x, y, truth = x[order], y[order], truth[order]
    ends = [train, train + valid]
    parts = zip(*(np.split(array, ends) for array in (x, y, truth)))
    return [datasets.Split(*part) for part in parts]


def digits_network():
    return keras.Sequential(
        [
            keras.Input((16, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )


TASKS = {
    "digits beside a null block": (digits, digits_network, 20),
    "MNIST beside a null block": (
        mnist,
        lambda: networks.mnist_cnn((56, 28, 1)),
        3,
    ),
    "Fashion-MNIST beside a null block": (
        functools.partial(mnist, "fashion_mnist"),
        lambda: networks.mnist_cnn((56, 28, 1)),
        4,
    ),
}
# The census beside a shuffled copy of each column, which tells nothing.
TASKS["Adult beside shuffled copies"] = (
    functools.partial(tabular.splits, 8000),
    lambda: networks.mlp(28),
    10,
)
for _layout, _process in (
    ("middle", "gaussian"),
    ("rare_feature", "harmonic"),
    ("rare_time", "gaussian"),
):
    TASKS[f"series, {_layout} {_process}"] = (
        functools.partial(time_series.box_data, _layout, _process, 1000),
        networks.tcn,
        8,
    )


class Study:
    """One task: its data, its network, and its measures."""

    def __init__(self, name, args):
        data, self.build, epochs = TASKS[name]
        self.name, self.args = name, args
        self.epochs = args.epochs or epochs
        self.train, self.valid, self.test = data()
        if args.train_samples:
            self.train = runner.part(self.train, slice(args.train_samples))
        self.is_series = self.train.x.ndim == 3

    def trained(self, terms, seed):
        """A network, trained from a seed, and the seconds it took."""
        keras.utils.set_random_seed(seed)
        model = self.build()
        trainer = model
        if terms is not None:
            trainer = keras_sgt.SaliencyGuidedModel(model, guidance=terms)
        trainer.compile(
            keras.optimizers.Adam(0.001),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        # Guidances draw numbers; the order of batches is to be the same.
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        trainer.fit(
            self.train.x,
            self.train.y,
            batch_size=50 if self.is_series else 64,
            epochs=self.epochs,
            verbose=0,
        )
        return model, time.perf_counter() - start

    def relevance(self, maps, split):
        """How much of the relevance lies on the truth."""
        if not self.is_series:
            return evaluation.relevance_mass(maps, split.truth).value
        # Above relevance whose features are permuted, as the benchmark has it.
        found = evaluation.weighted_precision_recall(
            maps, split.truth, baseline_draws=3
        )
        return found.minus_permuted_features.aup

    def measured(self, model):
        """Measures by saliency method, on the test samples."""
        test = runner.part(self.test, slice(self.args.map_samples))
        methods = {
            "gradient": attribution.Gradient(model),
            "integrated gradients": attribution.IntegratedGradients(
                model, n_steps=20
            ),
            "SmoothGrad": attribution.SmoothGrad(
                model, nt_samples=10, nt_type="smoothgrad_sq", seed=0
            ),
        }
        rows = {}
        for name, method in methods.items():
            maps = method(test.x, test.y)
            rows[name] = {"relevance": self.relevance(maps, test)}
            for fill in ("mean", "sample"):
                drop = evaluation.accuracy_drop(
                    model, test.x, test.y, maps, fill=fill, seed=0
                )
                rows[name][f"drop_{fill}"] = drop.value
            rows[name]["under_noise"] = self.under_noise(method, test, maps)
        return rows

    def under_noise(self, method, test, maps):
        """How far a map moves, relative to its length, when the input does."""
        spread = 0.05 * self.train.x.std()
        noise = np.random.default_rng(0).normal(0, spread, test.x.shape)
        other = method(test.x + noise.astype("float32"), test.y)
        rows = [m.reshape(len(m), -1) for m in (maps, other)]
        lengths = np.linalg.norm(rows[0], axis=1)
        moved = np.linalg.norm(rows[1] - rows[0], axis=1)
        return float(np.median(moved / np.maximum(lengths, 1e-12)))


def accuracy(model, split):
    logits = model.predict(split.x, batch_size=256, verbose=0)
    return runner.accuracy(logits, split.y)


def selected(study, name, table):
    """The setting of a guidance that validation data prefer."""
    outcomes = {}
    for setting in [None, *GUIDANCES[name]]:
        terms = None if setting is None else GUIDANCES[name][setting]()
        which = {
            "task": study.name,
            "guidance": "traditional" if setting is None else name,
            "setting": setting or "",
            "role": "selection",
            "seed": SELECTION_SEED,
            "epochs": study.epochs,
            "train_samples": len(study.train.y),
        }
        known = find(table, which)
        if not known:
            model, seconds = study.trained(terms, SELECTION_SEED)
            valid = runner.part(study.valid, slice(study.args.map_samples))
            maps = attribution.Gradient(model)(valid.x, valid.y)
            known = [
                {
                    **which,
                    "method": "gradient",
                    "valid_accuracy": accuracy(model, study.valid),
                    "relevance": study.relevance(maps, valid),
                    "train_seconds": seconds,
                    **runner.circumstances(),
                }
            ]
            table.add(known)
        outcomes[setting] = {
            key: float(known[0][key]) for key in ("valid_accuracy", "relevance")
        }
    plain = outcomes.pop(None)["valid_accuracy"]
    allowed = {
        setting: outcome["relevance"]
        for setting, outcome in outcomes.items()
        if outcome["valid_accuracy"] >= plain - TOLERANCE
    }
    if allowed:
        return max(allowed, key=allowed.get)
    return max(outcomes, key=lambda s: outcomes[s]["valid_accuracy"])


def find(table, which):
    wanted = {key: str(which[key]) for key in WHICH}
    return [
        row
        for row in table.rows
        if all(row.get(key, "") == value for key, value in wanted.items())
    ]


def controls(terms):
    terms = terms if isinstance(terms, list) else [terms]
    return [term.control() for term in terms]


def run(study, table):
    """Trains, from every seed, what was selected, and its control."""
    chosen = {
        name: selected(study, name, table) for name in study.args.guidances
    }
    for seed in study.args.seeds:
        runs = [("traditional", "", "traditional", None)]
        for name, setting in chosen.items():
            make = GUIDANCES[name][setting]
            runs.append((name, setting, "guidance", make))
            if name != "random masking":  # which is blind itself
                blind = functools.partial(lambda m: controls(m()), make)
                runs.append((name, setting, "control", blind))
        for name, setting, role, make in runs:
            which = {
                "task": study.name,
                "guidance": name,
                "setting": setting,
                "role": role,
                "seed": seed,
                "epochs": study.epochs,
                "train_samples": len(study.train.y),
            }
            if find(table, which):
                continue
            model, seconds = study.trained(make and make(), seed)
            found = {
                "accuracy": accuracy(model, study.test),
                "train_seconds": seconds,
                **runner.circumstances(),
            }
            table.add(
                {**which, "method": method, **measures, **found}
                for method, measures in study.measured(model).items()
            )
            print(
                f"{study.name}, {name} {setting} ({role}), seed {seed}: "
                f"accuracy {found['accuracy']:.3f}, {seconds:.0f} s",
                flush=True,
            )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=runner.Help
    )
    parser.add_argument("--quick", action="store_true", help="a small run")
    runner.names(parser, "--tasks", TASKS, "of these", list(TASKS))
    runner.names(parser, "--guidances", GUIDANCES, "of these", list(GUIDANCES))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N"
    )
    for option, help in (
        ("--epochs", "of every training; the task's own, unless given"),
        ("--train-samples", "all of the task, unless given"),
        ("--map-samples", "test samples with maps"),
    ):
        parser.add_argument(option, type=int, metavar="N", help=help)
    parser.add_argument("--csv", metavar="FILE", help="table to write")
    args = parser.parse_args(argv)
    args.map_samples = args.map_samples or 100
    if args.quick:
        args.tasks, args.seeds = ["digits beside a null block"], [0]
        args.guidances, args.epochs = ["adversarial"], 2
    table = runner.Table(args.csv)
    for name in args.tasks:
        run(Study(name, args), table)
    return table.rows


if __name__ == "__main__":
    main()
