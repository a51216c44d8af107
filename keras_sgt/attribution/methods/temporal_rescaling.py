import math

from keras import ops

from keras_sgt.attribution.methods.wrapping import Wrapper
from keras_sgt.attribution.passes import by_row


class TemporalRescaling(Wrapper):
    """Temporal saliency rescaling: first when, then which feature.

    The relevance of a step is how much the attributions R change when it is
    masked, `Σ |R(x) − R(x without step t)|`, scaled to [0, 1] over the steps.
    In the steps above the `quantile`, the relevance of a feature is likewise
    how much R changes when it is masked in that step, scaled to [0, 1] over
    the features; in all others it is 0.1. Attributed is their product. For T
    steps and F features, the method inside runs about
    `T + (1 − quantile) · T · F` times.

    Args:
        method: the method that is rescaled, of `keras_sgt.attribution`, for
            one input `(samples, steps, features)`.
        mask_value: float, the value of what is masked. Defaults to 0.0.
        quantile: float in [0, 1). Defaults to 0.55.

    Raises:
        ValueError: for inputs that are no time series, or a quantile out of
            range.

    Reference: Ismail et al., "Benchmarking deep learning interpretability in
    time series predictions", NeurIPS 2020, Algorithm 1. The authors' script
    takes the mean of |R| for the relevance of a step, and masks by the very
    first value of the input.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> inputs = keras.Input((4, 3))
    >>> outputs = keras.layers.Dense(2)(keras.layers.LSTM(4)(inputs))
    >>> model = keras.Model(inputs, outputs)
    >>> method = keras_sgt.attribution.Gradient(model)
    >>> rescaled = keras_sgt.attribution.TemporalRescaling(method)
    >>> rescaled(np.ones((5, 4, 3))).shape
    (5, 4, 3)
    """

    def __init__(self, method, mask_value=0.0, quantile=0.55):
        super().__init__(method)
        if not 0 <= quantile < 1:
            raise ValueError(
                "`quantile` has to be in [0, 1). Received: "
                f"quantile={quantile!r}"
            )
        self.mask_value = mask_value
        self.quantile = quantile

    def prepare(self, x, flat):
        super().prepare(x, flat)
        positions = self.explained.positions
        shapes = [flat[i].shape for i in positions]
        if len(shapes) != 1 or len(shapes[0]) != 3:
            raise ValueError(
                "`TemporalRescaling` is for one input `(samples, steps, "
                f"features)`. Received: inputs of shapes {shapes}"
            )

    def attribute(self, rows):
        (x,) = rows.features
        steps, features = x.shape[1:]
        rows = rows._replace(context=self.method.attribute(rows))
        time = self._relevance_of_steps(rows, steps)
        cells = self._relevance_of_features(rows, time, steps, features)
        # Of steps that tie at the quantile none is above it.
        threshold = ops.quantile(time, self.quantile, axis=1, keepdims=True)
        relevant = (time > threshold)[:, :, None]
        cells = ops.where(relevant, _scaled(cells, axis=2), 0.1)
        return [time[:, :, None] * cells]

    def _relevance_of_steps(self, rows, steps):
        def term(rows, i):
            step = ops.one_hot(i, steps)
            change = self._change(rows, step[:, :, None] > 0)
            return [by_row(change, step) * step]

        zeros = [ops.zeros_like(rows.features[0][:, :, 0])]
        return _scaled(self.total(term, steps, rows, zeros)[0], axis=1)

    def _relevance_of_features(self, rows, time, steps, features):
        """Of the steps that may be above the quantile, the others are 0."""
        above = steps - 1 - math.floor(self.quantile * (steps - 1))
        order = ops.cast(ops.argsort(-time, axis=1), "int32")

        def term(rows, i):
            step = ops.take_along_axis(
                rows.context[1], (i // features)[:, None], axis=1
            )
            step = ops.one_hot(step[:, 0], steps)[:, :, None]
            cell = step * ops.one_hot(i % features, features)[:, None, :]
            return [by_row(self._change(rows, cell > 0), cell) * cell]

        rows = rows._replace(context=[*rows.context, order])
        return self.total(term, above * features, rows)[0]

    def _change(self, rows, masked):
        """How much the attributions change without some values."""
        (x,), clean = rows.features, rows.context[0]
        x = ops.where(masked, self.mask_value, x)
        (changed,) = self.method.attribute(rows._replace(features=[x]))
        return ops.sum(ops.abs(clean - changed), axis=(1, 2))


def _scaled(values, axis):
    """To [0, 1]; all 0 where all are the same."""
    low = ops.min(values, axis=axis, keepdims=True)
    span = ops.max(values, axis=axis, keepdims=True) - low
    return (values - low) / ops.where(span > 0, span, 1)
