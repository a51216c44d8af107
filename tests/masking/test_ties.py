"""Ties: any of the equal features, at random; and what a warning says."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.masking import Constant, FeatureMasking, TokenMasking, selection

LENGTH = 12
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mean_of_words():
    """Every word of a text has the same gradient."""
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(30, 4, "normal"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )


def compiled(model, masking, fraction=0.5, **options):
    guided = keras_sgt.SaliencyGuidedModel(model, fraction, masking=masking)
    guided.compile("sgd", CROSSENTROPY, **options)
    return guided


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_every_position_of_a_text_is_masked_as_often_as_any_other(fraction):
    """1,000 masks, within 4 standard errors."""
    masking = TokenMasking(replacement=29, seed=0)
    guided = compiled(mean_of_words(), masking, fraction)
    ids = np.random.default_rng(0).integers(1, 29, (1000, LENGTH))
    gone = guided.mask_on_batch(ids, np.zeros(1000, "int32")) == 29
    assert set(gone.sum(1)) == {int(fraction * LENGTH)}
    error = np.sqrt(1000 * fraction * (1 - fraction))
    assert np.abs(gone.sum(0) - 1000 * fraction).max() < 4 * error


@pytest.mark.parametrize("n", [3, 5, 64, 130])
def test_equal_features_are_masked_equally_often(n):
    """Also of rows whose length is no power of two, over many steps."""
    seed, counts, rows, steps = keras.random.SeedGenerator(1), 0, 500, 8
    for _ in range(steps):
        mask = selection.lowest_mask(ops.zeros((rows, n)), 0.5, seed=seed)
        counts += ops.convert_to_numpy(mask).sum(0)
    share = (n // 2) / n
    error = np.sqrt(rows * steps * share * (1 - share))
    assert np.abs(counts - rows * steps * share).max() < 4.5 * error


def test_ties_at_the_threshold_only():
    """What is below goes always, what is above never."""
    rng = np.random.default_rng(0)
    rows = rng.permuted(
        np.tile(np.repeat([0, 1, 2], [5, 10, 5]), (600, 1)), axis=1
    )
    seed = keras.random.SeedGenerator(0)
    tensor = ops.convert_to_tensor(rows, dtype="float32")
    mask = selection.lowest_mask(tensor, 0.5, seed=seed)
    mask = ops.convert_to_numpy(mask)
    assert mask[rows == 0].all()
    assert not mask[rows == 2].any()
    np.testing.assert_array_equal(mask.sum(1), np.full(600, 10))
    # Of each row's ties, those that come first and those that come last.
    places = np.argwhere(rows == 1)[:, 1].reshape(600, 10)
    chosen = np.take_along_axis(mask, places, 1).sum(0)
    assert np.abs(chosen - 300).max() < 4 * np.sqrt(150)


def test_the_masks_change_between_steps_and_repeat_with_the_seed():
    x = np.ones((8, 20), "float32")

    def masks(seed):
        masking = FeatureMasking(replacement=Constant(0.0), seed=seed)
        steps = [
            masking(x, saliency=np.zeros_like(x), mask_fraction=0.5)
            for _ in range(2)
        ]
        return [ops.convert_to_numpy(step) for step in steps]

    (one, two), again, other = masks(1), masks(1), masks(2)
    assert (one != two).any()
    assert (one != other[0]).any()
    np.testing.assert_array_equal([one, two], again)


def rounding():
    """Nothing passes its gradient through a rounded number."""
    return keras.Sequential(
        [keras.Input((6,)), layers.Lambda(ops.round), layers.Dense(2)]
    )


def dense():
    return keras.Sequential([keras.Input((6,)), layers.Dense(2)])


def data(model):
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:]))
    y = np.arange(8) % 2
    if "int" in model.inputs[0].dtype:
        return np.abs(x * 5).astype("int32"), y
    return x.astype("float32"), y


@pytest.mark.parametrize(
    ("network", "masking", "fraction", "message"),
    [
        (mean_of_words, TokenMasking, 0.5, "same saliency"),
        (rounding, FeatureMasking, 0.5, "whole batch is 0"),
        (dense, FeatureMasking, 0.1, "Nothing is masked"),
        (mean_of_words, TokenMasking, 0.05, "Nothing is masked"),
    ],
)
@pytest.mark.parametrize("eager", [False, True])
def test_a_saliency_that_decides_nothing_is_a_warning(
    network, masking, fraction, message, eager
):
    model = network()
    guided = compiled(model, masking(), fraction, run_eagerly=eager)
    with pytest.warns(UserWarning, match=message):
        guided.mask_on_batch(*data(model))
    if eager:
        with pytest.warns(UserWarning, match=message):
            guided.train_on_batch(*data(model))
    elif (network, keras.backend.backend()) != (dense, "jax"):
        # There a look at what hardly ever ties would be one more compilation.
        guided = compiled(model, masking(), fraction)
        with pytest.warns(UserWarning, match=message):
            guided.fit(*data(model), verbose=0)


def test_the_first_fit_looks_and_changes_nothing():
    """Neither weights nor random numbers; and once is enough."""

    def trained(first):
        keras.utils.set_random_seed(0)
        model = mean_of_words()
        guided = compiled(model, TokenMasking(seed=0))
        x, y = data(model)
        if not first:  # has been looked at
            guided.fit(x, y, verbose=0, epochs=0)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            guided.fit(x, y, verbose=0)
        told = [w for w in found if "same saliency" in str(w.message)]
        return len(told), model.get_weights()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (one, weights), (none, others) = trained(True), trained(False)
    assert (one, none) == (1, 0)
    for ours, other in zip(weights, others):
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize(
    ("network", "masking"),
    [
        (dense, FeatureMasking()),
        (dense, FeatureMasking("absolute", channel_axis=None)),
        (rounding, FeatureMasking("random")),
        (mean_of_words, TokenMasking(ranking="random")),
    ],
)
def test_no_warning_without_a_reason(network, masking, recwarn):
    model = network()
    compiled(model, masking).mask_on_batch(*data(model))
    assert not [str(w.message) for w in recwarn if "mask" in str(w.message)]
