"""Images: is the relevance where the object is, and does accuracy rest on it?

    python examples/studies/images.py --quick
    python examples/studies/images.py --dataset mnist --csv images.csv

trains a network and measures, for the six saliency methods of the paper, the
area under the accuracy as the most salient pixels are removed (lower is
better), and the share of relevance on the object where the data tell where
that is: the digit of MNIST, the animal of the photographs (`--dataset pets`,
and `--folder` for others with masks), the block with the signal (`--dataset
null_blocks`: MNIST beside a null block).
"""

import functools
import pathlib

import networks
import numpy as np
import runner

from keras_sgt import attribution, datasets, evaluation, masking

NETWORKS = {
    "mnist_cnn": networks.mnist_cnn,
    "resnet18": networks.resnet18,
    "small_resnet18": functools.partial(networks.resnet18, width=16, pool=True),
    "small_vgg16": networks.small_vgg16,
    "vgg16": networks.vgg16,
}
# Network, epochs, batch size, learning rate.
DEFAULTS = {
    "mnist": ("mnist_cnn", 3, 64, 0.001),
    "fashion_mnist": ("mnist_cnn", 3, 64, 0.001),
    "null_blocks": ("mnist_cnn", 3, 64, 0.001),
    "cifar10": ("resnet18", 30, 128, 0.001),
    "cifar10_jpeg": ("resnet18", 30, 128, 0.001),
    "pets": ("small_resnet18", 30, 16, 0.001),
}


@functools.cache
def splits(dataset, train_samples, size, folder=None):
    """Training, validation and test images; every tenth one validates."""
    blocks = dataset == "null_blocks"
    options = {}
    if dataset == "pets":
        options = {"size": size, "folder": folder}
    data = datasets.load("mnist" if blocks else dataset, **options)
    order = np.random.default_rng(0).permutation(len(data.train))
    valid, train = np.split(order, [len(order) // 10])
    parts = [
        runner.part(data.train, train[:train_samples]),
        runner.part(data.train, valid),
        data.test,
    ]
    if blocks:
        parts = [beside_null_block(p, seed) for seed, p in enumerate(parts)]
    elif dataset in ("mnist", "fashion_mnist"):
        # Black is background.
        parts = [datasets.Split(p.x, p.y, p.x[..., 0] > 0) for p in parts]
    return parts


def beside_null_block(split, seed):
    x, truth = datasets.null_blocks(split.x, seed=seed)
    return datasets.Split(x, split.y, truth[..., 0])


def with_maps(test, count, balanced):
    """The test images that are explained: the first, or as many of each class.

    Photographs are sorted by class: the first would be of one.
    """
    if not balanced:
        return runner.part(test, np.arange(min(count, len(test))))
    order = np.random.default_rng(0).permutation(len(test))
    turn = np.empty(len(test), int)
    for label in np.unique(test.y):
        of = order[test.y[order] == label]
        turn[of] = np.arange(len(of))
    return runner.part(test, np.sort(np.argsort(turn, kind="stable")[:count]))


def named(sample, balanced):
    """What the table calls the images with maps."""
    maps = f"{len(sample)} maps"
    if balanced:
        maps += f" of {len(np.unique(sample.y))} classes"
    return f"{maps}, {sample.x.shape[1]} pixels"


def methods(model, shape, background, seed=0):
    """The paper's six, and chance."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(size=(10, *shape)).astype("float32")
    return {
        "gradient": attribution.Gradient(model),
        "integrated gradients": attribution.IntegratedGradients(model),
        "DeepLIFT": attribution.DeepLIFT(model),
        "gradient SHAP": attribution.GradientSHAP(
            model, baselines=noise, stdevs=0.09, seed=seed
        ),
        "DeepSHAP": attribution.DeepSHAP(model, baselines=background),
        "SmoothGrad": attribution.SmoothGrad(
            model, nt_type="smoothgrad_sq", nt_samples=25, seed=seed
        ),
        "random": attribution.Random(model, seed=seed),
    }


def measure(reader, sample, model):
    rows = {}
    x, y = sample.x, sample.y
    for name, maps in reader(model, x, y):
        drop = evaluation.accuracy_drop(reader.model, x, y, maps)
        mean = evaluation.accuracy_drop(reader.model, x, y, maps, fill="mean")
        rows[name] = {
            "drop_auc": drop.value,
            "drop_auc_mean_fill": mean.value,
            "drop_curve": _numbers(drop.curve),
            "distribution": _numbers(distribution(maps)),
            "gini": evaluation.gini(maps).value,
        }
        if sample.truth is not None:
            relevance = abs(maps).mean(-1)
            rows[name]["mass_on_object"] = evaluation.relevance_mass(
                relevance, sample.truth
            ).value
    return rows


def distribution(maps, bins=20):
    """The share of pixels by |relevance| over the largest of its map."""
    maps = abs(maps).reshape(len(maps), -1)
    largest = maps.max(1, keepdims=True)
    shares = maps / np.where(largest > 0, largest, 1)
    return np.histogram(shares, bins, (0, 1))[0] / shares.size


def _numbers(values):
    return " ".join(f"{value:.4f}" for value in values)


def arguments(argv):
    parser = runner.arguments(__doc__)
    parser.add_argument("--dataset", choices=DEFAULTS, default="mnist")
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--size", type=int, default=96, help="of photographs")
    parser.add_argument(
        "--folder",
        type=pathlib.Path,
        help="photographs for `pets`: a folder of index.tsv, images, trimaps",
    )
    parser.add_argument("--train-samples", type=int, help="default: all")
    parser.add_argument(
        "--map-samples", type=int, default=1000, help="test images with maps"
    )
    args = parser.parse_args(argv)
    if args.folder and args.dataset != "pets":
        parser.error("--folder is of photographs, for --dataset pets")
    network, epochs, batch_size, learning_rate = DEFAULTS[args.dataset]
    args.network = args.network or network
    args.epochs = args.epochs or epochs
    args.batch_size = args.batch_size or batch_size
    args.learning_rate = args.learning_rate or learning_rate
    if args.quick:
        args.seeds, args.epochs = [0], 1
        args.train_samples, args.map_samples = 2000, 10
    return args


def main(argv=None):
    args = arguments(argv)
    table = runner.Table(args.csv)
    data = splits(args.dataset, args.train_samples, args.size, args.folder)
    test = data[-1]
    classes = int(data[0].y.max()) + 1
    shape = test.x.shape[1:]
    build = functools.partial(NETWORKS[args.network], shape, classes)
    reader = runner.Reader(
        build,
        lambda model: methods(model, shape, data[0].x[:10]),
        args.methods,
    )
    balanced = args.dataset == "pets"
    sample = with_maps(test, args.map_samples, balanced)
    runner.compare(
        args.dataset,
        args.network,
        build,
        lambda ranking: masking.FeatureMasking(ranking),
        data,
        functools.partial(measure, reader, sample),
        args,
        table,
        options=named(sample, balanced)
        + (f", {args.folder.name}" if args.folder else ""),
    )
    shown = ["accuracy", "drop_auc"]
    if test.truth is not None:
        shown.append("mass_on_object")
    runner.summary(table, shown)
    return table.rows


if __name__ == "__main__":
    main()
