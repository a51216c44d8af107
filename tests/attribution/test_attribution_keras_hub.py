"""Attributions of KerasHub's models, tiny and untrained."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt.attribution import FeatureAblation, Gradient, IntegratedGradients

pytest.importorskip("keras_hub", reason="KerasHub is not installed")
from keras_hub import models

LENGTH, VOCABULARY = 6, 30
TINY = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": LENGTH,
}
RNG = np.random.default_rng(0)
REAL = np.arange(LENGTH) < np.array([6, 4])[:, None]
X = {
    "token_ids": np.where(REAL, RNG.integers(1, VOCABULARY, (2, LENGTH)), 0),
    "padding_mask": REAL.astype("int32"),
    "segment_ids": np.zeros((2, LENGTH), "int32"),
}


def classifier(backbone, nested):
    """On a backbone's outputs, or with the backbone as one layer."""
    outputs = backbone(backbone.input) if nested else backbone.output
    return keras.Model(
        backbone.input, layers.Dense(3)(outputs["pooled_output"])
    )


@pytest.mark.parametrize("nested", [False, True])
def test_tokens_of_a_backbone(nested):
    """At `token_embedding`, of BERT's two; they add up but for padding."""
    model = classifier(models.BertBackbone(**TINY), nested)
    method = IntegratedGradients(
        model, baselines=5, n_steps=30, return_convergence_delta=True
    )
    found, delta = method(X, 0)
    base = {**X, "token_ids": np.full_like(X["token_ids"], 5)}
    logits = [model.predict(x, verbose=0)[:, 0] for x in (X, base)]
    np.testing.assert_allclose(
        found["token_ids"].sum(1), logits[0] - logits[1], atol=1e-3
    )
    assert abs(delta).max() < 1e-3
    assert abs(found["token_ids"][REAL]).min() > 0
    assert not found["segment_ids"].any()
    assert not found["padding_mask"].any()


def test_the_segments_on_request():
    model = classifier(models.BertBackbone(**TINY), False)
    found = Gradient(model, inputs="segment_ids")(X, 0)
    assert found["segment_ids"].any()
    assert not found["token_ids"].any()


def test_a_guided_backbone():
    model = classifier(models.BertBackbone(**TINY), False)
    masking = keras_sgt.masking.TokenMasking()
    guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
    np.testing.assert_allclose(
        FeatureAblation(guided)(X, 0)["token_ids"],
        FeatureAblation(model)(X, 0)["token_ids"],
        rtol=1e-5,
    )


def test_strings_for_a_task_with_a_preprocessor():
    task = models.BertTextClassifier(
        backbone=models.BertBackbone(**TINY), num_classes=2
    )
    task.preprocessor = layers.Identity()  # any that `predict` would call
    for texts in (["a text", "another"], np.array(["a text", "another"])):
        with pytest.raises(ValueError, match=r"model\.preprocessor\(x\)"):
            Gradient(task)(texts)
    found = Gradient(task)(X, 0)
    assert found["token_ids"].any()
