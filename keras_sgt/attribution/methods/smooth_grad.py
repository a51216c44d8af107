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

    def prepare(self, x, flat):
        super().prepare(x, flat)
        whole = [
            flat[i].dtype.name
            for i in self.explained.positions
            if flat[i].dtype.kind != "f" and i not in self.explained.embedded
        ]
        if whole:
            raise ValueError(
                "`SmoothGrad` adds noise, which integers and bools cannot "
                "take. Pass floats, or name those inputs that are floats by "
                f"`inputs=`. Received: inputs of dtype {whole}"
            )

    def attribute(self, rows):
        number = len(rows.features)
        stdevs = []
        if self.stdevs is None:
            stdevs = [_share_of_range(f) for f in rows.features]
        # A variance is taken around the clean map: squares of large values
        # that hardly differ would cancel.
        clean = self.method.attribute(rows) if self.nt_type == "vargrad" else []
        rows = rows._replace(context=[*stdevs, *clean])
        zeros = [ops.zeros_like(f) for f in rows.features]
        if self.nt_type != "smoothgrad":
            zeros = zeros + zeros
        sums = self.total(self._term, self.nt_samples, rows, zeros)
        means = [s / self.nt_samples for s in sums]
        mean, squares = means[:number], means[number:]
        if self.nt_type == "vargrad":
            pairs = zip(squares, mean)
            return [ops.maximum(s - ops.square(m), 0) for s, m in pairs]
        return squares or mean

    def _term(self, rows, i):
        """The map of one noisy copy, and its square."""
        number = len(rows.features)
        stdevs, clean = [self.stdevs] * number, rows.context
        if self.stdevs is None:
            stdevs, clean = rows.context[:number], rows.context[number:]
        noisy = [
            f + s * self.noise.normal(f, rows, j)
            for j, (f, s) in enumerate(zip(rows.features, stdevs))
        ]
        maps = self.method.attribute(rows._replace(features=noisy))
        if self.nt_type == "smoothgrad":
            return maps
        if clean:
            maps = [m - c for m, c in zip(maps, clean)]
        return maps + [ops.square(m) for m in maps]


def _share_of_range(features):
    axes = tuple(range(1, len(features.shape)))
    high = ops.max(features, axis=axes, keepdims=True)
    low = ops.min(features, axis=axes, keepdims=True)
    return 0.15 * (high - low)
