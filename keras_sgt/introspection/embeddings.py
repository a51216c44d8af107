"""Where ids become vectors: the layer, what it receives, other vectors."""

import contextlib
import math
import typing

import keras
import numpy as np
from keras import ops

from keras_sgt.introspection.layers import all_layers, input_specs
from keras_sgt.introspection.nests import leaf_paths
from keras_sgt.introspection.patching import replaced

TOKEN_IDS = "token_ids"  # KerasHub's name for the input of a text model
_TOKEN_EMBEDDING = "token_embedding"  # ... and for the layer that embeds it
_SEGMENT_EMBEDDING = "segment_embedding"

POOLING = {
    "sum": lambda values: ops.sum(values, axis=-1),
    "mean": lambda values: ops.mean(values, axis=-1),
    "l2": lambda values: ops.sqrt(ops.sum(ops.square(values), axis=-1)),
}

_PROBED_IDS = 32  # by so many made-up ids two inputs are told apart


def find(model, layer, caller):
    """The layer that embeds the tokens of a text model.

    Args:
        model: `keras.Model`.
        layer: name of the layer. `None` for the only `Embedding` of the model
            or, of several, for KerasHub's `token_embedding`.
        caller: str, the class whose argument `layer` this is, for errors.

    Returns:
        `keras.Layer`.

    Raises:
        ValueError: if there is none, or more than one.
    """
    layers = _named(model, layer)
    if layer is None and len(layers) > 1:
        layers = _token_embeddings(model) or layers
    if len(layers) == 1:
        return layers[0]
    names = sorted(x.name for x in _named(model, None))
    raise ValueError(
        f"`{caller}` has to know which layer embeds the tokens: pass "
        f"`{caller}(layer=...)`, the layer or its name. The model's embedding "
        f"layers: {names}. Received: layer={layer!r}"
    )


def candidates(model, layer, segments=False):
    """The layers that may embed one of the inputs.

    Args:
        model: `keras.Model`.
        layer: name of the layer, or `None`.
        segments: whether those of KerasHub's backbones are among them, which
            say of a token only which text it is from.

    Returns:
        List of `keras.Layer`: those of that name; with `None` every
        `keras.layers.Embedding`.
    """
    layers = _named(model, layer)
    several = layer is None and len(layers) > 1
    if several and not segments and _token_embeddings(model):
        return [x for x in layers if x.name != _SEGMENT_EMBEDDING]
    return layers


def _named(model, layer):
    """The layers of that name, or every `Embedding`."""
    layers = all_layers(model, include_self=False)
    if layer is not None:
        return [x for x in layers if x.name == layer]
    return [x for x in layers if isinstance(x, keras.layers.Embedding)]


def _token_embeddings(model):
    """What KerasHub's text backbones hold by that name.

    It is their attribute; a model that was built on a backbone's inputs and
    outputs holds the layer, but not the backbone.
    """
    layers = all_layers(model)
    found = [getattr(x, _TOKEN_EMBEDDING, None) for x in layers]
    found += [x for x in layers if x.name == _TOKEN_EMBEDDING]
    distinct = {id(x): x for x in found if isinstance(x, keras.Layer)}
    return [*distinct.values()]


def vocabulary(layer):
    """What knows the ids: the layer, or the one `Embedding` that it holds."""
    held = [
        x for x in all_layers(layer) if isinstance(x, keras.layers.Embedding)
    ]
    return held[0] if len(held) == 1 else layer


def vocabulary_size(layer):
    """How many ids a layer has vectors for, `None` where it is not known."""
    layer = vocabulary(layer)
    known = isinstance(layer, keras.layers.Embedding)
    return layer.input_dim if known else None


class Call(typing.NamedTuple):
    """One call of an embedding layer while a model runs.

    Args:
        layer: `keras.Layer`.
        position: int, which of the flat inputs the layer receives, just as it
            is (or with an axis of length 1 more or less); else `None`.
        derived: whether it receives something that is made of the inputs,
            such as a slice. What neither is an input nor derived from one is
            the same for all samples, such as the positions of tokens.
        shape: tuple, of what it receives, without the samples.
        width: int, the length of the vectors that it returns.
    """

    layer: keras.Layer
    position: int | None
    derived: bool
    shape: tuple
    width: int


