"""Inputs of several kinds: they train, or a message names the argument."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_sgt
from keras_sgt.masking import FeatureMasking, TokenMasking

ROWS, VOCABULARY = 6, 9
KINDS = ("column", "ids", "image", "optional", "series", "vector")
SHAPES = {
    "column": (1,),
    "ids": (5,),
    "image": (4, 4, 1),
    "optional": (3,),
    "series": (4, 2),
    "vector": (3,),
}


def network(kinds):
    """An input for each kind, by the name of the kind and its place."""
    inputs, parts = {}, []
    for i, kind in enumerate(kinds):
        dtype = "int32" if kind == "ids" else "float32"
        x = keras.Input(SHAPES[kind], dtype=dtype, name=f"{kind}{i}")
        inputs[x.name] = x
        if kind == "ids":
            x = layers.Embedding(VOCABULARY, 2, name=f"words{i}")(x)
        parts.append(layers.Flatten()(x))
    joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(3, "tanh")(joined)))


def data(kinds):
    rng = np.random.default_rng(0)
    x = {}
    for i, kind in enumerate(kinds):
        values = rng.normal(size=(ROWS, *SHAPES[kind])).astype("float32")
        if kind == "ids":
            values = rng.integers(0, VOCABULARY, values.shape).astype("int32")
        x[f"{kind}{i}"] = values
    return x, np.arange(ROWS) % 2


@st.composite
def cases(draw):
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    names = [f"{kind}{i}" for i, kind in enumerate(kinds)]
    chosen = draw(
        st.none()
        | st.sampled_from(names)
        | st.lists(st.sampled_from(names), min_size=1, unique=True)
    )
    return kinds, chosen, draw(st.sampled_from([1.0, 0.5]))


@settings(max_examples=10, deadline=None)
@given(case=cases(), tokens=st.booleans())
def test_mixed_inputs_train_or_a_message_names_the_argument(case, tokens):
    kinds, chosen, batch_fraction = case
    names = [f"{kind}{i}" for i, kind in enumerate(kinds)]
    if tokens:
        masking = TokenMasking(inputs=chosen)
        one = chosen if isinstance(chosen, str) else None
        if len(names) == 1 and chosen is None:
            one = names[0]
        works = kinds.count("ids") == 1 and one is not None and "ids" in one
    else:
        masking = FeatureMasking(inputs=chosen)
        masked = names if chosen is None else np.atleast_1d(chosen)
        works = not any(name.startswith("ids") for name in masked)
    guided = keras_sgt.SaliencyGuidedModel(
        network(kinds), masking=masking, batch_fraction=batch_fraction
    )
    x, y = data(kinds)

    def train():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        guided.compile("sgd", loss, run_eagerly=True)
        return guided.train_on_batch(x, y, return_dict=True)

    if works:
        logs = train()
        assert np.isfinite([*logs.values()]).all()
        masked = guided.mask_on_batch(x, y)
        for name, values in x.items():
            assert masked[name].shape == values.shape
    else:
        with pytest.raises(ValueError, match=r"inputs=|layer=|TokenMasking"):
            train()
