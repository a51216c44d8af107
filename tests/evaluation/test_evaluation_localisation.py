"""Relevance inside masks and boxes.

The comparison with Quantus runs where Quantus is installed.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sgt import evaluation

MEASURES = ["relevance_mass", "relevance_rank", "pointing_game"]
SEEDS = st.integers(0, 2**32 - 1)


def random_case(seed, samples=8):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(samples, 5, 6))
    masks = rng.random(maps.shape) < 0.3
    masks[:, 0, 0], masks[:, 1, 1] = True, False
    return maps, masks, rng


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        ("relevance_mass", "RelevanceMassAccuracy"),
        ("relevance_rank", "RelevanceRankAccuracy"),
        ("pointing_game", "PointingGame"),
    ],
)
def test_agrees_with_quantus(measure, name):
    quantus = pytest.importorskip("quantus", reason="compares with Quantus")
    maps, masks, _ = random_case(0, samples=40)
    expected = getattr(quantus, name)(
        abs=True, normalise=False, disable_warnings=True
    )(
        model=None,
        x_batch=np.zeros((40, 1, 5, 6)),
        y_batch=np.zeros(40, int),
        a_batch=maps[:, None],
        s_batch=masks[:, None],
    )
    found = getattr(evaluation, measure)(maps, masks)
    np.testing.assert_allclose(
        found.per_sample, np.array(expected, float).ravel(), atol=1e-6
    )


def test_by_hand():
    maps = np.array([[[4.0, -3.0], [2.0, 1.0]]])
    masks = np.array([[[False, True], [True, False]]])
    assert evaluation.relevance_mass(maps, masks).value == 0.5
    assert evaluation.relevance_rank(maps, masks).value == 0.5
    assert evaluation.pointing_game(maps, masks).value == 0
    signed = {"ranking": "signed"}
    np.testing.assert_allclose(
        evaluation.relevance_mass(maps, masks, **signed).value, 2 / 7
    )
    assert evaluation.relevance_rank(maps, masks, **signed).value == 0.5
    assert evaluation.pointing_game(-maps, masks, **signed).value == 1


@pytest.mark.parametrize("measure", MEASURES)
@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_perfect_beats_random_beats_reversed(measure, seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((60, 6, 6), bool)
    masks[:, 1:4, 2:5] = True
    noise = rng.random(masks.shape)
    maps = masks + 0.1 * noise, noise, ~masks + 0.1 * noise
    values = [getattr(evaluation, measure)(m, masks).value for m in maps]
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize("measure", MEASURES)
@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_order_of_samples_scale_and_bounds(measure, seed):
    maps, masks, rng = random_case(seed)
    function = getattr(evaluation, measure)
    found = function(maps, masks)
    order = rng.permutation(len(maps))
    permuted = function(maps[order], masks[order])
    np.testing.assert_allclose(permuted.value, found.value, atol=1e-12)
    np.testing.assert_allclose(permuted.per_sample, found.per_sample[order])
    np.testing.assert_allclose(function(-8 * maps, masks).value, found.value)
    assert ((found.per_sample >= 0) & (found.per_sample <= 1)).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_boxes_are_masks(measure):
    maps, _, _ = random_case(3)
    boxes = np.tile([1, 2, 4, 5], (8, 1))
    boxes[5] = [0, 0, 1, 6]
    masks = np.zeros(maps.shape, bool)
    masks[:, 1:4, 2:5] = True
    masks[5] = False
    masks[5, 0] = True
    function = getattr(evaluation, measure)
    np.testing.assert_array_equal(
        function(maps, boxes=boxes).per_sample,
        function(maps, masks).per_sample,
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_channels_are_averaged(measure, monkeypatch):
    maps, masks, rng = random_case(4)
    parts = rng.normal(size=(*maps.shape, 3))
    parts += (maps - parts.mean(-1))[..., None]
    function = getattr(evaluation, measure)
    expected = function(maps, masks).per_sample
    assert len(set(expected)) > 1
    for given_masks in (masks, masks[..., None], masks[..., None] & [True] * 3):
        found = function(parts, given_masks).per_sample
        np.testing.assert_allclose(found, expected)
    monkeypatch.setattr(
        keras.config, "image_data_format", lambda: "channels_first"
    )
    found = function(parts.transpose(0, 3, 1, 2), masks).per_sample
    np.testing.assert_allclose(found, expected)


def test_maps_that_say_nothing_and_ties():
    masks = np.array([[True, False, False, True]])
    nothing = np.zeros((1, 4))
    assert evaluation.relevance_mass(nothing, masks).value == 0
    assert evaluation.pointing_game(nothing, masks).value == 0
    # Ranked by position, so one of the two top features is inside.
    assert evaluation.relevance_rank(nothing, masks).value == 0.5
    tied = np.ones((1, 4))
    assert evaluation.relevance_mass(tied, masks).value == 0.5
    assert evaluation.pointing_game(tied, masks).value == 1


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16"])
def test_maps_of_any_dtype(measure, dtype):
    masks = np.array([[True, False, False, True]])
    maps = np.array([[1, 0, 0, 1]], dtype)
    assert getattr(evaluation, measure)(maps, masks).value == 1
    assert getattr(evaluation, measure)(1 - maps * 1, masks).value == 0


MAPS, MASKS, _ = random_case(5)
BOXES = np.tile([1, 2, 4, 5], (8, 1))
FIRST = (np.arange(8) == 0)[:, None, None]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither"),
        ({"masks": MASKS, "boxes": BOXES}, "both"),
        ({"masks": MASKS[:, :4]}, "`masks` has to be a mask of shape"),
        ({"masks": MASKS & ~FIRST}, "`masks` is empty in 1 samples"),
        ({"masks": MASKS | FIRST}, "`masks` is full in 1 samples"),
        ({"masks": MASKS * 0.4}, "true and false"),
        ({"boxes": BOXES[:, :3]}, "`boxes`"),
        ({"boxes": BOXES * 1.0}, "`boxes`"),
        ({"boxes": BOXES - 2}, "starts before ends"),
        ({"boxes": BOXES + 2}, "starts before ends"),
        ({"boxes": BOXES[:, [2, 3, 0, 1]]}, "starts before ends"),
        ({"boxes": np.tile([0, 0, 5, 6], (8, 1))}, "`boxes` is full"),
        ({"masks": MASKS, "ranking": "best"}, "`ranking`"),
        ({"masks": MASKS, "channel_axis": 3}, "`channel_axis`"),
        ({"attributions": MAPS * np.nan, "masks": MASKS}, "finite"),
    ],
)
def test_bad_input(measure, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(**{"attributions": MAPS, **arguments})


def test_masks_that_differ_between_channels():
    maps = np.ones((2, 3, 3, 2))
    masks = np.zeros(maps.shape, bool)
    masks[:, 0, 0, 0] = True
    with pytest.raises(ValueError, match="channel_axis=None"):
        evaluation.relevance_mass(maps, masks)
    found = evaluation.relevance_mass(maps, masks, channel_axis=None)
    np.testing.assert_allclose(found.value, 1 / 18)
