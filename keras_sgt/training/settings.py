"""The arguments of a guided model: checked, and numbers that change later."""

import math
import numbers
import warnings

import keras

from keras_sgt import backend
from keras_sgt.introspection.layers import all_layers


class Setting:
    """A number that may change between steps without a new trace.

    No weight of the model, so that it is neither saved nor restored with them.
    """

    def __init__(self, number):
        self.number = number
        self.variable = keras.Variable(
            number, dtype="float32", trainable=False, autocast=False
        )

    def assign(self, number):
        self.number = number
        self.variable.assign(number)

    def in_step(self):
        return self.variable.value if backend.TRACED else self.number


def checked_fraction(value):
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(
            "`mask_fraction` has to be a number from 0 to 1, the share of each "
            "sample's features that is masked (to mask k of n features, pass "
            f"k / n). Received: mask_fraction={value!r}"
        )
    return float(value)


def checked_weight(value):
    if not _is_number(value) or not 0 <= value < math.inf:
        raise ValueError(
            "`kl_weight` has to be a finite number, 0 or greater. Received: "
            f"kl_weight={value!r}"
        )
    return float(value)


# A guided step weighs as much as all that it stands for: one of more steps than
# these would throw the weights far off.
_LONGEST_STRIDE = 1000


def checked_stride(name, fraction):
    if _is_number(fraction) and 0 < fraction <= 1:
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


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


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
