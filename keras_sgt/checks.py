"""Arguments, checked before the work starts."""

import numbers

import numpy as np


def numeric(name, values, rank=None):
    """`values` as an array of finite numbers, `(samples, ...)`."""
    array = np.asarray(values)
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise ValueError(
            f"`{name}` has to be one array of numbers. Received: {name} of "
            f"type {type(values).__name__} and dtype {array.dtype}"
        )
    if array.ndim < 2 or not array.size or (rank and array.ndim not in rank):
        wanted = "(samples, ...)" if not rank else f"of {rank} axes"
        raise ValueError(
            f"`{name}` has to be an array {wanted} that is not empty. "
            f"Received: {name} of shape {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` has to be finite. Received: NaN or infinity in "
            f"{int((~np.isfinite(array)).sum())} of its {array.size} entries. "
            "Replace them (`numpy.nan_to_num`) or leave those samples out."
        )
    return array


def joined(name, batches, tokens=False):
    """Batches of one array, one after another.

    Args:
        tokens: whether token ids, and what goes along with each, are padded
            to one length, with 0: what `padded_batch` pads with, and what
            `mask_zero=True` leaves aside.
    """
    shapes = list(dict.fromkeys(batch.shape[1:] for batch in batches))
    if len(shapes) > 1:
        flat = {batch.ndim for batch in batches} == {2}
        whole = {batch.dtype.kind for batch in batches} <= set("biu")
        if not (tokens and flat and whole):
            raise ValueError(
                f"The samples of `{name}` have to have one shape in all "
                "batches; only token ids, ints of two axes, are padded here. "
                "Pad them to one length before, as with "
                "`keras.utils.pad_sequences(..., maxlen)` or `padded_batch("
                f"batch_size, padded_shapes)`. Received: samples of shapes "
                f"{shapes[:5]}"
            )
        length = max(shapes)[0]
        batches = [
            np.pad(batch, ((0, 0), (0, length - batch.shape[1])))
            for batch in batches
        ]
    return np.concatenate(batches)


def attributions_of(x, attributions, name="attributions"):
    """`x` and its attributions, two arrays of one shape."""
    x = numeric("x", x)
    attributions = numeric(name, attributions)
    same_shape(name, attributions, "x", x)
    return x, attributions


def same_shape(name, array, other_name, other):
    if array.shape != other.shape:
        raise ValueError(
            f"`{name}` has to have the shape of `{other_name}`, "
            f"{other.shape}. Received: {name} of shape {array.shape}"
        )


def fractions(name, values):
    """Increasing fractions between 0 and 1, both excluded."""
    array = np.asarray(values, "float64")
    inside = array.ndim == 1 and array.size and np.isfinite(array).all()
    inside = inside and array[0] > 0 and array[-1] < 1
    if not inside or (np.diff(array) <= 0).any():
        raise ValueError(
            f"`{name}` has to hold increasing fractions between 0 and 1, both "
            "excluded (0.1 for ten percent; the measure adds the end points "
            f"it needs itself). Received: {name}={values!r}"
        )
    return array


def number(name, value, low=0.0, low_allowed=False):
    """A finite number above `low`."""
    valid = isinstance(value, numbers.Real) and np.isfinite(value)
    if not valid or value < low or (value == low and not low_allowed):
        relation = "at least" if low_allowed else "above"
        raise ValueError(
            f"`{name}` has to be a number {relation} {low}. Received: "
            f"{name}={value!r}"
        )
    return float(value)


def count(name, value, low=1):
    """An integer of at least `low`."""
    if not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(
            f"`{name}` has to be an integer of at least {low}. Received: "
            f"{name}={value!r}"
        )
    return int(value)


def choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(
            f"`{name}` has to be one of {list(allowed)}. Received: "
            f"{name}={value!r}"
        )


def labels(name, values, samples):
    """Class numbers `(samples,)`, from class numbers or one-hot rows."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] > 1:
        array = array.argmax(1)
    array = array.reshape(-1) if array.ndim == 2 else array
    whole = array.dtype.kind in "biuf" and (array == np.floor(array)).all()
    if array.shape != (samples,) or not whole or (array < 0).any():
        raise ValueError(
            f"`{name}` has to hold the number of a class for each of the "
            f"{samples} samples, or one-hot rows. Received: {name} of shape "
            f"{np.shape(values)} and dtype {np.asarray(values).dtype}"
        )
    return array.astype("int64")


def classes(name, values, samples):
    """As `labels`, of rows that are one-hot in fact."""
    rows = np.asarray(values)
    if rows.ndim == 2 and rows.shape[1] > 1:
        single = (rows == 1).sum(1) == 1
        if not (single & ((rows != 0).sum(1) == 1)).all():
            raise ValueError(
                f"`{name}` has to hold one class for each sample: a number, "
                "or a one-hot row. Received: rows with several classes, none, "
                f"or shares, {name} of shape {rows.shape}"
            )
    return labels(name, values, samples)


def truth_masks(name, values, shape, real=None):
    """Masks as bool of `shape`; in none is everything or nothing true."""
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(
            f"`{name}` has to be a mask of shape {shape}. Received: {name} of "
            f"shape {array.shape}"
        )
    mask = array.astype(bool)
    if not (mask == array).all():
        raise ValueError(
            f"`{name}` has to hold only true and false, or 1 and 0. Received: "
            f"{name} of dtype {array.dtype} with other values. Compare it "
            "with a threshold first."
        )
    rows = mask.reshape(len(mask), -1)
    real = np.ones_like(rows) if real is None else real.reshape(rows.shape)
    marked = (rows & real).sum(1)
    for kind, bad in (("empty", marked == 0), ("full", marked == real.sum(1))):
        if bad.any():
            raise ValueError(
                f"`{name}` is {kind} in {int(bad.sum())} samples (the first "
                f"is {int(bad.argmax())}), where any attribution is as good "
                "as another. Leave those samples out."
            )
    return mask


def finite(name, values):
    """`values` as an array, in float32 where it is floating point."""
    array = np.asarray(values)
    if array.shape == () and array.item() is None:
        raise ValueError(
            f"`{name}` has to hold arrays of numbers. Received: None. Give an "
            "array for each input; to leave an optional one out, pass a "
            "subclass of `keras.Model` whose `call(self, x)` returns "
            "`self.network({**x, 'name of the input': None})`."
        )
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise ValueError(
            f"`{name}` has to hold arrays of numbers. Received: "
            f"{type(values).__name__} of dtype {array.dtype}"
        )
    if array.dtype.kind != "f":
        return array
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(
            f"`{name}` has to be finite. Received: NaN or infinity in "
            f"{int(bad.sum())} of its {array.size} entries. Replace them "
            "(`numpy.nan_to_num`) or leave those samples out."
        )
    limit = np.finfo("float32").max
    largest = abs(array).max() if array.size else 0
    if largest > limit:
        raise ValueError(
            f"`{name}` has to be finite in float32, up to {limit:.3g}. "
            f"Received: {name} with numbers up to {largest:.3g}. Scale them."
        )
    return array.astype("float32", copy=False)
