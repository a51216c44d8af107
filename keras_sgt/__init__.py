"""Saliency guided training for Keras 3."""

from keras_sgt import (
    attribution,
    backend,
    callbacks,
    divergences,
    evaluation,
    masking,
)
from keras_sgt.model import SaliencyGuidedModel

__version__ = "0.1.0"

__all__ = [
    "SaliencyGuidedModel",
    "attribution",
    "backend",
    "callbacks",
    "divergences",
    "evaluation",
    "masking",
]
