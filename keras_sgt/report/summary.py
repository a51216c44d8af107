"""How sure the numbers of a comparison are."""

import statistics

import numpy as np

from keras_sgt import evaluation

DRAWS = 2000

# The 97.5 % quantiles of Student's t, for 1 to 10 degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def of(measure, group):
    """The value of a measure, its 95 % interval, and of how many it is.

    Args:
        measure: str.
        group: list of parts, one for each seed.

    Returns:
        dict with `value`, `low`, `high` and `n`.
    """
    values = np.array([float(part[f"{measure}/value"]) for part in group])
    value, n = float(values.mean()), len(values)
    if n == 1:
        values = group[0].get(f"{measure}/per_sample")
        if values is None:
            return {"value": value, "low": None, "high": None, "n": None}
        n = int((~np.isnan(values)).sum())
    low, high = interval(values, len(group) > 1) or (None, None)
    return {"value": value, "low": low, "high": high, "n": n}


def differ(measure, one, other):
    """Whether two groups of parts differ by more than chance.

    Returns:
        bool, or `None` where it is not known.
    """
    several = len(one) > 1
    field = "value" if several else "per_sample"
    a, b = (
        np.array([part.get(f"{measure}/{field}", np.nan) for part in group])
        for group in (one, other)
    )
    found = interval((a - b).ravel(), several)
    return None if found is None else not found[0] <= 0 <= found[1]


def interval(values, seeds):
    """Ends of the 95 % interval of a mean; `None` if it cannot be known.

    Args:
        values: floats `(n,)`, NaN left out.
        seeds: bool, whether they are of a few seeds (then by Student's t) or
            of samples (then by bootstrap).
    """
    values = np.asarray(values, "float64")
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return None
    if not seeds:
        found = evaluation.bootstrap_interval(values, draws=DRAWS)
        return found.low, found.high
    half = _quantile(len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def _quantile(freedom):
    if freedom <= len(_T):
        return _T[freedom - 1]
    z, f = statistics.NormalDist().inv_cdf(0.975), freedom
    # Cornish and Fisher's expansion: right to 0.003 from 11 degrees on.
    first = (z**3 + z) / (4 * f)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
