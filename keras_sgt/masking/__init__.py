"""Which features are masked, and what takes their place."""

from keras_sgt.masking.masking import FeatureMasking
from keras_sgt.masking.replacement import (
    Constant,
    Gaussian,
    Mean,
    Replacement,
    Uniform,
    get,
)

__all__ = [
    "Constant",
    "FeatureMasking",
    "Gaussian",
    "Mean",
    "Replacement",
    "Uniform",
    "get",
]
