"""Time series as the benchmark trains them: 70 data sets, stopped early.

    python examples/studies/time_series.py --protocol benchmark --quick
    python examples/studies/time_series.py --protocol benchmark \\
        --networks tcn --csv tcn.csv --part 1/4

All layouts × processes of `datasets.boxes`; data, scaling and networks are
those of `time_series.py`. Every third epoch the accuracy on validation series
is looked at. Training stops at 99 %, and what is read is the network of the
first look that had the highest accuracy. (The benchmark looks at the test
series; the rest is its.)

How it is judged, written down before it was run:

- A network that is right for less than 90 % of the test series is not read,
  as in the benchmark. Its line is kept, without measures; how many there are
  of each training is said beside the table.
- A cell of the table is, for a network, a training and a saliency method, the
  mean over data sets, whose seeds are averaged first, of AUP and of AUR above
  two Randoms: the benchmark's, which is one for all methods (the gradient's
  map of the same network, features permuted; a mean of 5 permutations), and
  one that shuffles the cells of each map freely.
- Differences between trainings are paired by data set and seed, where both
  networks are read; ± is one standard error over data sets. Claims are made of
  row averages (over the six methods; a network and measure each), of single
  cells none. A training gains in a row if it is above traditional training and
  above its own control by two standard errors each, by both Randoms. The
  control of `guided` and `guided absolute` is `random mask` with the same mask
  fraction, that of the others has "control" in its name.
- A gain does not count where the mean test accuracy, over all networks read or
  not, is more than half a point below that of traditional training.
- Nothing is chosen on these data. ε is 0.1, fixed beforehand (other values, by
  `--epsilon`, are other runs, reported beside it); mask fractions are 0.5 and
  0.9, both reported. λ is 1. No guidance is left out of the table.
- Temporal saliency rescaling is no part of the benchmark's table. It is run
  for itself (`--rescaled`), and judged likewise.

A line of the table is one trained network, with columns for each saliency
method. Runs that the table holds already are not run again, and several
processes may add to one table or, quicker, each to its own.
"""

import argparse
import functools
import itertools
import time

import keras
import runner
import time_series

import keras_sgt
from keras_sgt import attribution, datasets, evaluation, guidance

LOOK_EVERY, GOOD_ENOUGH, READABLE = 3, 0.99, 0.9
STEPS_OF_IG, COPIES = 20, 10
ROWS = STEPS_OF_IG * time_series.TEST  # of one pass: quicker than a loop


def masked(ranking):
    chosen = time_series.feature_masking(ranking)
    return guidance.MaskedConsistency(masking=chosen)


def moved(epsilon, masking=None):
    return guidance.AdversarialConsistency(epsilon, masking=masking)


def masked_then_moved(epsilon):
    return moved(epsilon, time_series.feature_masking("signed"))


# Name in the table: function from ε to a guidance.
TRAININGS = {
    "traditional": None,
    "guided": lambda epsilon: masked("signed"),
    "guided absolute": lambda epsilon: masked("absolute"),
    "random mask": lambda epsilon: masked("random"),
    "adversarial": moved,
    "adversarial control": lambda epsilon: moved(epsilon).control(),
    "masked, then moved": masked_then_moved,
    "masked, then moved, control": (
        lambda epsilon: masked_then_moved(epsilon).control()
    ),
}
UNMASKED = ("traditional", "adversarial", "adversarial control")
UNMOVED = ("traditional", "guided", "guided absolute", "random mask")


class Training(runner.Training):
    """Guided by any guidance, and stopped early; compiled once for all data.

    `fit` masks the share that `args.mask_fraction` is at the time.
    """

    kinds = TRAININGS

    def _new(self):
        model = self._build()
        if self._guiding is None:
            return model, model
        term = self._guiding(self._args.epsilon)
        return model, keras_sgt.SaliencyGuidedModel(model, guidance=term)

    def _restart(self, seed):
        super()._restart(seed)
        if self._guiding is not None:
            self._trainer.guidance[0].mask_fraction = self._args.mask_fraction

    def _callbacks(self):
        self.best = FirstBest()
        return [self.best]

    def _validation(self, valid):
        return {
            "validation_data": (valid.x, valid.y),
            "validation_batch_size": len(valid.y),
            "validation_freq": LOOK_EVERY,
        }


