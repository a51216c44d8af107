"""Relevance in time and features against a known truth."""

import dataclasses

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import relevance, results
from keras_sgt.evaluation.relevance import LEVELS

VIEWS = ("all", "time", "feature")
_CHUNK_CELLS = 2**22


@dataclasses.dataclass(frozen=True)
class Areas:
    """Areas under precision, under recall, and under one over the other.

    Args:
        aup, aur, aupr: floats, as those of `WeightedPrecisionRecall`.
    """

    aup: float
    aur: float
    aupr: float


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedPrecisionRecall(results.Measure):
    """A `Measure` whose `value` and `curve` are `aup` and `precision`.

    Args:
        precision, recall: float arrays `(levels,)`.
        aup, aur, aupr: floats, areas under precision, under recall, and under
            precision as a function of recall.
        recall_per_sample: float array `(samples,)`, what `aur` is the mean
            of, as `aup` is that of `per_sample`.
        minus_permuted_features: `Areas`, what is left of `aup`, `aur` and
            `aupr` after subtracting those of the benchmark's random baseline.
        minus_random: `Areas`, the same for maps whose cells are permuted.
    """

    precision: np.ndarray = None
    recall: np.ndarray = None
    aup: float = None
    aur: float = None
    aupr: float = None
    recall_per_sample: np.ndarray = dataclasses.field(default=None, repr=False)
    minus_permuted_features: Areas = None
    minus_random: Areas = None


