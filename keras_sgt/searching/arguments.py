"""What a search is given, checked before its first trial."""

import inspect
import numbers

import keras
import numpy as np
from keras import ops

from keras_sgt import checks
from keras_sgt.evaluation import prediction
from keras_sgt.introspection import losses
from keras_sgt.introspection.logits import ends_in_logits
from keras_sgt.searching.measures import Data

_ASKED = "what `fit` takes: a tuple of arrays, or a data set with an end"


def check_numbers(tolerance, counts):
    """Checks the accuracy that may be lost, and counts with their minimum."""
    valid = isinstance(tolerance, numbers.Real) and 0 <= tolerance < 1
    if not valid or isinstance(tolerance, bool):
        raise ValueError(
            "`tolerance` has to be a number from 0 to 1, 1 excluded: the share "
            "of samples that may be lost in accuracy (0.005 for half a "
            f"point). Received: tolerance={tolerance!r}"
        )
    for name, (value, low) in counts.items():
        checks.count(name, value, low)


def check_model(build_model, seed):
    """Checks the function that makes models, and what it makes.

    Returns:
        Two models, made from the seed.
    """
    if not callable(build_model):
        raise ValueError(
            "`build_model` has to be a function without arguments that returns "
            f"a compiled model. Received: build_model={build_model!r}"
        )
    first, second = models = [_built(build_model, seed) for _ in range(2)]
    for model in models:
        if not isinstance(model, keras.Model):
            raise ValueError(
                "`build_model()` has to return a `keras.Model`. Received: "
                f"{model!r}"
            )
        if not model.compiled or model.loss is None:
            raise ValueError(
                "`build_model()` has to return a compiled model: its loss, "
                "optimizer and metrics are those of the search. Call "
                "`model.compile(...)` before `return model`."
            )
    if first is second:
        raise ValueError(
            "`build_model()` has to build a new model each time. Received the "
            "same object twice; move what builds and compiles the model into "
            "the function."
        )
    if first.optimizer is second.optimizer is not None:
        raise ValueError(
            "`build_model()` has to make a new optimizer each time, since it "
            "learns of the model that it trains. Received the same "
            f"{type(first.optimizer).__name__} twice; move what makes it into "
            "the function."
        )
    prediction.check_model(first)
    return models


def _built(build_model, seed):
    keras.utils.set_random_seed(seed)
    return build_model()


def gives_logits(model):
    """Whether a classifier's outputs are logits."""
    loss = losses.read(model.loss)
    if loss.kind not in (losses.CATEGORICAL, losses.BERNOULLI):
        raise ValueError(
            "`search` is for classifiers with one output and a cross-entropy "
            f"of Keras. Received: loss={model.loss!r}"
        )
    ends = ends_in_logits(model)
    return loss.from_logits if ends is None else ends


def samples(name, data, truth=None, truth_name="truth"):
    """All samples of a data set: inputs, classes, true features.

    Raises:
        ValueError: for what is missing, endless, or no single array.
    """
    if data is None:
        raise ValueError(
            f"`{name}` has to be given: it is {_ASKED}. Settings are chosen by "
            "it. Received: None"
        )
    x, y = _joined(name, data)
    x = checks.numeric(name, x)
    if x.ndim > 2 or x.dtype.kind not in "iu":
        x = x.astype("float32", copy=False)
    found = np.asarray(y)
    if found.ndim == 2 and found.shape[1] > 1 and (found.sum(1) != 1).any():
        raise ValueError(
            f"`{name}` has to hold one class for each sample: a number, or a "
            f"one-hot row. Received: y of shape {found.shape}"
        )
    y = checks.labels(f"the labels of {name}", y, len(x))
    if truth is None:
        return Data(x, y, None)
    try:
        truth = np.broadcast_to(truth, x.shape)
    except ValueError:
        raise ValueError(
            f"`{truth_name}` has to have the shape of the inputs of `{name}`, "
            f"{x.shape}, or broadcast to it. Received: {np.shape(truth)}"
        ) from None
    return Data(x, y, checks.truth_masks(truth_name, truth, x.shape))


def _joined(name, data):
    """The inputs and labels of all batches."""
    if isinstance(data, (tuple, list)):
        parts = [tuple(data)]
    elif hasattr(data, "num_batches") and hasattr(data, "__getitem__"):
        parts = [data[i] for i in range(data.num_batches or 0)]
    else:
        _check_ends(name, data)
        parts = [tuple(batch) for batch in data]
    if not parts or {len(part) for part in parts} != {2}:
        raise ValueError(
            f"`{name}` has to hold inputs and labels, (x, y), {_ASKED}. "
            f"Received: {len(parts)} batches of "
            f"{sorted({len(part) for part in parts})} entries"
        )
    return [
        np.concatenate([np.asarray(_array(part[i])) for part in parts])
        for i in (0, 1)
    ]


def _array(values):
    if isinstance(values, (dict, list, tuple)):
        raise ValueError(
            "`search` is for models with one input and one output. Received: "
            f"a {type(values).__name__} of them"
        )
    return ops.convert_to_numpy(values) if ops.is_tensor(values) else values


def _check_ends(name, data):
    iterable = hasattr(data, "__iter__") and not inspect.isgenerator(data)
    if _is_endless(data) or not iterable:
        raise ValueError(
            f"`{name}` has to be {_ASKED}. Received: {_kind(data)}"
        )


def _is_endless(data):
    cardinality = getattr(data, "cardinality", None)
    if callable(cardinality):
        return int(cardinality()) == -1
    return getattr(data, "num_batches", 0) is None


def _kind(data):
    end = " without an end" if _is_endless(data) else ""
    return f"{type(data).__name__}{end}"


def check_train(train):
    """Checks that training can begin anew, in every trial."""
    if train is None or inspect.isgenerator(train) or _is_endless(train):
        raise ValueError(
            f"`train` has to be {_ASKED}; every trial goes through it anew. "
            f"Received: {_kind(train)}"
        )
    if isinstance(train, (tuple, list)) and len(train) not in (2, 3):
        raise ValueError(
            "`train` as a tuple has to hold inputs and labels, and optionally "
            f"sample weights. Received: {len(train)} entries"
        )


def halves(data, seed):
    """Samples to choose by, and others to confirm with."""
    if len(data.x) < 8:
        raise ValueError(
            "`validation` has to hold at least 8 samples: half of them is kept "
            "back to confirm with, unless `test` is given. Received: "
            f"{len(data.x)}"
        )
    order = np.random.default_rng(seed).permutation(len(data.x))
    middle = len(order) // 2
    return data.part(order[:middle]), data.part(order[middle:])


def domain_of(x):
    """The kind of data, told by its type and its axes."""
    if x.ndim == 2:
        return "text" if x.dtype.kind in "iu" else "table"
    if x.ndim in (3, 4):
        return {3: "series", 4: "images"}[x.ndim]
    raise ValueError(
        "`validation` has to hold images (4 axes), series (3), tables or token "
        f"ids (2). Received: inputs of shape {x.shape}"
    )
