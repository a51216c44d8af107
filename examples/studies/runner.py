"""What the examples share: the trainings that are compared, and their table.

Every network is trained traditionally, saliency guided, and with the control
that masks as many features but picks them blindly, from the same initial
weights, for as many epochs. A line of the table is one trained network as one
saliency method sees it. Runs that the table holds already are not run again.
"""

import argparse
import csv
import dataclasses
import io
import math
import os
import pathlib
import platform
import statistics
import sys
import time

import keras
import numpy as np

import keras_sgt
from keras_sgt import datasets, files


@dataclasses.dataclass
class Guiding:
    """How a training guides; its last epochs only, or all."""

    ranking: str = "signed"
    batch_fraction: float = 1.0
    step_fraction: float = 1.0
    last_epochs: bool = False


TOLERANCE = 0.005  # of accuracy, where a setting is chosen
SELECTION_SEED = 1000
TRAININGS = {
    "traditional": None,
    "guided": Guiding(),
    "guided absolute": Guiding("absolute"),
    "random mask": Guiding("random"),
    "guided half": Guiding(batch_fraction=1 / 2),
    "guided quarter": Guiding(batch_fraction=1 / 4),
    "guided eighth": Guiding(batch_fraction=1 / 8),
    "guided sixteenth": Guiding(batch_fraction=1 / 16),
    "guided every 4th step": Guiding(step_fraction=1 / 4),
    "guided every 8th step": Guiding(step_fraction=1 / 8),
    "fine-tuned": Guiding(last_epochs=True),
    "fine-tuned absolute": Guiding("absolute", last_epochs=True),
    "fine-tuned quarter": Guiding(batch_fraction=1 / 4, last_epochs=True),
    "fine-tuned every 4th step": Guiding(step_fraction=1 / 4, last_epochs=True),
    "fine-tuned every 8th step": Guiding(step_fraction=1 / 8, last_epochs=True),
    "fine-tuned random mask": Guiding("random", last_epochs=True),
}
SETTINGS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "mask_fraction",
    "kl_weight",
)
WHICH = (
    *("task", "network", "training", "seed"),
    *SETTINGS,
    *("train_samples", "options"),
)


class Table:
    """A CSV that grows by whole runs; several processes may add to one."""

    def __init__(self, path):
        self.path = path and pathlib.Path(path)
        self.rows = []
        self._read()

    def _read(self):
        if self.path and self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

    def find(self, **run):
        """The lines of a run; none if it is still to be done."""
        wanted = {name: _cell(run[name]) for name in WHICH}
        return [
            row
            for row in self.rows
            if all(row.get(name, "") == v for name, v in wanted.items())
        ]

    def add(self, rows):
        rows = [{k: _cell(v) for k, v in row.items()} for row in rows]
        if not self.path:
            self.rows += rows
            return
        with files.locked(self.path):
            self._read()  # what other processes have added
            self.rows += rows
            text = io.StringIO(newline="")
            names = dict.fromkeys(name for row in self.rows for name in row)
            writer = csv.DictWriter(text, names)
            writer.writeheader()
            writer.writerows(self.rows)
            files.write(self.path, text.getvalue())


def _cell(value):
    return f"{value:.5g}" if isinstance(value, float) else str(value)


