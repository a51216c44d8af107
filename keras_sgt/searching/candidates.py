"""The guidances that a search tries, and the ranges of their settings."""

import dataclasses
import typing

from keras_sgt.guidance import (
    AdversarialConsistency,
    Comprehensiveness,
    GradientPenalty,
    Guidance,
    MaskedConsistency,
)
from keras_sgt.masking import FeatureMasking, TokenMasking

STEP_FRACTIONS = (1.0, 0.5)
STARTS = (0.0, 0.5)  # of the epochs


class Middle:
    """Suggests the middle of every range, and the first of every choice.

    Attribute `params`: what was suggested, by name.
    """

    def __init__(self):
        self.params = {}

    def suggest_float(self, name, low, high, *, step=None, log=False):
        middle = (low * high) ** 0.5 if log else (low + high) / 2
        if step is not None:
            middle = low + step * ((middle - low) // step)
        return self.params.setdefault(name, middle)

    def suggest_int(self, name, low, high, *, step=1, log=False):
        middle = low + step * ((high - low) // 2 // step)
        return self.params.setdefault(name, middle)

    def suggest_categorical(self, name, choices):
        return self.params.setdefault(name, choices[0])


@dataclasses.dataclass(frozen=True)
class Prefixed:
    """Settings under a candidate's own names, so that ranges may differ."""

    settings: typing.Any  # an Optuna trial, or `Middle`
    prefix: str

    def suggest_float(self, name, low, high, **options):
        return self.settings.suggest_float(
            f"{self.prefix}.{name}", low, high, **options
        )

    def suggest_int(self, name, low, high, **options):
        return self.settings.suggest_int(
            f"{self.prefix}.{name}", low, high, **options
        )

    def suggest_categorical(self, name, choices):
        return self.settings.suggest_categorical(
            f"{self.prefix}.{name}", choices
        )


def _masking(settings, domain):
    if domain == "text":
        return TokenMasking()
    rankings = ["signed", "absolute"]
    if domain == "table":  # where signed ranking helped less
        rankings.reverse()
    ranking = settings.suggest_categorical("ranking", rankings)
    return FeatureMasking(ranking=ranking)


def _weight(settings, low, high, name="weight"):
    return settings.suggest_float(name, low, high, log=True)


def _epsilon(settings):
    return settings.suggest_float("epsilon", 0.02, 0.4, log=True)


def _masked(settings, domain):
    return MaskedConsistency(
        mask_fraction=settings.suggest_float("mask_fraction", 0.1, 0.7),
        weight=_weight(settings, 0.1, 3),
        masking=_masking(settings, domain),
    )


def _adversarial(settings, domain):
    return AdversarialConsistency(
        epsilon=_epsilon(settings), weight=_weight(settings, 0.2, 3)
    )


def _masked_adversarial(settings, domain):
    return AdversarialConsistency(
        epsilon=_epsilon(settings),
        weight=_weight(settings, 0.2, 3),
        masking=_masking(settings, domain),
        mask_fraction=settings.suggest_float("mask_fraction", 0.1, 0.7),
    )


def _comprehensiveness(settings, domain):
    masking = TokenMasking(ranking="relevance") if domain == "text" else None
    return Comprehensiveness(
        top=settings.suggest_float("top", 0.05, 0.4),
        weight=_weight(settings, 0.05, 1),
        masking=masking,
    )


def _adversarial_comprehensiveness(settings, domain):
    return [
        AdversarialConsistency(
            epsilon=_epsilon(settings), weight=_weight(settings, 0.2, 3)
        ),
        _comprehensiveness(
            dataclasses.replace(
                settings, prefix=f"{settings.prefix}.comprehensiveness"
            ),
            domain,
        ),
    ]


def _gradient_penalty(settings, domain):
    return GradientPenalty(weight=_weight(settings, 0.01, 1))


# Without `RandomMasking`, which is its own control and cannot beat it.
CANDIDATES = {
    "adversarial": _adversarial,
    "masked": _masked,
    "adversarial_comprehensiveness": _adversarial_comprehensiveness,
    "masked_adversarial": _masked_adversarial,
    "gradient_penalty": _gradient_penalty,
    "comprehensiveness": _comprehensiveness,
}


def named(candidates, domain):
    """A dict from names to functions from settings to a list of guidances.

    Raises:
        ValueError: for names that do not exist, and what cannot be called.
    """
    if isinstance(candidates, dict):
        if not candidates or not all(map(callable, candidates.values())):
            raise ValueError(
                "`candidates` as a dict has to hold functions from an Optuna "
                "trial to a guidance or a list of them. Received: "
                f"candidates={candidates!r}"
            )
        return {
            str(name): _candidate(str(name), make)
            for name, make in candidates.items()
        }
    if candidates == "default":
        candidates = list(CANDIDATES)
    elif isinstance(candidates, str):
        candidates = [candidates]
    known = isinstance(candidates, (list, tuple)) and candidates
    if not known or not all(name in CANDIDATES for name in candidates):
        raise ValueError(
            f"`candidates` has to be 'default', names out of "
            f"{list(CANDIDATES)}, or a dict from names to functions from an "
            "Optuna trial to a guidance. Received: candidates="
            f"{candidates!r}"
        )
    return {
        name: _candidate(
            name, lambda settings, make=CANDIDATES[name]: make(settings, domain)
        )
        for name in candidates
    }


def _candidate(name, make):
    def guidances(settings):
        found = make(Prefixed(settings, name))
        found = list(found) if isinstance(found, (list, tuple)) else [found]
        wrong = [g for g in found if not isinstance(g, Guidance)]
        if wrong or not found:
            raise ValueError(
                f"The candidate {name!r} has to return a "
                "`keras_sgt.guidance.Guidance` or a list of them. Received: "
                f"{found!r}"
            )
        return found

    return guidances
