"""How faithful a model's gradients are, in one number that training hides.

Of every sample i and measure m there is a value v, higher being better.
Traditional training has the mean v̄ₘ and the standard deviation σₘ over the same
samples, each averaged over seeds. Then

    faithfulness = meanₘ (meanᵢ vₘᵢ − v̄ₘ) / σₘ

over the measures that the guidance under trial does not optimise: how many
deviations of a sample the maps got better; traditional training has 0.
"""

import dataclasses
import typing

import numpy as np

from keras_sgt import attribution, evaluation
from keras_sgt.evaluation import prediction
from keras_sgt.guidance import Comprehensiveness


class Data(typing.NamedTuple):
    """Samples: inputs, classes, and which features matter, or `None`."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray | None

    def part(self, chosen):
        truth = None if self.truth is None else self.truth[chosen]
        return Data(self.x[chosen], self.y[chosen], truth)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a measure is computed from: maps, and random ones beside them."""

    model: typing.Any
    data: Data
    maps: np.ndarray
    blind: np.ndarray
    from_logits: bool


@dataclasses.dataclass(frozen=True)
class Entry:
    """A measure that a search knows by name.

    Args:
        title: str.
        domains: the kinds of data that it is for.
        compute: function from `Asked` to floats `(samples,)`, higher better.
        needs_truth: whether it compares with the true features.
    """

    title: str
    domains: tuple
    compute: typing.Callable
    needs_truth: bool = False


def _against_random(function, higher, **options):
    """How much better maps do than random ones, on the same model.

    A model that withstands the loss of any feature, or none, gains nothing.
    """

    def compute(asked):
        own, blind = (
            function(asked, maps, **options)
            for maps in (asked.maps, asked.blind)
        )
        return (own - blind) if higher else (blind - own)

    return compute


def _drop(asked, maps, fill):
    return evaluation.accuracy_drop(
        asked.model,
        asked.data.x,
        asked.data.y,
        maps,
        fill=fill,
        from_logits=asked.from_logits,
    ).per_sample


def _kept(asked, maps, fill):
    return evaluation.insertion(
        asked.model,
        asked.data.x,
        maps,
        target=asked.data.y,
        fill=fill,
        ranking="absolute",
        from_logits=asked.from_logits,
    ).per_sample


def _tokens(asked, maps, measure):
    return measure(
        asked.model, asked.data.x, maps, from_logits=asked.from_logits
    ).per_sample


def _relevance(asked):
    return evaluation.relevance_mass(asked.maps, asked.data.truth).per_sample


_DENSE = ("images", "series", "table")

MEASURES = {
    "relevance": Entry(
        "relevance on the truth", _DENSE, _relevance, needs_truth=True
    ),
    **{
        f"drop_{fill}": Entry(
            f"accuracy-drop area below random's ({fill} fill)",
            _DENSE if fill != "blur" else ("images", "series"),
            _against_random(_drop, higher=False, fill=fill),
        )
        for fill in ("blur", "sample", "mean")
    },
    "keep_mean": Entry(
        "insertion area above random's (mean fill)",
        _DENSE,
        _against_random(_kept, higher=True, fill="mean"),
    ),
    "comprehensiveness": Entry(
        "comprehensiveness above random's",
        ("text",),
        _against_random(
            _tokens, higher=True, measure=evaluation.comprehensiveness
        ),
    ),
    "sufficiency": Entry(
        "sufficiency below random's",
        ("text",),
        _against_random(_tokens, higher=False, measure=evaluation.sufficiency),
    ),
}
_DEFAULT = {
    "images": ["drop_blur", "drop_sample"],
    "series": ["drop_blur", "drop_sample"],
    "table": ["drop_sample", "drop_mean"],
    "text": ["comprehensiveness", "sufficiency"],
}


def choose(wanted, domain, truth):
    """The names of a search's measures, checked."""
    fitting = [
        name
        for name, entry in MEASURES.items()
        if domain in entry.domains
        and (truth is not None or not entry.needs_truth)
    ]
    if isinstance(wanted, str) and wanted == "default":
        return ["relevance"] if "relevance" in fitting else _DEFAULT[domain]
    wanted = [wanted] if isinstance(wanted, str) else wanted
    known = isinstance(wanted, (list, tuple)) and len(wanted) > 0
    if not known or not all(name in fitting for name in wanted):
        raise ValueError(
            f"`measures` has to be 'default' or names out of {fitting}, those "
            f"that fit this data (domain {domain!r}, truth "
            f"{'not ' if truth is None else ''}given). Received: measures="
            f"{wanted!r}"
        )
    return list(dict.fromkeys(wanted))


def optimised(guidances):
    """The measures that guidances train for: no evidence for them."""
    found = set()
    for guidance in guidances:
        if isinstance(guidance, Comprehensiveness):
            found |= {"comprehensiveness", "drop_mean"}
        elif getattr(guidance, "masking", None) is not None:
            found |= {"sufficiency", "keep_mean"}
    return found


def fair(measures, guidances):
    """The measures that guidances are judged by."""
    return [name for name in measures if name not in optimised(guidances)]


def measured(model, data, measures, from_logits):
    """Values of each sample, by measure, a dict of floats `(samples,)`."""
    maps = gradient_maps(model, data.x, from_logits)
    asked = Asked(
        model=model,
        data=data,
        maps=abs(maps),
        blind=np.random.default_rng(0).random(maps.shape),
        from_logits=from_logits,
    )
    return {name: MEASURES[name].compute(asked) for name in measures}


def gradient_maps(model, x, from_logits):
    """The gradient of the score of each sample's predicted class."""
    gradient = attribution.Gradient(model, from_logits=from_logits)
    gradient.explained.is_binary = True  # if it has a single unit
    return gradient(x, batch_size=128)


def correct(model, data, from_logits):
    """Which samples' classes are predicted, 1 or 0."""
    scores = prediction.scores(model, data.x, 256, from_logits)
    prediction.check_classes("y", data.y, scores)
    return (scores.argmax(1) == data.y).astype("float64")


def faithfulness(means, reference, measures):
    """The formula above.

    Args:
        means: dict from measures to numbers or arrays.
        reference: dict with `"means"` and `"spreads"` of traditional training,
            each a dict from measures to numbers.
        measures: those that count.
    """
    return sum(
        (means[m] - reference["means"][m]) / (reference["spreads"][m] or 1)
        for m in measures
    ) / len(measures)
