import math
import numbers

from keras import ops

from keras_sgt.attribution.methods.ablating import Ablation


class Occlusion(Ablation):
    """What the score loses when a window that slides over the input is covered.

    Each feature gets the mean over the windows that cover it.

    Args:
        model: `keras.Model` with weights, and one input that is explained.
        sliding_window_shapes: int or tuple of ints, the size of the window
            along each axis of a sample; `(3, 3, 1)` for grey images, `4` for
            tokens.
        strides: int or tuple of ints, how far it moves along each axis.
            Defaults to 1.
        baselines: what covers: a number, an array (one for all samples or one
            for each), or a callable from the inputs to these. Token ids for
            text. Defaults to 0.0.
        **options: those of `Attribution`.

    Raises:
        ValueError: for windows or strides that do not fit the input.

    Reference: Zeiler and Fergus, "Visualizing and understanding convolutional
    networks", ECCV 2014. Captum's `Occlusion`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[1.0], [3.0], [5.0]]), np.zeros(1)])
    >>> method = keras_sgt.attribution.Occlusion(model, 2)
    >>> method(np.ones((1, 3))).round(4).tolist()  # windows lose 4 and 8
    [[4.0, 6.0, 8.0]]
    """

    def __init__(
        self, model, sliding_window_shapes, strides=1, baselines=0.0, **options
    ):
        super().__init__(model, baselines, **options)
        self.sliding_window_shapes = sliding_window_shapes
        self.strides = strides
        self._windows = self._grid = None

    def count(self):
        return math.prod(self._grid)

    def masks(self, rows, i):
        """The positions from a window's start to its end."""
        (feature,) = rows.features
        axes = len(feature.shape) - 1
        mask = ops.ones((1,) * (axes + 1), dtype="bool")
        for axis in reversed(range(len(self._grid))):
            size, stride, places, length = self._windows[axis]
            if size == length:  # inside everywhere
                continue
            start, i = (i % places) * stride, i // places
            position = ops.reshape(
                ops.arange(length, dtype="int32"),
                (-1,) + (1,) * (axes - 1 - axis),
            )
            start = ops.reshape(start, (-1,) + (1,) * axes)
            inside = ops.logical_and(position >= start, position < start + size)
            mask = ops.logical_and(mask, inside)
        return [mask]

    def prepare(self, x, flat):
        if len(self.explained.positions) != 1:
            raise ValueError(
                "`Occlusion` slides over one input; this model has "
                f"{len(self.explained.positions)} that can be explained. Name "
                "one by `inputs=`, or use `FeatureAblation(feature_mask=...)`."
            )
        shape = flat[self.explained.positions[0]].shape[1:]
        sizes = _per_axis(
            "sliding_window_shapes", self.sliding_window_shapes, shape
        )
        strides = _per_axis("strides", self.strides, shape)
        self._grid = [
            math.ceil((length - size) / stride) + 1
            for length, size, stride in zip(shape, sizes, strides)
        ]
        self._windows = list(zip(sizes, strides, self._grid, shape))


def _per_axis(name, setting, shape):
    single = isinstance(setting, numbers.Integral)
    values = (setting,) if single else tuple(setting)
    if name == "strides" and len(values) == 1:
        values = [min(values[0], length) for length in shape]
    values_fit = len(values) == len(shape) and all(
        isinstance(v, numbers.Integral) and 0 < v <= length
        for v, length in zip(values, shape)
    )
    if not values_fit:
        raise ValueError(
            f"`{name}` has to hold an integer for each axis of a sample, from "
            f"1 to its length, {shape}. Received: {name}={setting!r}"
        )
    return values
