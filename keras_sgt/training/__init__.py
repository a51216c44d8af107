"""A guided training step. README.md beside this file tells it in order."""

from keras_sgt.training.distribution import distribute
from keras_sgt.training.model import SaliencyGuidedModel

__all__ = ["SaliencyGuidedModel", "distribute"]
