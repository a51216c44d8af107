"""Tables: does relevance stay off columns that say nothing?

    python examples/studies/tabular.py --quick

trains a network on Adult, the census table, beside a shuffled copy of each
column. A copy has the same values, but tells nothing: relevance on it is
wrong. Measured are the share of relevance on the true columns (higher is
better) and the area under the accuracy as the most salient columns are filled
with their mean (lower is better).
"""

import functools

import networks
import numpy as np
import runner

from keras_sgt import attribution, datasets, evaluation, masking


def splits(train_samples, seed=0):
    """Standardised columns, each category as its share of class 1."""
    data = datasets.load("adult")
    rng = np.random.default_rng(seed)
    valid, train = np.split(
        rng.permutation(len(data.train)), [len(data.train) // 10]
    )
    train = train[:train_samples]
    y = data.train.y[train]
    columns = {"train": [], "valid": [], "test": []}
    for name in data.features:
        parts = {
            "train": data.train.x[name][train],
            "valid": data.train.x[name][valid],
            "test": data.test.x[name],
        }
        if parts["train"].dtype.kind == "U":
            parts = shares(parts, y)
        mean, deviation = parts["train"].mean(), parts["train"].std()
        for split, values in parts.items():
            columns[split].append((values - mean) / (deviation or 1))
    labels = (y, data.train.y[valid], data.test.y)
    return [
        with_copies(np.stack(of, 1).astype("float32"), label, rng)
        for of, label in zip(columns.values(), labels)
    ]


def shares(parts, y):
    """Each category as the share of class 1 that it has in training."""
    found = {
        c: y[parts["train"] == c].mean() for c in np.unique(parts["train"])
    }
    unknown = y.mean()
    return {
        split: np.array([found.get(c, unknown) for c in values])
        for split, values in parts.items()
    }


def with_copies(x, y, rng):
    truth = np.repeat([True, False], x.shape[1])
    x = np.concatenate([x, rng.permuted(x, axis=0)], axis=1)
    return datasets.Split(x, y, np.broadcast_to(truth, x.shape))


def methods(model, background):
    return {
        "gradient": attribution.Gradient(model),
        "integrated gradients": attribution.IntegratedGradients(model),
        "DeepSHAP": attribution.DeepSHAP(model, baselines=background),
    }


def measure(reader, sample, model):
    rows = {}
    for name, maps in reader(model, sample.x, sample.y):
        rows[name] = {
            "mass_on_true_columns": evaluation.relevance_mass(
                maps, sample.truth
            ).value,
            "drop_auc": evaluation.accuracy_drop(
                reader.model, sample.x, sample.y, maps, fill="mean"
            ).value,
        }
    return rows


def arguments(argv):
    parser = runner.arguments(
        __doc__, epochs=10, batch_size=128, learning_rate=0.001
    )
    parser.add_argument("--train-samples", type=int, help="default: all")
    parser.add_argument(
        "--map-samples", type=int, default=1000, help="test rows with maps"
    )
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs, args.train_samples = [0], 3, 5000
    return args


def main(argv=None):
    args = arguments(argv)
    table = runner.Table(args.csv)
    data = splits(args.train_samples)
    build = functools.partial(networks.mlp, data[0].x.shape[1])
    reader = runner.Reader(
        build, lambda model: methods(model, data[0].x[:20]), args.methods
    )
    test, n = data[-1], args.map_samples
    sample = datasets.Split(test.x[:n], test.y[:n], test.truth[:n])
    runner.compare(
        "adult",
        "mlp",
        build,
        lambda ranking: masking.FeatureMasking(ranking, replacement="marginal"),
        data,
        functools.partial(measure, reader, sample),
        args,
        table,
        options=f"{len(sample)} maps",
    )
    runner.summary(table, ["accuracy", "mass_on_true_columns", "drop_auc"])
    return table.rows


if __name__ == "__main__":
    main()
