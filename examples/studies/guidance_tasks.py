"""What the study of guidances tries, and on what: `guidance.py`.

A task holds its data and its network, and says what is measured there. The
measures' kinds are in `tools/guidance_results.py`.
"""

import functools

import images
import keras
import language
import networks
import numpy as np
import real_series
import runner
import tabular
import time_series

from keras_sgt import attribution, datasets, evaluation, guidance, masking


def signed(**options):
    return masking.FeatureMasking(channel_axis=None, **options)


def removing(top):
    return guidance.Comprehensiveness(top=top, weight=0.5)


def removing_words(top):
    chosen = masking.TokenMasking(ranking="relevance")
    return guidance.Comprehensiveness(top=top, masking=chosen, weight=0.5)


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
    "adversarial, last half": {
        f"ε={epsilon}": functools.partial(
            guidance.AdversarialConsistency, epsilon
        )
        for epsilon in (0.1, 0.3, 0.5)
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
    # Of texts, whose words move at the output of the embedding.
    "masked words": {
        f"λ={weight}": lambda weight=weight: guidance.MaskedConsistency(
            weight=weight, masking=masking.TokenMasking()
        )
        for weight in (0.3, 1.0)
    },
    "moved words": {
        f"ε={epsilon}": functools.partial(
            guidance.AdversarialConsistency, epsilon, norm="l2"
        )
        for epsilon in (0.1, 0.2, 0.3, 0.5)
    },
    "words moved by score": {
        f"ε={epsilon}": functools.partial(
            guidance.AdversarialConsistency,
            epsilon,
            norm="l2",
            direction="score",
        )
        for epsilon in (0.1, 0.2, 0.3)
    },
    "removed words": {
        f"q={top}": functools.partial(removing_words, top) for top in (0.1, 0.2)
    },
    "moved and removed words": {
        f"ε={epsilon}": lambda epsilon=epsilon: [
            guidance.AdversarialConsistency(
                epsilon, norm="l2", direction="score"
            ),
            removing_words(0.2),
        ]
        for epsilon in (0.2, 0.3)
    },
}


# Guided in the second half of the epochs, trained plainly before.
LAST_HALF = ("adversarial, last half",)

# What is tried where nothing else is said.
OF_IMAGES = ["masked", "adversarial", "adversarial and comprehensive"]
OF_SERIES = [
    "masked",
    "adversarial",
    "adversarial, last half",
    "masked, then moved",
]
OF_TABLES = ["masked", "masked, magnitude", "adversarial", "comprehensive"]
OF_TEXTS = [
    "masked words",
    "moved words",
    "words moved by score",
    "removed words",
    "moved and removed words",
]


class Task:
    """Arrays, with or without a truth.

    Args:
        data: function that returns the splits: training, validation, test.
        network: function that builds a network with logits.
        guidances: of `GUIDANCES`.
        epochs, batch_size: ints.
    """

    def __init__(self, data, network, guidances, epochs, batch_size=64):
        self._data, self._network = data, network
        self.guidances = guidances
        self.epochs, self.batch_size = epochs, batch_size

    def load(self, args):
        """The splits, and a function that builds a network for them."""
        return self._data(), self._network

    def preference(self, model, split):
        """What a setting is chosen by, the more the better."""
        maps = methods(model)["gradient"](split.x, split.y)
        if split.truth is not None:
            return self._relevance(maps, split)
        fill = {"fill": "mean", "seed": 0}
        drop = evaluation.accuracy_drop(model, split.x, split.y, maps, **fill)
        return -drop.value

    def _relevance(self, maps, split):
        """How much of the relevance lies on the truth."""
        if split.truth is None:
            return float("nan")
        if split.x.ndim != 3:
            return evaluation.relevance_mass(maps, split.truth).value
        # Above relevance whose features are permuted, as the benchmark has it.
        found = evaluation.weighted_precision_recall(
            maps, split.truth, baseline_draws=3
        )
        return found.minus_permuted_features.aup

    def measured(self, model, test, spread):
        """Measures by saliency method, on test samples.

        `spread` is the deviation of the training inputs.
        """
        rows = {}
        for name, method in methods(model).items():
            maps = method(test.x, test.y)
            rows[name] = {"relevance": self._relevance(maps, test)}
            for fill in ("mean", "sample"):
                drop = evaluation.accuracy_drop(
                    model, test.x, test.y, maps, fill=fill, seed=0
                )
                rows[name][f"drop_{fill}"] = drop.value
            rows[name]["under_noise"] = _under_noise(method, test, maps, spread)
        rows["gradient"]["attacked"] = evaluation.adversarial_accuracy(
            *(model, test.x, test.y, (0.1 * float(spread),)),
            steps=5,
            from_logits=True,
        ).value
        return rows


@functools.cache  # compiled once for each network, whatever its weights
def methods(model):
    return {
        "gradient": attribution.Gradient(model),
        "integrated gradients": attribution.IntegratedGradients(
            model, n_steps=20
        ),
        "SmoothGrad": attribution.SmoothGrad(
            model, nt_samples=10, nt_type="smoothgrad_sq", seed=0
        ),
    }


@functools.cache
def methods_of_texts(model):
    return language.methods(model)


