"""Real series: does the prediction rest on what is relevant?

    python examples/studies/real_series.py --quick
    python examples/studies/real_series.py --csv real_series.csv

trains the benchmark's TCN, or an LSTM, on recordings: six activities told by a
smartphone's sensors, heartbeats (ECG200, ECG5000), hand movements (GunPoint)
and electricity demand. Where the truth lies is not known, so what is measured,
for six saliency methods, is what the removal of the most relevant values does
to accuracy, and whether they are enough by themselves.

How it is judged, written down before it was run:

- Training masks with random values from the range of each feature. Removed
  values are filled otherwise: by the mean of the series' channel, and by the
  values of another series (`drop_mean`, `drop_sample`: areas under the
  accuracy, lower is better).
- Sufficiency is the probability of the predicted class less that with the top
  1, 5, 10, 20 and 50 % of the values alone, the rest at the channel's mean;
  comprehensiveness the same without them.
- A claim needs two standard errors, over data sets, of paired differences
  whose seeds and methods are averaged first, against traditional training and
  against the random mask; accuracy is reported beside it. Nothing is chosen:
  k is 0.5, λ is 1, the epochs of each set are fixed here.
"""

import functools

import networks
import numpy as np
import runner
import time_series

from keras_sgt import datasets, evaluation
from keras_sgt.datasets import files

NETWORKS = {
    "tcn": networks.tcn,
    "lstm": functools.partial(networks.lstm, units=32),
}
EPOCHS = {  # of each set, and the series in a step
    "activities": (8, 50),
    "ECG5000": (30, 16),
    "ECG200": (100, 16),
    "GunPoint": (150, 16),
    "ItalyPowerDemand": (100, 16),
}
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)  # those of ERASER


def activities():
    """Windows of the smartphone's recordings; every tenth one validates."""
    data = datasets.load("har")
    order = np.random.default_rng(0).permutation(len(data.train))
    valid, train = np.split(order, [len(order) // 10])
    test = np.random.default_rng(0).permutation(len(data.test))[:300]
    return [
        runner.part(data.train, train),
        runner.part(data.train, valid),
        runner.part(data.test, test),
    ]


def archived(name):
    """A set of the UCR archive, of one channel; every fifth one validates."""
    if name == "ECG5000":  # the archive's training set, and a part of its test
        with np.load(
            files.file(None, "ecg5000", "ECG5000_2000of5000.npz")
        ) as found:
            train, test = (
                (found[f"x_{part}"], found[f"y_{part}"])
                for part in ("train", "test")
            )
    else:
        train, test = (
            _read(files.file(None, "ucr", name, f"{name}_{part}.ts"))
            for part in ("TRAIN", "TEST")
        )
    classes = np.unique(train[1])
    train, test = (
        datasets.Split(
            x.astype("float32")[..., None],
            np.searchsorted(classes, y).astype("int32"),
        )
        for x, y in (train, test)
    )
    order = np.random.default_rng(0).permutation(len(train.y))
    valid, rest = np.split(order, [len(order) // 5])
    return [
        runner.part(train, rest),
        runner.part(train, valid),
        runner.part(test, np.random.default_rng(0).permutation(len(test.y))),
    ]


def _read(path):
    """Series and labels of a `.ts` file: `value,value,...:label` in a line."""
    lines = path.read_text().split("@data")[1].split()
    series, labels = zip(*(line.split(":") for line in lines))
    x = [np.array(values.split(","), float) for values in series]
    return np.stack(x), np.array(labels)


def standardised(splits):
    """Each channel with mean 0 and deviation 1 in training."""
    mean = splits[0].x.mean((0, 1))
    deviation = splits[0].x.std((0, 1))
    return [datasets.Split((s.x - mean) / deviation, s.y) for s in splits]


def measure(reader, sample, model):
    return {
        name: measures(reader.model, sample, maps)
        for name, maps in reader(model, sample.x, sample.y)
    }


def measures(model, sample, maps):
    drops = {
        f"drop_{fill}": evaluation.accuracy_drop(
            model, sample.x, sample.y, maps, fill=fill
        ).value
        for fill in ("mean", "sample")
    }
    reduced = {  # and where the curve has the whole series
        "sufficiency": (evaluation.insertion, -1),
        "comprehensiveness": (evaluation.deletion, 0),
    }
    options = {"fill": "mean", "levels": LEVELS, "ranking": "absolute"}
    for name, (of, whole) in reduced.items():
        curve = of(model, sample.x, maps, from_logits=True, **options).curve
        drops[name] = curve[whole] - curve[1:-1].mean()
    return drops


def arguments(argv):
    parser = runner.arguments(__doc__, learning_rate=0.001)
    runner.names(parser, "--datasets", EPOCHS, "of these", default=list(EPOCHS))
    runner.names(
        parser, "--networks", NETWORKS, "of these", default=list(NETWORKS)
    )
    parser.add_argument(
        "--map-samples", type=int, default=200, help="test series with maps"
    )
    args = parser.parse_args(argv)
    if args.quick:
        args.datasets, args.networks = ["ItalyPowerDemand"], ["tcn"]
        args.seeds = [0]
    return args


def main(argv=None):
    args = arguments(argv)
    table = runner.Table(args.csv)
    given = args.epochs, args.batch_size
    for network in args.networks:
        for name in args.datasets:
            args.epochs, args.batch_size = (
                mine or usual for mine, usual in zip(given, EPOCHS[name])
            )
            data = activities() if name == "activities" else archived(name)
            data = standardised(data)
            shape = data[0].x.shape[1:]
            classes = int(max(s.y.max() for s in data)) + 1
            build = functools.partial(NETWORKS[network], *shape, classes)
            # The mean, and series to train with.
            baselines = np.concatenate([0 * data[0].x[:1], data[0].x[:9]])
            methods = functools.partial(
                time_series.methods, baselines=baselines
            )
            reader = runner.Reader(build, methods, args.methods)
            sample = runner.part(data[-1], slice(args.map_samples))
            runner.compare(
                *(name, network, build, time_series.feature_masking, data),
                functools.partial(measure, reader, sample),
                *(args, table),
                options=f"{args.map_samples} maps",
            )
    runner.summary(table, ["accuracy", "drop_mean", "sufficiency"])
    return table.rows


if __name__ == "__main__":
    main()