class FirstBest(keras.callbacks.Callback):
    """Stops where validation is good enough; keeps the first best weights."""

    accuracy, epoch, weights = -1.0, None, None

    def on_epoch_end(self, epoch, logs=None):
        found = (logs or {}).get("val_accuracy")
        if found is None:  # no look this time
            return
        if found > self.accuracy:
            self.accuracy, self.epoch = found, epoch + 1
            self.weights = self.model.get_weights()
        self.model.stop_training = found >= GOOD_ENOUGH

    def on_train_end(self, logs=None):
        if self.weights is not None:
            self.model.set_weights(self.weights)


def methods(model, shape):
    """Those of `time_series`, in fewer passes."""
    found = time_series.methods(model, time_series.noise(shape))
    start = found["integrated gradients"].baselines
    found["integrated gradients"] = attribution.IntegratedGradients(
        model, baselines=start, n_steps=STEPS_OF_IG
    )
    found["SmoothGrad"] = attribution.SmoothGrad(
        model, nt_samples=COPIES, seed=0
    )
    return found


def rescaled(model):
    """Temporal saliency rescaling of the gradient, beside the gradient.

    A thousand gradients for each series: of the other methods it is not run.
    """
    gradient = attribution.Gradient(model)
    tsr = attribution.TemporalRescaling(gradient)
    return {"gradient": gradient, "TSR, gradient": tsr}


def measured(reader, model, test):
    """AUP and AUR of each method, and what is left above two Randoms.

    Returns:
        dict of floats, `"<method> <measure>"`, and of the shared Random
        `"Random aup"` and `"Random aur"`.
    """
    row = {}
    for name, maps in reader(model, test.x, test.y):
        first = not row  # whose map the shared Random is made of
        found = evaluation.weighted_precision_recall(
            maps, test.truth, baseline_draws=5 if first else 1
        )
        for measure in ("aup", "aur"):
            own = getattr(found, measure)
            if first:
                above = getattr(found.minus_permuted_features, measure)
                row[f"Random {measure}"] = own - above
            row[f"{name} {measure}"] = own
            row[f"{name} diff_{measure}"] = own - row[f"Random {measure}"]
            free = getattr(found.minus_random, measure)
            row[f"{name} diff_iid_{measure}"] = free
    return {name: round(float(value), 4) for name, value in row.items()}


class Study:
    """What is compiled, once for each network and training."""

    def __init__(self, args, table):
        self.args, self.table = args, table
        self._trainings, self._readers = {}, {}

    def run(self, task, network, kind, seed, data):
        """One network, unless the table holds it."""
        args = self.args
        train, valid, test = data
        which = runner.description(
            *(args, task, network, kind, seed, len(train.y)),
            self._options(kind),
        )
        if self.table.find(**which):
            return
        training = self._training(network, kind, test)
        found = training.fit(seed, train, valid)
        start = time.perf_counter()
        logits = training.model.predict(
            test.x, batch_size=len(test.y), verbose=0
        )
        accuracy = runner.accuracy(logits, test.y)
        measures = {}
        if accuracy >= READABLE:
            reader = self._reader(network, test)
            measures = measured(reader, training.model, test)
        seconds = time.perf_counter() - start
        line = {
            **which,
            "accuracy": accuracy,
            "valid_accuracy": found["valid_accuracy"],
            "best_epoch": training.best.epoch,
            "train_seconds": round(found["train_seconds"], 2),
            "measure_seconds": round(seconds, 2),
            **runner.circumstances(),
            **measures,
        }
        self.table.add([line])
        print(
            f"{task}, {network}, {kind}, k {args.mask_fraction}, seed {seed}: "
            f"accuracy {accuracy:.3f} of epoch {training.best.epoch}, "
            f"{line['train_seconds']} s, measured in {seconds:.1f} s",
            flush=True,
        )

    def _options(self, kind):
        text = f"IG {STEPS_OF_IG}, SmoothGrad {COPIES}"
        if self.args.rescaled:
            text = "rescaled"
        if self.args.softmax_twice:
            text += ", softmax twice"
        if kind in UNMOVED:
            return text
        return f"{text}, ε {self.args.epsilon}"

    def _training(self, network, kind, test):
        if (network, kind) not in self._trainings:
            self._trainings[network, kind] = Training(
                kind,
                self._build(network, test),
                time_series.feature_masking,
                self.args,
            )
        return self._trainings[network, kind]

    def _reader(self, network, test):
        if network not in self._readers:
            self._readers[network] = runner.Reader(
                self._build(network, test),
                rescaled
                if self.args.rescaled
                else functools.partial(methods, shape=test.x.shape[1:]),
                batch_size=ROWS,
            )
        return self._readers[network]

    def _build(self, network, test):
        make = functools.partial(
            time_series.NETWORKS[network], *test.x.shape[1:], 2
        )
        if self.args.softmax_twice:
            return functools.partial(with_softmax, make)
        return make


