"""Backbones of KerasHub, tiny and untrained."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt
from keras_sgt.masking import Constant, FeatureMasking, TokenMasking

pytest.importorskip("keras_hub", reason="KerasHub is not installed")
from keras_hub import models

BATCH, LENGTH, VOCABULARY = 8, 12, 50
TINY = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": LENGTH,
}
LENGTHS = np.array([12, 11, 9, 8, 6, 4, 2, 1])
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def trained(model, masking, x, tmp_path):
    """A fit of two steps, saved and restored; the masked inputs."""
    y = np.arange(BATCH) % 3
    guided = keras_sgt.SaliencyGuidedModel(model, 0.25, masking=masking)
    guided.compile("adam", CROSSENTROPY)
    history = guided.fit(x, y, batch_size=4, verbose=0).history
    assert np.isfinite([*history.values()]).all()
    assert history["divergence"][0] > 0
    guided.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        restored.predict(x, verbose=0),
        guided.predict(x, verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )
    return guided.mask_on_batch(x, y)


def nested(backbone, inputs):
    """A classifier of which the backbone is one layer."""
    return keras.Model(inputs, layers.Dense(3)(backbone(inputs)[:, 0]))


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_text(kind, tmp_path):
    """Token ids 1 to 48; 49 marks what is masked."""
    rng = np.random.default_rng(0)
    real = np.arange(LENGTH) < LENGTHS[:, None]
    ids = np.where(real, rng.integers(1, 49, (BATCH, LENGTH)), 0)
    x = {"token_ids": ids, "padding_mask": real.astype("int32")}
    if kind == "bert":
        backbone = models.BertBackbone(**TINY)
        x["segment_ids"] = np.zeros_like(ids)
        pooled = backbone.output["pooled_output"]
        model = keras.Model(backbone.input, layers.Dense(3)(pooled))
    else:
        backbone = models.DistilBertBackbone(**TINY)
        model = nested(backbone, backbone.input)
    masking = TokenMasking("token_embedding", replacement=49)
    masked = trained(model, masking, x, tmp_path)
    gone = masked["token_ids"] == 49
    np.testing.assert_array_equal(gone.sum(1), LENGTHS // 4)
    assert not gone[~real].any()
    for name in x.keys() - {"token_ids"}:
        np.testing.assert_array_equal(masked[name], x[name])


def test_the_tokens_embedding_is_taken():
    """Beside that of the segments, which BERT has, too."""
    backbone = models.BertBackbone(**TINY)
    pooled = backbone.output["pooled_output"]
    x = {
        "token_ids": np.full((2, LENGTH), 7),
        "padding_mask": np.ones((2, LENGTH), "int32"),
        "segment_ids": np.zeros((2, LENGTH), "int32"),
    }
    for model in (
        keras.Model(backbone.input, layers.Dense(3)(pooled)),
        keras.Model(
            backbone.input,
            layers.Dense(3)(backbone(backbone.input)["pooled_output"]),
        ),
    ):
        masking = TokenMasking(replacement=49)
        guided = keras_sgt.SaliencyGuidedModel(model, 0.25, masking=masking)
        guided.compile("adam", CROSSENTROPY)
        masked = guided.mask_on_batch(x, np.array([0, 1]))
        gone = np.asarray(masked["token_ids"]) == 49
        np.testing.assert_array_equal(gone.sum(1), LENGTH // 4)


@pytest.mark.slow_to_compile
def test_vision_transformer(tmp_path):
    backbone = models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=(4, 4),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )
    model = nested(backbone, keras.Input((16, 16, 3)))
    x = np.random.default_rng(0).normal(size=(BATCH, 16, 16, 3))
    masking = FeatureMasking(replacement=Constant(1000.0))
    masked = trained(model, masking, x.astype("float32"), tmp_path)
    gone = (masked == 1000).all(-1)
    np.testing.assert_array_equal(gone.sum((1, 2)), 64)
