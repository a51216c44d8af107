"""Numbers of a guidance that may change between two steps."""

import contextlib
import math
import numbers

import keras

from keras_sgt import backend


class Setting:
    """A number that may change between steps without a new trace.

    No weight of the model, so that `EarlyStopping` does not restore it.

    Args:
        value: float, the first value.

    Attributes:
        number: float, what steps are taken with.
        lasting: float, what is saved, and what training returns to: another
            one than `number` while a schedule sets that for now.
        first: float, the first value.
    """

    def __init__(self, value):
        self.number = self.lasting = self.first = value
        self.variable = keras.Variable(
            value, dtype="float32", trainable=False, autocast=False
        )

    def assign(self, value, for_now=False):
        self.number = value
        if not for_now:
            self.lasting = value
        self.variable.assign(value)

    def restore(self, first, lasting):
        """Takes what a file has of it.

        Not what a file has of a model that was built with another number.
        """
        if self.first == first or self.lasting == lasting:
            self.assign(lasting)
            self.first = first

    def in_step(self):
        """The number as a step takes it: a tensor where steps are traced."""
        return self.variable.value if backend.TRACED else self.number


@contextlib.contextmanager
def lasting(settings):
    """A context in which the numbers read as those that last."""
    numbers = [setting.number for setting in settings]
    for setting in settings:
        setting.number = setting.lasting
    try:
        yield
    finally:
        for setting, number in zip(settings, numbers):
            setting.number = number


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