def with_softmax(build):
    """A network whose outputs are probabilities, which the loss takes again.

    That is how the benchmark's are trained; maps are then of probabilities.
    """
    model = build()
    outputs = keras.layers.Softmax()(model.outputs[0])
    return keras.Model(model.inputs, outputs, name=model.name)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=runner.Help
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small run, under 3 minutes"
    )
    for option, choices in (
        ("--networks", time_series.NETWORKS),
        ("--layouts", datasets.LAYOUTS),
        ("--processes", datasets.PROCESSES),
        ("--trainings", TRAININGS),
    ):
        runner.names(parser, option, choices, "all, or of these")
    for option, kind, values, text in (
        ("--seeds", int, [0, 1], "a network for each"),
        ("--mask-fractions", float, [0.5, 0.9], "of the trainings that mask"),
    ):
        parser.add_argument(
            option, type=kind, nargs="+", default=values, metavar="N", help=text
        )
    for option, kind, value, text in (
        ("--epsilon", float, 0.1, "how far adversarial trainings move"),
        ("--epochs", int, 500, "at most"),
        ("--train-samples", int, 1000, "series of a data set"),
    ):
        parser.add_argument(
            option, type=kind, default=value, metavar="N", help=text
        )
    parser.add_argument(
        "--softmax-twice",
        action="store_true",
        help="in the network and in the loss, as the benchmark has it",
    )
    parser.add_argument(
        "--rescaled",
        action="store_true",
        help="temporal saliency rescaling of the gradient, and no other method",
    )
    parser.add_argument(
        "--part",
        type=part,
        default=(1, 1),
        metavar="I/N",
        help="every Nth data set, from the Ith; for several processes",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="table to write; the runs in it are not run again",
    )
    parser.set_defaults(
        batch_size=50,
        learning_rate=0.001,
        kl_weight=1.0,
        optimizer=keras.optimizers.Adam,
        verbose=0,
    )
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.mask_fractions = [0], [0.5]
        args.epochs, args.train_samples = min(args.epochs, 12), 400
    quick = {
        "networks": ["tcn"],
        "layouts": ["rare_feature"],
        "processes": ["gaussian"],
        "trainings": ["traditional", "masked, then moved"],
    }
    full = {
        "networks": time_series.NETWORKS,
        "layouts": datasets.LAYOUTS,
        "processes": datasets.PROCESSES,
        "trainings": TRAININGS,
    }
    for name, names in (quick if args.quick else full).items():
        setattr(args, name, getattr(args, name) or list(names))
    return args


def part(text):
    place, count = map(int, text.split("/"))
    if not 1 <= place <= count:
        raise argparse.ArgumentTypeError(f"{text}: I is from 1 to N")
    return place, count


def main(argv=None):
    args = arguments(argv)
    table = runner.Table(args.csv)
    study = Study(args, table)
    place, count = args.part
    names = list(itertools.product(args.layouts, args.processes))
    for layout, process in names[place - 1 :: count]:
        data = time_series.box_data(layout, process, args.train_samples)
        for network, seed, kind in itertools.product(
            args.networks, args.seeds, args.trainings
        ):
            fractions = [0.0] if kind in UNMASKED else args.mask_fractions
            for args.mask_fraction in fractions:
                study.run(f"{layout} {process}", network, kind, seed, data)
    return table.rows


if __name__ == "__main__":
    main()
