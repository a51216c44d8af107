"""What a method works on in one pass through the model."""

import typing


class Rows(typing.NamedTuple):
    """Samples in one pass through the model, some of them several times.

    Args:
        inputs: list of the model's inputs, `(rows, ...)`.
        features: list of floats `(rows, ...)`, one for each explained input:
            the input itself or, of ids, the output of their embedding.
        baselines: list of floats like `features`, or with one row for all
            (of several baselines, with a row for each).
        target: ints `(rows,)`, the class that is explained; or the caller's
            function from the model's outputs to numbers `(rows,)`.
        seed: int tensor, another for each pass.
        copies: int, how many rows `Attribution.total` may make of one.
        context: tensors `(rows, ...)`, what a method needs beside.
        part: where replicas share a batch, int tensors: the place in it of the
            first of these rows, and how many it has; else `None`.
    """

    inputs: list
    features: list
    baselines: list
    target: typing.Any
    seed: typing.Any
    copies: int = 1
    context: typing.Sequence = ()
    part: typing.Any = None
