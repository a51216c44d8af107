"""Which features are masked, and what takes their place."""

from keras_sgt.masking.masking import FeatureMasking
from keras_sgt.masking.replacement import (
    Constant,
    Gaussian,
    Marginal,
    Mean,
    Previous,
    Replacement,
    Uniform,
    get,
)
from keras_sgt.masking.tokens import RandomToken, TokenMasking

__all__ = [
    "Constant",
    "FeatureMasking",
    "Gaussian",
    "Marginal",
    "Mean",
    "Previous",
    "RandomToken",
    "Replacement",
    "TokenMasking",
    "Uniform",
    "get",
]
