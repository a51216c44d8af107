from keras import ops

from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.seeded_noise import Noise


class Random(Attribution):
    """Numbers without content: the control that every comparison needs.

    Uniform in [0, 1) and independent, one for each token of texts. See also
    `PermutedFeatures`.

    Args:
        model: `keras.Model` with weights.
        seed: int. Defaults to a random one.
        **options: those of `Attribution`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> keras_sgt.attribution.Random(model, seed=1)(np.ones((5, 2))).shape
    (5, 2)
    """

    needs_gradient = False
    whole_tokens = True  # a sum over the embedding would not be uniform

    def __init__(self, model, seed=None, **options):
        super().__init__(model, **options)
        self.noise = Noise(seed)

    def attribute(self, rows):
        return [
            self.noise.uniform(ops.shape(f), rows, i)
            for i, f in enumerate(rows.features)
        ]
