import keras
import numpy as np
import pytest

from keras_sgt import masking


def replaced(replacement, x):
    """Everything replaced."""
    layer = masking.FeatureMasking(replacement=replacement, channel_axis=None)
    saliency = np.zeros_like(x)
    masked = layer(x, saliency=saliency, mask_fraction=1.0)
    return keras.ops.convert_to_numpy(masked)


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 20, 20, 3)).astype("float32") * [1, 5, 20]


@pytest.mark.parametrize(
    ("per", "axes"), [("sample", (1, 2, 3)), ("channel", (1, 2))]
)
def test_uniform_fills_the_range(x, per, axes):
    x = x.astype("float32")
    y = replaced(masking.Uniform(per=per, seed=0), x)
    low, high = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
    share = (y - low) / (high - low)
    assert share.min() >= 0
    assert share.max() <= 1
    # 7200 values: the mean's deviation is 0.0034, the deviation's about 0.0015
    assert abs(share.mean() - 0.5) < 0.015
    assert abs(share.std() - 12**-0.5) < 0.01


@pytest.mark.parametrize(
    ("per", "axes"), [("sample", (1, 2, 3)), ("channel", (1, 2))]
)
def test_mean_and_gaussian_have_the_moments(x, per, axes):
    x = x.astype("float32")
    mean = x.mean(axes, keepdims=True)
    filled = replaced(masking.Mean(per=per), x)
    np.testing.assert_allclose(
        filled, np.broadcast_to(mean, x.shape), atol=1e-5
    )
    drawn = replaced(masking.Gaussian(per=per, seed=0), x)
    z = (drawn - mean) / x.std(axes, keepdims=True)
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05


def test_uniform_in_a_given_range(x):
    x = x.astype("float32")
    y = replaced(masking.Uniform(low=-3, high=[0, 1, 2], seed=0), x)
    assert y.min() >= -3
    for channel, high in zip(np.moveaxis(y, -1, 0), [0, 1, 2]):
        assert high - 0.1 < channel.max() <= high
    y = replaced(masking.Uniform(low=x.min() - 1, seed=0), x)
    assert (y <= x.max((1, 2), keepdims=True)).all()
    with pytest.raises(ValueError, match=r"`low`.*high=\[1, -1\]"):
        masking.Uniform(low=0, high=[1, -1])


@pytest.mark.parametrize("shared", [False, True])
def test_previous_carries_the_last_kept_value(shared):
    """Each channel its own, one entry at a time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 9, 3)).astype("float32")
    mask = rng.random((4, 9, 1 if shared else 3)) < 0.6
    mask[1] = True
    saliency = np.zeros(mask.shape, "float32")
    saliency[:, 7:] = np.inf  # padding
    mask[:, 7:] = False
    spread = masking.Previous().call(
        *(keras.ops.convert_to_tensor(a) for a in (x, mask, saliency))
    )
    found = np.where(mask, keras.ops.convert_to_numpy(spread), x)
    expected = x.copy()
    for i, t, f in np.argwhere(np.broadcast_to(mask, x.shape)):
        kept = ~np.broadcast_to(mask, x.shape)[i, :7, f]
        before = [s for s in np.flatnonzero(kept) if s < t]
        if kept.any():
            source = before[-1] if before else np.flatnonzero(kept)[0]
            expected[i, t, f] = x[i, source, f]
    np.testing.assert_array_equal(found, expected)


def test_a_table_takes_its_columns_ranges_over_the_batch():
    x = np.array([[0, 100], [1, 300], [0.5, 200]], "float32")
    y = replaced(masking.Uniform(seed=0), x)
    assert (y >= x.min(0)).all()
    assert (y <= x.max(0)).all()
    assert (y != x).any(axis=0).all()


def test_marginal_draws_from_the_column():
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 3, 300), rng.integers(10, 14, 300)], 1)
    y = replaced("marginal", x.astype("float32"))
    for column, old in zip(y.T, x.T):
        values, counts = np.unique(column, return_counts=True)
        kinds, expected = np.unique(old, return_counts=True)
        np.testing.assert_array_equal(values, kinds)
        assert np.abs(counts - expected).max() < 50  # 6 deviations
    assert (y != x).any(axis=0).all()


def test_marginal_leaves_padding_out():
    """At each step it draws among the samples that are that long."""
    x = np.arange(1, 25, dtype="float32").reshape(4, 3, 2)
    lengths = np.array([3, 2, 1, 1])
    x[np.arange(3) >= lengths[:, None]] = 0
    layer = masking.FeatureMasking(replacement="marginal", padding=0, seed=0)
    drawn = np.array(
        [
            keras.ops.convert_to_numpy(
                layer(x, saliency=np.zeros_like(x), mask_fraction=1.0)
            )
            for _ in range(30)
        ]
    )
    for step, channel in np.ndindex(3, 2):
        column = x[:, step, channel]
        real = np.arange(4)[step < lengths]
        found = drawn[:, real, step, channel]
        assert set(found.flat) == set(column[real])
    assert (drawn[:, x == 0] == 0).all()


def test_ranges_are_as_many_as_columns():
    uniform = masking.Uniform(low=[0, 1, 2], high=9)
    with pytest.raises(ValueError, match="low"):
        replaced(uniform, np.zeros((4, 1), "float32"))


def test_no_feature_that_could_be_masked():
    layer = masking.FeatureMasking(channel_axis=-1)
    with pytest.raises(ValueError, match="single feature"):
        layer(np.ones((4, 3)), saliency=np.ones((4, 3)), mask_fraction=0.5)
    with pytest.raises(ValueError, match="at least one"):
        masking.FeatureMasking(inputs=[])


def test_constant_and_constant_images(x):
    x = x.astype("float32")
    np.testing.assert_array_equal(replaced(masking.Constant(7), x), x * 0 + 7)
    flat = np.full((2, 4, 4, 1), 0.25, "float32")
    for name in ("uniform", "gaussian", "mean"):
        np.testing.assert_allclose(replaced(name, flat), flat, atol=1e-6)


def test_draws_differ_between_steps_and_repeat_with_the_seed(x):
    x = x.astype("float32")
    first, second = masking.Uniform(seed=3), masking.Uniform(seed=3)
    one = replaced(first, x)
    np.testing.assert_array_equal(one, replaced(second, x))
    assert (one != replaced(first, x)).mean() > 0.99


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(ValueError, match=r"'uniform'.*Received.*'noise'"):
        masking.FeatureMasking(replacement="noise")
    with pytest.raises(ValueError, match="'sample'"):
        masking.Uniform(per="pixel")


def test_a_subclass_without_call_says_so(x):
    with pytest.raises(NotImplementedError, match="call"):
        replaced(masking.Replacement(), x.astype("float32"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: masking.Constant("a"), "value='a'"),
        (lambda: masking.Uniform(low=float("nan")), "low=nan"),
        (lambda: masking.Uniform(high=["a"]), "`high`"),
        (lambda: masking.FeatureMasking(padding=float("nan")), "padding=nan"),
        (lambda: masking.TokenMasking(special_ids=["a"]), "special_ids"),
        (lambda: masking.TokenMasking(special_ids=[-1]), "special_ids"),
        (lambda: masking.get_masking("smallest"), "masking='smallest'"),
    ],
)
def test_what_is_no_number_names_its_argument(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_masking_by_the_name_of_its_ranking():
    for ranking in ("signed", "absolute", "random", "reversed"):
        made = masking.get_masking(ranking, seed=3)
        assert (made.ranking, made.seed) == (ranking, 3)
    assert masking.get_masking(made) is made
