"""What is looked at before the first batch is trained on."""

import keras
import numpy as np
from keras import ops

from keras_sgt import backend
from keras_sgt.introspection.layers import may_cut_gradients
from keras_sgt.masking import TokenMasking
from keras_sgt.training.saliency_scores import NO_LABELS

LOOKED_AT = 8  # samples, whose saliency shows whether it decides anything


def check_labels(saliency_target, x, y):
    """Raises for arrays without labels; data sets bring theirs."""
    arrays = all(hasattr(a, "shape") for a in keras.tree.flatten(x))
    if y is None and arrays and saliency_target == "label":
        raise ValueError(NO_LABELS)


def first(nest, count):
    """The first samples of arrays, as tensors.

    `None` for what is not looked at: data sets and frames.
    """
    arrays = [a for a in keras.tree.flatten(nest) if a is not None]
    is_sliced = all(
        hasattr(a, "shape") and len(a.shape) and not hasattr(a, "iloc")
        for a in arrays
    )
    if not arrays or not is_sliced:
        return None
    return keras.tree.map_structure(
        lambda a: None if a is None else tensor(a[:count]), nest
    )


def may_tie(model):
    """Whether to look at what the first samples are ranked by.

    Where that takes a compilation, only where ties are likely.
    """
    return (
        backend.EAGER_IS_QUICK
        or may_cut_gradients(model)
        or any(
            isinstance(getattr(term, "masking", None), TokenMasking)
            for term in model.guidance
        )
    )


def tensor(x):
    """A tensor as `fit` would make it: floats of NumPy become floatx."""
    if x is None:
        return None
    if ops.is_tensor(x):
        return ops.convert_to_tensor(x)  # on the device of the model
    if not hasattr(x, "dtype"):
        x = np.asarray(x)  # a number, a data frame
    if x.dtype == object or getattr(x.dtype, "kind", "") in "US":
        raise ValueError(
            "Features and labels have to be numbers. Received: an array of "
            f"dtype {x.dtype}. Turn strings into numbers where the data are "
            "made, with `keras.layers.StringLookup` or `TextVectorization`, "
            "or a preprocessor of KerasHub."
        )
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return ops.convert_to_tensor(x, dtype=keras.config.floatx())
    return ops.convert_to_tensor(x)
