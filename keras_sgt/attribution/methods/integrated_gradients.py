import numpy as np
from keras import ops

from keras_sgt import checks
from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.passes import by_row

METHODS = (
    "gausslegendre",
    "riemann_left",
    "riemann_middle",
    "riemann_right",
    "riemann_trapezoid",
)


class IntegratedGradients(Attribution):
    """The mean gradient on the straight path from a baseline, times its length.

    `(x − x₀) · ∫₀¹ ∂f(x₀ + α(x − x₀))/∂x dα`. Attributions add up to
    `f(x) − f(x₀)`, as far as the rule of integration goes.

    Args:
        model: `keras.Model` with weights.
        baselines: x₀: a number, an array (one for all samples or one for
            each), a nest of them like the inputs, or a callable from the
            inputs to these. Token ids for text. Defaults to 0.0.
        n_steps: int, points on the path. Defaults to 50.
        method: rule of integration: `"gausslegendre"`, `"riemann_left"`,
            `"riemann_middle"`, `"riemann_right"` or `"riemann_trapezoid"`.
            Defaults to `"gausslegendre"`.
        multiply_by_inputs: whether to multiply by x − x₀. Defaults to `True`.
        return_convergence_delta: whether a call also returns, for each sample,
            how far its attributions are from adding up: their sum, less
            f(x) − f(x₀). Defaults to `False`.
        **options: those of `Attribution`.

    Raises:
        ValueError: for a rule that does not exist or steps out of range.

    Reference: Sundararajan et al., "Axiomatic attribution for deep networks",
    ICML 2017. Captum's `IntegratedGradients`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.IntegratedGradients(model, baselines=1.0)
    >>> method(np.array([[2.0, -1.0]]), target=0).round(4).tolist()
    [[1.0, -6.0]]
    """

    baseline_kind = "one"

    def __init__(
        self,
        model,
        baselines=0.0,
        n_steps=50,
        method="gausslegendre",
        multiply_by_inputs=True,
        return_convergence_delta=False,
        **options,
    ):
        super().__init__(model, **options)
        baseline_values.check(
            baselines, multiply_by_inputs, return_convergence_delta
        )
        if method not in METHODS:
            raise ValueError(
                f"`method` has to be one of {list(METHODS)}. Received: "
                f"method={method!r}"
            )
        least = 1 if method == "gausslegendre" else 2
        self.baselines = baselines
        self.n_steps = checks.count("n_steps", n_steps, least)
        self.method = method
        self.multiply_by_inputs = multiply_by_inputs
        self.return_convergence_delta = return_convergence_delta

    def attribute(self, rows):
        points, weights = _rule(self.method, self.n_steps)
        points = ops.convert_to_tensor(points, dtype="float32")
        weights = ops.convert_to_tensor(weights, dtype="float32")

        def term(rows, i):
            alphas, shares = ops.take(points, i), ops.take(weights, i)
            pairs = list(zip(rows.features, rows.baselines))
            on_path = [b + by_row(alphas, f) * (f - b) for f, b in pairs]
            gradient = self.gradient(rows, on_path)
            return [by_row(shares, g) * g for g in gradient]

        mean = self.total(term, self.n_steps, rows)
        if not self.multiply_by_inputs:
            return mean
        return [
            (f - b) * m for f, b, m in zip(rows.features, rows.baselines, mean)
        ]


def _rule(method, n):
    """Points in [0, 1] and their weights, Captum's."""
    if method == "gausslegendre":
        points, weights = np.polynomial.legendre.leggauss(n)
        return (points + 1) / 2, weights / 2
    weights = np.full(n, 1 / n)
    if method == "riemann_trapezoid":
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, n), weights
    start = {"left": 0, "middle": 0.5, "right": 1}[method.split("_")[1]]
    return (np.arange(n) + start) / n, weights
