"""Which features are masked: exactly the k lowest of each sample."""

import functools
import warnings

import keras
import numpy as np
from keras import ops

from keras_sgt import backend

# A float32 product such as .29 * 100 falls just short of 29: what is missing is
# this share of it, and never as much as a quarter of a feature.
_ROUNDING, _AT_MOST = 2.0**-22, 0.25
_INT32_MAX = 2**31 - 1


def lowest_mask(saliency, mask_fraction, real=None, seed=None):
    """Marks the `⌊mask_fraction · n⌋` lowest of each sample's n features.

    Args:
        saliency: floats, `(batch, ...)`; everything after the batch axis is
            ranked together.
        mask_fraction: float in [0, 1], or a scalar tensor of it.
        real: bool, shaped like `saliency`: `False` where it is infinite, for
            what is no feature, such as padding. `None` if all are.
        seed: `keras.random.SeedGenerator`, from which it is drawn which of
            equal features are masked. `None` masks the first of them, as a
            stable sort would: where nothing ties, or `saliency` is random.

    Returns:
        bool, shaped like `saliency`: `True` where a feature is masked.
    """
    shape = ops.shape(saliency)
    n = 1
    for length in shape[1:]:
        n = n * length
    rows = ops.reshape(saliency, (-1, n))
    if real is not None:
        real = ops.cast(ops.reshape(real, (-1, n)), "int32")
        k = count(mask_fraction, ops.sum(real, axis=1, keepdims=True))
    else:
        k = count(mask_fraction, n)
        if backend.TRACED or not isinstance(k, int):
            k = ops.reshape(ops.cast(k, "int32"), (-1, 1))
    draw = seed and functools.partial(_draw, (ops.shape(rows)[0], 3), seed)
    return ops.reshape(backend.lowest(rows, k, draw), shape)


def _draw(shape, seed):
    return keras.random.randint(shape, 0, _INT32_MAX, dtype="int32", seed=seed)


def count(mask_fraction, n):
    """`⌊mask_fraction · n⌋`: an int from Python numbers, else a tensor."""
    if isinstance(mask_fraction, (int, float)) and isinstance(n, int):
        k = mask_fraction * n
        return min(int(k + min(k * _ROUNDING, _AT_MOST)), n)
    n = ops.cast(n, "float32")
    k = ops.cast(mask_fraction, "float32") * n
    k = ops.floor(k + ops.minimum(k * _ROUNDING, _AT_MOST))
    return ops.cast(ops.minimum(k, n), "int32")


def check_ranked(ranked, mask_fraction, tied=True):
    """Warns where a batch is masked at random, or not at all.

    Args:
        ranked: floats, `(batch, ...)`, what the features are ranked by;
            infinite for what is no feature, such as padding.
        mask_fraction: float in [0, 1].
        tied: whether to look for ties.
    """
    rows = ops.convert_to_numpy(ops.cast(ranked, "float32"))
    if not rows.size:
        return  # an empty batch
    rows = rows.reshape(len(rows), -1)
    real = rows < np.inf
    lengths = real.sum(1)
    masked = np.array([count(float(mask_fraction), int(n)) for n in lengths])
    if mask_fraction > 0 and lengths.any() and not masked.any():
        warnings.warn(
            f"Nothing is masked: the longest sample of this batch has "
            f"{lengths.max()} features, and mask_fraction={mask_fraction} of "
            "them is less than one. Raise `mask_fraction`, or pass a "
            "`channel_axis` that leaves more features.",
            stacklevel=3,
        )
    several = lengths > 1
    rows, real = rows[several], real[several]
    lowest = np.where(real, rows, np.inf).min(1, initial=np.inf)
    highest = np.where(real, rows, -np.inf).max(1, initial=-np.inf)
    if tied and several.any() and (lowest == highest).all():
        warnings.warn(_TIED[bool((lowest == 0).all())], stacklevel=3)


_TIED = {
    True: (
        "The saliency of this whole batch is 0: the model's output has no "
        "gradient with respect to its input, so that which features are "
        "masked is random. A layer that rounds or counts, such as "
        "`Discretization` or a cast to integers, may stand before all others; "
        "in half precision small gradients vanish."
    ),
    False: (
        "In every sample of this batch all features have the same saliency, "
        "so that which of them are masked is random. A model that averages "
        "its features before it does anything else with them, such as one "
        "with `GlobalAveragePooling1D` right after its embedding, cannot be "
        "guided by its gradients."
    ),
}
