from keras_sgt.attribution.base import Attribution


class Gradient(Attribution):
    """The gradient of the score, signed.

    Args:
        model: `keras.Model` with weights.
        **options: those of `Attribution`.

    Reference: Simonyan et al., "Deep inside convolutional networks", ICLR
    workshop 2014. Captum's `Saliency(abs=False)`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.Gradient(model)
    >>> method(np.ones((1, 2)), target=0).tolist()
    [[1.0, 3.0]]
    """

    def attribute(self, rows):
        return self.gradient(rows)
