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
        data: `Data` of the arguments: inputs, classes, truth.
        attributions: floats shaped like the inputs.
        from_logits: whether the model's outputs are logits.
        batch_size: int.
    """

    model: typing.Any
    data: typing.Any
    attributions: np.ndarray
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
        kind: what it is a measure of; `None` where it judges nothing.
        meaning: str, a sentence for who does not know it.
        needs_truth: whether it compares with the true features.
    """

    title: str
    higher: bool | None
    domains: tuple
    compute: typing.Callable
    kind: str | None
    meaning: str
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
        given.data.x,
        given.data.y,
        given.attributions,
        fill=fill[given.data.domain],
        from_logits=given.from_logits,
        batch_size=given.batch_size,
    )


def _probability(function, fill):
    def compute(given):
        return function(
            given.model,
            given.data.x,
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
            given.data.x,
            abs(given.attributions),
            from_logits=given.from_logits,
            batch_size=given.batch_size,
        )

    return compute


def _located(function):
    def compute(given):
        return function(given.attributions, given.data.truth)

    return compute


def with_rationale(truth, ids):
    """Which texts have a rationale, and words outside it."""
    real = ids != 0
    marked = (truth & real).sum(1)
    return (marked > 0) & (marked < real.sum(1))


def _auprc(given):
    """Of the texts that have a rationale; the others are left out."""
    chosen = with_rationale(given.data.truth, given.data.x)
    found = evaluation.token_auprc(
        abs(given.attributions)[chosen],
        given.data.truth[chosen],
        given.data.x[chosen] != 0,
    )
    per_sample = np.full(len(given.data.x), np.nan)
    per_sample[chosen] = found.per_sample
    return results.of_samples(per_sample)


def _weighted(field):
    def compute(given):
        found = evaluation.weighted_precision_recall(
            given.attributions, given.data.truth
        )
        return results.of_samples(getattr(found, field))

    return compute


_DENSE = ("images", "series", "table")

FAITHFULNESS, LOCALISATION = "faithfulness", "localisation"

MEASURES = {
    "accuracy_drop": Entry(
        "accuracy-drop area",
        False,
        _DENSE,
        _drop,
        FAITHFULNESS,
        "The area under the accuracy as the features that a map calls most "
        "relevant are removed. Lower: accuracy falls sooner, so what the map "
        "marks is what the model needs.",
    ),
    "deletion": Entry(
        "deletion area",
        False,
        _DENSE,
        _probability(evaluation.deletion, "mean"),
        FAITHFULNESS,
        "The area under the probability of the predicted class as the most "
        "relevant features are removed. Lower is better.",
    ),
    "insertion": Entry(
        "insertion area",
        True,
        _DENSE,
        _probability(evaluation.insertion, "mean"),
        FAITHFULNESS,
        "The area under the probability of the predicted class as the most "
        "relevant features are put back into an empty input. Higher: few "
        "features suffice.",
    ),
    "comprehensiveness": Entry(
        "comprehensiveness",
        True,
        ("text",),
        _tokens(evaluation.comprehensiveness),
        FAITHFULNESS,
        "How much probability the predicted class loses when the most "
        "relevant words are deleted. Higher: they were needed.",
    ),
    "sufficiency": Entry(
        "sufficiency",
        False,
        ("text",),
        _tokens(evaluation.sufficiency),
        FAITHFULNESS,
        "How much probability the predicted class loses when only the most "
        "relevant words are left. Lower: they were enough.",
    ),
    "relevance_mass": Entry(
        "relevance mass on truth",
        True,
        _DENSE,
        _located(evaluation.relevance_mass),
        LOCALISATION,
        "The share of a map's relevance that lies on the features that are "
        "known to matter.",
        needs_truth=True,
    ),
    "pointing_game": Entry(
        "pointing game",
        True,
        _DENSE,
        _located(evaluation.pointing_game),
        LOCALISATION,
        "How often the most relevant feature of a map is one that is known "
        "to matter.",
        needs_truth=True,
    ),
    "aup": Entry(
        "weighted precision (AUP)",
        True,
        ("series",),
        _weighted("per_sample"),
        LOCALISATION,
        "How much of what a map marks is known to matter, weighted by "
        "relevance, over all thresholds.",
        needs_truth=True,
    ),
    "aur": Entry(
        "weighted recall (AUR)",
        True,
        ("series",),
        _weighted("recall_per_sample"),
        LOCALISATION,
        "How much of what is known to matter a map marks, weighted by "
        "relevance, over all thresholds.",
        needs_truth=True,
    ),
    "token_auprc": Entry(
        "token AUPRC",
        True,
        ("text",),
        _auprc,
        LOCALISATION,
        "The area under the precision-recall curve of a text's relevance "
        "against the words that people marked as the reason.",
        needs_truth=True,
    ),
    "gini": Entry(
        "sparsity (Gini)",
        None,
        DOMAINS,
        lambda given: evaluation.gini(given.attributions),
        None,
        "How few features hold a map's relevance: 0 all alike, towards 1 a "
        "single one. Neither end is better by itself.",
    ),
}

QUALITY = {
    "accuracy": (
        "accuracy",
        "The share of the test samples whose class is predicted.",
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


def chance(y):
    """The accuracy of who always says the most frequent class."""
    return float(np.bincount(y).max() / len(y))


def higher(measure):
    """Whether higher is better; `None` where neither is."""
    return True if measure in QUALITY else MEASURES[measure].higher


def kind(measure):
    """What a measure judges, `"faithfulness"` or the like, or `None`."""
    return None if measure in QUALITY else MEASURES[measure].kind


def title(measure):
    return (
        QUALITY[measure][0] if measure in QUALITY else MEASURES[measure].title
    )


def meaning(measure):
    """A sentence for who does not know the measure."""
    if measure in QUALITY:
        return QUALITY[measure][1]
    return MEASURES[measure].meaning


def heading(measure):
    """The title of a measure, with an arrow that points to the better."""
    return title(measure) + {True: " ↑", False: " ↓", None: ""}[higher(measure)]
