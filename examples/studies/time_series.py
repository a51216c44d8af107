"""Time series: does relevance lie where the class is made?

    python examples/studies/time_series.py --quick
    python examples/studies/time_series.py --networks tcn lstm --csv series.csv

trains the four networks of the benchmark on series of noise whose class is
told by a box, and measures how precisely six saliency methods find the box.
Precision and recall are those of the benchmark
(`evaluation.weighted_precision_recall`); "diff" is what is left above its
random baseline, "diff iid" above relevance that is shuffled freely. Real
series: `real_series.py`.

    python examples/studies/time_series.py --protocol benchmark --help

trains as the benchmark did: 70 data sets, stopped early, more guidances.
"""

import argparse
import functools

import networks
import numpy as np
import runner

from keras_sgt import attribution, datasets, evaluation, masking

NETWORKS = {
    "lstm": networks.lstm,
    "input-cell attention": networks.input_cell_attention_lstm,
    "tcn": networks.tcn,
    "transformer": networks.transformer,
}
LAYOUTS = ("middle", "moving_middle", "rare_time", "rare_feature")
PROCESSES = ("gaussian", "harmonic", "auto_regressive")
VALID, TEST = 200, 100


def noise(shape, seed=0):
    """Baselines, as in the benchmark's code."""
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(10, *shape)).astype("float32")


def methods(model, baselines, seed=0):
    """Those of the paper's Table 2; the first baseline is that of paths."""
    return {
        "gradient": attribution.Gradient(model),
        "integrated gradients": attribution.IntegratedGradients(
            model, baselines=baselines[0]
        ),
        "DeepLIFT": attribution.DeepLIFT(model, baselines=baselines[0]),
        "gradient SHAP": attribution.GradientSHAP(
            model, baselines=baselines, stdevs=0.09, seed=seed
        ),
        "DeepSHAP": attribution.DeepSHAP(model, baselines=baselines),
        "SmoothGrad": attribution.SmoothGrad(model, nt_samples=25, seed=seed),
    }


def scaled(splits):
    """Each cell between 0 and 1 in training, as the benchmark has it."""
    low, high = splits[0].x.min(0), splits[0].x.max(0)
    return [
        datasets.Split((s.x - low) / (high - low), s.y, s.truth) for s in splits
    ]


@functools.lru_cache(16)
def box_data(layout, process, train_samples):
    sizes = (train_samples, VALID, TEST)
    x, y, truth = datasets.boxes(layout, process, samples=sum(sizes))
    ends = np.cumsum(sizes)[:-1]
    parts = zip(*(np.split(array, ends) for array in (x, y, truth)))
    return scaled([datasets.Split(*part) for part in parts])


def measure(reader, test, model):
    return {
        name: measures(test, maps)
        for name, maps in reader(model, test.x, test.y)
    }


def measures(test, maps):
    found = evaluation.weighted_precision_recall(
        maps, test.truth, baseline_draws=5
    )
    return {
        "aup": found.aup,
        "aur": found.aur,
        "aupr": found.aupr,
        "diff_aup": found.minus_permuted_features.aup,
        "diff_aur": found.minus_permuted_features.aur,
        "diff_iid_aup": found.minus_random.aup,
        "diff_iid_aur": found.minus_random.aur,
        "mass_in_box": evaluation.relevance_mass(maps, test.truth).value,
    }


def feature_masking(ranking):
    # A series has no channels that would share a mask.
    return masking.FeatureMasking(ranking, channel_axis=None)


def arguments(argv):
    parser = runner.arguments(
        __doc__, epochs=30, batch_size=50, learning_rate=0.001
    )
    runner.names(parser, "--networks", NETWORKS, "all, or of these")
    runner.names(
        parser,
        "--layouts",
        datasets.LAYOUTS,
        f"of these; {', '.join(LAYOUTS)}, unless given",
    )
    runner.names(
        parser,
        "--processes",
        datasets.PROCESSES,
        f"of these; {', '.join(PROCESSES)}, unless given",
    )
    parser.add_argument(
        "--train-samples", type=int, default=1000, help="series of a data set"
    )
    parser.add_argument(
        "--map-samples", type=int, help="test series with maps; default: all"
    )
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs = [0], 5
    quick = {
        "networks": ["tcn"],
        "layouts": ["middle"],
        "processes": ["gaussian"],
    }
    full = {
        "networks": list(NETWORKS),
        "layouts": LAYOUTS,
        "processes": PROCESSES,
    }
    for name, names in (quick if args.quick else full).items():
        setattr(args, name, getattr(args, name) or names)
    return args


def tasks(args):
    """Name, data and shape of a series, for each task."""
    for layout in args.layouts:
        for process in args.processes:
            data = box_data(layout, process, args.train_samples)
            yield f"{layout} {process}", data


def protocol(argv):
    """Which one is asked for, and the arguments of that."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--protocol", choices=("fixed", "benchmark"))
    found, others = parser.parse_known_args(argv)
    return found.protocol, others


def main(argv=None):
    chosen, argv = protocol(argv)
    if chosen == "benchmark":
        import time_series_benchmark  # which imports this one

        return time_series_benchmark.main(argv)
    args = arguments(argv)
    table = runner.Table(args.csv)
    for network in args.networks:
        for task, data in tasks(args):
            test = data[-1]
            classes = int(max(s.y.max() for s in data)) + 1
            shape = test.x.shape[1:]
            build = functools.partial(NETWORKS[network], *shape, classes)
            marked = runner.part(test, slice(args.map_samples))
            reader = runner.Reader(
                build,
                functools.partial(methods, baselines=noise(shape)),
                args.methods,
            )
            runner.compare(
                task,
                network,
                build,
                feature_masking,
                data,
                functools.partial(measure, reader, marked),
                args,
                table,
                options=f"{len(marked.y)} maps" if args.map_samples else "",
            )
    runner.summary(table, ["accuracy", "diff_aup", "diff_aur"])
    return table.rows


if __name__ == "__main__":
    main()
