"""Three steps of training against the same steps written out in NumPy.

All backends are held to one float64 reference, and so to each other.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt

BATCH, FEATURES, HIDDEN, CLASSES = 12, 10, 7, 3


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def forward(weights, x):
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    return hidden, hidden @ w2 + b2


def backward(weights, x, hidden, upstream):
    """Gradients of Σ upstream · logits for the weights, and for x."""
    w1, _, w2, _ = weights
    inner = (upstream @ w2.T) * (1 - hidden**2)
    gradients = [
        x.T @ inner,
        inner.sum(0),
        hidden.T @ upstream,
        upstream.sum(0),
    ]
    return gradients, inner @ w1.T


def masked_inputs(weights, x, y, k, ranking):
    hidden, _ = forward(weights, x)
    _, saliency = backward(weights, x, hidden, np.eye(CLASSES)[y])
    if ranking == "absolute":
        saliency = np.abs(saliency)
    mask = np.zeros(x.shape, bool)
    lowest = np.argsort(saliency, axis=1, kind="stable")[:, :k]
    np.put_along_axis(mask, lowest, True, axis=1)
    return np.where(mask, x.mean(1, keepdims=True), x)


def step(weights, x, y, k, ranking, kl_weight):
    """Loss, divergence and gradients of one saliency guided step."""
    x_masked = masked_inputs(weights, x, y, k, ranking)
    hidden, logits = forward(weights, x)
    hidden_masked, logits_masked = forward(weights, x_masked)
    p, q = softmax(logits), softmax(logits_masked)
    one_hot = np.eye(CLASSES)[y]
    crossentropy = -np.log((p * one_hot).sum(1)).mean()
    ratio = np.log(p / q)
    kl = (p * ratio).sum(1, keepdims=True)
    clean = (p - one_hot) + kl_weight * p * (ratio - kl)
    masked = kl_weight * (q - p)
    gradients, _ = backward(weights, x, hidden, clean / len(x))
    more, _ = backward(weights, x_masked, hidden_masked, masked / len(x))
    gradients = [a + b for a, b in zip(gradients, more)]
    return crossentropy + kl_weight * kl.mean(), kl.mean(), gradients


def train(weights, batches, optimizer, **options):
    """SGD or Adam, as their papers have it; Keras adds ε to the root."""
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    losses = []
    for t, (x, y) in enumerate(batches, start=1):
        loss, kl, gradients = step(weights, x, y, **options)
        losses.append((loss, kl))
        if optimizer == "sgd":
            weights = [w - 0.1 * g for w, g in zip(weights, gradients)]
            continue
        moments = [
            (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2)
            for (m, v), g in zip(moments, gradients)
        ]
        rate = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = [
            w - rate * m / (np.sqrt(v) + 1e-7)
            for w, (m, v) in zip(weights, moments)
        ]
    return losses, weights


@pytest.mark.parametrize("ranking", ["signed", "absolute"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_three_steps(optimizer, ranking):
    rng = np.random.default_rng(0)
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    weights = [0.6 * rng.normal(size=shape) for shape in shapes]
    batches = [
        (rng.normal(size=(BATCH, FEATURES)), rng.integers(0, CLASSES, BATCH))
        for _ in range(3)
    ]
    losses, expected = train(
        weights, batches, optimizer, k=4, ranking=ranking, kl_weight=0.7
    )

    model = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            layers.Dense(HIDDEN, "tanh"),
            layers.Dense(CLASSES),
        ]
    )
    model.set_weights([w.astype("float32") for w in weights])
    guided = keras_sgt.SaliencyGuidedModel(
        model,
        mask_fraction=0.4,
        kl_weight=0.7,
        masking=keras_sgt.masking.FeatureMasking(
            ranking, keras_sgt.masking.Mean(per="sample")
        ),
    )
    rule = {
        "sgd": keras.optimizers.SGD(0.1),
        "adam": keras.optimizers.Adam(0.01),
    }
    guided.compile(
        rule[optimizer],
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for (x, y), (loss, kl) in zip(batches, losses):
        guided.reset_metrics()
        logs = guided.train_on_batch(x, y, return_dict=True)
        assert logs["loss"] == pytest.approx(loss, rel=1e-5)
        assert logs["divergence"] == pytest.approx(kl, rel=1e-5, abs=1e-6)
    for found, weight in zip(model.get_weights(), expected):
        np.testing.assert_allclose(found, weight, rtol=1e-5, atol=1e-5)
