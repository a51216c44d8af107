"""Saliency methods: which features of an input a prediction comes from.

`Method(model, **options)(x, target=None, batch_size=32)` returns NumPy arrays
shaped like `x`, on every backend. Options that all methods share are those of
`Attribution`.
"""

from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.methods.deep_lift import DeepLIFT
from keras_sgt.attribution.methods.deep_shap import DeepSHAP
from keras_sgt.attribution.methods.feature_ablation import FeatureAblation
from keras_sgt.attribution.methods.grad_cam import GradCAM
from keras_sgt.attribution.methods.gradient import Gradient
from keras_sgt.attribution.methods.gradient_shap import GradientSHAP
from keras_sgt.attribution.methods.input_x_gradient import InputXGradient
from keras_sgt.attribution.methods.integrated_gradients import (
    IntegratedGradients,
)
from keras_sgt.attribution.methods.occlusion import Occlusion
from keras_sgt.attribution.methods.permuted_features import PermutedFeatures
from keras_sgt.attribution.methods.random import Random
from keras_sgt.attribution.methods.smooth_grad import SmoothGrad
from keras_sgt.attribution.methods.temporal_rescaling import TemporalRescaling
from keras_sgt.attribution.rows import Rows

__all__ = [
    "Attribution",
    "DeepLIFT",
    "DeepSHAP",
    "FeatureAblation",
    "GradCAM",
    "Gradient",
    "GradientSHAP",
    "InputXGradient",
    "IntegratedGradients",
    "Occlusion",
    "PermutedFeatures",
    "Random",
    "Rows",
    "SmoothGrad",
    "TemporalRescaling",
]
