"""The measures that models are compared by, for each kind of data."""

import dataclasses
import typing

import numpy as np

from keras_sgt import evaluation
from keras_sgt.evaluation import prediction, results
from keras_sgt.report.tasks import CLASSES, LABELS, NUMBERS, TASKS

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
        method: function `(x, target=None)` to attributions.
        target: ints `(samples,)`, the output that is explained, or `None`
            where that is a class.
        spread: floats `(outputs,)`, each output's standard deviation, or
            `None`.
    """

    model: typing.Any
    data: typing.Any
    attributions: np.ndarray
    from_logits: bool
    batch_size: int
    method: typing.Any = None
    target: typing.Any = None
    spread: typing.Any = None

    def some(self, chosen):
        """Of the chosen samples, a slice."""
        target = None if self.target is None else self.target[chosen]
        return dataclasses.replace(
            self,
            data=self.data.some(chosen),
            attributions=self.attributions[chosen],
            target=target,
        )

    def fill(self, usual="mean"):
        """What a removed feature is replaced by, in `evaluation`."""
        return self.data.inputs.fill or usual


@dataclasses.dataclass(frozen=True)
class Entry:
    """A measure in a comparison.

    Args:
        title: str.
        higher: whether higher is better; `None` where neither is.
        domains: those it is for.
        compute: function from `Given` to `evaluation.Measure`.
        kind: what it is a measure of; `None` where it judges nothing.
        axes: what its curve is of, and along what; `None` without a curve.
        meaning: str, a sentence for who does not know it.
        needs_truth: whether it compares with the true features.
        needs_floats: whether it adds noise to features, of which some have to
            be floats.
        tasks: those in which it has a meaning.
    """

    title: str
    higher: bool | None
    domains: tuple
    compute: typing.Callable
    kind: str | None
    meaning: str
    needs_truth: bool = False
    needs_floats: bool = False
    tasks: tuple = TASKS
    axes: tuple | None = None


def accuracy(model, x, y, from_logits, batch_size):
    """The share of samples whose class is predicted."""
    scores = prediction.scores(model, x, batch_size, from_logits)
    prediction.check_classes("y", y, scores)
    return results.of_samples(scores.argmax(1) == y)


def _drop(given):
    background = given.data.domain == "images"
    return evaluation.accuracy_drop(
        given.model,
        given.data.x,
        given.data.y,
        given.attributions,
        fill=given.fill("background" if background else "mean"),
        from_logits=given.from_logits,
        batch_size=given.batch_size,
    )


def _probability(function):
    def compute(given):
        return function(
            given.model,
            given.data.x,
            given.attributions,
            fill=given.fill(),
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


def _moved(keep_top):
    def compute(given):
        text = given.data.domain == "text"
        return evaluation.output_change(
            given.model,
            given.data.x,
            given.attributions,
            given.target,
            fill=given.fill(0.0 if text else "mean"),
            keep_top=keep_top,
            spread=given.spread,
            batch_size=given.batch_size,
        )

    return compute


def _infidelity(given):
    """In units of each output's variance, whatever the size of the maps."""
    found = evaluation.infidelity(
        given.model,
        given.data.x,
        given.attributions,
        given.target,
        perturb=_shaken(given.data, 0.2),
        normalize=True,
        batch_size=given.batch_size,
        regression=True,
    )
    spread = np.where(given.spread > 0, given.spread, 1)[given.target]
    return results.of_samples(found.per_sample / spread**2)


def _sensitivity(given):
    """Of the first samples only: each is attributed several times."""
    few = slice(min(SHAKEN, len(given.data.x)))
    several = len(given.spread) > 1
    found = evaluation.max_sensitivity(
        given.method,
        given.data.x[few],
        given.target[few] if several else None,
        draws=4,
        perturb=_shaken(given.data, 0.05),
    )
    per_sample = np.full(len(given.data.x), np.nan)
    per_sample[few] = found.per_sample
    return results.of_samples(per_sample)


SHAKEN = 64  # samples, at a time, of which the sensitivity is measured


