"""What a classifier says, in one form for every model and backend."""

import numpy as np

from keras_sgt import checks
from keras_sgt.introspection.logits import are_probabilities

_CLASSES = (
    "The model has to give one output for each class, `(samples, classes)`, "
    "or the probability of class 1, `(samples, 1)`. "
)

_NO_CLASSES = (
    "a regression, or several labels at once, have no such classes: measure "
    "`output_change`."
)


def scores(model, x, batch_size, from_logits=False):
    """One score a class, `(samples, classes)`, the highest for the prediction.

    A single unit is made two, the probabilities of class 0 and of class 1.
    """
    outputs = _outputs(model, x, batch_size)
    if outputs.shape[1] == 1:
        return _two_classes(outputs, from_logits)
    return outputs


def values(model, x, batch_size):
    """The outputs as they are, `(samples, outputs)`, classes or not."""
    return _outputs(model, x, batch_size)


def probabilities(model, x, batch_size, from_logits):
    """The probabilities of the classes, `(samples, classes)`."""
    outputs = _outputs(model, x, batch_size)
    if outputs.shape[1] == 1:
        return _two_classes(outputs, from_logits)
    if from_logits:
        exponentials = np.exp(outputs - outputs.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)
    return distributions("the model's outputs", outputs)


def distributions(name, outputs):
    """`outputs`, checked to be the probabilities of exclusive classes."""
    if not are_probabilities(outputs):
        sums = outputs.sum(-1)
        raise ValueError(
            f"{name} have to be probabilities of exclusive classes, which sum "
            f"to 1. Received: values from {outputs.min():.4g} to "
            f"{outputs.max():.4g}, with sums from {sums.min():.4g} to "
            f"{sums.max():.4g}. If they are logits, pass `from_logits=True`; "
            f"{_NO_CLASSES}"
        )
    return outputs


def check_classes(name, classes, outputs):
    """Checks that there is an output for every class number."""
    if classes.max() >= outputs.shape[1]:
        raise ValueError(
            f"`{name}` has to hold classes below {outputs.shape[1]}, the "
            f"number of classes that the model knows. Received: {name} with "
            f"class {int(classes.max())}"
        )


def of_target(outputs, target):
    """The output of each sample's target class, `(samples,)`."""
    check_classes("target", target, outputs)
    return outputs[np.arange(len(outputs)), target]


def check_model(model):
    """Checks, before anything is computed, that there are class outputs."""
    if not callable(getattr(model, "predict", None)):
        raise ValueError(
            "`model` has to have Keras's `predict(x, batch_size, verbose)`. "
            f"Received: model of type {type(model).__name__}"
        )
    shape = getattr(model, "output_shape", None)
    if shape is not None:
        _check_shape(shape)


def _outputs(model, x, batch_size):
    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    _check_shape(_shapes(outputs))
    outputs = np.asarray(outputs, "float64").reshape(len(x), -1)
    bad = np.isnan(outputs).any(1)
    if bad.any():
        raise ValueError(
            f"The model's outputs are NaN for {int(bad.sum())} of {len(x)} "
            "inputs, so nothing can be measured. Look at its weights, and at "
            "whether it can take such inputs (an empty text, for example)."
        )
    return outputs


def _shapes(outputs):
    if isinstance(outputs, dict):
        return {key: _shapes(value) for key, value in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_shapes(value) for value in outputs]
    return getattr(outputs, "shape", None)


def _check_shape(shape):
    one_array = isinstance(shape, tuple) and all(
        length is None or isinstance(length, int) for length in shape
    )
    if not one_array or len(shape) not in (1, 2):
        raise ValueError(f"{_CLASSES}Received: outputs of shape {shape}")


def _two_classes(outputs, from_logits):
    if from_logits:
        outputs = np.exp(-np.logaddexp(0, -outputs))
    elif outputs.min() < 0 or outputs.max() > 1:
        raise ValueError(
            f"{_CLASSES}Received: a single output from {outputs.min():.4g} to "
            f"{outputs.max():.4g}. If it is a logit, pass `from_logits=True`; "
            f"{_NO_CLASSES}"
        )
    return np.concatenate([1 - outputs, outputs], 1)


def attribute(method, x, target):
    """What a method attributes, checked, as float64 `(samples, features)`."""
    if not callable(method):
        raise ValueError(
            "`method` has to be a callable `(x, target=None)` that returns "
            f"attributions. Received: {type(method).__name__}"
        )
    found = checks.numeric("the method's attributions", method(x, target))
    checks.same_shape("the method's attributions", found, "x", x)
    return found.reshape(len(x), -1).astype("float64")
