"""DeepLIFT's rescale rule: layers whose gradient is Δoutput / Δinput.

A model runs twice. On the baselines, the treated layers record what goes in
and what comes out. On the inputs, each of them gives the same values as ever,
but through a function whose gradient is the multiplier, so that the backend's
own gradient of the whole model is the product of multipliers.
"""

import contextlib
import functools

import keras
from keras import layers, ops

from keras_sgt.introspection.layers import (
    all_layers,
    between_layers,
    is_of_keras,
)
from keras_sgt.introspection.patching import replaced

_EPSILON = 1e-10  # below it, Δinput counts as none; Captum's

_WITH_ACTIVATION = (
    layers.Activation,
    layers.Conv1D,
    layers.Conv1DTranspose,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Conv3D,
    layers.Conv3DTranspose,
    layers.Dense,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.EinsumDense,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)
_ELEMENTWISE = (layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU)
_MAX_POOLING = (
    *(  # those that older versions of Keras do not have
        getattr(layers, f"AdaptiveMaxPooling{rank}D")
        for rank in (1, 2, 3)
        if hasattr(layers, f"AdaptiveMaxPooling{rank}D")
    ),
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
)
# Functions of several values at once, such as products, or of another library:
# there is no rule for one input at a time.
_WITHOUT_RULE = (
    layers.AdditiveAttention,
    layers.Attention,
    layers.Bidirectional,
    layers.Dot,
    layers.FlaxLayer,
    layers.GroupNormalization,
    layers.GroupQueryAttention,
    layers.JaxLayer,
    layers.LayerNormalization,
    layers.Maximum,
    layers.MelSpectrogram,
    layers.Minimum,
    layers.MultiHeadAttention,
    layers.Multiply,
    layers.RMSNormalization,
    layers.RNN,
    layers.STFTSpectrogram,
    layers.TFSMLayer,
    layers.TimeDistributed,
    layers.TorchModuleWrapper,
    layers.UnitNormalization,
)


# Of the operations in functional models, those that need no rule.
_LINEAR = (
    *("Add", "Subtract", "Negative", "Sum", "Mean", "Concatenate", "Stack"),
    *("Reshape", "Transpose", "Squeeze", "ExpandDims", "GetItem", "Pad"),
    *("Cast", "Flip", "Roll", "BroadcastTo", "Repeat"),
)


class Rescale:
    """The rescale rule on the layers of a model.

    Args:
        model: `keras.Model`.

    Attributes:
        without_rule: names of the layers and operations that the plain
            gradient goes through although they are not linear.
    """

    def __init__(self, model):
        flat = all_layers(model, include_self=False)
        self.untreated = [x for x in flat if isinstance(x, _WITHOUT_RULE)]
        inside = {
            id(x)
            for layer in self.untreated
            for x in all_layers(layer, include_self=False)
        }
        self.untreated = [x for x in self.untreated if id(x) not in inside]
        self._rules = [
            (layer, *rule)
            for layer in flat
            if id(layer) not in inside and (rule := _rule(layer))
        ]
        others = [x for x in flat if id(x) not in inside and _is_unknown(x)]
        self.without_rule = [
            f"{x.name} ({type(x).__name__})"
            for x in [*self.untreated, *others, *_operations([model, *flat])]
        ]

    def recording(self, records):
        """A context in which what the layers do is appended to a list."""

        def record(function, rule):
            @functools.wraps(function)
            def recorded(x, *args, **kwargs):
                output = function(x, *args, **kwargs)
                records.append((x, output))
                return output

            return recorded

        return self._changed(record)

    def applied(self, records):
        """A context in which the gradients of layers are multipliers.

        Args:
            records: list of what the layers did for the baselines: a row for
                each row of the inputs, or one for all.
        """
        remaining = iter(records)

        def rescale(function, rule):
            @functools.wraps(function)
            def rescaled(x, *args, **kwargs):
                return rule(
                    lambda x: function(x, *args, **kwargs), x, *next(remaining)
                )

            return rescaled

        return self._changed(rescale)

    def _changed(self, change):
        stack = contextlib.ExitStack()
        for layer, attribute, rule in self._rules:
            stack.enter_context(
                replaced(layer, attribute, lambda f, rule=rule: change(f, rule))
            )
        return stack


def _is_unknown(layer):
    """Whether a layer may do anything, such as one of the user's own.

    What holds layers is left out: they are seen by themselves.
    """
    own = not is_of_keras(type(layer))
    holds = all_layers(layer, include_self=False)
    return not holds and (own or isinstance(layer, layers.Lambda))


def _operations(models):
    """Those between the layers of functional models that are not linear."""
    return [
        operation
        for model in models
        if isinstance(model, keras.Model)
        for operation in between_layers(model) or ()
        if type(operation).__name__ not in _LINEAR
    ]


def _rule(layer):
    """The attribute of a layer that is changed, and the rule, if any."""
    if isinstance(layer, _MAX_POOLING):
        return "call", _max_pooling
    if isinstance(layer, _ELEMENTWISE):
        return "call", _elementwise
    if isinstance(layer, layers.Softmax):
        return "call", functools.partial(_softmax, axis=layer.axis)
    if isinstance(layer, _WITH_ACTIVATION):
        activation = layer.activation
        if activation in (keras.activations.softmax, ops.softmax):
            return "activation", _softmax
        if activation not in (None, keras.activations.linear):
            return "activation", _elementwise
    return None


def _elementwise(function, x, x0, y0):
    y = function(x)
    multiplier, none = _multiplier(x, x0, y, y0)
    return ops.where(none, y, _through(y, multiplier, x))


def _softmax(function, x, x0, y0, axis=-1):
    # The mean over classes, which adds nothing to a softmax, is taken out of
    # the multipliers.
    y = function(x)
    multiplier, none = _multiplier(x, x0, y, y0)
    centred = x - ops.mean(x, axis=axis, keepdims=True)
    return ops.where(none, y, _through(y, multiplier, centred))


def _max_pooling(function, x, x0, y0):
    """Δoutput goes where the input's maximum is, and where the baseline's is.

    Up to the larger of the two maxima it is due to the place of the input's
    maximum, beyond that to the place of the baseline's.
    """
    y = function(x)
    difference = ops.stop_gradient(x - x0)
    none = ops.abs(difference) < _EPSILON
    nothing = _only_gradient(x)
    share = ops.where(none, 0, nothing / ops.where(none, 1, difference))
    larger = ops.stop_gradient(ops.maximum(y, y0))
    x, x0 = ops.stop_gradient(x), x0 + ops.zeros_like(x)
    return (
        (larger - y0) * _only_gradient(function(x + share))
        + (ops.stop_gradient(y) - larger) * _only_gradient(function(x0 + share))
        + _only_gradient(function(x + ops.where(none, nothing, 0)))
        + ops.stop_gradient(y)
    )


def _multiplier(x, x0, y, y0):
    """Δoutput / Δinput, and where Δinput is none."""
    difference = ops.stop_gradient(x - x0)
    none = ops.abs(difference) < _EPSILON
    change = ops.stop_gradient(y - y0)
    return change / ops.where(none, 1, difference), none


def _through(y, multiplier, x):
    """The values of y, with the multiplier as the gradient of x."""
    return ops.stop_gradient(y) + multiplier * _only_gradient(x)


def _only_gradient(x):
    return x - ops.stop_gradient(x)
