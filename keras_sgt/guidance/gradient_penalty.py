"""A loss that is flat around each sample."""

import keras
from keras import ops

from keras_sgt.guidance import directions, settings
from keras_sgt.guidance.base import Guidance, blind


@keras.saving.register_keras_serializable(package="keras_sgt")
class GradientPenalty(Guidance):
    """The loss is flat around each sample.

    `((ℓ(X̃) − ℓ(X)) / h)²` with `X̃ = X + h · ∇ₓℓ / ‖∇ₓℓ‖`: for small h the
    squared length of the loss's gradient, by finite differences, without a
    second-order graph. Where the network drops units in training, both losses
    are those of inference, at the price of a forward pass: with other units
    dropped for X̃ than for X, their difference would be far larger than h.

    Args:
        h: float > 0, the length of the step over all features of a sample, in
            units of the data. Defaults to `0.01`.
        weight: float ≥ 0. Defaults to `0.1`.
        direction: `"loss"`, or `"random"`, the control. Defaults to `"loss"`.
        inputs, layer: as in `AdversarialConsistency`.
        seed: int, for random directions. Defaults to a random one.
        name: name in the logs.

    Raises:
        ValueError: for arguments out of their range; in `compile`, for an `h`
            that the model's precision rounds away.

    Reference: Finlay, Oberman, "Scaleable input gradient regularization for
    adversarial robustness", arXiv 1905.11468.

    Example:

    >>> import keras_sgt
    >>> guidance = keras_sgt.guidance.GradientPenalty(weight=0.1)
    >>> guidance.control().direction
    'random'
    """

    needs = ("loss",)
    without_dropout = True

    def __init__(
        self,
        h=0.01,
        weight=0.1,
        direction="loss",
        inputs=None,
        layer=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        super().__init__(weight=weight, seed=seed, name=name, **kwargs)
        self.h = settings.positive("h", h)
        self.direction = settings.choice(
            "direction", direction, ("loss", "random")
        )
        self.inputs = inputs
        self.layer = layer.name if isinstance(layer, keras.Layer) else layer
        self._place = directions.Place(None, inputs, layer)

    def check(self, model):
        # Both losses are of order one, and their difference is divided by h.
        precision = {"float16": 2**-10, "bfloat16": 2**-7}
        least = 1000 * precision.get(model.compute_dtype, 2**-23)
        if self.h < least:
            raise ValueError(
                f"`h` of `GradientPenalty` is too small for a model that "
                f"computes in {model.compute_dtype}: rounding would drown the "
                f"difference of the losses. Received: h={self.h}. Pass at "
                f"least {least:.2g}, or train in float32."
            )
        self._place.check(model)

    def perturb(self, batch):
        if self.direction == "random":
            clean = self._place.clean(batch.inputs, batch.model)
            moves = directions.random(clean, self.seed_generator)
        else:
            moves = self._place.gradient(batch.loss, batch)
            batch.saliency[self.name] = moves
        moves = self._place.without_padding(moves, batch)
        steps = [self.h * m for m in directions.of_length_one(moves)]
        return self._place.moved(batch, batch.inputs, steps)

    def check_saliency(self, inputs, saliency):
        self._place.check_gradient(inputs, saliency)

    def penalty(self, output, clean, perturbed):
        change = output.loss(perturbed) - output.loss(clean)
        return ops.square(change / self.h)

    def control(self):
        return blind(self, direction="random")

    def get_config(self):
        return {
            **super().get_config(),
            "h": self.h,
            "direction": self.direction,
            "inputs": self.inputs,
            "layer": self.layer,
        }
