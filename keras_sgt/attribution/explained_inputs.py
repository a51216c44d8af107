"""Which of a model's inputs are explained, and where."""

import typing

import keras

from keras_sgt.introspection import embeddings
from keras_sgt.introspection.layers import input_specs
from keras_sgt.introspection.logits import inner
from keras_sgt.introspection.nests import leaf_paths


class Wanted(typing.NamedTuple):
    """What the user asks to be explained.

    Args:
        inputs: key or index of an input, a list of them, or `None` for all.
        layer: name of the layer that embeds ids, or `None`.
        needs_gradient: whether the method takes gradients.
        caller: str, the name of the method, for errors.
    """

    inputs: typing.Any
    layer: str | None
    needs_gradient: bool
    caller: str


class ExplainedInputs(typing.NamedTuple):
    """Which inputs are explained, by their positions in the flat inputs.

    Args:
        positions: list of ints, in order.
        embedded: dict from the position of an input of ids to the calls of
            the layers that embed it, which are `embeddings.Call`.
        calls: list of all calls of these layers.
        numbers: set of ints, the positions of ints and bools that the model
            takes as floats.
    """

    positions: list
    embedded: dict
    calls: list
    numbers: set


def choose(model, run, x, wanted):
    """Finds the inputs that are explained.

    Args:
        model: `keras.Model`.
        run: function that runs it on a nest like `x`.
        x: nest of arrays.
        wanted: `Wanted`.

    Returns:
        `ExplainedInputs`.

    Raises:
        ValueError: if there is none, and for one that is asked for and cannot
            be explained.
    """
    flat, paths = keras.tree.flatten(x), keras.tree.flatten(leaf_paths(x))
    asked = _asked(wanted.inputs, paths)
    layer = wanted.layer
    if layer is None and asked is None:
        layer = _layer_of_masking(model)
    calls, embedded = [], {}
    may = [i for i, array in enumerate(flat) if _may_be_ids(array)]
    layers = []
    if may or layer:
        segments = asked is not None
        layers = embeddings.candidates(model, layer, segments)
    if layer is not None and len(layers) != 1:
        embeddings.find(model, layer, wanted.caller)  # raises
    if layers and (may or wanted.layer):
        calls, embedded = _embedded(layers, run, x, layer, wanted, asked)
    kinds = "f" if wanted.needs_gradient else "biuf"
    numbers = _taken_as_floats(model, flat, paths) - {*embedded}
    eligible = sorted(
        {i for i, a in enumerate(flat) if a.dtype.kind in kinds}
        | {*embedded}
        | numbers
    )
    if asked is not None:
        _check_asked(asked, eligible, paths, wanted)
        eligible = sorted(asked)
    if not eligible:
        raise ValueError(_nothing(model, flat, wanted))
    embedded = {i: c for i, c in embedded.items() if i in eligible}
    return ExplainedInputs(eligible, embedded, calls, numbers)


def _taken_as_floats(model, flat, paths):
    """The ints and bools of several inputs that a model says are numbers.

    One input alone may be ids that the user declared as floats, as Keras does
    by default, and that something else than an embedding receives: an error
    says more than a map of zeros.
    """
    taken = input_specs(inner(model))
    if taken is None or len(flat) == 1:
        return set()
    named = taken
    if not isinstance(taken, dict):
        named = {x.name: x for x in keras.tree.flatten(taken)}
        if not set(paths) <= set(named):
            named = dict(zip(paths, keras.tree.flatten(taken)))
    return {
        i
        for i, (path, array) in enumerate(zip(paths, flat))
        if array.dtype.kind in "biu"
        and keras.backend.is_float_dtype(
            getattr(named.get(path), "dtype", "int32")
        )
    }


