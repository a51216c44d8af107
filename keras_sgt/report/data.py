"""The samples of a comparison, out of what `fit` takes."""

import dataclasses

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import relevance
from keras_sgt.report import inputs as model_inputs
from keras_sgt.report.measures import DOMAINS, with_rationale
from keras_sgt.report.tasks import CLASSES


@dataclasses.dataclass(frozen=True)
class Data:
    """Samples, or some of them.

    Args:
        x: inputs, an array.
        y: classes, ints `(samples,)`; of other tasks, what is predicted,
            `(samples, outputs)`.
        truth: bools shaped like `x`, or `None`.
        domain: one of `measures.DOMAINS`.
        inputs: `Inputs`, between `x` and what models take.
        task: one of `tasks.TASKS`.
    """

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray | None
    domain: str
    inputs: model_inputs.Inputs = dataclasses.field(
        default_factory=model_inputs.Inputs
    )
    task: str = CLASSES

    def some(self, chosen):
        """The chosen samples, by their places or a slice."""
        truth = None if self.truth is None else self.truth[chosen]
        return dataclasses.replace(
            self, x=self.x[chosen], y=self.y[chosen], truth=truth
        )

    @property
    def continuous(self):
        """Which columns of a table are floats, bools; of others all count."""
        if self.domain != "table":
            return np.array([True])
        return np.atleast_1d(self.inputs.continuous)


def unpacked(x, y):
    """`x` and `y`, also out of a data set that yields both.

    Args:
        x: inputs, with `y`; or anything that yields batches or samples `(x,
            y)` or `(x, y, sample_weight)`, once through, and then ends.
        y: what belongs to `x`, or `None`.

    Returns:
        A pair of nests of arrays. Weights are left aside.
    """
    if y is not None:
        return x, y
    if hasattr(x, "shape") or isinstance(x, (dict, str)) or _is_array_list(x):
        raise ValueError(
            "`y` is missing: pass the classes (or numbers) that belong to `x`, "
            "or a data set that yields both. Received: x of type "
            f"{type(x).__name__}"
        )
    pairs = [_pair(element) for element in _elements(x)]
    if not pairs:
        raise ValueError("The data set `x` is empty: it yields nothing.")
    if not _is_batch(*pairs[0]):  # but samples
        pairs = keras.tree.map_structure(lambda array: array[None], pairs)

    def joined(name, batches):
        return keras.tree.map_structure(
            lambda *arrays: checks.joined(name, arrays, name == "x"), *batches
        )

    return tuple(joined(*part) for part in zip("xy", zip(*pairs)))


def _is_array_list(x):
    return isinstance(x, (list, tuple)) and not (
        x and isinstance(x[0], (list, tuple)) and len(x[0]) in (2, 3)
    )


def _elements(dataset):
    """Each element of a data set once."""
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        raise ValueError(_ENDLESS)
    if hasattr(dataset, "num_batches"):  # a `keras.utils.PyDataset`
        if dataset.num_batches is None:
            raise ValueError(_ENDLESS)
        return (dataset[i] for i in range(dataset.num_batches))
    try:
        return iter(dataset)
    except TypeError:
        raise ValueError(
            "`x` has to be arrays, with `y`, or a data set that yields `(x, "
            f"y)`. Received: x of type {type(dataset).__name__}, without `y`"
        ) from None


_ENDLESS = (
    "The data set `x` does not end: take so many batches of it "
    "(`dataset.take(100)`)."
)


def _pair(element):
    if not isinstance(element, (list, tuple)) or len(element) not in (2, 3):
        raise ValueError(
            "A data set has to yield `(x, y)` or `(x, y, sample_weight)`. "
            f"Received: elements of type {type(element).__name__}"
        )
    return [keras.tree.map_structure(_numpy, part) for part in element[:2]]


def _numpy(value):
    if hasattr(value, "detach"):  # of PyTorch, perhaps elsewhere
        value = value.detach().cpu()
    return np.asarray(value)


def _is_batch(x, y):
    """Whether an element holds several samples, as many of each array."""
    lengths = {a.shape[:1] for a in keras.tree.flatten((x, y))}
    return len(lengths) == 1 and lengths != {()}


def arrays(x, y, domain="auto"):
    """Arrays `x`, their classes, and the domain; numbers become floats."""
    x, domain = of_domain(x, domain)
    return x, classes_of(y, len(x)), domain


