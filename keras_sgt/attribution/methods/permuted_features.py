import numpy as np
from keras import ops

from keras_sgt.attribution.methods.wrapping import Wrapper


class PermutedFeatures(Wrapper):
    """A method's attributions, with the features of all samples in one order.

    The random baseline of the time series benchmark. It keeps each feature's
    course in time, so that a method may beat it by its features alone.

    Args:
        method: method of `keras_sgt.attribution`, for inputs
            `(samples, ..., features)`.
        seed: int, of the order. Defaults to a random one.

    Raises:
        ValueError: for token ids, and inputs whose last axis has length 1.

    Reference: Ismail et al., "Benchmarking deep learning interpretability in
    time series predictions", NeurIPS 2020.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[1], [2], [3]]), np.zeros(1)])
    >>> method = keras_sgt.attribution.Gradient(model)
    >>> permuted = keras_sgt.attribution.PermutedFeatures(method, seed=1)
    >>> permuted(np.ones((2, 3))).tolist()
    [[2.0, 3.0, 1.0], [2.0, 3.0, 1.0]]
    """

    def __init__(self, method, seed=None):
        super().__init__(method)
        self.seed = np.random.default_rng(seed).integers(2**31)

    def prepare(self, x, flat):
        super().prepare(x, flat)
        shapes = [flat[i].shape for i in self.explained.positions]
        if self.explained.embedded or any(shape[-1] == 1 for shape in shapes):
            raise ValueError(
                "`PermutedFeatures` changes the order of the last axis, which "
                "says nothing where it has length 1, nor of token ids. Use "
                f"`Random(model)`. Received: inputs of shapes {shapes}"
            )

    def attribute(self, rows):
        rng = np.random.default_rng(self.seed)
        return [
            ops.take(a, rng.permutation(a.shape[-1]), axis=-1)
            for a in self.method.attribute(rows)
        ]