def _under_noise(method, test, maps, spread):
    """How far a map moves, relative to its length, when the input does."""
    noise = np.random.default_rng(0).normal(0, 0.05 * spread, test.x.shape)
    other = method(test.x + noise.astype("float32"), test.y)
    rows = [m.reshape(len(m), -1) for m in (maps, other)]
    lengths = np.linalg.norm(rows[0], axis=1)
    moved = np.linalg.norm(rows[1] - rows[0], axis=1)
    return float(np.median(moved / np.maximum(lengths, 1e-12)))


class TextTask:
    """Texts, read by a bidirectional LSTM over fixed vectors of words.

    Args:
        name: of `datasets.load`.
        epochs, batch_size: ints.
    """

    guidances = OF_TEXTS

    def __init__(self, name, epochs, batch_size=64):
        self._name, self._length = name, language.LENGTHS.get(name, 400)
        self.epochs, self.batch_size = epochs, batch_size

    def load(self, args):
        if args.vectors is None:
            raise SystemExit("Texts need --vectors, made by word_vectors.py.")
        texts = language.splits(self._name, None, 2000)
        ids = language.vocabulary(texts[0].x, 10_000)
        splits = [language.encoded(part, ids, self._length) for part in texts]
        vectors = language.vectors(args.vectors, ids, args.width)
        vectors /= vectors[2:].std()
        classes = int(splits[0].y.max()) + 1
        size = (self._length, len(ids) + 2, classes)

        def build():
            model = networks.bilstm(*size, width=args.width, vectors=vectors)
            model.layers[0].trainable = False
            return model

        return splits, build

    def preference(self, model, split):
        maps = methods_of_texts(model)["gradient"](split.x)
        found = language.of_words(model, split, maps)
        return found["comprehensiveness"] - found["sufficiency"]

    def measured(self, model, test, spread):
        return {
            name: language.of_words(model, test, method(test.x))
            for name, method in methods_of_texts(model).items()
        }


def digits(seed=0):
    """Scikit-learn's digits, each beside a null block."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = (found.images / 16).astype("float32")[..., None]
    x, truth = datasets.null_blocks(x, seed=seed)
    return _split(x, found.target.astype("int32"), truth, 1000, 300)


def mnist(name="mnist", samples=8000, blocks=True):
    """MNIST or Fashion-MNIST, each image beside a null block or by itself."""
    found = datasets.load(name)
    x = np.concatenate([found.train.x[: samples + 1000], found.test.x[:1000]])
    y = np.concatenate([found.train.y[: samples + 1000], found.test.y[:1000]])
    x = x.astype("float32")
    if blocks:
        x, truth = datasets.null_blocks(x)
        return _split(x, y, truth, samples, 1000)
    ends = [samples, samples + 1000]
    parts = zip(np.split(x, ends), np.split(y, ends))
    return [datasets.Split(*part) for part in parts]


def _split(x, y, truth, train, valid):
    if len(x) < 3000:  # in an order of its own
        order = np.random.default_rng(0).permutation(len(x))
        x, y, truth = x[order], y[order], truth[order]
    ends = [train, train + valid]
    parts = zip(*(np.split(array, ends) for array in (x, y, truth)))
    return [datasets.Split(*part) for part in parts]


def pets(size):
    """Photographs of three breeds, with masks of the animals."""
    train, valid, test = images.splits("pets", None, size)
    order = np.random.default_rng(0).permutation(len(test))  # it is sorted
    return train, valid, runner.part(test, order)


def _pets_network(size):
    return images.NETWORKS["small_resnet18"]((size, size, 3), 3)


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


def _image_network():
    return networks.mnist_cnn((56, 28, 1))


def _mnist_alone(samples):
    data = functools.partial(mnist, samples=samples, blocks=False)
    return Task(data, networks.mnist_cnn, OF_IMAGES, 3)


def _series(layout, process):
    data = functools.partial(time_series.box_data, layout, process, 1000)
    return Task(data, networks.tcn, OF_SERIES, 8, batch_size=50)


TASKS = {
    "digits beside a null block": Task(digits, digits_network, OF_IMAGES, 20),
    "MNIST beside a null block": Task(mnist, _image_network, OF_IMAGES, 3),
    "MNIST, 8,000 images": _mnist_alone(8000),
    "MNIST": _mnist_alone(59_000),  # and 1,000 to validate
    "Fashion-MNIST beside a null block": Task(
        functools.partial(mnist, "fashion_mnist"), _image_network, OF_IMAGES, 4
    ),
    "pets": Task(
        functools.partial(pets, 64),
        functools.partial(_pets_network, 64),
        ["masked", "adversarial"],
        20,
        batch_size=16,
    ),
    # The census beside a shuffled copy of each column, which tells nothing.
    "Adult beside shuffled copies": Task(
        functools.partial(tabular.splits, 8000),
        lambda: networks.mlp(28),
        OF_TABLES,
        10,
    ),
    "human activities": Task(
        lambda: time_series.scaled(real_series.activities()),
        lambda: networks.tcn(128, 6, 6),
        OF_SERIES,
        8,
        batch_size=50,
    ),
    "SST-2": TextTask("sst2", 4),
    "e-SNLI": TextTask("esnli", 6),
    "Movies": TextTask("movies", 5, batch_size=32),
    "series, rare_feature harmonic": _series("rare_feature", "harmonic"),
    **{
        f"series, {layout} gaussian": _series(layout, "gaussian")
        for layout in datasets.LAYOUTS
    },
}
