"""Which features are masked: exactly the k lowest of each sample."""

from keras import ops

from keras_sgt import backend

# A float32 product such as .29 * 100 falls just short of 29: what is missing is
# this share of it, and never as much as a quarter of a feature.
_ROUNDING, _AT_MOST = 2.0**-22, 0.25


def lowest_mask(saliency, mask_fraction, real=None):
    """Marks the `⌊mask_fraction · n⌋` lowest of each sample's n features.

    Ties are broken by position: the first of equal features is masked first,
    as a stable sort would.

    Args:
        saliency: floats, `(batch, ...)`; everything after the batch axis is
            ranked together.
        mask_fraction: float in [0, 1], or a scalar tensor of it.
        real: bool, shaped like `saliency`: `False` where it is infinite, for
            what is no feature, such as padding. `None` if all are.

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
    return ops.reshape(backend.lowest(rows, k), shape)


def count(mask_fraction, n):
    """`⌊mask_fraction · n⌋`: an int from Python numbers, else a tensor."""
    if isinstance(mask_fraction, (int, float)) and isinstance(n, int):
        k = mask_fraction * n
        return min(int(k + min(k * _ROUNDING, _AT_MOST)), n)
    n = ops.cast(n, "float32")
    k = ops.cast(mask_fraction, "float32") * n
    k = ops.floor(k + ops.minimum(k * _ROUNDING, _AT_MOST))
    return ops.cast(ops.minimum(k, n), "int32")
