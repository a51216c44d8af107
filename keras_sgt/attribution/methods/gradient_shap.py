from keras import ops

from keras_sgt import checks
from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.passes import by_row
from keras_sgt.attribution.seeded_noise import Noise


class GradientSHAP(Attribution):
    """Expected gradients: at random points between random baselines and x.

    The mean of `(x̃ − x₀) · ∂f(x₀ + α(x̃ − x₀))/∂x` over draws of a baseline
    x₀, of α from [0, 1], and of x̃, the input with noise.

    Args:
        model: `keras.Model` with weights.
        baselines: the distribution of x₀: an array `(baselines, ...)` to draw
            from, a nest of them, a number, or a callable from the inputs to
            these. Defaults to 0.0.
        n_samples: int, draws for each sample. Defaults to 5.
        stdevs: float, the standard deviation of the noise. Defaults to 0.0.
        multiply_by_inputs: whether to multiply by x̃ − x₀. Defaults to `True`.
        return_convergence_delta: whether a call also returns, for each sample,
            the sum of its attributions, less f(x) and plus the mean score of
            the baselines. Defaults to `False`.
        seed: int. Defaults to a random one.
        **options: those of `Attribution`.

    Raises:
        ValueError: for settings out of range.

    Reference: Lundberg and Lee, "A unified approach to interpreting model
    predictions", NeurIPS 2017. Captum's `GradientShap`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.GradientSHAP(model, baselines=1.0)
    >>> method(np.array([[2.0, -1.0]]), target=0).round(4).tolist()
    [[1.0, -6.0]]
    """

    baseline_kind = "several"

    def __init__(
        self,
        model,
        baselines=0.0,
        n_samples=5,
        stdevs=0.0,
        multiply_by_inputs=True,
        return_convergence_delta=False,
        seed=None,
        **options,
    ):
        super().__init__(model, **options)
        baseline_values.check(
            baselines, multiply_by_inputs, return_convergence_delta
        )
        checks.number("stdevs", stdevs, low_allowed=True)
        self.baselines = baselines
        self.n_samples = checks.count("n_samples", n_samples)
        self.stdevs = stdevs
        self.multiply_by_inputs = multiply_by_inputs
        self.return_convergence_delta = return_convergence_delta
        self.noise = Noise(seed)

    def attribute(self, rows):
        baselines = rows.baselines

        def term(rows, i):
            alphas, chosen = (
                self.noise.uniform(ops.shape(i), rows, draw) for draw in (0, 1)
            )
            chosen = ops.cast(chosen * baselines[0].shape[0], "int32")
            starts = [ops.take(b, chosen, axis=0) for b in baselines]
            ends = [
                f + self.stdevs * self.noise.normal(f, rows, 2 + j)
                for j, f in enumerate(rows.features)
            ]
            ways = [e - s for s, e in zip(starts, ends)]
            on_way = [s + by_row(alphas, w) * w for s, w in zip(starts, ways)]
            gradient = self.gradient(rows, on_way)
            if not self.multiply_by_inputs:
                return gradient
            return [w * g for w, g in zip(ways, gradient)]

        without = rows._replace(baselines=[])
        sums = self.total(term, self.n_samples, without)
        return [s / self.n_samples for s in sums]