class Training:
    """A network that is compiled once, and trained from many seeds.

    Compiling takes longer than training some of the networks. `fit` starts
    from the weights, optimizer and random numbers of a new network.

    Args:
        kind: of `kinds`.
        build: function that returns a new network with logits.
        masking: function from a ranking to a masking.
        args: of `arguments`.
    """

    kinds = TRAININGS

    def __init__(self, kind, build, masking, args):
        self._guiding, self._build = self.kinds[kind], build
        self._masking, self._args = masking, args
        self.model, self._trainer = self._new()
        self._trainer.compile(
            args.optimizer(args.learning_rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        optimizer = self._trainer.optimizer
        optimizer.build(self._trainer.trainable_variables)
        self._start = [np.array(v) for v in optimizer.variables]
        self._compiled = False

    def _new(self):
        model = self._build()
        if self._guiding is None:
            return model, model
        return model, keras_sgt.SaliencyGuidedModel(
            model,
            mask_fraction=self._args.mask_fraction,
            kl_weight=self._args.kl_weight,
            masking=self._masking(self._guiding.ranking),
            batch_fraction=self._guiding.batch_fraction,
            step_fraction=self._guiding.step_fraction,
        )

    def _callbacks(self):
        args = self._args
        callbacks, first_guided = args.callbacks(), 0
        if self._guiding and self._guiding.last_epochs:
            first_guided = args.epochs - args.guided_epochs
            callbacks.append(GuideFrom(first_guided, args))
        if args.patience:
            best = keras.callbacks.EarlyStopping(
                "val_accuracy",
                patience=args.patience,
                mode="max",
                restore_best_weights=True,
                start_from_epoch=first_guided,
            )
            callbacks.append(best)
        return callbacks

    def _validation(self, valid):
        """What `fit` looks at while it trains."""
        if not self._args.patience:
            return {}
        return {"validation_data": (valid.x, valid.y)}

    def _compile(self, train):
        """One step, so that no run is timed, or draws numbers, for it."""
        first = slice(self._args.batch_size)
        self._trainer.fit(
            train.x[first],
            train.y[first],
            batch_size=self._args.batch_size,
            verbose=0,
        )
        self._compiled = True

    def _restart(self, seed):
        keras.utils.set_random_seed(seed)
        _, new = self._new()
        for ours, theirs in zip(
            self._trainer.variables, new.variables, strict=True
        ):
            ours.assign(theirs)
        for ours, start in zip(self._trainer.optimizer.variables, self._start):
            ours.assign(start)

    def fit(self, seed, train, valid):
        """Trains from a seed; returns the seconds and the last epoch's logs."""
        if not self._compiled:
            self._compile(train)
        self._restart(seed)
        start = time.perf_counter()
        history = self._trainer.fit(
            train.x,
            train.y,
            batch_size=self._args.batch_size,
            epochs=self._args.epochs,
            callbacks=self._callbacks(),
            **self._validation(valid),
            verbose=self._args.verbose,
        ).history
        seconds = time.perf_counter() - start
        logits = self.model.predict(valid.x, batch_size=256, verbose=0)
        return {
            "train_seconds": seconds,
            "train_accuracy": history["accuracy"][-1],
            "valid_accuracy": accuracy(logits, valid.y),
            "divergence": history.get("divergence", [float("nan")])[-1],
        }


class GuideFrom(keras.callbacks.Callback):
    """Plain training at its price, guided from an epoch on."""

    def __init__(self, first, args):
        super().__init__()
        self.first, self.args = first, args

    def on_epoch_begin(self, epoch, logs=None):
        guided = epoch >= self.first
        self.model.kl_weight = self.args.kl_weight if guided else 0
        if guided and self.args.guided_rate:
            self.model.optimizer.learning_rate = self.args.guided_rate


def part(split, chosen):
    """Some samples of a split, by their places or a slice."""
    truth = None if split.truth is None else split.truth[chosen]
    return datasets.Split(split.x[chosen], split.y[chosen], truth)


def accuracy(logits, y):
    return float((logits.argmax(1) == y).mean())


def compare(
    task, network, build, masking, data, measure, args, table, options=""
):
    """Trains a network in every way, from every seed, and measures it.

    Args:
        task, network: their names in the table.
        build: function that returns a new network with logits.
        masking: function from a ranking to a masking.
        data: `(train, valid, test)`, each with `x` and `y`.
        measure: function from the trained network to a dict of dicts:
            measures by saliency method.
        args: of `arguments`.
        table: `Table`.
        options: what else tells this run from others.
    """
    train, valid, test = data
    compiled = {}
    for seed in args.seeds:
        for kind in args.trainings:
            which = description(
                *(args, task, network, kind, seed, len(train.y)),
                options + _schedule(kind, args),
            )
            label = f"{task}, {network}, {kind}, seed {seed}"
            if table.find(**which):
                print(f"{label}: done before", flush=True)
                continue
            if kind not in compiled:
                compiled[kind] = Training(kind, build, masking, args)
            model = compiled[kind].model
            found = compiled[kind].fit(seed, train, valid)
            start = time.perf_counter()
            logits = model.predict(test.x, batch_size=256, verbose=0)
            found["accuracy"] = accuracy(logits, test.y)
            methods = measure(model)
            found["measure_seconds"] = time.perf_counter() - start
            table.add(
                {**which, "method": method, **measures, **found}
                | circumstances()
                for method, measures in methods.items()
            )
            print(
                f"{label}: {found['train_seconds']:.0f} s, accuracy "
                f"{found['accuracy']:.3f}, measured in "
                f"{found['measure_seconds']:.0f} s",
                flush=True,
            )
    return compiled


def chosen_weight(
    weights, task, network, build, masking, data, args, table, options=""
):
    """The largest λ at which guiding the last epochs costs no accuracy.

    By validation, at most `TOLERANCE` less than traditional training, from a
    seed that no other run has; the smallest λ if all cost more. Arguments as
    of `compare`; the test samples are not looked at.
    """
    train, valid, _ = data

    def valid_accuracy(kind, weight):
        given = argparse.Namespace(**vars(args))
        given.seeds, given.trainings = [SELECTION_SEED], [kind]
        given.kl_weight = weight
        run = f"{task}, selection", network
        compare(
            *(*run, build, masking, (train, valid, valid)),
            lambda model: {"": {}},
            *(given, table, options),
        )
        which = description(
            *(given, *run, kind, SELECTION_SEED, len(train.y)),
            options + _schedule(kind, given),
        )
        return float(table.find(**which)[0]["valid_accuracy"])

    plain = valid_accuracy("traditional", weights[0])
    for weight in sorted(weights, reverse=True):
        if valid_accuracy("fine-tuned", weight) >= plain - TOLERANCE:
            break
    return weight


def description(args, task, network, training, seed, train_samples, options):
    """What tells a run from others: a dict with the names of `WHICH`."""
    settings = [getattr(args, name) for name in SETTINGS]
    values = [task, network, training, seed, *settings, train_samples, options]
    return dict(zip(WHICH, values, strict=True))


def _schedule(kind, args):
    """The settings that only some trainings have."""
    text = f", best epoch, patience {args.patience}" if args.patience else ""
    guiding = TRAININGS[kind]
    if guiding and guiding.last_epochs:
        rate = args.guided_rate or args.learning_rate
        text += f", guided: last {args.guided_epochs} at rate {rate:g}"
    return text


class Reader:
    """A network and its saliency methods, compiled once for all trainings.

    Args:
        build: function that returns a new network.
        methods: function from a network to a dict of methods.
        names: of those that are wanted. Defaults to all.
        batch_size: int, rows in one pass of a method. Defaults to 32.
    """

    def __init__(self, build, methods, names=None, batch_size=32):
        self.model, self.batch_size = build(), batch_size
        found = methods(self.model)
        unknown = set(names or ()) - set(found)
        if unknown:
            raise SystemExit(
                f"--methods: no {sorted(unknown)} in {list(found)}"
            )
        self.methods = {name: found[name] for name in names or found}

    def __call__(self, model, x, target=None):
        """Yields the name and the maps of each method, of a trained network."""
        self.model.set_weights(model.get_weights())
        for name, method in self.methods.items():
            yield name, method(x, target, batch_size=self.batch_size, verbose=0)


def circumstances():
    backend = keras.backend.backend()
    return {
        "backend": backend,
        "versions": f"keras {keras.__version__}, "
        f"{backend} {sys.modules[backend].__version__}, "
        f"keras_sgt {keras_sgt.__version__}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores"
        + (", GPU" if _has_gpu() else ""),
    }


def _has_gpu():
    device = str(keras.Variable(0.0).value.device).lower()
    return "cuda" in device or "gpu" in device


def summary(table, measures):
    """Mean ± deviation over seeds, a column for each training.

    `accuracy` has a line for each task and network, the other measures one for
    each saliency method.
    """
    for measure in measures:
        groups = {}
        for row in table.rows:
            key = (row["task"], row["network"], row["method"])
            if measure == "accuracy":  # the same in the lines of all methods
                key, seen = key[:2], (row["training"], row["seed"])
                known = groups.get(key, {}).get(row["training"], [])
                if seen in [(r["training"], r["seed"]) for r in known]:
                    continue
            runs = groups.setdefault(key, {})
            runs.setdefault(row["training"], []).append(row)
        print(f"\n{measure}")
        kinds = dict.fromkeys(k for runs in groups.values() for k in runs)
        print(f"{'':52}", *(f"{kind:>16}" for kind in kinds))
        for key, runs in groups.items():
            cells = (_spread(runs.get(kind, []), measure) for kind in kinds)
            print(f"{', '.join(key):52}", *(f"{cell:>16}" for cell in cells))


def _spread(rows, measure):
    values = [float(row[measure]) for row in rows if row.get(measure)]
    # Maps that are 0 everywhere have no precision.
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


class Help(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """The description as it is written; defaults where there are some."""

    def _get_help_string(self, action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def names(parser, option, choices, help, default=None):
    """An option that takes several of some names."""
    parser.add_argument(
        option,
        nargs="+",
        choices=list(choices),
        default=default,
        metavar="NAME",
        help=f"{help}: {', '.join(choices)}",
    )


def arguments(description, **defaults):
    """The options that all examples have; an example adds its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=Help
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small run, under 3 minutes"
    )
    names(
        parser,
        "--trainings",
        TRAININGS,
        "of these",
        default=["traditional", "guided", "random mask"],
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        metavar="N",
        help="a network for each",
    )
    for option, kind, text in (
        ("--epochs", int, "of every training"),
        ("--batch-size", int, "samples in a step"),
        ("--learning-rate", float, "of Adam"),
        ("--mask-fraction", float, "share of features that is masked"),
        ("--kl-weight", float, "λ, the weight of the divergence"),
        ("--patience", int, "epochs without a better one by validation"),
        ("--guided-epochs", int, "how many are guided, of the fine-tuned"),
        ("--guided-rate", float, "learning rate of those"),
    ):
        parser.add_argument(option, type=kind, metavar="N", help=text)
    parser.set_defaults(mask_fraction=0.5, kl_weight=1.0, guided_epochs=1)
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="saliency methods; all, unless given",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="table to write; the runs in it are not run again",
    )
    parser.add_argument("--verbose", type=int, default=0, help="as for `fit`")
    parser.set_defaults(
        optimizer=keras.optimizers.Adam, callbacks=list, **defaults
    )
    return parser
