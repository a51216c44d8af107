"""Saliency guided training for Keras 3."""

from keras_sgt import (
    attribution,
    backend,
    callbacks,
    datasets,
    divergences,
    evaluation,
    guidance,
    masking,
    report,
    searching,
)
from keras_sgt.introspection import versions
from keras_sgt.report import compare
from keras_sgt.searching import search
from keras_sgt.training import SaliencyGuidedModel, distribute
from keras_sgt.version import __version__ as __version__

versions.warn_of_untested_keras()

__all__ = [
    "SaliencyGuidedModel",
    "attribution",
    "backend",
    "callbacks",
    "compare",
    "datasets",
    "distribute",
    "divergences",
    "evaluation",
    "guidance",
    "masking",
    "report",
    "search",
    "searching",
]
