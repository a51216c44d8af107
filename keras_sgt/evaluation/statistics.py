"""How sure a measured number is."""

import dataclasses

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import results

# Random draws are made in chunks of about this many numbers.
_CHUNK = 2**22

# Up to this many samples, all sign changes are gone through.
_EXACT = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Interval(results.Measure):
    """A `Measure` with a confidence interval.

    Args:
        low, high: floats, its ends.
        confidence: float in (0, 1), how often such intervals hold the truth.
    """

    low: float = None
    high: float = None
    confidence: float = None


@dataclasses.dataclass(frozen=True, eq=False)
class PairedComparison(Interval):
    """An `Interval` of a mean difference, and its test.

    Args:
        p_value: float, of the hypothesis that there is no difference.
    """

    p_value: float = None


def bootstrap_interval(values, confidence=0.95, draws=10_000, seed=0):
    """Confidence interval of a mean over samples.

    Percentile bootstrap: the `(1 ± confidence) / 2` quantiles of the means of
    `draws` resamples, of as many samples, drawn with replacement.

    Args:
        values: floats `(samples,)`, or a `Measure`, whose `per_sample` is
            meant. NaN, a sample that a measure left out, is left out here.
        confidence: float in (0, 1). Defaults to 0.95.
        draws: int. Defaults to 10,000.
        seed: int. Defaults to 0.

    Returns:
        `Interval`: `value`, the mean; `low` and `high`.

    Raises:
        ValueError: for fewer than two values, infinity, or options out of
            range.

    Reference: Efron and Tibshirani, "An introduction to the bootstrap", 1993.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> result = keras_sgt.evaluation.bootstrap_interval(np.arange(100) / 99)
    >>> round(result.value, 2), round(result.low, 1), round(result.high, 1)
    (0.5, 0.4, 0.6)
    """
    confidence = _confidence(confidence)
    values = _values("values", values)
    low, high = _percentiles(
        _left(values), confidence, checks.count("draws", draws), seed
    )
    return results.of_samples(
        values, kind=Interval, low=low, high=high, confidence=confidence
    )


def across_seeds(values):
    """Mean ± standard error over models trained from different seeds.

    `value = mean`, `spread = s / √n`, s the standard deviation with n − 1.

    Args:
        values: floats `(seeds,)`, or a list of `Measure`s, one for each seed.

    Returns:
        `Measure`: `curve`, the mean of the measures' curves, if they have
        one; `per_sample`, the value of each seed.

    Raises:
        ValueError: for fewer than two seeds, NaN, or measures of different
            levels.

    Example:

    >>> import keras_sgt
    >>> result = keras_sgt.evaluation.across_seeds([0.5, 0.7, 0.9])
    >>> round(result.value, 3), round(result.spread, 3)
    (0.7, 0.115)
    """
    measures = [v for v in values if isinstance(v, results.Measure)]
    curve = levels = None
    if measures and len(measures) == len(values):
        levels = measures[0].levels
        if any(not np.array_equal(m.levels, levels) for m in measures):
            raise ValueError(
                "`values` has to hold measures with the same levels. Received:"
                f" {[m.levels for m in measures]}"
            )
        if measures[0].curve is not None:
            curve = np.mean([m.curve for m in measures], axis=0)
        values = [m.value for m in measures]
    values = _values("values", np.asarray(values, "float64"))
    if np.isnan(values).any():
        raise ValueError(
            f"`values` has to be finite. Received: {values.tolist()}"
        )
    return results.of_samples(values, curve=curve, levels=levels)


def paired_comparison(a, b, confidence=0.95, draws=10_000, seed=0):
    """The mean difference of two models on the same samples, tested.

    `value = mean over samples of a − b`, with the percentile bootstrap
    interval of `bootstrap_interval` and the p-value of the two-sided paired
    permutation test: how often the mean of differences with random signs is
    at least as large in magnitude. All 2ⁿ signs are gone through for up to 16
    samples, otherwise `draws` random ones, those observed counted among them,
    so that p is never 0. Bounds of p: 1 / (draws + 1) and 1.

    Args:
        a, b: floats `(samples,)` in the same order, or two `Measure`s, whose
            `per_sample` is meant. Pairs with a NaN are left out.
        confidence: float in (0, 1). Defaults to 0.95.
        draws: int, of the interval and of the test. Defaults to 10,000.
        seed: int. Defaults to 0.

    Returns:
        `PairedComparison`: `value`, `low`, `high`, `p_value`; `per_sample`,
        the differences.

    Raises:
        ValueError: for different lengths, fewer than two pairs, infinity, or
            options out of range.

    Reference: Good, "Permutation, parametric and bootstrap tests of
    hypotheses", 2005.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> a = np.array([0.9, 0.8, 0.7, 0.9, 0.8])
    >>> result = keras_sgt.evaluation.paired_comparison(a, a - 0.1)
    >>> round(result.value, 3), result.p_value  # 2 of 2⁵ signs
    (0.1, 0.0625)
    """
    confidence = _confidence(confidence)
    draws = checks.count("draws", draws)
    a, b = _values("a", a), _values("b", b)
    if a.shape != b.shape:
        raise ValueError(
            "`a` and `b` have to hold one value for each of the same samples. "
            f"Received: shapes {a.shape} and {b.shape}"
        )
    pairs = _left(a - b)
    low, high = _percentiles(pairs, confidence, draws, seed)
    return results.of_samples(
        a - b,
        kind=PairedComparison,
        low=low,
        high=high,
        confidence=confidence,
        p_value=_sign_test(pairs, draws, seed),
    )


def _values(name, values):
    if isinstance(values, results.Measure):
        values = values.per_sample
    array = np.asarray(values, "float64")
    if array.ndim != 1 or np.isinf(array).any():
        raise ValueError(
            f"`{name}` has to hold one finite number for each sample. "
            f"Received: {name} of shape {array.shape}"
        )
    _left(array, name)
    return array


def _left(values, name="values"):
    left = values[~np.isnan(values)]
    if left.size < 2:
        raise ValueError(
            f"`{name}` has to hold at least two numbers to say how sure their "
            f"mean is. Received: {left.size}, NaN not counted"
        )
    return left


def _confidence(confidence):
    if not 0 < checks.number("confidence", confidence) < 1:
        raise ValueError(
            "`confidence` has to be between 0 and 1, both excluded (0.95 for "
            f"95 percent). Received: confidence={confidence!r}"
        )
    return float(confidence)


def _percentiles(values, confidence, draws, seed):
    rng = np.random.default_rng(seed)
    means = [
        values[rng.integers(0, values.size, (n, values.size))].mean(1)
        for n in _chunks(draws, values.size)
    ]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(np.concatenate(means), tails)
    return float(low), float(high)


def _sign_test(differences, draws, seed):
    n = differences.size
    observed = abs(differences.sum())
    # Sums that differ by rounding only are equal.
    threshold = observed - 1e-12 * np.abs(differences).sum()
    if n <= _EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((abs((1 - 2 * bits) @ differences) >= threshold).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for size in _chunks(draws, n):
        signs = 1.0 - 2 * rng.integers(0, 2, (size, n), dtype="int8")
        extreme += (abs(signs @ differences) >= threshold).sum()
    return float((extreme + 1) / (draws + 1))


def _chunks(draws, samples):
    size = max(1, _CHUNK // samples)
    for start in range(0, draws, size):
        yield min(size, draws - start)
