"""What a training step asks for beside the loss, and its blind control."""

from keras_sgt.guidance.adversarial_consistency import AdversarialConsistency
from keras_sgt.guidance.base import Batch, Guidance, Moved
from keras_sgt.guidance.comprehensiveness import Comprehensiveness
from keras_sgt.guidance.gradient_penalty import GradientPenalty
from keras_sgt.guidance.masked_consistency import MaskedConsistency
from keras_sgt.guidance.random_masking import RandomMasking

__all__ = [
    "AdversarialConsistency",
    "Batch",
    "Comprehensiveness",
    "GradientPenalty",
    "Guidance",
    "MaskedConsistency",
    "Moved",
    "RandomMasking",
]
