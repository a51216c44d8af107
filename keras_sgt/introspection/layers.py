"""The layers of a model, and what can be told of each.

Nothing here falls back on a guess: what a version of Keras no longer has
raises, or counts as unknown, which is the safe side.
"""

import inspect

import keras


def all_layers(model, include_self=True):
    """Every layer of a model, at any depth, models and wrappers included.

    Private in Keras: `Model.layers` stops at layers that hold layers. Waits
    for a public way down.
    """
    return list(model._flatten_layers(include_self=include_self))


def is_of_keras(thing):
    """Whether a class, function or method is Keras's own.

    Of all others it is not known what they do.
    """
    module = getattr(inspect.unwrap(thing), "__module__", None) or ""
    return module.split(".")[0] == "keras"


def is_rematerialised(layer):
    """Whether the backward pass computes the layer again, or may.

    Private in Keras, which has no public way to ask for a layer's
    `RematScope`; where it cannot be told, the answer is yes.
    """
    return getattr(layer, "_remat_mode", "unknown") is not None


def draws_numbers(model, besides=()):
    """Whether a layer draws random numbers in training, as dropout does.

    Such a layer has a seed generator as an attribute: Keras could not save its
    state otherwise.

    Args:
        model: `keras.Model`.
        besides: layers of the model that do not count, nor those within them.
    """
    left_out = {id(inner) for layer in besides for inner in all_layers(layer)}
    return any(
        isinstance(value, keras.random.SeedGenerator)
        for layer in all_layers(model)
        if id(layer) not in left_out
        for value in vars(layer).values()
    )


def takes_training(layer):
    """Whether the layer's `call` has an argument `training`.

    Undocumented in Keras, but cheap in every step, and `torch.compile` can
    follow it, which `inspect.signature` is not.
    """
    return "training" in layer.call_signature_parameters


def argument_of(layer, name, default=None):
    """What one of Keras's own layers was built with.

    Keras keeps each argument of a constructor as an attribute of that name;
    should one be kept elsewhere, this raises.

    Args:
        layer: `keras.Layer`, of a class of Keras.
        name: the argument.
        default: for a layer whose constructor has no such argument.
    """
    if name not in inspect.signature(type(layer).__init__).parameters:
        return default
    return getattr(layer, name)


def own_attribute(layer, name):
    """What stands under that name in the layer itself, or `None`.

    For attributes that are functions, such as `activation`: those of the class
    are methods of the layer.
    """
    return vars(layer).get(name)


def between_layers(model):
    """The operations that a model runs between its layers; `None` if unknown.

    Args:
        model: `keras.Model`.

    Returns:
        List of `keras.Operation`, without the layers.
    """
    if isinstance(model, keras.Sequential):
        return []
    try:
        operations = model.operations
    except AttributeError:  # subclassed, its `call` may do anything
        return None
    return [each for each in operations if not isinstance(each, keras.Layer)]


def input_specs(model):
    """The symbolic inputs of a functional model, a nest; `None` for others."""
    return _specs(model, "input")


def output_specs(model):
    """The symbolic outputs of a functional model; `None` for others."""
    return _specs(model, "output")


def _specs(model, which):
    try:
        if isinstance(model, keras.Sequential):
            return getattr(model, f"{which}s")[0]
        return getattr(model, which)
    except (AttributeError, ValueError, TypeError):  # subclassed; not built
        return None


def padding_mask(output):
    """What Keras holds to be padding in an output: bools, or `None`.

    Private in Keras, which tells it to the `call` of layers only. So does this
    where tensors have no attributes (JAX, where steps are traced).
    """
    if keras.backend.backend() != "jax" or output is None:
        return getattr(output, "_keras_mask", None)
    asking = _Asking()
    asking(output)
    return asking.found


class _Asking(keras.layers.Layer):
    """Keeps the padding mask that comes with an input."""

    def __init__(self):
        super().__init__(name="asking", autocast=False)
        self.supports_masking = True
        self.found = None

    def call(self, inputs, mask=None):
        self.found = mask
        return inputs


# Steps: their gradient is 0. Undocumented in Keras are the names of the classes
# that `keras.ops` makes of its functions; the public way would be to ask an
# operation whether it is differentiable.
_CUTTING = (
    *("Discretization", "Embedding", "HashedCrossing", "Hashing"),
    "IntegerLookup",
    *("Argmax", "Cast", "Ceil", "Floor", "FloorDivide", "Round", "Sign"),
    *("Trunc",),
)


def may_cut_gradients(model):
    """Whether something in a model may have no gradient: it rounds or counts.

    Layers of Keras and operations between layers that are known to; a
    `Lambda`, of which nothing is known.
    """
    parts = [*all_layers(model), *(between_layers(model) or ())]
    return any(
        isinstance(part, keras.layers.Lambda) or type(part).__name__ in _CUTTING
        for part in parts
    )


def sync(model):
    """Hands the variables of a model their values back while it trains on JAX.

    There Keras holds them outside of the variables during `fit`.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
