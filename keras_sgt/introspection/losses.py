"""What a loss means, read off its public configuration."""

import functools
import typing

from keras import losses, ops

CATEGORICAL, BERNOULLI, NUMBERS = "categorical", "bernoulli", "numbers"

# By the public names of a class and its function; some versions of Keras lack
# some of them.
_NAMES = {
    CATEGORICAL: (
        ("CategoricalCrossentropy", "categorical_crossentropy"),
        ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
        ("CategoricalFocalCrossentropy", "categorical_focal_crossentropy"),
        (
            "SparseCategoricalFocalCrossentropy",
            "sparse_categorical_focal_crossentropy",
        ),
        ("KLDivergence", "kl_divergence"),
    ),
    BERNOULLI: (
        ("BinaryCrossentropy", "binary_crossentropy"),
        ("BinaryFocalCrossentropy", "binary_focal_crossentropy"),
    ),
    NUMBERS: (
        ("MeanSquaredError", "mean_squared_error"),
        ("MeanAbsoluteError", "mean_absolute_error"),
        ("MeanAbsolutePercentageError", "mean_absolute_percentage_error"),
        ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error"),
        ("Huber", "huber"),
        ("LogCosh", "log_cosh"),
    ),
}
_KNOWN = [
    (kind, getattr(losses, class_name), getattr(losses, function_name))
    for kind, names in _NAMES.items()
    for class_name, function_name in names
    if hasattr(losses, class_name)
]
# The one cross-entropy that takes probabilities and nothing else.
_ALWAYS_PROBABILITIES = (losses.KLDivergence, losses.kl_divergence)

_UNREDUCED = (None, "none")


class LossFacts(typing.NamedTuple):
    """What a loss says of itself.

    Args:
        kind: what outputs are: `CATEGORICAL`, `BERNOULLI`, `NUMBERS`, or
            `None` where the loss does not tell.
        from_logits: whether outputs are logits; `False` for `NUMBERS`.
        reduction: as Keras reduces it: "sum", "mean", ...
        ignore_class: the label of positions that the loss leaves out.
    """

    kind: str | None
    from_logits: bool
    reduction: str
    ignore_class: int | None


UNKNOWN = LossFacts(None, False, "sum_over_batch_size", None)


def read(loss):
    """Reads what a loss means.

    Args:
        loss: anything that `compile(loss=...)` takes for one output: a name, a
            `keras.losses.Loss`, a function, a `functools.partial` of one.

    Returns:
        `LossFacts`. Its kind is `None` for what is no loss of Keras, for
        classes on another axis than the last, and for a loss whose
        configuration cannot be read.
    """
    if is_named_by_the_data(loss):
        return UNKNOWN
    loss = losses.get(loss)
    if isinstance(loss, losses.Loss):
        return _of_object(loss)
    # Keras reduces functions with the default reduction.
    arguments = {}
    while isinstance(loss, functools.partial):
        if loss.args:  # the labels, or more: not a loss of Keras any more
            return UNKNOWN
        arguments = {**loss.keywords, **arguments}
        loss = loss.func
    for kind, _, function in _KNOWN:
        if loss is function:
            # What a partial does not set is at the function's default: logits
            # have to be asked for, and the classes are on the last axis.
            return _facts(kind, loss, {"from_logits": False, **arguments})
    return UNKNOWN


def _of_object(loss):
    # Of the base class, whose `__init__` every loss runs: not overridden.
    reduction = losses.Loss.get_config(loss)["reduction"]
    kind = next(
        (kind for kind, class_, _ in _KNOWN if isinstance(loss, class_)), None
    )
    try:
        config = loss.get_config()
    # A loss of the user's own may raise anything where it is not meant to be
    # saved; then nothing is known of it.
    except Exception:
        return UNKNOWN._replace(reduction=reduction)
    return _facts(kind, loss, config, reduction)


def _facts(kind, loss, config, reduction="sum_over_batch_size"):
    unknown = LossFacts(None, False, reduction, config.get("ignore_class"))
    if kind is None or not _classes_come_last(loss, config):
        return unknown
    if kind == NUMBERS or _takes_probabilities_only(loss):
        return unknown._replace(kind=kind)
    if not isinstance(config.get("from_logits"), bool):
        return unknown  # its configuration does not say
    return unknown._replace(kind=kind, from_logits=config["from_logits"])


def _classes_come_last(loss, config):
    if "axis" in config:
        return config["axis"] == -1
    if not isinstance(loss, losses.SparseCategoricalCrossentropy):
        return True  # no axis to choose, or a function at its default
    # Until Keras 3.16 its configuration keeps the axis to itself: two labels
    # among three classes can only be told where the classes come last.
    try:
        found = loss.call(ops.zeros((1, 2), "int32"), ops.ones((1, 2, 3)) / 3)
    except Exception:  # each framework has its own for shapes that clash
        return False
    return tuple(found.shape) == (1, 2)


def _takes_probabilities_only(loss):
    class_, function = _ALWAYS_PROBABILITIES
    return isinstance(loss, class_) or loss is function


def check_reduction(loss, reduction):
    """Raises for a loss that is not reduced to one number.

    Raises:
        ValueError: what to do instead.
    """
    if reduction in _UNREDUCED:
        raise ValueError(
            "A loss without a reduction cannot be added to a divergence. "
            f"Received: {loss!r} with reduction={reduction!r}. Pass "
            "`reduction='sum'` (what TensorFlow makes of it) or "
            "'sum_over_batch_size'."
        )


def per_position(loss):
    """The loss before it is reduced, as a function.

    Args:
        loss: as for `read`; not a name that Keras resolves by the first batch.

    Returns:
        Callable `(y, outputs) -> (batch, ...)`.
    """
    loss = losses.get(loss)
    function = loss.call if isinstance(loss, losses.Loss) else loss

    def values(y, outputs):
        # As `keras.losses.Loss` prepares them.
        y = ops.cast(y, "float32")
        if outputs.shape[-1] == 1 and len(y.shape) == len(outputs.shape) - 1:
            y = ops.expand_dims(y, axis=-1)
        return function(y, ops.cast(outputs, "float32"))

    return values


def is_named_by_the_data(loss):
    """Whether Keras picks the loss by the first batch."""
    return isinstance(loss, str) and loss.lower() in ("ce", "crossentropy")
