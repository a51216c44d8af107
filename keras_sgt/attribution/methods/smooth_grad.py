import keras
from keras import ops

from keras_sgt import checks
from keras_sgt.attribution.methods.gradient import Gradient
from keras_sgt.attribution.methods.wrapping import Wrapper
from keras_sgt.attribution.seeded_noise import Noise

TYPES = ("smoothgrad", "smoothgrad_sq", "vargrad")


class SmoothGrad(Wrapper):
    """The mean of a method's attributions over noisy copies of the input.

    Args:
        method: the method that is smoothed, of `keras_sgt.attribution`; a
            model stands for its `Gradient`.
        nt_type: `"smoothgrad"`, the mean; `"smoothgrad_sq"`, the mean of the
            squares; `"vargrad"`, the variance. Defaults to `"smoothgrad"`.
        nt_samples: int, noisy copies of each sample. Defaults to 50.
        stdevs: float, the noise's standard deviation in the units of the
            features. Defaults to 0.15 of the range of each sample.
        seed: int. Defaults to a random one.
        **options: of a model's `Gradient`.

    Raises:
        ValueError: for settings that do not exist or are out of range.

    Reference: Smilkov et al., "SmoothGrad: removing noise by adding noise",
    2017; Adebayo et al., "Local explanation methods for deep neural networks
    lack sensitivity to parameter values", 2018. Captum's `NoiseTunnel`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.SmoothGrad(model, nt_samples=8, seed=1)
    >>> method(np.ones((1, 2)), target=0).round(4).tolist()
    [[1.0, 3.0]]
    """

    def __init__(
        self,
        method,
        nt_type="smoothgrad",
        nt_samples=50,
        stdevs=None,
        seed=None,
        **options,
    ):
        if isinstance(method, keras.Model):
            method, options = Gradient(method, **options), {}
        super().__init__(method, **options)
        if nt_type not in TYPES:
            raise ValueError(
                f"`nt_type` has to be one of {list(TYPES)}. Received: "
                f"nt_type={nt_type!r}"
            )
        if stdevs is not None:
            checks.number("stdevs", stdevs, low_allowed=True)
        self.nt_type = nt_type
        self.nt_samples = checks.count("nt_samples", nt_samples)
        self.stdevs = stdevs
        self.noise = Noise(seed)

    def attribute(self, rows):
        number, given = len(rows.features), self.stdevs
        stdevs = []
        if given is None:
            stdevs = [_share_of_range(f) for f in rows.features]
        # A variance is taken around the clean map: squares of large values
        # that hardly differ would cancel.
        clean = self.method.attribute(rows) if self.nt_type == "vargrad" else []
        rows = rows._replace(context=[*stdevs, *clean])

        def term(rows, i):
            stdevs = [given] * number
            clean = rows.context
            if given is None:
                stdevs, clean = rows.context[:number], rows.context[number:]
            noisy = [
                f + s * self.noise.normal(f, rows.seed, part)
                for part, (f, s) in enumerate(zip(rows.features, stdevs))
            ]
            found = self.method.attribute(rows._replace(features=noisy))
            if self.nt_type == "smoothgrad":
                return found
            if clean:
                found = [f - c for f, c in zip(found, clean)]
            return found + [ops.square(f) for f in found]

        zeros = [ops.zeros_like(f) for f in rows.features]
        if self.nt_type != "smoothgrad":
            zeros = zeros + zeros
        sums = self.total(term, self.nt_samples, rows, zeros)
        means = [s / self.nt_samples for s in sums]
        mean, squares = means[:number], means[number:]
        if self.nt_type == "vargrad":
            pairs = zip(squares, mean)
            return [ops.maximum(s - ops.square(m), 0) for s, m in pairs]
        return squares or mean


def _share_of_range(features):
    axes = tuple(range(1, len(features.shape)))
    high = ops.max(features, axis=axes, keepdims=True)
    low = ops.min(features, axis=axes, keepdims=True)
    return 0.15 * (high - low)
