"""Saliency methods: which features of an input a prediction comes from.

`Method(model, **options)(x, target=None, batch_size=32)` returns NumPy arrays
shaped like `x`, on every backend. Options that all methods share are those of
`Attribution`.
"""

from keras_sgt.attribution.attribution import Attribution
from keras_sgt.attribution.deep_lift import DeepLIFT
from keras_sgt.attribution.deep_shap import DeepSHAP
from keras_sgt.attribution.feature_ablation import FeatureAblation
from keras_sgt.attribution.grad_cam import GradCAM
from keras_sgt.attribution.gradient import Gradient
from keras_sgt.attribution.gradient_shap import GradientSHAP
from keras_sgt.attribution.input_x_gradient import InputXGradient
from keras_sgt.attribution.integrated_gradients import IntegratedGradients
from keras_sgt.attribution.occlusion import Occlusion
from keras_sgt.attribution.permuted_features import PermutedFeatures
from keras_sgt.attribution.random import Random
from keras_sgt.attribution.smooth_grad import SmoothGrad
from keras_sgt.attribution.temporal_rescaling import TemporalRescaling

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
    "SmoothGrad",
    "TemporalRescaling",
]