def calls(layers, run, inputs, changed=None):
    """What embedding layers receive while a model runs.

    The model runs eagerly, once or twice, on a few samples of made-up ids:
    the ids of each input in random order, so that no two inputs, and no input
    and its slice, are the same.

    Args:
        layers: list of `keras.Layer`.
        run: function that runs the model on a nest like `inputs`.
        inputs: nest of NumPy arrays `(samples, ...)`.
        changed: positions of the flat inputs that `derived` asks about.
            Defaults to all that hold ids.

    Returns:
        List of `Call`, in the order of the calls.

    Raises:
        ValueError: if two inputs hold one and the same id throughout, so that
            they cannot be told apart.
    """
    flat = keras.tree.flatten(inputs)
    ids = [i for i, array in enumerate(flat) if may_be_ids(array)]
    changed = ids if changed is None else [i for i in changed if i in ids]
    made_up = _made_up(flat, ids, layers, seed=0)
    records = _recorded(layers, run, inputs, made_up)
    fed = [_position(r.received, made_up, ids, inputs) for r in records]
    again = records
    if None in fed:
        others = _made_up(flat, ids, layers, seed=1)
        others = [
            others[i] if i in changed else array
            for i, array in enumerate(made_up)
        ]
        again = _recorded(layers, run, inputs, others)
    return [
        Call(
            first.layer,
            position,
            position is None
            and not np.array_equal(first.received, second.received),
            np.shape(first.received)[1:],
            first.width,
        )
        for first, second, position in zip(records, again, fed)
    ]


def check_receives(layer, position, run, inputs, caller):
    """Raises unless a layer embeds the ids of one input just as they are.

    Args:
        layer: `keras.Layer`.
        position: int, which of the flat inputs.
        run: function that runs the model on a nest like `inputs`.
        inputs: nest of NumPy arrays `(samples, ...)`.
        caller: str, the class whose arguments these are, for errors.

    Raises:
        ValueError: what the layer receives instead, and what to do.
    """
    made = calls([layer], run, inputs, [position])
    if any(c.derived for c in made) or position not in {
        c.position for c in made
    }:
        raise ValueError(other_input(made, layer, position, inputs, caller))


def example_inputs(model, length=16):
    """Arrays as a functional model takes them, of ids 0 and 1.

    Args:
        model: `keras.Model`.
        length: int, of the axes whose length the model leaves open.

    Returns:
        Nest of NumPy arrays; `None` for a model that does not tell, or does
        not take them.
    """
    specs = input_specs(model)
    if specs is None:
        return None
    if "string" in [spec.dtype for spec in keras.tree.flatten(specs)]:
        return None

    def example(spec):
        shape = [length if n is None else n for n in spec.shape[1:]]
        values = np.arange(2 * math.prod(shape)) % 2
        return values.reshape(2, *shape).astype(spec.dtype)

    inputs = keras.tree.map_structure(example, specs)
    try:
        model(inputs, training=False)
    except Exception:  # such as for texts of a length of their own
        return None
    return inputs


def other_input(made, layer, position, inputs, caller):
    """The message that a layer does not receive an input.

    Args:
        made: list of `Call` of that layer.
        layer, position, inputs, caller: as in `check_receives`. `None` as the
            position stands for any input.
    """
    paths = [f" {p!r}" if p else "" for p in _paths(inputs)]
    wanted = "an input" if position is None else f"the input{paths[position]}"
    fed = sorted({paths[c.position] for c in made if c.position is not None})
    received = f"the input{','.join(fed)}" if fed else "none"
    changed = [c.shape for c in made if c.derived]
    if changed:
        received = (
            f"something that is made of the inputs, of shape {changed[0]} for "
            "each sample"
        )
    elif not made:
        received = "nothing: it does not run"
    return (
        f"The embedding layer {layer.name!r} has to receive the ids of "
        f"{wanted} just as they are, or they have no vectors to look "
        f"at. It receives {received}. Pass `{caller}(layer=...)` and "
        f"`{caller}(inputs=...)` that belong together; where the model itself "
        "cuts or maps the ids, take the part of the model behind that, and "
        "ids that are cut or mapped already."
    )