def check_ids(name, ids, calls, path):
    """Raises for ids that have no vector.

    Args:
        name: str, the argument that holds them.
        ids: array.
        calls: list of `embeddings.Call`, of the layers that embed them.
        path: str, the key or index of the input.
    """
    sizes = [embeddings.vocabulary_size(call.layer) for call in calls]
    size = min([s for s in sizes if s is not None], default=None)
    if size is None or not ids.size or 0 <= ids.min() <= ids.max() < size:
        return
    of_input = f" of the input {path!r}" if path else ""
    raise ValueError(
        f"The ids in `{name}`{of_input} have to be from 0 to {size - 1}, the "
        f"vocabulary of the layer {calls[0].layer.name!r}. Received: ids from "
        f"{ids.min()} to {ids.max()}"
    )


def check_no_strings(x, model):
    """Raises for strings that only `predict` turns into ids."""
    strings = any(a.dtype.kind in "OSU" for a in keras.tree.flatten(x))
    if strings and getattr(inner(model), "preprocessor", None) is not None:
        raise ValueError(
            "`x` holds strings. The model's `predict` turns them into token "
            "ids; to explain it, do that first: pass "
            "`model.preprocessor(x)` as `x`, with its `preprocessor`."
        )


def _may_be_ids(array):
    return array.dtype.kind in "iuf" and embeddings.may_be_ids(array)


def _asked(inputs, paths):
    """The positions of the inputs that the user asks for, or `None`."""
    if inputs is None:
        return None
    several = isinstance(inputs, (list, tuple))
    names = [str(name) for name in (inputs if several else [inputs])]
    unknown = [name for name in names if name not in paths]
    if unknown or not names:
        raise ValueError(
            "`inputs` has to be the key or index of an input, or a list of "
            f"them, out of {paths}. Received: inputs={inputs!r}"
        )
    return [paths.index(name) for name in names]


def _check_asked(asked, eligible, paths, wanted):
    missing = [paths[i] for i in asked if i not in eligible]
    if missing:
        raise ValueError(
            "`inputs` has to name inputs that can be explained, out of "
            f"{[paths[i] for i in eligible]}: those of floats, and those of "
            "ids that a `keras.layers.Embedding` receives. Received: "
            f"inputs={wanted.inputs!r}"
        )


def _layer_of_masking(model):
    """The layer whose ids a guided model masks, if it names one."""
    return getattr(getattr(model, "masking", None), "layer", None)


def _embedded(layers, run, x, layer, wanted, asked):
    """The calls of the layers, and those that receive the ids of each input.

    Raises where a layer receives something that is made of the ids, or not
    the ids that are asked for: their map would be wrong.
    """
    calls = embeddings.calls(layers, run, x, asked)
    embedded = {}
    for call in calls:
        if call.position is not None:
            embedded.setdefault(call.position, []).append(call)
    derived = [call for call in calls if call.derived]
    if layer is None and not wanted.needs_gradient and derived:
        return [], {}  # their numbers are looked at themselves
    missing = not set(embedded) & set(asked or embedded)
    if derived or (layer is not None and missing):
        changed = derived[0].layer if derived else layers[0]
        raise ValueError(
            embeddings.other_input(
                [call for call in calls if call.layer is changed],
                changed,
                asked[0] if asked else None,
                x,
                wanted.caller,
            )
        )
    return calls, _one_a_layer(embedded)


def _one_a_layer(embedded):
    """Of an input that a layer embeds twice, in the same way, one call."""
    return {
        i: [*{id(call.layer): call for call in calls}.values()]
        for i, calls in embedded.items()
    }


def _nothing(model, flat, wanted):
    """The message that no input can be explained."""
    kinds = {a.dtype.kind for a in flat}
    if kinds & {"i", "u"}:
        dtype = next(a.dtype for a in flat if a.dtype.kind in "iu")
        return (
            f"`{wanted.caller}` takes gradients, and an input of dtype {dtype} "
            "has none: the model has no `keras.layers.Embedding` that receives "
            "it, at whose output one could be taken. Images and other numbers: "
            "pass `x.astype('float32')`. Token ids: name the layer that embeds "
            "them with `layer=`."
        )
    if kinds & {"O", "S", "U"}:
        return (
            "Strings have no features that a method could look at. Turn them "
            "into ids first, and take the part of the model that embeds ids."
        )
    return (
        f"`{wanted.caller}` takes gradients, and bools have none. Pass "
        "`x.astype('float32')`."
    )
