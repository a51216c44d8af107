"""Gini and Hoyer.

The comparison with Quantus runs where Quantus is installed.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sgt import evaluation

SEEDS = st.integers(0, 2**32 - 1)


def test_gini_agrees_with_quantus():
    quantus = pytest.importorskip("quantus", reason="compares with Quantus")
    maps = np.random.default_rng(0).normal(size=(20, 1, 6, 6))
    expected = quantus.Sparseness(
        abs=True, normalise=False, disable_warnings=True
    )(
        model=None,
        x_batch=maps,
        y_batch=np.zeros(20, int),
        a_batch=maps.copy(),
    )
    found = evaluation.gini(maps)
    np.testing.assert_allclose(found.per_sample, expected, atol=1e-6)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_gini_is_half_the_relative_mean_difference(seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(4, 3, 4)).round(1)
    found = evaluation.gini(maps).per_sample
    for value, row in zip(found, np.abs(maps).reshape(4, -1)):
        difference = np.abs(row[:, None] - row).mean()
        np.testing.assert_allclose(value, difference / (2 * row.mean()))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_hoyer_is_its_formula(seed):
    maps = np.random.default_rng(seed).normal(size=(4, 9))
    found = evaluation.hoyer(maps).per_sample
    for value, row in zip(found, maps):
        ratio = np.abs(row).sum() / np.linalg.norm(row)
        np.testing.assert_allclose(value, (3 - ratio) / (3 - 1), atol=1e-12)


@pytest.mark.parametrize("measure", ["gini", "hoyer"])
@given(seed=SEEDS, scale=st.floats(1e-6, 1e6))
@settings(max_examples=30, deadline=None)
def test_order_scale_and_bounds(measure, seed, scale):
    rng = np.random.default_rng(seed)
    maps = rng.standard_cauchy((6, 5, 4))
    function = getattr(evaluation, measure)
    found = function(maps)
    order = rng.permutation(6)
    permuted = function(maps[order])
    np.testing.assert_allclose(permuted.per_sample, found.per_sample[order])
    np.testing.assert_allclose(permuted.value, found.value)
    np.testing.assert_allclose(function(-scale * maps).value, found.value)
    features = rng.permuted(maps, axis=1)
    np.testing.assert_allclose(function(features).value, found.value)
    top = 1 - 1 / 20 if measure == "gini" else 1
    assert ((found.per_sample >= 0) & (found.per_sample <= top)).all()


@pytest.mark.parametrize(("measure", "top"), [("gini", 0.9), ("hoyer", 1.0)])
def test_one_feature_all_alike_and_nothing(measure, top):
    one = np.zeros(10)
    one[3] = -1e-30
    maps = np.stack([one, np.full(10, 7.0), np.zeros(10)])
    found = getattr(evaluation, measure)(maps)
    np.testing.assert_allclose(found.per_sample, [top, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.value, top / 3)
    spread = np.std([top, 0, 0], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(found.spread, spread)


@pytest.mark.parametrize("measure", ["gini", "hoyer"])
def test_channels(measure):
    maps = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    function = getattr(evaluation, measure)
    np.testing.assert_allclose(
        function(maps, channel_axis="auto").value,
        function(maps.mean(-1)).value,
    )
    assert function(maps).value != function(maps.mean(-1)).value


@pytest.mark.parametrize("measure", ["gini", "hoyer"])
@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.ones(4), "samples"),
        (np.ones((0, 4)), "not empty"),
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([["a", "b"]]), "numbers"),
    ],
)
def test_bad_input(measure, maps, message):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(maps)


def test_a_single_feature_cannot_be_sparse():
    with pytest.raises(ValueError, match="two features"):
        evaluation.hoyer(np.ones((3, 1)))