def _paths(inputs):
    return keras.tree.flatten(leaf_paths(inputs))


def may_be_ids(array):
    """Whether an array holds whole numbers, of any type."""
    if array.dtype.kind == "f":
        few = array[:_PROBED_IDS]
        return bool((few == np.floor(few)).all())
    return array.dtype.kind in "iu"


def changed_output(layer, change):
    """A context in which a layer's outputs are changed.

    Args:
        layer: `keras.Layer`.
        change: function from its output to another.
    """
    return _changed(layer, lambda received, output: change(output))


def check_pooling(pooling):
    if pooling not in POOLING:
        raise ValueError(
            f"`pooling` has to be one of {list(POOLING)}. Received: "
            f"pooling={pooling!r}"
        )


def _changed(layer, change):
    """As `changed_output`; `change` takes what the layer receives, too."""

    def changing(original):
        def call(*args, **kwargs):
            output = original(*args, **kwargs)
            # A layer that also projects back onto the vocabulary is left
            # alone when it does.
            if kwargs.get("reverse"):
                return output
            return change(
                args[0] if args else next(iter(kwargs.values())), output
            )

        return call

    return replaced(layer, "call", changing)


class _Record(typing.NamedTuple):
    layer: keras.Layer
    received: typing.Any
    width: int


def _recorded(layers, run, inputs, flat):
    """What the layers receive, call by call."""
    records = []

    def recording(layer):
        def record(received, output):
            if not ops.is_tensor(received):  # a nest, or the like
                received = np.zeros(0)
            received = ops.convert_to_numpy(received)
            records.append(_Record(layer, received, output.shape[-1]))
            return output

        return record

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_changed(layer, recording(layer)))
        run(keras.tree.pack_sequence_as(inputs, flat))
    return records


def _made_up(flat, ids, layers, seed):
    """A few samples like the inputs, their ids in random order."""
    rng = np.random.default_rng(seed)
    lengths = [max(1, math.prod(flat[i].shape[1:])) for i in ids]
    rows = max([math.ceil(_PROBED_IDS / n) for n in lengths], default=1)
    sizes = [vocabulary_size(layer) or math.inf for layer in layers]
    made_up = []
    for i, array in enumerate(flat):
        shape = (rows, *array.shape[1:])
        if i not in ids or not array.size:
            made_up.append(np.resize(array, shape))
        else:
            values = _ids_of_all(array, min(sizes, default=math.inf))
            made_up.append(rng.choice(values, shape).astype(array.dtype))
    return made_up


def _ids_of_all(array, size):
    """A few ids that every layer has, an input's own where it can be."""
    values = np.unique(array[:_PROBED_IDS])
    known = values[(values >= 0) & (values < size)]
    if len(known) > 1:
        return known
    if size < math.inf:
        return np.arange(min(2, size))
    # Where all ids are one, another that surely is one too.
    return np.append(values, values - 1) if values[0] > 0 else values


def _position(received, flat, ids, inputs):
    """Which input an array is; `None` if it is none."""
    # Keras takes an axis of length 1 away from an input, or adds one.
    equal = [
        i
        for i in ids
        if received.size == flat[i].size
        and received.shape[:2] in (flat[i].shape[:2], (len(flat[i]), 1))
        and np.array_equal(received.reshape(flat[i].shape), flat[i])
    ]
    if len(equal) > 1:
        paths = _paths(inputs)
        raise ValueError(
            f"The inputs {[paths[i] for i in equal]} hold the same id "
            "throughout, so that what embeds which of them cannot be told. "
            "Pass samples with several ids first."
        )
    return equal[0] if equal else None
