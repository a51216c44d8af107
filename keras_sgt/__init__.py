"""Saliency guided training for Keras 3."""

import importlib
import typing

from keras_sgt import backend, divergences, guidance, masking
from keras_sgt.introspection import versions
from keras_sgt.training import SaliencyGuidedModel, distribute
from keras_sgt.version import __version__ as __version__

if typing.TYPE_CHECKING:
    from keras_sgt import (
        attribution,
        callbacks,
        datasets,
        evaluation,
        report,
        searching,
    )
    from keras_sgt.report import compare
    from keras_sgt.searching import search

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

# What training does not need is imported when it is asked for.
_LATER = {
    "attribution": "attribution",
    "callbacks": "callbacks",
    "compare": "report",
    "datasets": "datasets",
    "evaluation": "evaluation",
    "report": "report",
    "search": "searching",
    "searching": "searching",
}


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    found = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__():
    return sorted({*globals(), *__all__})
