"""What takes the place of removed features.

A fill is made once for a whole data set and then asked for one part (a slice
of samples) after the other, so that memory stays bounded.
"""

import numbers

import numpy as np

from keras_sgt.evaluation import relevance


def get(fill, x, seed=None):
    """The function from a slice of samples to the values that fill them.

    Args:
        fill: name of a fill, a number, or a callable from samples to values.
        x: array `(samples, ...)`.
        seed: int, of the fills that draw.

    Returns:
        Function from a slice to an array that broadcasts to `x[slice]`.

    Raises:
        ValueError: for a fill that does not exist, and, when asked, for values
            that `x`, if it holds integers, cannot take.
    """
    values = _values(fill, x, seed)
    if x.dtype.kind == "f":
        return values
    return lambda part: _exact(values(part), x.dtype)


def _exact(values, dtype):
    """A fraction written into integers would be cut off without a word."""
    values = np.asarray(values)
    low, high = (0, 1) if dtype.kind == "b" else _limits(dtype)
    inside = (values >= low) & (values <= high)
    if not (inside & (values == np.floor(values))).all():
        raise ValueError(
            f"`fill` gives values that `x` of dtype {dtype} cannot hold: from "
            f"{values.min():.4g} to {values.max():.4g}, whole or not. Pass "
            "`x.astype('float32')`, or fill with 'background', 'sample' or a "
            "whole number."
        )
    return values


def _limits(dtype):
    limits = np.iinfo(dtype)
    return limits.min, limits.max


def _values(fill, x, seed):
    if isinstance(fill, str) and fill in _BY_NAME:
        return _BY_NAME[fill](x, np.random.default_rng(seed))
    if isinstance(fill, numbers.Real) and np.isfinite(fill):
        return lambda part: np.asarray(fill)
    if callable(fill):
        return lambda part: _checked(fill(x[part]), x[part].shape)
    raise ValueError(
        f"`fill` has to be one of {list(_BY_NAME)}, a finite number, or a "
        f"callable from samples to values. Received: fill={fill!r}"
    )


def _checked(values, shape):
    values = np.asarray(values)
    try:
        np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(
            "`fill` has to return values that broadcast to the samples, "
            f"{shape}. Received: values of shape {values.shape}"
        ) from None
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(
            "`fill` has to return finite numbers. Received: values of dtype "
            f"{values.dtype}, NaN or infinite among them"
        )
    return values


def _background(x, rng):
    channels = relevance.channels(x.ndim)
    corner = tuple(
        slice(None) if axis == channels else slice(0, 1)
        for axis in range(1, x.ndim)
    )
    return lambda part: x[(part, *corner)]


def _mean(x, rng):
    if x.ndim == 2:
        columns = x.mean(0, keepdims=True)
        return lambda part: columns
    axes = _inner_axes(x)
    return lambda part: x[part].mean(axes, keepdims=True)


def _uniform(x, rng):
    columns = (x.min(0), x.max(0)) if x.ndim == 2 else None
    axes = _inner_axes(x)

    def values(part):
        low, high = columns or (
            x[part].min(axes, keepdims=True),
            x[part].max(axes, keepdims=True),
        )
        return low + (high - low) * rng.random(x[part].shape)

    return values


def _blur(x, rng):
    axes = _inner_axes(x)
    if x.ndim == 2 or max(x.shape[axis] for axis in axes) == 1:
        raise ValueError(
            "`fill='blur'` averages neighbours in space or time, which inputs "
            f"of shape {x.shape} do not have. Use 'mean', 'uniform', 'sample' "
            "or a number."
        )

    def values(part):
        blurred = x[part]
        for axis in axes:
            matrix = _gaussian(x.shape[axis])
            blurred = np.moveaxis(
                np.tensordot(blurred, matrix, (axis, 1)), -1, axis
            )
        return blurred

    return values


def _sample(x, rng):
    if len(x) < 2:
        raise ValueError(
            "`fill='sample'` takes the values of another sample. Received: "
            "a single sample."
        )
    # One cycle through all samples: none is filled with its own values.
    cycle = rng.permutation(len(x))
    partner = np.empty_like(cycle)
    partner[cycle] = np.roll(cycle, 1)
    return lambda part: x[partner[part]]


def _inner_axes(x):
    """Space or time: all axes but those of samples and channels."""
    channels = relevance.channels(x.ndim)
    return tuple(axis for axis in range(1, x.ndim) if axis != channels)


def _gaussian(length):
    """A blur along an axis, with a standard deviation of an eighth of it.

    Rows sum to 1, so a constant stays the same up to the border.
    """
    position = np.arange(length)
    distance = (position[:, None] - position) / (length / 8)
    weights = np.exp(-(distance**2) / 2)
    return weights / weights.sum(1, keepdims=True)


_BY_NAME = {
    "background": _background,
    "mean": _mean,
    "blur": _blur,
    "uniform": _uniform,
    "sample": _sample,
}
