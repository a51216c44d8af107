"""The measures that models are compared by, for each kind of data."""

import dataclasses
import typing

import numpy as np

from keras_sgt import evaluation
from keras_sgt.evaluation import prediction, results

DOMAINS = ("images", "text", "series", "table")


@dataclasses.dataclass(frozen=True)
class Given:
    """What a measure is computed from.

    Args:
        model: trained classifier.
        x: inputs, an array.
        y: classes, ints `(samples,)`.
        attributions: floats shaped like `x`.
        truth: bools shaped like `x` or `None`.
        domain: one of `DOMAINS`.
        from_logits: whether the model's outputs are logits.
        batch_size: int.
    """

    model: typing.Any
    x: np.ndarray
    y: np.ndarray
    attributions: np.ndarray
    truth: np.ndarray | None
    domain: str
    from_logits: bool
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """A measure in a comparison.

    Args:
        title: str.
        higher: whether higher is better; `None` where neither is.
        domains: those it is for.
        compute: function from `Given` to `evaluation.Measure`.
        needs_truth: whether it compares with the true features.
    """

    title: str
    higher: bool | None
    domains: tuple
    compute: typing.Callable
    needs_truth: bool = False


def accuracy(model, x, y, from_logits, batch_size):
    """The share of samples whose class is predicted."""
    scores = prediction.scores(model, x, batch_size, from_logits)
    prediction.check_classes("y", y, scores)
    return results.of_samples(scores.argmax(1) == y)


def _drop(given):
    fill = {"images": "background", "series": "mean", "table": "mean"}
    return evaluation.accuracy_drop(
        given.model,
        given.x,
        given.y,
        given.attributions,
        fill=fill[given.domain],
        from_logits=given.from_logits,
        batch_size=given.batch_size,
    )


def _probability(function, fill):
    def compute(given):
        return function(
            given.model,
            given.x,
            given.attributions,
            fill=fill,
            from_logits=given.from_logits,
            batch_size=given.batch_size,
        )

    return compute


def _tokens(function):
    def compute(given):
        return function(
            given.model,
            given.x,
            abs(given.attributions),
            from_logits=given.from_logits,
            batch_size=given.batch_size,
        )

    return compute


def _located(function):
    def compute(given):
        return function(given.attributions, given.truth)

    return compute


def with_rationale(truth, ids):
    """Which texts have a rationale, and words outside it."""
    real = ids != 0
    marked = (truth & real).sum(1)
    return (marked > 0) & (marked < real.sum(1))


def _auprc(given):
    """Of the texts that have a rationale; the others are left out."""
    chosen = with_rationale(given.truth, given.x)
    found = evaluation.token_auprc(
        abs(given.attributions)[chosen],
        given.truth[chosen],
        given.x[chosen] != 0,
    )
    per_sample = np.full(len(given.x), np.nan)
    per_sample[chosen] = found.per_sample
    return results.of_samples(per_sample)


def _weighted(field):
    def compute(given):
        found = evaluation.weighted_precision_recall(
            given.attributions, given.truth
        )
        return results.of_samples(getattr(found, field))

    return compute


_DENSE = ("images", "series", "table")

MEASURES = {
    "accuracy_drop": Entry("accuracy-drop area", False, _DENSE, _drop),
    "deletion": Entry(
        "deletion area",
        False,
        _DENSE,
        _probability(evaluation.deletion, "mean"),
    ),
    "insertion": Entry(
        "insertion area",
        True,
        _DENSE,
        _probability(evaluation.insertion, "mean"),
    ),
    "comprehensiveness": Entry(
        "comprehensiveness",
        True,
        ("text",),
        _tokens(evaluation.comprehensiveness),
    ),
    "sufficiency": Entry(
        "sufficiency", False, ("text",), _tokens(evaluation.sufficiency)
    ),
    "relevance_mass": Entry(
        "relevance mass on truth",
        True,
        _DENSE,
        _located(evaluation.relevance_mass),
        needs_truth=True,
    ),
    "pointing_game": Entry(
        "pointing game",
        True,
        _DENSE,
        _located(evaluation.pointing_game),
        needs_truth=True,
    ),
    "aup": Entry(
        "weighted precision (AUP)",
        True,
        ("series",),
        _weighted("per_sample"),
        needs_truth=True,
    ),
    "aur": Entry(
        "weighted recall (AUR)",
        True,
        ("series",),
        _weighted("recall_per_sample"),
        needs_truth=True,
    ),
    "token_auprc": Entry(
        "token AUPRC", True, ("text",), _auprc, needs_truth=True
    ),
    "gini": Entry(
        "sparsity (Gini)",
        None,
        DOMAINS,
        lambda given: evaluation.gini(given.attributions),
    ),
}


def choose(wanted, domain, truth):
    """The names of the measures of a comparison, checked."""
    fitting = [
        name
        for name, entry in MEASURES.items()
        if domain in entry.domains
        and (truth is not None or not entry.needs_truth)
    ]
    if wanted is None:
        return fitting
    if isinstance(wanted, str):
        wanted = [wanted]
    unknown = [name for name in wanted if name not in fitting]
    if unknown:
        raise ValueError(
            f"`measures` has to hold names out of {fitting} (those that need "
            "the true features only with `truth`), for data of the domain "
            f"{domain!r}. Received: {unknown}"
        )
    return list(wanted)


def higher(measure):
    """Whether higher is better; `None` where neither is."""
    return True if measure == "accuracy" else MEASURES[measure].higher


def heading(measure):
    """The title of a measure, with an arrow that points to the better."""
    title = "accuracy" if measure == "accuracy" else MEASURES[measure].title
    arrow = {True: " ↑", False: " ↓", None: ""}[higher(measure)]
    return title + arrow
