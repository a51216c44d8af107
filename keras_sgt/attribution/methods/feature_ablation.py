import numpy as np
from keras import ops

from keras_sgt.attribution.baselines import for_each_input
from keras_sgt.attribution.methods.ablating import Ablation


class FeatureAblation(Ablation):
    """What the score loses when a feature, or a group, becomes the baseline's.

    Args:
        model: `keras.Model` with weights.
        baselines: a number, an array (one for all samples or one for each), a
            nest of them like the inputs, or a callable from the inputs to
            these. Token ids for text. Defaults to 0.0.
        feature_mask: ints that broadcast to the shape of a sample, or a nest
            of them like the inputs: features with the same number are left
            out together. Defaults to each feature (of text, each token) by
            itself.
        **options: those of `Attribution`.

    Raises:
        ValueError: for a `feature_mask` that does not fit the inputs.

    Reference: Zeiler and Fergus, "Visualizing and understanding convolutional
    networks", ECCV 2014. Captum's `FeatureAblation`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.FeatureAblation(model)
    >>> method(np.array([[2.0, -1.0]]), target=0).round(4).tolist()
    [[2.0, -3.0]]
    """

    def __init__(self, model, baselines=0.0, feature_mask=None, **options):
        super().__init__(model, baselines, **options)
        self.feature_mask = feature_mask
        self._groups, self._number = [], 0

    def count(self):
        return self._number

    def masks(self, rows, i):
        masks = []
        for groups, feature in zip(self._groups, rows.features):
            axes = len(feature.shape)
            groups = groups.reshape(
                1, *groups.shape, *(1,) * (axes - 1 - groups.ndim)
            )
            wanted = ops.reshape(i, (-1,) + (1,) * (axes - 1))
            masks.append(ops.equal(ops.convert_to_tensor(groups), wanted))
        return masks

    def prepare(self, x, flat):
        """Numbers the groups of all features from 0 on."""
        masks = for_each_input("feature_mask", self.feature_mask, x)
        groups, start = [], 0
        for position in self.explained.positions:
            shape = flat[position].shape[1:]
            numbers = _numbered(masks[position], shape)
            groups.append((numbers + start).astype("int32"))
            start += int(numbers.max()) + 1
        self._groups, self._number = groups, start


def _numbered(mask, shape):
    if mask is None:
        return np.arange(np.prod(shape, dtype=int)).reshape(shape)
    mask = np.asarray(mask)
    try:
        full = np.broadcast_to(mask, shape)
    except ValueError:
        full = None
    if full is None or mask.dtype.kind not in "iu":
        raise ValueError(
            "`feature_mask` has to hold integers that broadcast to the shape "
            f"of a sample, {shape}. Received: {mask.dtype} of shape "
            f"{mask.shape}"
        )
    return np.unique(full, return_inverse=True)[1].reshape(shape)
