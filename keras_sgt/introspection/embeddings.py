"""Where token ids become vectors: the layer, and other vectors in its place."""

import keras
from keras import ops

from keras_sgt.introspection.layers import all_layers
from keras_sgt.introspection.patching import replaced

TOKEN_IDS = "token_ids"  # KerasHub's name for the input of a text model

POOLING = {
    "sum": lambda values: ops.sum(values, axis=-1),
    "mean": lambda values: ops.mean(values, axis=-1),
    "l2": lambda values: ops.sqrt(ops.sum(ops.square(values), axis=-1)),
}


def find(model, layer, owner):
    """The layer of that name, or the only `Embedding` of the model.

    Args:
        model: `keras.Model`.
        layer: name of the layer, or `None`.
        owner: str, who is told to name it if it cannot be told.

    Returns:
        `keras.Layer`.

    Raises:
        ValueError: if there is none, or more than one.
    """
    layers = all_layers(model, include_self=False)
    embeddings = [x for x in layers if isinstance(x, keras.layers.Embedding)]
    candidates = embeddings
    if layer is not None:
        candidates = [x for x in layers if x.name == layer]
    if len(candidates) == 1:
        return candidates[0]
    raise ValueError(
        f"`{owner}` has to know which layer embeds the tokens: pass "
        f"`{owner}(layer=...)`, the layer or its name. The model's embedding "
        f"layers: {sorted(x.name for x in embeddings)}. Received: "
        f"layer={layer!r}"
    )


def vocabulary(layer):
    """What knows the ids: the layer, or the one `Embedding` that it holds."""
    held = [
        x for x in all_layers(layer) if isinstance(x, keras.layers.Embedding)
    ]
    return held[0] if len(held) == 1 else layer


def changed_output(layer, change):
    """A context in which a layer's outputs are changed.

    Args:
        layer: `keras.Layer`.
        change: function from its output to another.
    """

    def changing(original):
        def call(*args, **kwargs):
            output = original(*args, **kwargs)
            # A layer that also projects back onto the vocabulary is left
            # alone when it does.
            return output if kwargs.get("reverse") else change(output)

        return call

    return replaced(layer, "call", changing)


def check_pooling(pooling):
    if pooling not in POOLING:
        raise ValueError(
            f"`pooling` has to be one of {list(POOLING)}. Received: "
            f"pooling={pooling!r}"
        )
