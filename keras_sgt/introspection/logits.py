"""Where a model's logits are: before the softmax or sigmoid that ends it."""

import contextlib
import inspect

import keras
from keras import ops

from keras_sgt.introspection.layers import (
    all_layers,
    is_of_keras,
    own_attribute,
)
from keras_sgt.introspection.patching import replaced

_SOFTMAX = (keras.activations.softmax, ops.softmax)


_SIGMOID = (keras.activations.sigmoid, ops.sigmoid)


_SINGLE_SOFTMAX = (
    "The model ends in a softmax over a single unit, which is always 1: it "
    "cannot learn, and nothing is salient to it. Use `activation='sigmoid'` "
    "with the loss 'binary_crossentropy', or one unit for each class."
)


def check_softmax(model):
    """Raises if a layer of the model ends in a softmax over one unit."""
    for layer in all_layers(model, include_self=False):
        activation = own_attribute(layer, "activation")
        # A layer of the user's own may have neither; then the first training
        # step finds the single unit (`recorded_logits`).
        units = getattr(layer, "units", getattr(layer, "filters", None))
        if units == 1 and _is_one_of(_SOFTMAX, activation):
            raise ValueError(f"{_SINGLE_SOFTMAX} Received: {layer.name}")


def inner(model):
    """The network itself, of a model that wraps one and says so.

    An attribute `model` says nothing: the user's own class may have one, and a
    head behind it.
    """
    wrapped = getattr(model, "_wrapped_model", None)
    return wrapped if isinstance(wrapped, keras.Model) else model


def ends_in_logits(model):
    """Whether the last layer gives logits; `None` where it does not tell.

    Args:
        model: `keras.Model`.

    Returns:
        bool, or `None`.
    """
    layer = _last_layer(inner(model))
    if layer is None or not is_of_keras(type(layer)):
        return None  # what one's own layer does with an activation is unknown
    # Keras's own layers have one under this name, or none.
    activation = own_attribute(layer, "activation")
    if isinstance(layer, keras.layers.Softmax) or _is_one_of(
        _SOFTMAX + _SIGMOID, activation
    ):
        return False
    # An `Activation("linear")` may only set a type, after a softmax.
    linear = activation is keras.activations.linear and layer.weights
    return True if linear else None


def are_probabilities(outputs):
    """Whether numbers are the probabilities of exclusive classes.

    Args:
        outputs: NumPy array `(samples, classes)`; a single column holds the
            probabilities of class 1.

    Returns:
        bool.
    """
    outputs = outputs.astype("float64")
    if outputs.min() < -1e-6 or outputs.max() > 1 + 1e-3:
        return False
    single = outputs.shape[-1] == 1
    return single or bool(abs(outputs.sum(-1) - 1).max() <= 1e-2)


def _last_layer(model):
    """The layer that makes the only output, or `None` if none can be named."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
    else:
        outputs = getattr(model, "outputs", None) or []
        last = next(
            (m for m in reversed(model.layers) if _makes(m, outputs)), None
        )
    return _last_layer(last) if isinstance(last, keras.Model) else last


def _makes(layer, outputs):
    try:
        return len(outputs) == 1 and layer.output is outputs[0]
    except (AttributeError, ValueError):  # never called, or more than once
        return False


@contextlib.contextmanager
def recorded_logits(model):
    """Records what goes into every softmax and sigmoid of a model.

    While it is active, the yielded function maps an output of the model to the
    logits it was made of, or to `None` where its last step is not the softmax
    or sigmoid of a layer. This reaches the logits of any model, functional or
    not, without rebuilding it.
    """
    records = []

    def recording(function):
        def recorded(x, *args, **kwargs):
            output = function(x, *args, **kwargs)
            records.append((output, x, not _is_one_of(_SIGMOID, function)))
            return output

        return recorded

    def logits_of(output):
        for recorded, logits, is_softmax in records:
            if recorded is output:
                if is_softmax and output.shape[-1] == 1:
                    raise ValueError(_SINGLE_SOFTMAX)
                return logits
        return None

    with contextlib.ExitStack() as stack:
        for layer in all_layers(model, include_self=False):
            activation = own_attribute(layer, "activation")
            if _is_one_of(_SOFTMAX + _SIGMOID, activation):
                changed = replaced(layer, "activation", recording)
                stack.enter_context(changed)
            elif isinstance(layer, keras.layers.Softmax):
                changed = replaced(layer, "call", recording)
                stack.enter_context(changed)
        yield logits_of


def _is_one_of(functions, function):
    # Others may wrap it too, while they watch a layer.
    return function is not None and inspect.unwrap(function) in functions
