from keras_sgt.attribution.base import Attribution


class InputXGradient(Attribution):
    """The gradient of the score, times the input.

    Args:
        model: `keras.Model` with weights.
        **options: those of `Attribution`.

    Reference: Shrikumar et al., "Not just a black box", 2016. Captum's
    `InputXGradient`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.InputXGradient(model)
    >>> method(np.array([[2.0, -1.0]]), target=0).tolist()
    [[2.0, -3.0]]
    """

    def attribute(self, rows):
        gradient = self.gradient(rows)
        return [x * g for x, g in zip(rows.features, gradient)]
