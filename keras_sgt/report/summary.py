"""How sure the numbers of a comparison are."""

import dataclasses
import functools
import math
import statistics

import numpy as np

from keras_sgt import evaluation

DRAWS = 2000
CONFIDENCE = 0.95
POWER = 0.8  # how often the samples that are asked for would tell


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
    half = t_quantile(CONFIDENCE, len(values) - 1) * _error(values)
    return float(values.mean() - half), float(values.mean() + half)


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more of a measure one model has than another, paired.

    Args:
        value: float.
        low, high: floats, the ends of its interval.
        samples, seeds: ints, how many would tell a difference as large as
            this one in `POWER` of the cases; more seeds where more samples
            alone would not, else `None`; both `None` where it is told, or 0.
    """

    value: float
    low: float
    high: float
    samples: int | None = None
    seeds: int | None = None

    @property
    def sign(self):
        """1, -1, or 0 where the interval includes 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self):
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def difference(measure, one, other, confidence=CONFIDENCE):
    """The paired difference of two groups of parts, one less the other.

    Its variance is that of the mean over samples (of the differences, averaged
    over seeds) and, of several seeds, that of the mean over seeds: other
    samples would give another number, and so would other trainings. The
    interval is Student's t, with Satterthwaite's degrees of freedom.

    Args:
        measure: str.
        one, other: lists of parts, one for each seed.
        confidence: float in (0, 1).

    Returns:
        `Difference`, or `None` where it cannot be known: of fewer than two
        samples, or where the measure is not of samples.
    """
    rows = np.array(
        [
            np.asarray(a[f"{measure}/per_sample"], "float64")
            - b[f"{measure}/per_sample"]
            for a, b in zip(one, other)
            if f"{measure}/per_sample" in a
        ]
    )
    if not rows.size:
        return None
    rows = rows[:, ~np.isnan(rows).any(0)]
    seeds, samples = rows.shape
    if samples < 2:
        return None
    of_samples = _error(rows.mean(0)) ** 2
    of_seeds = _error(rows.mean(1)) ** 2 if seeds > 1 else 0.0
    value, variance = float(rows.mean()), of_samples + of_seeds
    freedom = samples - 1.0
    if of_seeds > 0:
        freedom = variance**2 / (
            of_samples**2 / (samples - 1) + of_seeds**2 / (seeds - 1)
        )
    half = t_quantile(confidence, freedom) * variance**0.5
    found = Difference(value, value - half, value + half)
    if found.sign or not value:
        return found
    normal = statistics.NormalDist()
    known = normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER)
    allowed = (value / known) ** 2  # the variance that would tell
    if of_seeds >= allowed:
        return dataclasses.replace(
            found, seeds=math.ceil(seeds * 2 * of_seeds / allowed)
        )
    needed = math.ceil(samples * of_samples / (allowed - of_seeds))
    return dataclasses.replace(found, samples=needed)


def _error(values):
    """The standard error of a mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def wilson(share, n, confidence=CONFIDENCE):
    """Ends of the interval of a share of n, also where it is 0 or 1.

    Reference: Wilson, "Probable inference, the law of succession, and
    statistical inference", 1927.
    """
    z2 = statistics.NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n**2))) ** 0.5
    return middle - half / (1 + z2 / n), middle + half / (1 + z2 / n)


@functools.lru_cache
def t_quantile(confidence, freedom):
    """What Student's t stays within, in either direction.

    With t = √f · tan θ its density is that of cosᶠ⁻¹ θ, which is bounded and
    summed up by trapezoids.
    """
    if freedom > 5000:
        return statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    angle = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angle) ** (freedom - 1)
    below = np.cumsum(density) - (density + density[0]) / 2
    at = np.interp(confidence, below / below[-1], angle)
    return float(freedom**0.5 * np.tan(at))
