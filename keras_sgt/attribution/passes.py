"""Passes through a model, in batches of bounded size."""

import math

import keras
import numpy as np
from keras import ops

from keras_sgt import backend
from keras_sgt.attribution.rows import Rows
from keras_sgt.introspection.predicting import Predicting


class Step(Predicting):
    """One batch of a method: a model, so that `predict` does the rest.

    Args:
        function: from a batch and a dict of baselines to a dict of arrays.
        model: the `keras.Model` that it runs.
        shared: dict of arrays, the baselines that are the same for all
            samples, by the position of their input.
    """

    def __init__(self, function, model, shared):
        super().__init__(name="attribution", dtype="float32", autocast=False)
        self.function = function
        self.model = model
        self.positions = list(shared)
        self.values = [
            keras.Variable(value, dtype=value.dtype, trainable=False)
            for value in shared.values()
        ]
        self.built = True

    def call(self, batch):
        return self.function(
            batch, {i: v.value for i, v in zip(self.positions, self.values)}
        )

    def hold(self, shared):
        for variable, value in zip(self.values, shared.values(), strict=True):
            variable.assign(value)


def places(samples, batch_size):
    """Where each sample is, for `place`.

    Returns:
        dict of int32 `(samples,)`: the sample's number, that of the first in
        its batch, and how many are in that.
    """
    number = np.arange(samples, dtype="int32")
    first = number // batch_size * batch_size
    together = np.minimum(batch_size, samples - first)
    return {"number": number, "first": first, "together": together}


def place(batch):
    """The seed of a batch, and the `part` of `Rows` that a replica has."""
    # Sums, because a replica may have no samples of a small batch.
    number, first, together = (
        ops.sum(batch[name][:1]) for name in ("number", "first", "together")
    )
    if backend.replica_count() == 1:
        return first, None
    return first, (number - first, together)


def sum_of_terms(term, count, rows, zeros, repeats_baselines):
    """The sum of `count` terms for each row: see `Attribution.total`."""
    copies = min(rows.copies, count)
    several = _repeated(rows, copies, repeats_baselines)
    numbers = _numbers(rows.features[0], copies)

    def add(i, sums):
        i = ops.cast(i, "int32")
        indices = ops.reshape(numbers + i * copies, (-1,))
        values = term(
            several._replace(seed=rows.seed * 1000003 + i + 1),
            ops.minimum(indices, count - 1),
        )
        if count % copies:
            values = [_only_where(indices < count, v) for v in values]
        return [s + _sum_of_copies(v, copies, s) for s, v in zip(sums, values)]

    passes = math.ceil(count / copies)
    if passes == 1:
        return add(0, zeros)
    return ops.fori_loop(0, passes, add, zeros)


def one_term_for_all(rows, count):
    """Whether all rows of a pass of `sum_of_terms` are of the same term."""
    return min(rows.copies, count) == 1


def _numbers(feature, copies):
    """The numbers of each row's copies, `(rows, copies)`."""
    zeros = _flat(ops.zeros_like(feature, dtype="int32"))[:, :1]
    return zeros + ops.arange(copies, dtype="int32")


def _repeated(rows, copies, repeats_baselines):
    """Each row as many times, one after the other.

    So are baselines that belong to a row, not those that are for all.
    """
    if copies == 1:
        return rows._replace(copies=1)

    def repeat(tensor):
        return ops.repeat(tensor, copies, axis=0)

    return Rows(
        inputs=[repeat(t) for t in rows.inputs],
        features=[repeat(t) for t in rows.features],
        baselines=[
            repeat(t) if repeats_baselines and t.shape[0] != 1 else t
            for t in rows.baselines
        ],
        target=rows.target if callable(rows.target) else repeat(rows.target),
        seed=rows.seed,
        copies=1,
        context=[repeat(t) for t in rows.context],
        part=rows.part and tuple(copies * number for number in rows.part),
    )


def _only_where(valid, values):
    shape = (-1,) + (1,) * (len(values.shape) - 1)
    return ops.where(ops.reshape(valid, shape), values, 0)


def _sum_of_copies(values, copies, like):
    if copies == 1:
        return values
    values = ops.reshape(values, (-1, copies, *values.shape[1:]))
    return ops.reshape(ops.sum(values, axis=1), ops.shape(like))


def by_row(values, like):
    """Numbers `(rows,)` that multiply tensors like another."""
    return ops.reshape(values, (-1,) + (1,) * (len(like.shape) - 1))


def like_features(values, rows):
    """Values with one row for all, repeated for every row."""
    return [v + ops.zeros_like(f) for v, f in zip(values, rows.features)]


def sum_over_features(attributions):
    """Of each row, over all features of all inputs, `(rows,)`."""
    return sum(ops.sum(_flat(a), axis=1) for a in attributions)


def zeros_of_rows(rows):
    """A zero for each row, `(rows,)`."""
    return ops.zeros_like(_flat(rows.features[0])[:, 0])


def _flat(values):
    return ops.reshape(values, (ops.shape(values)[0], -1))
