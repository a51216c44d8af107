"""Images beside a block that says nothing."""

import numpy as np

from keras_sgt import checks


def null_blocks(x, null=None, axis="height", seed=0):
    """Puts each image beside a null block, above or below it at random.

    The null block is the same in every image, so that nothing but the signal
    block tells the class: relevance on the null block is wrong. (Networks do
    put it there: the gradients of ordinary training leak into the null block.)

    Args:
        x: floats or ints `(samples, height, width, channels)`, the signal
            blocks.
        null: array `(height, width, channels)`, of values that `x` can hold:
            whole ones in its range if `x` is of ints. Defaults to a hollow
            square of the largest value of `x` on the smallest.
        axis: `"height"`: above or below; `"width"`: left or right. Defaults
            to `"height"`.
        seed: int. Defaults to 0.

    Returns:
        `(images, truth)`: an array like `x`, twice as long along the axis,
        and bools of its shape, the signal block.

    Raises:
        ValueError: for another shape of `x` or `null`, values of `null` that
            `x` cannot hold, images too small for a hollow square, or an
            unknown axis.

    Reference: BlockMNIST of Shah, Jain, Netrapalli, "Do input gradients
    highlight discriminative features?", NeurIPS 2021.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> images, truth = keras_sgt.datasets.null_blocks(np.ones((2, 1, 3, 1)))
    >>> truth[:, :, 0, 0].tolist()
    [[True, False], [True, False]]
    """
    x = checks.numeric("x", x, rank=(4,))
    checks.choice("axis", axis, ("height", "width"))
    null = _hollow_square(x) if null is None else _like_images(null, x)
    along = 1 if axis == "height" else 2
    null = np.broadcast_to(null, x.shape)
    first = np.random.default_rng(seed).integers(2, size=len(x)).astype(bool)
    first = first[:, None, None, None]
    inside = np.broadcast_to(first, x.shape)
    images = [np.where(first, x, null), np.where(first, null, x)]
    return (
        np.concatenate(images, axis=along),
        np.concatenate([inside, ~inside], axis=along),
    )


def _like_images(null, x):
    """`null` in the type of `x`, if that changes nothing but its precision."""
    null = np.asarray(null)
    if null.shape != x.shape[1:]:
        raise ValueError(
            f"`null` has to be of the shape of one image, {x.shape[1:]}. "
            f"Received: null of shape {null.shape}"
        )
    given = checks.numeric("null", null[None])[0]
    with np.errstate(all="ignore"):  # what does not fit is refused below
        null = given.astype(x.dtype)
    lossy = x.dtype.kind == "f" and np.isfinite(null).all()
    if not lossy and not np.array_equal(null, given):
        raise ValueError(
            f"`null` has to hold values that `x`, of dtype {x.dtype}, can "
            f"hold. Received: null of dtype {given.dtype} with values from "
            f"{given.min()} to {given.max()}. Convert `x` to floats first."
        )
    return null


def _hollow_square(x):
    """A frame, about as large as a digit of MNIST."""
    low, high = (x.min(), x.max())
    null = np.full(x.shape[1:], low, x.dtype)
    height, width, _ = null.shape
    line = max(1, min(height, width) // 14)
    for margin, value in ((0, high), (line, low)):
        top, left = height // 6 + margin, width // 6 + margin
        null[top : height - top, left : width - left] = value
    if low < high and null.min() == null.max():
        raise ValueError(
            "`x` has to hold images with room for a hollow square, 3 pixels "
            f"each way. Received: x of shape {x.shape}. Give another `null`."
        )
    return null
