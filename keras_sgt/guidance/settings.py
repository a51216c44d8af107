"""Numbers of a guidance that may change between two steps."""

import math
import numbers

import keras

from keras_sgt import backend


class Setting:
    """A number that may change between steps without a new trace.

    No weight of the model, so that it is neither saved nor restored with them.

    Args:
        value: float, the first value.
    """

    def __init__(self, value):
        self.number = value
        self.variable = keras.Variable(
            value, dtype="float32", trainable=False, autocast=False
        )

    def assign(self, value):
        self.number = value
        self.variable.assign(value)

    def in_step(self):
        """The number as a step takes it: a tensor where steps are traced."""
        return self.variable.value if backend.TRACED else self.number


def is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def weight(name, value):
    """A finite float, 0 or greater."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"`{name}` has to be a finite number, 0 or greater. Received: "
            f"{name}={value!r}"
        )
    return float(value)


def positive(name, value):
    """A finite float above 0."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(
            f"`{name}` has to be a finite number above 0. Received: "
            f"{name}={value!r}"
        )
    return float(value)


def mask_fraction(value):
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(
            "`mask_fraction` has to be a number from 0 to 1, the share of each "
            "sample's features that is masked (to mask k of n features, pass "
            f"k / n). Received: mask_fraction={value!r}"
        )
    return float(value)


def choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(
            f"`{name}` has to be one of {list(allowed)}. Received: "
            f"{name}={value!r}"
        )
    return value
