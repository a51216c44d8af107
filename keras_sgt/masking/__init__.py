"""Which features are masked, and what takes their place."""

from keras_sgt.masking.base import Batch, Masking
from keras_sgt.masking.feature_masking import FeatureMasking, get_masking
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
from keras_sgt.masking.token_masking import RandomToken, TokenMasking

__all__ = [
    "Batch",
    "Constant",
    "FeatureMasking",
    "Gaussian",
    "Marginal",
    "Masking",
    "Mean",
    "Previous",
    "RandomToken",
    "Replacement",
    "TokenMasking",
    "Uniform",
    "get",
    "get_masking",
]