def of_domain(x, domain, exact=False):
    """`x` and its domain; numbers but token ids become float32.

    Args:
        exact: whether floats stay as they are.
    """
    x = checks.numeric("x", x)
    domain = domain_of(domain, x)
    if domain != "text" and not exact:
        x = x.astype("float32", copy=False)
    return x, domain


# The axes of each domain, the samples' first.
_AXES = {
    "images": ("(samples, height, width, channels)", 4),
    "series": ("(samples, steps, features)", 3),
    "table": ("(samples, columns)", 2),
    "text": ("(samples, length), ints", 2),
}


def domain_of(domain, x):
    """The kind of data, told by its type and its axes."""
    checks.choice("domain", domain, ("auto", *DOMAINS))
    if domain != "auto":
        axes, rank = _AXES[domain]
        text = domain == "text" and x.dtype.kind not in "iu"
        if x.ndim != rank or text:
            raise ValueError(
                f"`domain={domain!r}` is of arrays {axes}. Received: x of "
                f"shape {x.shape} and dtype {x.dtype}"
            )
        return domain
    if x.ndim == 2:
        return "text" if x.dtype.kind in "iu" else "table"
    if x.ndim in (3, 4):
        return {3: "series", 4: "images"}[x.ndim]
    raise ValueError(
        "`domain` cannot be told from `x`. Pass one of "
        f"{list(DOMAINS)}. Received: x of shape {x.shape}"
    )


def classes_of(y, samples):
    """Class numbers `(samples,)`, from class numbers or one-hot rows."""
    rows = np.asarray(y)
    if rows.ndim == 2 and rows.shape[1] > 1:
        single = (rows == 1).sum(1) == 1
        if not (single & ((rows != 0).sum(1) == 1)).all():
            raise ValueError(
                "`y` has to hold one class for each sample: a number, or a "
                "one-hot row. Received: rows with several classes, none, or "
                f"shares, y of shape {rows.shape}. Of several labels at once, "
                "pass `task='multi-label'`."
            )
    return checks.labels("y", y, samples)


def true_features(truth, x, domain, inputs=None):
    """`truth` as bools shaped like `x`.

    Of each sample some features are true, not all; of texts, some may have no
    rationale, which then do not count. Images may do without the axis of the
    channels.
    """
    if truth is None:
        return None
    if inputs is not None and isinstance(truth, (dict, list, tuple)):
        truth = inputs.relevance(keras.tree.map_structure(np.asarray, truth))
    truth = of_all_channels(truth, x, domain)
    try:
        truth = np.broadcast_to(truth, x.shape)
    except ValueError:
        raise ValueError(
            f"`truth` has to have the shape of `x`, {x.shape}, or broadcast "
            f"to it. Received: truth of shape {np.shape(truth)}"
        ) from None
    if domain == "text":
        return _rationales(truth, x)
    truth = checks.truth_masks("truth", truth, x.shape)
    axis = relevance.channels(x.ndim)
    if domain == "images" and (truth != np.take(truth, [0], axis)).any():
        raise ValueError(
            "`truth` of images has to be the same in all channels: a pixel "
            "matters or does not. Pass "
            f"`truth.any({axis}, keepdims=True)`. Received: channels (axis "
            f"{axis}, by `keras.config.image_data_format()`) that differ"
        )
    return truth


def of_all_channels(truth, x, domain):
    """The truth of images with an axis of channels, also if given without."""
    truth = np.asarray(truth)
    channels = relevance.channels(x.ndim)
    without = tuple(n for i, n in enumerate(x.shape) if i != channels)
    if domain != "images" or truth.shape != without:
        return truth
    return np.broadcast_to(np.expand_dims(truth, channels), x.shape)


def _rationales(truth, ids):
    given = with_rationale(truth.astype(bool), ids)
    if not given.any():
        given[:] = True  # so that the error says what is wrong
    checks.truth_masks("truth", truth[given], ids[given].shape, ids[given] != 0)
    return truth.astype(bool)


def shown(data, samples):
    """The samples of the pictures: the first of every class, in turn.

    Of a regression, as evenly as possible from the least to the greatest.
    """
    count = min(samples, len(data.y))
    if data.y.ndim == 1:
        turn = np.empty(len(data.y), int)
        for label in np.unique(data.y):
            turn[data.y == label] = np.arange((data.y == label).sum())
        order = np.lexsort((np.arange(len(data.y)), data.y, turn))
        return np.sort(order[:count])
    order = np.argsort(data.y[:, 0], kind="stable")
    places = np.linspace(0, len(order) - 1, count).round().astype(int)
    return np.sort(order[places])