def weighted_precision_recall(
    attributions, truth, levels=LEVELS, view="all", baseline_draws=1, seed=0
):
    """Precision and recall of saliency, each cell weighted by its own.

    Maps are |attributions|, min-max rescaled per sample. At level d, the
    positive set P is the smallest set of top cells that holds d of the
    sample's summed saliency (ties: the first by position), T the true cells:

    `precision = mass(P ∩ T) / mass(P)`, `recall = mass(P ∩ T) / mass(T)`,

    averaged over the samples whose denominator is not 0: maps that are all
    zero (or constant) say nothing and are left out. Areas are trapezoids over
    the levels. Bounds: precision, recall and `aupr` 0 and 1; `aup` and `aur`
    0 and the range of the levels, 0.8. **Higher is better**.

    Two baselines of the same saliency show what chance reaches: the
    benchmark's permutes the features once for all samples, so it keeps every
    feature's course in time; the other permutes the cells of each sample.

    Args:
        attributions: floats `(samples, steps, features)`.
        truth: bools shaped like `attributions`, the relevant cells.
        levels: increasing fractions in (0, 1). Defaults to 0.1, ..., 0.9.
        view: `"all"` cells; `"time"`: steps, positive and true if any of
            their cells is, weighted by the mean of their largest cells, as
            many as there are true steps (as the benchmark's code counts
            them); `"feature"`: the same across. Defaults to `"all"`.
        baseline_draws: int, permutations that a baseline is averaged over.
            Defaults to 1, as in the benchmark.
        seed: int, of the baselines. Defaults to 0.

    Returns:
        `WeightedPrecisionRecall`.

    Raises:
        ValueError: for another shape, NaN, levels outside (0, 1), or a truth
            that is empty or full in some sample.

    Reference: Ismail et al., "Benchmarking deep learning interpretability in
    time series predictions", NeurIPS 2020, and its code.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[[0.0, 1.0], [0.0, 3.0]]])
    >>> result = keras_sgt.evaluation.weighted_precision_recall(
    ...     maps, maps > 2, levels=[0.5, 0.9]
    ... )
    >>> result.precision.tolist(), result.recall.tolist()
    ([1.0, 0.75], [1.0, 1.0])
    """
    maps = checks.numeric("attributions", attributions, rank=(3,))
    truth = checks.truth_masks("truth", truth, maps.shape)
    levels = checks.fractions("levels", levels)
    checks.choice("view", view, VIEWS)
    draws = checks.count("baseline_draws", baseline_draws)
    rng = np.random.default_rng(seed)
    features = [rng.permutation(maps.shape[2]) for _ in range(draws)]

    # Of each sample: precision and recall of its map, and of the baselines.
    found = np.empty((1 + 2 * draws, 2, len(maps), len(levels)))
    size = max(1, _CHUNK_CELLS // maps[0].size)
    for start in range(0, len(maps), size):
        part = slice(start, start + size)
        weights = _rescaled(maps[part])
        found[0, :, part] = _rates(weights, truth[part], levels, view)
        for i, order in enumerate(features):
            permuted = weights[:, :, order]
            found[1 + i, :, part] = _rates(permuted, truth[part], levels, view)
        for i in range(1 + draws, 1 + 2 * draws):
            cells = weights.reshape(len(weights), -1)
            permuted = rng.permuted(cells, axis=1).reshape(weights.shape)
            found[i, :, part] = _rates(permuted, truth[part], levels, view)

    areas = [_areas(*rates, levels) for rates in found]
    (precision, recall), aup, aur = found[0], areas[0].aup, areas[0].aur
    return results.of_samples(
        results.area(precision, levels),
        curve=_mean_curve(precision),
        levels=levels,
        kind=WeightedPrecisionRecall,
        precision=_mean_curve(precision),
        recall=_mean_curve(recall),
        aup=aup,
        aur=aur,
        aupr=areas[0].aupr,
        recall_per_sample=results.area(recall, levels),
        minus_permuted_features=_minus(areas[0], areas[1 : 1 + draws]),
        minus_random=_minus(areas[0], areas[1 + draws :]),
    )


def _rescaled(maps):
    """Magnitudes between 0 and 1 in each sample; a constant map becomes 0."""
    maps = np.abs(maps).astype("float64")
    low = maps.min((1, 2), keepdims=True)
    span = maps.max((1, 2), keepdims=True) - low
    return (maps - low) / np.where(span > 0, span, 1)


def _entry_level(weights, levels):
    """The first level at which each cell is positive; `len(levels)`: never."""
    rows = weights.reshape(len(weights), -1)
    ordered = relevance.descending(rows)
    mass = np.cumsum(ordered, 1)
    share = mass / np.where(mass[:, -1:] > 0, mass[:, -1:], 1)
    # A cell is needed as long as those before it hold less than the level.
    # Sums of floats reach a level but for their rounding.
    counts = [(share < level - 1e-12).sum(1) + 1 for level in levels]
    counts = np.stack(counts, 1)
    counts = np.minimum(counts, rows.shape[1])
    return relevance.first_set(rows, ordered, counts).reshape(weights.shape)


def _rates(weights, truth, levels, view):
    """Precision and recall of each sample, `(2, samples, levels)`."""
    entry = _entry_level(weights, levels)
    if view != "all":
        axis = 2 if view == "time" else 1
        true_rows = truth.any(axis)
        weights = _mean_of_largest(weights, true_rows.sum(1), axis)
        entry, truth = entry.min(axis), true_rows
    positive = _masses(weights, entry, len(levels))
    hit = _masses(weights * truth, entry, len(levels))
    true = hit[:, -1:]
    with np.errstate(invalid="ignore"):
        return np.stack([hit / positive, hit / true])[:, :, :-1]


def _masses(weights, entry, count):
    """The weight of the positive set at each level; the last column: of all."""
    samples = len(weights)
    bins = np.arange(samples)[:, None] * (count + 1)
    bins = bins + entry.reshape(samples, -1)
    masses = np.bincount(
        bins.ravel(), weights.ravel(), minlength=samples * (count + 1)
    )
    return np.cumsum(masses.reshape(samples, count + 1), 1)


def _mean_of_largest(weights, counts, axis):
    """The mean of the `counts[i]` largest of each sample i along an axis."""
    weights = np.moveaxis(weights, axis, 2)
    counts = np.minimum(counts, weights.shape[2])
    sums = np.cumsum(-np.sort(-weights, axis=2), 2)
    last = (counts - 1)[:, None, None]
    return np.take_along_axis(sums, last, 2)[:, :, 0] / counts[:, None]


def _mean_curve(rates):
    return np.array([results.mean(column) for column in rates.T])


def _areas(precision, recall, levels):
    precision, recall = _mean_curve(precision), _mean_curve(recall)
    order = np.argsort(recall, kind="stable")
    return Areas(
        aup=float(results.area(precision, levels)),
        aur=float(results.area(recall, levels)),
        aupr=float(results.area(precision[order], recall[order])),
    )


def _minus(areas, baselines):
    return Areas(
        **{
            field.name: getattr(areas, field.name)
            - float(np.mean([getattr(b, field.name) for b in baselines]))
            for field in dataclasses.fields(Areas)
        }
    )
