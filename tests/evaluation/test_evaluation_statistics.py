"""Intervals and tests, against SciPy and against what theory says."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sgt import evaluation

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 10))
@settings(max_examples=30, deadline=None)
def test_exact_permutation_test_is_that_of_scipy(seed, n):
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=(2, n)) * 4) / 4  # sums tie, exactly
    expected = stats.permutation_test(
        (a, b),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    found = evaluation.paired_comparison(a, b, draws=10)
    np.testing.assert_allclose(found.p_value, expected, atol=1e-12)
    np.testing.assert_allclose(found.value, np.mean(a - b), atol=1e-12)


def test_random_permutation_test_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    rng = np.random.default_rng(0)
    a = rng.normal(0.2, 1, 100)
    b = rng.normal(size=100)
    expected = stats.permutation_test(
        (a, b),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    found = evaluation.paired_comparison(a, b, draws=20_000).p_value
    assert 0.01 < expected < 0.9
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_p_is_uniform_under_the_null_and_small_for_a_difference():
    rng = np.random.default_rng(0)
    p = [
        evaluation.paired_comparison(*rng.normal(size=(2, 20)), draws=199)
        for _ in range(200)
    ]
    p = np.array([found.p_value for found in p])
    assert 0.01 <= np.mean(p <= 0.05) <= 0.11
    assert 0.4 < p.mean() < 0.6
    a = rng.normal(size=50)
    different = evaluation.paired_comparison(a + 1, a, draws=999)
    assert different.p_value == 1 / 1000
    assert evaluation.paired_comparison(a, a).p_value == 1


def test_bootstrap_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    values = np.random.default_rng(0).exponential(size=80)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        method="percentile",
        n_resamples=50_000,
        confidence_level=0.9,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = evaluation.bootstrap_interval(values, 0.9, draws=50_000)
    np.testing.assert_allclose(
        [found.low, found.high], [expected.low, expected.high], atol=0.01
    )
    np.testing.assert_allclose(found.value, values.mean())
    np.testing.assert_allclose(found.spread, values.std(ddof=1) / np.sqrt(80))


def test_bootstrap_covers_the_truth():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        found = evaluation.bootstrap_interval(rng.normal(size=50), draws=300)
        inside.append(found.low <= 0 <= found.high)
    assert 0.88 <= np.mean(inside) <= 0.99


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_interval_of_a_difference(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 30))
    found = evaluation.paired_comparison(a, b, draws=200)
    swapped = evaluation.paired_comparison(b, a, draws=200)
    assert found.low <= found.value <= found.high
    assert 1 / 201 <= found.p_value <= 1
    assert swapped.p_value == found.p_value
    np.testing.assert_allclose(
        [swapped.low, swapped.high], [-found.high, -found.low]
    )
    shifted = evaluation.bootstrap_interval(a + 5, draws=200)
    interval = evaluation.bootstrap_interval(a, draws=200)
    np.testing.assert_allclose(shifted.low, interval.low + 5)
    np.testing.assert_allclose(shifted.high, interval.high + 5)


def test_measures_and_samples_that_are_left_out():
    a = evaluation.Measure(0.0, per_sample=np.array([1.0, 2.0, np.nan, 4.0]))
    b = evaluation.Measure(0.0, per_sample=np.array([0.0, np.nan, 3.0, 1.0]))
    found = evaluation.paired_comparison(a, b)
    assert found.value == 2  # of 1 − 0 and 4 − 1
    assert found.p_value == 0.5
    np.testing.assert_array_equal(
        np.isnan(found.per_sample), [False, True, True, False]
    )
    assert evaluation.bootstrap_interval(a).value == 7 / 3


def test_across_seeds():
    values = [0.2, 0.4, 0.9]
    found = evaluation.across_seeds(values)
    np.testing.assert_allclose(found.value, 0.5)
    np.testing.assert_allclose(found.spread, np.std(values, ddof=1) / 3**0.5)
    assert found.per_sample.tolist() == values
    assert found.curve is None
    levels = np.array([0, 0.5])
    measures = [
        evaluation.Measure(value, np.array([1, value]), levels)
        for value in values
    ]
    found = evaluation.across_seeds(measures)
    np.testing.assert_allclose(found.value, 0.5)
    np.testing.assert_allclose(found.curve, [1, 0.5])
    assert found.levels is levels


def test_results_are_frozen():
    found = evaluation.across_seeds([1.0, 2.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.value = 3.0


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("bootstrap_interval", ([1.0],), "at least two"),
        ("bootstrap_interval", ([1.0, np.nan],), "at least two"),
        ("bootstrap_interval", ([1.0, np.inf],), "finite"),
        ("bootstrap_interval", (np.ones((2, 2)),), "each sample"),
        ("bootstrap_interval", ([1.0, 2.0], 95), "`confidence`"),
        ("bootstrap_interval", ([1.0, 2.0], 0.0), "`confidence`"),
        ("bootstrap_interval", ([1.0, 2.0], 0.9, 0), "`draws`"),
        ("paired_comparison", ([1.0, 2.0], [1.0, 2.0, 3.0]), "same samples"),
        ("paired_comparison", ([1.0], [2.0]), "at least two"),
        ("paired_comparison", ([1.0, 2.0], [1.0, 3.0], 1), "`confidence`"),
        ("across_seeds", ([0.5],), "at least two"),
        ("across_seeds", ([0.5, 0.6, np.nan],), "finite"),
    ],
)
def test_bad_input(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, function)(*arguments)


def test_measures_that_cannot_be_averaged():
    measures = [
        evaluation.Measure(0.5, np.ones(2), np.array([0, level]))
        for level in (0.5, 0.6)
    ]
    with pytest.raises(ValueError, match="same levels"):
        evaluation.across_seeds(measures)
    without = evaluation.Measure(0.5)
    with pytest.raises(ValueError, match="each sample"):
        evaluation.bootstrap_interval(without)
