import warnings

import numpy as np

from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.methods.deep_lift_rules import Rescale
from keras_sgt.attribution.passes import (
    like_features,
    sum_over_features,
    zeros_of_rows,
)

_LARGE_GAP = 0.02  # of the change of the score
_ROUNDING = 1e-5


class DeepLIFT(Attribution):
    """Differences from a baseline, handed back through the layers.

    The rescale rule: an activation passes on Δoutput / Δinput in the place of
    its gradient, so that a saturated unit still counts. Attributions add up
    to f(x) − f(x₀). Treated are the activations inside of Dense, EinsumDense
    and convolutional layers, the layers Activation, ReLU, LeakyReLU, ELU,
    PReLU and Softmax, max pooling, and of the operations between the layers
    of a functional model those of one number (`keras.ops.relu`, `tanh`,
    `maximum` with a constant, ...), softmax and maxima. Through everything
    else goes the plain gradient: exact where it is linear; all that is not
    linear, or not known, is named in a warning: recurrent, attention and
    normalisation layers, products, layers of your own. What a `call` of yours
    runs between layers cannot be seen: in every call of the method it is
    measured how far attributions are from adding up, and a gap above 2 % is a
    warning that says it.

    Args:
        model: `keras.Model` with weights.
        baselines: x₀: a number, an array (one for all samples or one for
            each), a nest of them like the inputs, or a callable from the
            inputs to these. Token ids for text. Defaults to 0.0.
        return_convergence_delta: whether a call also returns, for each sample,
            how far its attributions are from adding up: their sum, less
            f(x) − f(x₀). Defaults to `False`.
        multiply_by_inputs: whether to multiply by x − x₀. Defaults to `True`.
        **options: those of `Attribution`.

    Reference: Shrikumar et al., "Learning important features through
    propagating activation differences", ICML 2017; Ancona et al., "Towards
    better understanding of gradient-based attribution methods", ICLR 2018.
    Captum's `DeepLift` of one sample: with more, it subtracts from a softmax's
    multipliers their mean over the whole batch.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> unit = keras.layers.Dense(1, "relu")
    >>> model = keras.Sequential([keras.Input((2,)), unit])
    >>> model.set_weights([np.array([[-1.0], [-1.0]]), np.ones(1)])
    >>> method = keras_sgt.attribution.DeepLIFT(model)  # 1 - x1 - x2, at 0
    >>> method(np.array([[1.0, 3.0]])).round(4).tolist()
    [[-0.25, -0.75]]
    """

    baseline_kind = "one"
    checks_results = True

    def __init__(
        self,
        model,
        baselines=0.0,
        return_convergence_delta=False,
        multiply_by_inputs=True,
        **options,
    ):
        super().__init__(model, **options)
        baseline_values.check(
            baselines, multiply_by_inputs, return_convergence_delta
        )
        self.baselines = baselines
        self.return_convergence_delta = return_convergence_delta
        self.multiply_by_inputs = multiply_by_inputs
        self._rescale = Rescale(model)
        if self._rescale.without_rule:
            warnings.warn(
                f"{type(self).__name__} has no rule for "
                f"{', '.join(self._rescale.without_rule)}: the plain gradient "
                "goes through them, and attributions may not add up to the "
                "change of the score (`return_convergence_delta=True` says "
                "by how much).",
                stacklevel=2,
            )

    def attribute(self, rows):
        return self.compared(rows)[0]

    def compared(self, rows):
        """The attributions, and what tells whether they add up.

        Args:
            rows: `Rows`.

        Returns:
            List of what is attributed, list of the contributions to the
            change of the score (the same, unless `multiply_by_inputs=False`),
            and the score of the baselines, `(rows,)`.
        """
        return self.differences(rows, rows.baselines)

    def differences(self, rows, baselines):
        """As `compared`, for baselines: one for each row or one for all."""
        if self.explained.embedded or (
            len(self.explained.positions) < len(rows.inputs)
        ):
            # What is not compared belongs to a row, so that each row needs
            # a baseline of its own.
            baselines = like_features(baselines, rows)
        records = []
        with self._rescale.recording(records):
            score = self.scores(rows, baselines) + zeros_of_rows(rows)
        with self._rescale.applied(records):
            multipliers = self.gradient(rows)
        contributions = [
            (f - b) * m
            for f, b, m in zip(rows.features, baselines, multipliers)
        ]
        by_input = contributions if self.multiply_by_inputs else multipliers
        return by_input, contributions, score

    def results(self, rows):
        attributions, contributions, score = self.compared(rows)
        change = self.scores(rows) - score
        return {
            "attributions": self.pool(attributions),
            "delta": sum_over_features(contributions) - change,
            "change": change,
        }

    def check_results(self, results):
        """Warns where attributions are far from adding up."""
        gap, change = (
            np.abs(results[name].astype("float64")).sum()
            for name in ("delta", "change")
        )
        if gap <= _LARGE_GAP * change + _ROUNDING * len(results["delta"]):
            return
        share = f"{gap / change:.2g} of" if change else "all of"
        warnings.warn(
            f"The attributions of {type(self).__name__} do not add up: they "
            f"miss {share} the change of the score from the baselines (the "
            f"mean gap is {gap / len(results['delta']):.3g}). Something in "
            f"the model {self.model.name!r} has no rule, such as an "
            "activation that a `call` of your own runs as a function: make it "
            "a layer (`keras.layers.ReLU`), or take `IntegratedGradients`.",
            stacklevel=3,
        )
