"""What one pass of a method is given."""

import typing


class Rows(typing.NamedTuple):
    """What one pass through the model takes, a row for each time it looks.

    Args:
        inputs: list of the model's inputs, `(rows, ...)`.
        features: list of floats `(rows, ...)`: what is attributed, inputs or
            the output of the embedding.
        baselines: list of floats like `features`, or with one row for all
            (of several baselines, with a row for each).
        target: ints `(rows,)`, or `None`.
        seed: int tensor, another for each pass.
        context: list of tensors `(rows, ...)` of the method's own.
    """

    inputs: list
    features: list
    baselines: list
    target: typing.Any
    seed: typing.Any
    context: list
