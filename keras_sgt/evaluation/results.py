"""What every measure returns."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Measure:
    """The result of a measure. A field that has no meaning there is `None`.

    Args:
        value: float, the measure.
        curve: float array `(points,)`, the curve it sums up.
        levels: what the points of the curve belong to: fractions, radii, or
            names of layers.
        per_sample: float array `(samples,)`, the measure of each sample, NaN
            where it leaves the sample out.
        spread: float, the standard error of `value`: the standard deviation
            of what it is the mean of, over the square root of their number.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    >>> sparsity = keras_sgt.evaluation.gini(maps)
    >>> sparsity.per_sample.tolist(), sparsity.value, round(sparsity.spread, 3)
    ([0.75, 0.0], 0.375, 0.375)
    """

    value: float
    curve: np.ndarray | None = None
    levels: np.ndarray | tuple | None = None
    per_sample: np.ndarray | None = dataclasses.field(default=None, repr=False)
    spread: float | None = None


def of_samples(per_sample, curve=None, levels=None, kind=Measure, **fields):
    """The measure that is the mean of one value a sample."""
    per_sample = np.asarray(per_sample, "float64")
    return kind(
        value=mean(per_sample),
        curve=curve,
        levels=levels,
        per_sample=per_sample,
        spread=standard_error(per_sample),
        **fields,
    )


def mean(values):
    """The mean of what is not NaN; NaN of nothing."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def standard_error(values):
    """The standard error of `mean(values)`; `None` of fewer than two."""
    values = values[~np.isnan(values)]
    if values.size < 2:
        return None
    return float(values.std(ddof=1) / np.sqrt(values.size))


def area(values, points):
    """The area under `values`, along the last axis, by trapezoids."""
    heights = (values[..., 1:] + values[..., :-1]) / 2
    return (heights * np.diff(points)).sum(-1)
