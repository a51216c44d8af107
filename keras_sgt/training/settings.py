"""The arguments of a guided model: checked, and numbers that change later."""

import math
import warnings

import keras

from keras_sgt import backend
from keras_sgt.guidance import Guidance, MaskedConsistency, settings
from keras_sgt.introspection.layers import all_layers

# A guided step weighs as much as all that it stands for: one of more steps than
# these would throw the weights far off.
_LONGEST_STRIDE = 1000


def checked_stride(name, fraction):
    if settings.is_number(fraction) and 0 < fraction <= 1:
        stride = round(1 / fraction)
        is_whole = math.isclose(stride * fraction, 1, rel_tol=1e-6)
        if is_whole and stride <= _LONGEST_STRIDE:
            return stride
    what = {
        "batch_fraction": "the share of each batch that is regularised",
        "step_fraction": "the share of the training steps that are guided",
    }
    raise ValueError(
        f"`{name}` has to be 1 or 1/2, 1/3, 1/4 and so on, to "
        f"1/{_LONGEST_STRIDE}: {what[name]}. Received: {name}={fraction!r}"
    )


def checked_flag(name, value):
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` has to be True or False. Received: {name}={value!r}"
        )
    return value


def check_batches(arguments):
    """Whether the devices can share what `fit` is given, where it is arrays.

    Args:
        arguments: dict of those of `fit`.
    """
    x = arguments.get("x")
    split = arguments.get("validation_split") or 0.0
    validation = arguments.get("validation_data")
    size = arguments.get("batch_size") or 32
    samples = _samples(x)
    if samples is None or arguments.get("steps_per_epoch"):
        return
    parts = [(samples, size)]
    if validation is None:
        trained = math.floor(samples * (1 - split))
        parts = [(trained, size), (samples - trained, size)]
    elif isinstance(validation, (list, tuple)):
        size = arguments.get("validation_batch_size") or size
        parts.append((_samples(validation[0]), size))
    parts = [part for part in parts if part[0]]
    if parts:
        backend.check_batches(parts)


def _samples(x):
    """How many samples arrays hold; `None` for data sets."""
    arrays = keras.tree.flatten(x)
    if arrays and all(hasattr(array, "shape") for array in arrays):
        return arrays[0].shape[0]
    return None


def check_not_ragged(x):
    for array in keras.tree.flatten(x):
        if None in (getattr(array, "shape", None) or ()):
            raise ValueError(
                "Ragged batches cannot be masked. Pad the samples to one "
                "length first, such as with `keras.utils.pad_sequences`, and "
                "tell what is padding, with `Embedding(mask_zero=True)` or a "
                "`Masking` layer."
            )


def check_divergence(divergence):
    for each in keras.tree.flatten(divergence):
        if each is not None and not callable(each):
            raise ValueError(
                "`divergence` has to be one of `keras_sgt.divergences`, such "
                "as `CategoricalKL(from_logits=True)`, a callable "
                "`(clean, masked) -> (batch,)`, or a list or dict with one for "
                f"each output. Received: {divergence!r}"
            )


def check_saliency_target(target):
    if target not in ("label", "prediction") and not callable(target):
        raise ValueError(
            "`saliency_target` has to be 'label', 'prediction' or a callable "
            f"`(y, outputs) -> tensor`. Received: {target!r}"
        )


def check_seed(masking, seed):
    is_named = masking is None or isinstance(masking, str)
    if not is_named and seed is not None:
        raise ValueError(
            "`seed` is for a masking given by its name, or none; a masking "
            "has its own: `FeatureMasking(seed=...)`. Received both `masking` "
            f"and seed={seed}"
        )


def check_stateless(model):
    stateful = [
        layer.name
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.RNN) and layer.stateful
    ]
    if stateful:
        raise ValueError(
            "The masked batch would go on from the state that the clean batch "
            "leaves in stateful recurrent layers. Build them with "
            f"`stateful=False`. The model has: {stateful}"
        )


def warn_of_own_training(model):
    own = [
        name
        for name in ("train_step", "compute_loss")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if own:
        warnings.warn(
            f"{type(model).__name__} defines its own {own}, which a wrapped "
            "model does not train with. Derive it from `SaliencyGuidedModel` "
            "instead, and call `super()` there.",
            stacklevel=3,
        )


def functional(model, kwargs):
    if model is not None or not {"inputs", "outputs"} <= kwargs.keys():
        raise ValueError(
            "`SaliencyGuidedModel` takes either `model`, or both `inputs=` and "
            f"`outputs=`. Received: model={model!r} and {sorted(kwargs)}"
        )
    return keras.Model(kwargs.pop("inputs"), kwargs.pop("outputs"))


def guidances(guidance, mask_fraction, masking, seed):
    """The terms of a guided step, a list.

    Args:
        guidance: a `Guidance`, a list of them, or `None`: the paper's, made of
            the other arguments.
        mask_fraction, masking, seed: arguments of the model.

    Raises:
        ValueError: for what is no guidance, for two of one name, and for
            arguments of the model that belong to a guidance.
    """
    if guidance is None:
        return [MaskedConsistency(mask_fraction, masking=masking, seed=seed)]
    terms = guidance if isinstance(guidance, (list, tuple)) else [guidance]
    if not terms or not all(isinstance(g, Guidance) for g in terms):
        raise ValueError(
            "`guidance` has to be a `keras_sgt.guidance.Guidance` or a list of "
            f"them. Received: guidance={guidance!r}"
        )
    if masking is not None or mask_fraction != 0.5 or seed is not None:
        raise ValueError(
            "`mask_fraction`, `masking` and `seed` are arguments of a guidance "
            "where there is one: `MaskedConsistency(mask_fraction=..., "
            f"masking=..., seed=...)`. Received: mask_fraction={mask_fraction}"
            f", masking={masking!r}, seed={seed!r} beside {guidance!r}"
        )
    names = [g.name for g in terms]
    if len(set(names)) < len(names):
        raise ValueError(
            "Two guidances have one name, and the logs could not tell them "
            f"apart. Received: {names}. Pass `name=` to one of them."
        )
    return list(terms)
