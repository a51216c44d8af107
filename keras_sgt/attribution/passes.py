"""Passes through a model, in batches of bounded size."""

import keras
from keras import ops

from keras_sgt.attribution.rows import Rows
from keras_sgt.introspection.predicting import Predicting


class Step(Predicting):
    """One batch of a method: a model, so that `predict` does the rest.

    Args:
        method: `Attribution`.
        shared: dict of arrays, the baselines that are the same for all
            samples, by the position of their input.
    """

    def __init__(self, method, shared):
        super().__init__(name="attribution", dtype="float32", autocast=False)
        self.method = method
        self.model = method.model
        self.positions = list(shared)
        self.values = [
            keras.Variable(value, dtype=value.dtype, trainable=False)
            for value in shared.values()
        ]
        self.built = True

    def call(self, batch):
        return self.method._batch(
            batch, {i: v.value for i, v in zip(self.positions, self.values)}
        )

    def hold(self, shared):
        for variable, value in zip(self.values, shared.values(), strict=True):
            variable.assign(value)


def repeated(rows, looks, own_baselines):
    """Each row as many times, one after the other.

    So are baselines that belong to a row, not those that are for all.
    """
    if looks == 1:
        return rows

    def repeat(tensor):
        return ops.repeat(tensor, looks, axis=0)

    return Rows(
        inputs=[repeat(t) for t in rows.inputs],
        features=[repeat(t) for t in rows.features],
        baselines=[
            repeat(t) if own_baselines and t.shape[0] != 1 else t
            for t in rows.baselines
        ],
        target=None if rows.target is None else repeat(rows.target),
        seed=rows.seed,
        context=[repeat(t) for t in rows.context],
    )


def only_where(valid, values):
    shape = (-1,) + (1,) * (len(values.shape) - 1)
    return ops.where(ops.reshape(valid, shape), values, 0)


def sum_of_looks(values, looks, like):
    if looks == 1:
        return values
    values = ops.reshape(values, (-1, looks, *values.shape[1:]))
    return ops.reshape(ops.sum(values, axis=1), ops.shape(like))


def by_row(values, like):
    """Numbers `(rows,)` that multiply tensors like another."""
    return ops.reshape(values, (-1,) + (1,) * (len(like.shape) - 1))


def like_features(values, rows):
    """Values with one row for all, repeated for every row."""
    return [v + ops.zeros_like(f) for v, f in zip(values, rows.features)]
