"""Divergences against SciPy's, and the choice made from the loss."""

import keras
import numpy as np
import pytest
from scipy import special

from keras_sgt import divergences


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 5, 4)).astype("float32") * 3


def value(divergence, clean, masked):
    clean, masked = (keras.ops.convert_to_tensor(a) for a in (clean, masked))
    return keras.ops.convert_to_numpy(divergence(clean, masked))


def test_categorical(logits):
    p, q = special.softmax(logits.astype("float64"), axis=-1)
    expected = special.rel_entr(p, q).sum(-1)
    from_logits = divergences.CategoricalKL(from_logits=True)
    np.testing.assert_allclose(value(from_logits, *logits), expected, rtol=1e-4)
    found = value(
        divergences.CategoricalKL(), p.astype("float32"), q.astype("float32")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_bernoulli(logits):
    p, q = special.expit(logits.astype("float64"))
    expected = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
    from_logits = divergences.BernoulliKL(from_logits=True)
    np.testing.assert_allclose(
        value(from_logits, *logits), expected.sum(-1), rtol=1e-4
    )
    found = value(
        divergences.BernoulliKL(), p.astype("float32"), q.astype("float32")
    )
    np.testing.assert_allclose(found, expected.sum(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "divergence",
    [
        divergences.CategoricalKL(),
        divergences.CategoricalKL(from_logits=True),
        divergences.BernoulliKL(),
        divergences.BernoulliKL(from_logits=True),
        divergences.MeanSquared(),
    ],
)
def test_zero_for_equals_and_finite_at_the_ends(divergence):
    ends = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]], "float32")
    np.testing.assert_allclose(value(divergence, ends, ends), 0, atol=1e-6)
    apart = value(divergence, ends, ends[:, ::-1].copy())
    assert np.isfinite(apart).all()
    assert (apart[:2] > 0).all()


def test_mean_squared_per_step(logits):
    found = value(divergences.MeanSquared(), *logits)
    expected = ((logits[0] - logits[1]) ** 2).mean(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_softmax_of_one_unit_is_refused():
    one = np.ones((3, 1), "float32")
    for from_logits in (True, False):
        with pytest.raises(ValueError, match="BernoulliKL"):
            value(divergences.CategoricalKL(from_logits), one, one)


@pytest.mark.parametrize(
    ("loss", "kind", "from_logits"),
    [
        ("sparse_categorical_crossentropy", "CategoricalKL", False),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            "CategoricalKL",
            True,
        ),
        (keras.losses.categorical_focal_crossentropy, "CategoricalKL", False),
        ("binary_crossentropy", "BernoulliKL", False),
        (
            keras.losses.BinaryCrossentropy(from_logits=True),
            "BernoulliKL",
            True,
        ),
        ("mse", "MeanSquared", None),
        (keras.losses.Huber(), "MeanSquared", None),
        ("log_cosh", "MeanSquared", None),
        ("poisson", "NoneType", None),
        (lambda y, p: keras.ops.mean(p), "NoneType", None),
        ("crossentropy", "NoneType", None),
    ],
)
def test_chosen_from_the_loss(loss, kind, from_logits):
    divergence = divergences.for_loss(loss)
    assert type(divergence).__name__ == kind
    assert getattr(divergence, "from_logits", None) == from_logits
