"""Weighted precision and recall, against the definition spelled out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sgt import evaluation
from keras_sgt.evaluation import time_series

LEVELS = np.arange(1, 10) / 10
SEEDS = st.integers(0, 2**32 - 1)


def by_hand(maps, truth, levels=LEVELS, view="all"):
    """Precision and recall at each level, cell by cell."""
    precision, recall = [], []
    for level in levels:
        precisions, recalls = [], []
        for sample, true in zip(np.abs(maps), truth):
            sample = sample - sample.min()
            sample = sample / (sample.max() or 1)
            positive = top_cells(sample, level)
            weight = {cell: sample[cell] for cell in np.ndindex(sample.shape)}
            true_cells = {cell for cell in weight if true[cell]}
            if view != "all":
                axis = 0 if view == "time" else 1
                rows = sample if view == "time" else sample.T
                extent = len({cell[axis] for cell in true_cells})
                weight = {
                    i: np.mean(sorted(row)[::-1][:extent])
                    for i, row in enumerate(rows)
                }
                positive = {cell[axis] for cell in positive}
                true_cells = {cell[axis] for cell in true_cells}
            hit = sum(weight[c] for c in positive & true_cells)
            selected = sum(weight[c] for c in positive)
            relevant = sum(weight[c] for c in true_cells)
            if selected > 0:
                precisions.append(hit / selected)
            if relevant > 0:
                recalls.append(hit / relevant)
        precision.append(np.mean(precisions))
        recall.append(np.mean(recalls))
    return precision, recall


def top_cells(sample, level):
    """The smallest top-ranked set that holds `level` of the sum."""
    cells = sorted(np.ndindex(sample.shape), key=lambda c: (-sample[c], c))
    chosen, mass = set(), 0.0
    for cell in cells:
        chosen.add(cell)
        mass += sample[cell]
        if mass / sample.sum() >= level - 1e-12:
            break
    return chosen


def random_case(seed, samples=6, steps=5, features=4):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(samples, steps, features))
    truth = rng.random(maps.shape) < 0.3
    truth[:, 0, 0], truth[:, 1, 1] = True, False
    return maps, truth, rng


@pytest.mark.parametrize("view", ["all", "time", "feature"])
@pytest.mark.parametrize("chunk", [25, 2**22])
@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_definition(view, chunk, seed):
    maps, truth, _ = random_case(seed)
    before = time_series._CHUNK_CELLS
    time_series._CHUNK_CELLS = chunk
    try:
        found = evaluation.weighted_precision_recall(maps, truth, view=view)
    finally:
        time_series._CHUNK_CELLS = before
    precision, recall = by_hand(maps, truth, view=view)
    np.testing.assert_allclose(found.precision, precision, atol=1e-12)
    np.testing.assert_allclose(found.recall, recall, atol=1e-12)
    np.testing.assert_allclose(
        found.aup, np.trapezoid(precision, LEVELS), atol=1e-12
    )
    np.testing.assert_allclose(
        found.aur, np.trapezoid(recall, LEVELS), atol=1e-12
    )
    order = np.argsort(recall, kind="stable")
    aupr = np.trapezoid(np.array(precision)[order], np.array(recall)[order])
    np.testing.assert_allclose(found.aupr, aupr, atol=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_order_of_samples_and_bounds(seed):
    maps, truth, rng = random_case(seed)
    order = rng.permutation(len(maps))
    found = evaluation.weighted_precision_recall(maps, truth)
    permuted = evaluation.weighted_precision_recall(maps[order], truth[order])
    for name in ("precision", "recall", "aup", "aur", "aupr", "value"):
        np.testing.assert_allclose(
            getattr(permuted, name), getattr(found, name), atol=1e-12
        )
    np.testing.assert_allclose(
        permuted.per_sample, found.per_sample[order], atol=1e-12
    )
    for rates in (found.precision, found.recall):
        assert ((rates >= 0) & (rates <= 1 + 1e-12)).all()
    assert 0 <= found.aup <= 0.8 + 1e-12
    assert 0 <= found.aur <= 0.8 + 1e-12
    assert 0 <= found.aupr <= 1
    assert (np.diff(found.recall) >= -1e-12).all()


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_perfect_beats_random_beats_reversed(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((40, 12, 10), bool)
    truth[:, 2:6, 3:7] = True
    noise = rng.random(truth.shape)
    perfect, random, reversed_ = (
        evaluation.weighted_precision_recall(maps, truth)
        for maps in (truth + 0.1 * noise, noise, ~truth + 0.1 * noise)
    )
    assert perfect.aup > random.aup > reversed_.aup
    assert perfect.aupr > random.aupr > reversed_.aupr
    assert perfect.aup > 0.6
    assert perfect.minus_random.aup > 0.3
    assert abs(random.minus_random.aup) < 0.1
    assert reversed_.minus_random.aup < 0


def test_weights_of_the_exact_truth():
    maps = np.zeros((1, 4, 5))
    maps[0, 1:3, 1:3] = [[1.0, 2.0], [3.0, 4.0]]
    found = evaluation.weighted_precision_recall(maps, maps > 0)
    np.testing.assert_allclose(found.precision, np.ones(9))
    # 4, then 4 + 3, ... out of 10, as soon as they hold the level.
    expected = [0.4, 0.4, 0.4, 0.4, 0.7, 0.7, 0.7, 0.9, 0.9]
    np.testing.assert_allclose(found.recall, expected)


def test_the_random_baselines():
    """One keeps the course of features in time, the other keeps nothing."""
    maps = np.arange(40.0)[None, :, None] * np.ones((30, 1, 20))
    truth = np.zeros(maps.shape, bool)
    truth[:, 30:, :10] = True
    found = evaluation.weighted_precision_recall(maps, truth)
    # Features are all alike, so exchanging them changes nothing.
    np.testing.assert_allclose(found.minus_permuted_features.aup, 0, atol=1e-9)
    np.testing.assert_allclose(found.minus_permuted_features.aur, 0, atol=1e-9)
    # Cells anywhere are true as often as there are true cells, 1 in 8.
    expected = found.aup - 0.8 / 8
    np.testing.assert_allclose(found.minus_random.aup, expected, atol=0.01)

    features = np.where(np.arange(20) < 2, 1.0, 0.0) * np.ones((30, 40, 1))
    truth = features > 0
    found = evaluation.weighted_precision_recall(
        features, truth, baseline_draws=200
    )
    # Two of 20 features at random hold a tenth of the truth.
    np.testing.assert_allclose(
        found.minus_permuted_features.aup, 0.8 * 0.9, atol=0.05
    )


def test_maps_that_say_nothing_are_left_out():
    maps, truth, _ = random_case(0)
    blank = maps.copy()
    blank[0], blank[3] = 0.0, 7.0
    found = evaluation.weighted_precision_recall(blank, truth)
    said = [1, 2, 4, 5]
    expected = evaluation.weighted_precision_recall(maps[said], truth[said])
    np.testing.assert_allclose(found.precision, expected.precision)
    np.testing.assert_allclose(found.recall, expected.recall)
    assert np.isnan(found.per_sample[[0, 3]]).all()
    assert not np.isnan(found.per_sample[said]).any()
    nothing = evaluation.weighted_precision_recall(0 * maps, truth)
    assert np.isnan(nothing.value)
    assert nothing.spread is None


def test_ties_go_by_position():
    maps = np.array([[[1.0, 1.0, 1.0, 1.0, 0.0]]])
    truth = np.array([[[True, False, True, False, False]]])
    found = evaluation.weighted_precision_recall(
        maps, truth, levels=[0.25, 0.5, 0.75]
    )
    np.testing.assert_allclose(found.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(found.recall, [1 / 2, 1 / 2, 1])


MAPS, TRUTH, _ = random_case(1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attributions": MAPS[:, :3]}, "mask of shape"),
        ({"attributions": MAPS[0]}, "axes"),
        ({"attributions": np.where(TRUTH, np.nan, 0)}, "finite"),
        ({"truth": TRUTH & (np.arange(6) != 4)[:, None, None]}, "empty"),
        ({"truth": TRUTH | (np.arange(6) == 4)[:, None, None]}, "full"),
        ({"truth": TRUTH * 0.5}, "true and false"),
        ({"levels": np.arange(10, 100, 10)}, "between 0 and 1"),
        ({"levels": [0.0, 0.5]}, "between 0 and 1"),
        ({"levels": [0.5, 1.0]}, "between 0 and 1"),
        ({"view": "steps"}, "`view`"),
        ({"baseline_draws": 0}, "`baseline_draws`"),
    ],
)
def test_bad_input(changed, message):
    with pytest.raises(ValueError, match=message):
        evaluation.weighted_precision_recall(
            **{"attributions": MAPS, "truth": TRUTH, **changed}
        )
