"""Exactly the k lowest of each sample, against a stable NumPy argsort."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_sgt import masking
from keras_sgt.masking import selection

# JAX has no float64 unless it is switched on for the whole process.
DTYPES = ["float16", "bfloat16", "float32"]
if keras.backend.backend() != "jax":
    DTYPES.append("float64")

# Few shapes: a new one is a new XLA program.
SHAPES = [(1, 1), (3, 7), (2, 64), (4, 3, 5)]


def reference(saliency, k):
    rows = np.asarray(saliency, "float64").reshape(len(saliency), -1)
    order = np.argsort(rows, axis=1, kind="stable")[:, :k]
    mask = np.zeros(rows.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask.reshape(np.shape(saliency))


def selected(saliency, fraction, dtype):
    tensor = keras.ops.convert_to_tensor(saliency, dtype=dtype)
    mask = selection.lowest_mask(tensor, fraction)
    return keras.ops.convert_to_numpy(mask)


def hard_floats(dtype):
    """Ties, signed zeros, subnormals and infinities, often."""
    width = {"float64": 64, "float32": 32}.get(dtype, 16)
    # A bfloat16 is the upper half of a float32.
    numpy_dtype = "float32" if dtype == "bfloat16" else dtype
    tiny = np.finfo(numpy_dtype).smallest_subnormal
    if dtype == "bfloat16":
        tiny = np.float32(2.0**-133)
    special = [0.0, -0.0, 1.0, -1.0, tiny, -tiny, np.inf, -np.inf]
    any_float = st.floats(allow_nan=False, width=width)
    if dtype == "bfloat16":
        any_float = any_float.map(lambda f: float(np.float32(f)))
    return numpy_dtype, st.sampled_from(special) | any_float


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_exactly_the_k_lowest(dtype, shape, data):
    check_random_rows(dtype, shape, 1, data)


@pytest.mark.parametrize("dtype", DTYPES)
# Rows that fall into equal blocks, and rows that do not.
@pytest.mark.parametrize(("length", "repeats"), [(64, 20), (61, 17)])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_exactly_the_k_lowest_of_long_rows(dtype, length, repeats, data):
    check_random_rows(dtype, (2, length), repeats, data)


def check_random_rows(dtype, shape, repeats, data):
    numpy_dtype, elements = hard_floats(dtype)
    saliency = data.draw(hnp.arrays(numpy_dtype, shape, elements=elements))
    saliency = np.repeat(saliency, repeats, axis=-1)
    n = int(np.prod(saliency.shape[1:]))
    k = data.draw(st.integers(0, n))
    if dtype == "bfloat16":  # what is left of it after the cast
        tensor = keras.ops.convert_to_tensor(saliency, dtype=dtype)
        saliency = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    mask = selected(saliency, k / n, dtype)
    np.testing.assert_array_equal(mask, reference(saliency, k))


@pytest.mark.parametrize("value", [0.0, -0.0, 3.5, -np.inf, np.inf])
def test_equal_rows_give_way_from_the_front(value):
    mask = selected(np.full((2, 10), value, "float32"), 0.3, "float32")
    np.testing.assert_array_equal(mask, [[True] * 3 + [False] * 7] * 2)


@pytest.mark.parametrize("n", [3, 7, 10, 100, 784])
def test_a_fraction_of_k_out_of_n_masks_k(n):
    """29 / 100 · 100 is 28.999… in floating point, and still 29."""
    saliency = np.random.default_rng(0).normal(size=(2, n)).astype("float32")
    for k in np.unique(np.linspace(0, n, 12).astype(int)):
        for fraction in (k / n, keras.ops.convert_to_tensor(k / n, "float32")):
            mask = selected(saliency, fraction, "float32")
            np.testing.assert_array_equal(mask.sum(1), [k, k])


@pytest.mark.parametrize("n", [100, 2**22 + 2, 2**23])
def test_half_of_many_features_is_half(n):
    half = keras.ops.convert_to_tensor(0.5, dtype="float32")
    assert selection.count(0.5, n) == n // 2
    assert int(selection.count(half, n)) == n // 2


def test_nan_is_never_among_the_lowest_and_never_changes_k():
    saliency = np.random.default_rng(0).normal(size=(3, 20)).astype("float32")
    saliency[0, ::2] = np.nan
    saliency[1, :] = np.nan
    saliency[2, 3] = -np.float32(np.nan)
    mask = selected(saliency, 0.5, "float32")
    np.testing.assert_array_equal(mask.sum(1), [10, 10, 10])
    assert not mask[0, ::2].any()
    assert not mask[2, 3]


def rank_and_mask(x, saliency, fraction=0.5, **options):
    layer = masking.FeatureMasking(replacement=NAN, **options)
    masked = layer(x, saliency=saliency, mask_fraction=fraction)
    return np.isnan(keras.ops.convert_to_numpy(masked))


NAN = masking.Constant(float("nan"))


def test_rankings():
    x = np.zeros((1, 4), "float32")
    saliency = np.array([[-3.0, 0.1, -0.2, 2.0]], "float32")
    expected = {
        "signed": [True, False, True, False],
        "absolute": [False, True, True, False],
        "reversed": [False, True, False, True],
    }
    for ranking, mask in expected.items():
        found = rank_and_mask(x, saliency, ranking=ranking)
        np.testing.assert_array_equal(found, [mask], err_msg=ranking)


def test_random_ranking_masks_k_and_every_feature_in_turn():
    x = np.zeros((400, 10), "float32")
    mask = rank_and_mask(x, None, fraction=0.3, ranking="random", seed=1)
    np.testing.assert_array_equal(mask.sum(1), np.full(400, 3))
    # 120 expected of each feature, with a deviation of 9.2
    assert np.abs(mask.sum(0) - 120).max() < 5 * 9.2


@pytest.mark.parametrize(
    ("shape", "axis", "shared"),
    [
        ((2, 6, 6, 3), "auto", 3),  # a pixel's channels go together
        ((2, 4, 4, 4, 2), "auto", 4),
        ((2, 6, 5), "auto", None),  # each entry of a series alone
        ((2, 6, 4), -1, 2),  # whole steps
        ((2, 6, 4), 1, 1),  # whole channels
        ((2, 6, 6, 3), None, None),
        ((2, 4, 6, 3), (1, 3), (1, 3)),
    ],
)
def test_channels_share_a_mask(shape, axis, shared):
    rng = np.random.default_rng(0)
    x = rng.random(shape, dtype="float32")
    saliency = rng.normal(size=shape).astype("float32")
    mask = rank_and_mask(x, saliency, channel_axis=axis)
    pooled = saliency
    if shared is not None:
        pooled = saliency.mean(axis=shared, keepdims=True)
    k = pooled[0].size // 2
    expected = np.broadcast_to(reference(pooled, k), shape)
    np.testing.assert_array_equal(mask, expected)


def test_channels_first_images_pool_the_first_axis():
    rng = np.random.default_rng(0)
    saliency = rng.normal(size=(2, 3, 4, 4)).astype("float32")
    data_format = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        mask = rank_and_mask(np.zeros((2, 3, 4, 4), "float32"), saliency)
    finally:
        keras.config.set_image_data_format(data_format)
    expected = reference(saliency.mean(axis=1, keepdims=True), 8)
    np.testing.assert_array_equal(mask, np.broadcast_to(expected, mask.shape))
