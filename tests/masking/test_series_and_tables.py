"""Padded time series and tables of separate columns, against NumPy."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.masking import Constant, FeatureMasking

LENGTHS = np.array([8, 6, 5, 3, 1, 0])
SERIES, STEPS, CHANNELS = len(LENGTHS), 8, 4
PAD = -7.0
GONE = 1000.0
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SERIES, STEPS, CHANNELS)).astype("float32")
    real = np.arange(STEPS) < LENGTHS[:, None]
    x[~real] = PAD
    saliency = rng.normal(size=x.shape).astype("float32")
    return x, saliency, real


def masked_by_hand(x, saliency, real, axis, fraction=0.5):
    """One series at a time, without what is padded."""
    mask = np.zeros(x.shape, bool)
    for row, values, length in zip(mask, saliency, real.sum(1)):
        values = values[:length]
        if axis is not None:
            values = values.mean(axis - 1, keepdims=True)
        gone = np.zeros(values.shape, bool)
        order = np.argsort(values.ravel(), kind="stable")
        if length:
            gone.ravel()[order[: int(fraction * values.size)]] = True
            row[:length] |= gone
    return np.where(mask, GONE, x)


@pytest.mark.parametrize("axis", [None, 1, 2])
def test_padded_steps_are_no_features(series, axis):
    x, saliency, real = series
    masking = FeatureMasking(
        replacement=Constant(GONE), channel_axis=axis, padding=PAD
    )
    found = masking(x, saliency=saliency, mask_fraction=0.5)
    expected = masked_by_hand(x, saliency, real, axis)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def test_padding_mask_input(series):
    """Without a value of its own, and never masked itself."""
    x, saliency, real = series
    inputs = {"padding_mask": real, "series": x}
    masking = FeatureMasking(replacement=Constant(GONE))
    found = masking(inputs, saliency=[None, saliency], mask_fraction=0.5)
    expected = masked_by_hand(x, saliency, real, None)
    series = ops.convert_to_numpy(found["series"])
    np.testing.assert_array_equal(series, expected)
    np.testing.assert_array_equal(found["padding_mask"], real)
    inputs["padding_mask"] = real[:, 1:]
    with pytest.raises(ValueError, match=r"'padding_mask'.*\(6, 7\)"):
        masking(inputs, saliency=[None, saliency], mask_fraction=0.5)


@pytest.mark.parametrize("ranking", ["signed", "absolute", "random"])
def test_the_masking_layer_of_a_model_tells_the_padding(series, ranking):
    x, _, real = series
    y = np.arange(SERIES) % 3
    model = keras.Sequential(
        [
            keras.Input((None, CHANNELS)),
            layers.Masking(PAD),
            layers.LSTM(5),
            layers.Dense(3),
        ]
    )
    guided = keras_sgt.SaliencyGuidedModel(
        model, masking=FeatureMasking(ranking, replacement=Constant(GONE))
    )
    guided.compile("adam", CROSSENTROPY)
    gone = guided.mask_on_batch(x, y) == GONE
    np.testing.assert_array_equal(gone.sum((1, 2)), real.sum(1) * CHANNELS // 2)
    assert not gone[~real].any()
    history = guided.fit(x[:4], y[:4], verbose=0).history
    assert history["divergence"][0] > 0


@pytest.mark.parametrize("moves", [False, True])
def test_models_that_share_a_masking_keep_their_padding(series, moves):
    x, y = series[0][:4], np.arange(4) % 3
    padded = ~series[2][:4]

    def compiled(shared, *first):
        keras.utils.set_random_seed(0)
        rest = layers.LSTM(5), layers.Dense(3)
        model = keras.Sequential([keras.Input(x.shape[1:]), *first, *rest])
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=shared)
        guided.compile("sgd", CROSSENTROPY)
        return guided

    def term():
        guidance = keras_sgt.guidance
        if moves:
            return guidance.AdversarialConsistency(0.3, bounds=None)
        masking = FeatureMasking(replacement=Constant(GONE))
        return guidance.MaskedConsistency(masking=masking)

    shared = term()
    alone = compiled(term(), layers.Masking(PAD))
    one, other = compiled(shared, layers.Masking(PAD)), compiled(shared)
    for _ in range(2):  # whichever was stepped last
        changed = one.mask_on_batch(x, y) != x
        assert changed[~padded].any()
        assert not changed[padded].any()
        assert (other.mask_on_batch(x, y) != x)[padded].any()
        logs = one.train_on_batch(x, y, return_dict=True)
        assert logs == alone.train_on_batch(x, y, return_dict=True)


@pytest.mark.parametrize("per", ["channel", "sample"])
def test_statistics_are_those_of_real_steps(series, per):
    x, saliency, real = series
    x, saliency, real = x[:4], saliency[:4], real[:4]
    axes = 0 if per == "channel" else None

    def filled(replacement):
        masking = FeatureMasking(replacement=replacement, padding=PAD)
        return ops.convert_to_numpy(
            masking(x, saliency=saliency, mask_fraction=1.0)
        )

    mean = filled(keras_sgt.masking.Mean(per=per))
    uniform = filled(keras_sgt.masking.Uniform(per=per))
    gaussian = filled(keras_sgt.masking.Gaussian(per=per))
    for i, length in enumerate(real.sum(1)):
        clean = x[i, :length]
        expected = clean.mean(axes, keepdims=True)
        np.testing.assert_allclose(
            mean[i, :length],
            np.broadcast_to(expected, clean.shape),
            rtol=1e-4,
            atol=1e-6,
        )
        assert (uniform[i, :length] >= clean.min(axes)).all()
        assert (uniform[i, :length] <= clean.max(axes)).all()
        deviations = (gaussian[i, :length] - expected) / clean.std(axes)
        assert np.abs(deviations).max() < 6
    for values in (mean, uniform, gaussian):
        np.testing.assert_array_equal(values[~real], PAD)


def test_two_masking_layers_that_disagree():
    inputs = [keras.Input((5, 2)), keras.Input((5, 2))]
    x = [
        layers.LSTM(3)(layers.Masking(value)(one))
        for value, one in zip((0.0, PAD), inputs)
    ]
    model = keras.Model(inputs, layers.Dense(3)(layers.add(x)))
    guided = keras_sgt.SaliencyGuidedModel(model)
    with pytest.raises(ValueError, match=r"\[-7.0, 0.0\].*padding="):
        guided.compile("adam", CROSSENTROPY)
    masking = FeatureMasking(padding=0.0)
    guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
    guided.compile("adam", CROSSENTROPY)


def test_padding_is_a_number():
    with pytest.raises(ValueError, match="padding='zero'"):
        FeatureMasking(padding="zero")


class TestDictOfColumns:
    NAMES = ("age", "hours", "income", "size")

    def model(self):
        """Logits: x · weights, a gradient that is the label's weights."""
        rng = np.random.default_rng(1)
        weights = rng.normal(size=(len(self.NAMES), 3))
        inputs = {name: keras.Input((1,), name=name) for name in self.NAMES}
        x = layers.concatenate([inputs[name] for name in self.NAMES])
        model = keras.Model(inputs, layers.Dense(3, use_bias=False)(x))
        model.set_weights([weights])
        return model, weights

    @pytest.mark.parametrize("rank", [1, 2])
    def test_columns_are_ranked_together(self, rank):
        model, weights = self.model()
        rng = np.random.default_rng(2)
        x = {
            name: rng.normal(size=(6, 1)[:rank]).astype("float32")
            for name in self.NAMES
        }
        y = np.arange(6) % 3
        guided = keras_sgt.SaliencyGuidedModel(
            model, masking=FeatureMasking(replacement=Constant(GONE))
        )
        guided.compile("adam", CROSSENTROPY)
        found = guided.mask_on_batch(x, y)
        gone = np.stack([found[n].ravel() == GONE for n in self.NAMES], 1)
        lowest = np.argsort(weights.T[y], axis=1)[:, :2]
        expected = np.zeros((6, 4), bool)
        np.put_along_axis(expected, lowest, True, axis=1)
        np.testing.assert_array_equal(gone, expected)
        assert {name: v.shape for name, v in found.items()} == {
            name: v.shape for name, v in x.items()
        }
        assert guided.fit(x, y, verbose=0).history["divergence"][0] > 0

    @pytest.mark.parametrize("replacement", ["marginal", "uniform"])
    def test_replaced_from_their_own_column(self, replacement):
        model, _ = self.model()
        x = {
            name: np.arange(i * 100, i * 100 + 6, dtype="float32")[:, None]
            for i, name in enumerate(self.NAMES)
        }
        masking = FeatureMasking("random", replacement=replacement, seed=0)
        guided = keras_sgt.SaliencyGuidedModel(model, 1.0, masking=masking)
        guided.compile("adam", CROSSENTROPY)
        found = guided.mask_on_batch(x, np.arange(6) % 3)
        for name, column in found.items():
            assert (column != x[name]).any()
            assert x[name].min() <= column.min() <= column.max() <= x[name][-1]
            if replacement == "marginal":
                assert set(column.ravel()) <= set(x[name].ravel())