def _shaken(data, share):
    """Noise as large as a share of each column's, or all, deviation.

    None on whole numbers and categories, between which there is nothing.
    """
    table = data.domain == "table"
    scale = share * data.x.std(0 if table else None) * data.continuous

    def perturb(x, rng):
        return (x + scale * rng.standard_normal(x.shape)).astype(x.dtype)

    return perturb


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
        tasks=(CLASSES,),
        axes=("accuracy", "share of features removed"),
    ),
    "deletion": Entry(
        "deletion area",
        False,
        _DENSE,
        _probability(evaluation.deletion),
        FAITHFULNESS,
        "The area under the probability of the predicted class as the most "
        "relevant features are removed. Lower is better.",
        tasks=(CLASSES,),
        axes=("probability", "share of features removed"),
    ),
    "insertion": Entry(
        "insertion area",
        True,
        _DENSE,
        _probability(evaluation.insertion),
        FAITHFULNESS,
        "The area under the probability of the predicted class as the most "
        "relevant features are put back into an empty input. Higher: few "
        "features suffice.",
        tasks=(CLASSES,),
        axes=("probability", "share of features put back"),
    ),
    "comprehensiveness": Entry(
        "comprehensiveness",
        True,
        ("text",),
        _tokens(evaluation.comprehensiveness),
        FAITHFULNESS,
        "How much probability the predicted class loses when the most "
        "relevant words are deleted. Higher: they were needed.",
        tasks=(CLASSES,),
        axes=("probability lost", "share of words deleted"),
    ),
    "sufficiency": Entry(
        "sufficiency",
        False,
        ("text",),
        _tokens(evaluation.sufficiency),
        FAITHFULNESS,
        "How much probability the predicted class loses when only the most "
        "relevant words are left. Lower: they were enough.",
        tasks=(CLASSES,),
        axes=("probability lost", "share of words kept"),
    ),
    "output_change": Entry(
        "output change",
        True,
        DOMAINS,
        _moved(keep_top=False),
        FAITHFULNESS,
        "How far the output moves, in units of its spread, as the features "
        "that a map calls most relevant are removed: the area under that "
        "curve. Higher: what the map marks is what moves the output.",
        tasks=(LABELS, NUMBERS),
        axes=("change, in spreads", "share of features removed"),
    ),
    "output_left": Entry(
        "change with the top only",
        False,
        DOMAINS,
        _moved(keep_top=True),
        FAITHFULNESS,
        "How far the output is from that of the whole input, in units of its "
        "spread, while only the most relevant features are there: the area "
        "under that curve. Lower: few features suffice.",
        tasks=(LABELS, NUMBERS),
        axes=("change, in spreads", "share of features kept"),
    ),
    "infidelity": Entry(
        "infidelity",
        False,
        _DENSE,
        _infidelity,
        FAITHFULNESS,
        "How badly a map, scaled to fit best, predicts what noise on the "
        "input does to the output, as a share of the output's variance. "
        "Lower is better.",
        needs_floats=True,
        tasks=(LABELS, NUMBERS),
    ),
    "sensitivity": Entry(
        "sensitivity",
        False,
        _DENSE,
        _sensitivity,
        "stability",
        "How far a map moves, relative to its size, when its input hardly "
        "does; of a few samples. Lower: maps of like inputs are alike.",
        needs_floats=True,
        tasks=(LABELS, NUMBERS),
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

QUALITIES = {CLASSES: "accuracy", LABELS: "label_accuracy", NUMBERS: "r2"}
QUALITY = {
    "accuracy": (
        "accuracy",
        "The share of the test samples whose class is predicted.",
    ),
    "label_accuracy": (
        "label accuracy",
        "The share of the labels of a test sample that are predicted.",
    ),
    "r2": (
        "R²",
        "The share of the variance that is predicted: 1 perfect, 0 as good as "
        "to say the mean always.",
    ),
}


def choose(wanted, domain, truth, task=CLASSES, floats=True):
    """The names of the measures of a comparison, checked."""
    fitting = [
        name
        for name, entry in MEASURES.items()
        if domain in entry.domains
        and task in entry.tasks
        and (truth is not None or not entry.needs_truth)
        and (floats or not entry.needs_floats)
    ]
    if wanted is None:
        return fitting
    if isinstance(wanted, str):
        wanted = [wanted]
    unknown = [name for name in wanted if name not in fitting]
    if unknown:
        raise ValueError(
            f"`measures` has to hold names out of {fitting} (those that need "
            "the true features only with `truth`, those that add noise only "
            f"if some columns are floats), for data of the domain {domain!r} "
            f"and the task {task!r}. Received: {unknown}"
        )
    return list(wanted)


def of_other_tasks(domain, task):
    """The measures of the domain that have no meaning in the task."""
    return [
        name
        for name, entry in MEASURES.items()
        if domain in entry.domains and task not in entry.tasks
    ]


def of_floats(domain, task):
    """The measures of the domain and the task that need floats."""
    return [
        name
        for name, entry in MEASURES.items()
        if entry.needs_floats and domain in entry.domains
        if task in entry.tasks
    ]


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
