import warnings

from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.methods.deep_lift_rules import Rescale
from keras_sgt.attribution.passes import like_features


class DeepLIFT(Attribution):
    """Differences from a baseline, handed back through the layers.

    The rescale rule: an activation passes on Δoutput / Δinput in the place of
    its gradient, so that a saturated unit still counts. Attributions add up
    to f(x) − f(x₀). Treated are the activations inside of Dense, EinsumDense
    and convolutional layers, the layers Activation, ReLU, LeakyReLU, ELU,
    PReLU and Softmax, and max pooling. Through everything else goes the plain
    gradient: exact where it is linear; layers that multiply their inputs
    (recurrent, attention, normalisation), layers of your own, and operations
    between the layers of a functional model are named in a warning. Functions
    that `call` of a subclassed model runs between layers cannot be seen; the
    convergence delta tells.

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
                "change of the score (`return_convergence_delta=True` tells "
                "by how much).",
                stacklevel=2,
            )

    def attribute(self, rows):
        return self._differences(rows, rows.baselines)

    def _differences(self, rows, baselines):
        """Attributions against baselines: one for each row or one for all."""
        if len(self.explained.direct) < len(rows.inputs):
            # What is not compared belongs to a row, so that each row needs
            # a baseline of its own.
            baselines = like_features(baselines, rows)
        records = []
        with self._rescale.recording(records):
            self.explained.outputs(rows.inputs, baselines)
        with self._rescale.applied(records):
            multipliers = self.gradient(rows)
        if not self.multiply_by_inputs:
            return multipliers
        return [
            (f - b) * m
            for f, b, m in zip(rows.features, baselines, multipliers)
        ]
