"""DeepLIFT's rescale rule: functions whose gradient is Δoutput / Δinput.

A model runs twice. On the baselines, the treated layers record what goes in
and what comes out. On the inputs, each of them gives the same values as ever,
but through a function whose gradient is the multiplier, so that the backend's
own gradient of the whole model is the product of multipliers.
"""

import contextlib
import functools
import typing

import keras
from keras import layers, ops

from keras_sgt.introspection import operations
from keras_sgt.introspection.layers import (
    all_layers,
    is_of_keras,
    own_attribute,
)
from keras_sgt.introspection.logits import inner
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
# Functions of several values at once, such as products, that hold layers: a
# rule inside of them would be for nothing.
_WITHOUT_RULE = (
    layers.Bidirectional,
    layers.MultiHeadAttention,
    layers.GroupQueryAttention,
    layers.RNN,
    layers.TimeDistributed,
)
# In inference linear in what they take, or of ids, which have no gradient.
_LINEAR_BEGIN = (
    *("AdaptiveAveragePooling", "AveragePooling", "Conv", "Cropping"),
    *("Dense", "Depthwise", "GlobalAveragePooling", "Random", "Separable"),
    *("SpatialDropout", "UpSampling", "ZeroPadding"),
)
_LINEAR_NAMES = (
    *("Activation", "ActivityRegularization", "Add", "AlphaDropout", "AugMix"),
    *("Average", "BatchNormalization", "CategoryEncoding", "CenterCrop"),
    *("Concatenate", "CutMix", "Dropout", "EinsumDense", "Flatten"),
    *("GaussianDropout", "GaussianNoise", "HashedCrossing", "Hashing"),
    *("Identity", "InputLayer", "IntegerLookup", "MixUp", "Normalization"),
    *("Permute", "RandAugment", "RepeatVector", "Rescaling", "Reshape"),
    *("Resizing", "StringLookup", "Subtract", "TextVectorization"),
)
_LINEAR = tuple(
    getattr(layers, name)
    for name in dir(layers)
    if name.startswith(_LINEAR_BEGIN) or name in _LINEAR_NAMES
)
_NOT_ELEMENTWISE = tuple(
    getattr(keras.activations, name)
    for name in ("glu", "log_softmax", "sparsemax")
    if hasattr(keras.activations, name)
)


class _Rule(typing.NamedTuple):
    """What is changed for the rule.

    Args:
        owner: the layer or operation.
        attribute: the name of its function.
        argument: which argument of that function varies, by position or name.
        rescaled: function of the function of that argument, the argument, and
            both argument and output for the baseline.
    """

    owner: keras.Operation
    attribute: str
    argument: int | str
    rescaled: typing.Callable


class Rescale:
    """The rescale rule on the layers and operations of a model.

    Args:
        model: `keras.Model`.

    Attributes:
        without_rule: names of the layers and operations that the plain
            gradient goes through although they are not linear, or may not be.
    """

    def __init__(self, model):
        flat = _layers(model)
        closed = [x for x in flat if isinstance(x, _WITHOUT_RULE)]
        inside = {
            id(x)
            for layer in closed
            for x in all_layers(layer, include_self=False)
        }
        seen = [x for x in flat if id(x) not in inside]
        between = operations.all_between_layers([inner(model), *seen])
        self._rules = [
            rule for x in seen if x not in closed and (rule := _of_layer(x))
        ]
        self._rules += [r for x in between if (r := _of_operation(x))]
        treated = {id(rule.owner) for rule in self._rules}
        self.without_rule = [
            f"{x.name} ({type(x).__name__})"
            for x in [*seen, *between]
            if id(x) not in treated and not _is_linear(x)
        ]

    def recording(self, records):
        """A context in which what the rules are for is appended to a list."""

        def record(function, rule):
            @functools.wraps(function)
            def recorded(*args, **kwargs):
                output = function(*args, **kwargs)
                records.append((_of(rule.argument, args, kwargs), output))
                return output

            return recorded

        return self._changed(record)

    def applied(self, records):
        """A context in which gradients are multipliers.

        Args:
            records: list of what went in and came out for the baselines: a row
                for each row of the inputs, or one for all.
        """
        remaining = iter(records)

        def rescale(function, rule):
            @functools.wraps(function)
            def rescaled(*args, **kwargs):
                return rule.rescaled(
                    lambda x: _with(rule.argument, x, function, args, kwargs),
                    _of(rule.argument, args, kwargs),
                    *next(remaining),
                )

            return rescaled

        return self._changed(rescale)

    def _changed(self, change):
        stack = contextlib.ExitStack()
        for rule in self._rules:
            stack.enter_context(
                replaced(
                    rule.owner,
                    rule.attribute,
                    lambda f, rule=rule: change(f, rule),
                )
            )
        return stack


def _of(argument, args, kwargs):
    if isinstance(argument, str):
        return kwargs[argument]
    return args[argument] if args else next(iter(kwargs.values()))


def _with(argument, value, function, args, kwargs):
    """The function, with another value of one argument."""
    if isinstance(argument, str):
        return function(*args, **{**kwargs, argument: value})
    if not args:
        first = next(iter(kwargs))
        return function(**{**kwargs, first: value})
    return function(*args[:argument], value, *args[argument + 1 :], **kwargs)


def _layers(model):
    """The layers that the outputs come from: a guided model masks, too."""
    flat = all_layers(inner(model), include_self=False)
    masking = getattr(model, "masking", None)
    if not isinstance(masking, keras.Layer):
        return flat
    masks = {id(x) for x in all_layers(masking)}
    return [x for x in flat if id(x) not in masks]


def _is_linear(thing):
    """Whether the plain gradient is right, or what is inside is looked at."""
    if isinstance(thing, _WITHOUT_RULE):
        return False
    if not isinstance(thing, keras.Layer):
        return operations.kind(thing) == operations.LINEAR
    if all_layers(thing, include_self=False) or isinstance(thing, keras.Model):
        return True
    if isinstance(thing, layers.Embedding):
        return True  # also of others: what it takes has no gradient
    if not is_of_keras(type(thing)) or not isinstance(thing, _LINEAR):
        return False
    activation = own_attribute(thing, "activation")
    return activation in (None, keras.activations.linear)


def _of_layer(layer):
    """The rule of a layer, if it has one."""
    if isinstance(layer, _MAX_POOLING):
        return _Rule(layer, "call", 0, _max_pooling)
    if isinstance(layer, _ELEMENTWISE):
        return _Rule(layer, "call", 0, _elementwise)
    if isinstance(layer, layers.Softmax):
        rule = functools.partial(_softmax, axis=layer.axis)
        return _Rule(layer, "call", 0, rule)
    if isinstance(layer, _WITH_ACTIVATION):
        activation = layer.activation
        if activation in (keras.activations.softmax, ops.softmax):
            return _Rule(layer, "activation", 0, _softmax)
        plain = (None, keras.activations.linear, *_NOT_ELEMENTWISE)
        if activation not in plain:
            return _Rule(layer, "activation", 0, _elementwise)
    return None


def _of_operation(operation):
    """The rule of an operation, if it has one."""
    rule = {
        operations.ELEMENTWISE: _elementwise,
        operations.MAXIMUM: _max_pooling,
        operations.SOFTMAX: _softmax,
    }.get(operations.kind(operation))
    if rule is None:
        return None
    if rule is _softmax:
        rule = functools.partial(_softmax, axis=operation.axis)
    argument = operations.variable_argument(operation)
    return _Rule(operation, "call", argument, rule)


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
