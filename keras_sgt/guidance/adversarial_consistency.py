"""Predictions that survive a small step where it hurts most."""

import keras
import numpy as np
from keras import ops

from keras_sgt.guidance import directions, settings
from keras_sgt.guidance.base import Guidance, blind
from keras_sgt.guidance.masked_consistency import (
    blind_masking,
    masked,
    with_masking,
)
from keras_sgt.masking import get_masking

DIRECTIONS = ("loss", "score", "random")


@keras.saving.register_keras_serializable(package="keras_sgt")
class AdversarialConsistency(Guidance):
    """Predictions stay the same when the input moves where it hurts most.

    `D(f(X) ‖ f(X̃))` with `X̃ = clip(X + ε · σ · sign ∇ₓℓ)`: one step of
    TRADES, from the gradient of the loss. Gradients of models trained so
    point at what tells classes apart. With `masking`, X is masked first, as
    the paper does, and moved then. Token ids move at the output of their
    embedding.

    Args:
        epsilon: float > 0, how far each feature moves, in units of σ.
            Choose it on validation data. Defaults to `0.1`.
        weight: float ≥ 0, the weight λ. Defaults to `1.0`.
        norm: `"inf"`, each feature by ε · σ; or `"l2"`, along the gradient
            with a root mean square over the sample's features of ε · σ.
            Defaults to `"inf"`.
        masking: a `FeatureMasking` or `TokenMasking`, or the ranking of a
            `FeatureMasking`: X is masked by it before it moves, and what it
            masks is what moves. Defaults to `None`, no masking.
        mask_fraction: float in [0, 1], the share that it masks. Defaults to
            `0.5`.
        direction: `"loss"`, up the gradient of the compiled loss; `"score"`,
            down that of the labels' outputs, which masking needs anyway (one
            gradient pass for both); or `"random"`, the control. Defaults to
            `"loss"`, with `masking` to `"score"`.
        scale: σ: `"auto"` (images: the range of the batch, 1 for images in
            [0, 1]; series and tables: the standard deviation of each channel or
            column; embedded tokens: that of the embedding), or a float.
            Defaults to `"auto"`.
        bounds: the range that X̃ stays in: `"auto"`, that of the batch
            (images), its channel or its column; a pair of numbers; or `None`.
            Embedded tokens have none. Defaults to `"auto"`.
        inputs: the inputs that move, where a model has several and there is no
            masking: a key or index, or a list of them. Defaults to all floats;
            to the token ids where there are none.
        layer: the layer that embeds token ids, or its name; then they move.
            Defaults to the only `Embedding`.
        seed: int, for random directions. Defaults to a random one.
        name: name in the logs.

    Raises:
        ValueError: for arguments out of their range; for bounds that exclude
            the data, at the first batch.

    Reference: Zhang et al., "Theoretically Principled Trade-off between
    Robustness and Accuracy" (TRADES), ICML 2019, with one step; Shah, Jain,
    Netrapalli, "Do Input Gradients Highlight Discriminative Features?",
    NeurIPS 2021.

    Example:

    >>> import keras_sgt
    >>> guidance = keras_sgt.guidance.AdversarialConsistency(epsilon=0.1)
    >>> guidance.control().direction
    'random'
    """

    def __init__(
        self,
        epsilon=0.1,
        weight=1.0,
        norm="inf",
        masking=None,
        mask_fraction=0.5,
        direction=None,
        scale="auto",
        bounds="auto",
        inputs=None,
        layer=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        super().__init__(weight=weight, seed=seed, name=name, **kwargs)
        if direction is None:
            direction = "loss" if masking is None else "score"
        self.norm = settings.choice("norm", norm, ("inf", "l2"))
        self.direction = settings.choice("direction", direction, DIRECTIONS)
        self.scale = _scale(scale)
        self.bounds = _bounds(bounds)
        self.masking = None if masking is None else get_masking(masking, seed)
        self.inputs = inputs
        self.layer = layer.name if isinstance(layer, keras.Layer) else layer
        self._epsilon = settings.Setting(settings.positive("epsilon", epsilon))
        self._mask_fraction = settings.Setting(
            settings.mask_fraction(mask_fraction)
        )
        self._place = directions.Place(self.masking, inputs, layer)

    @property
    def needs(self):
        """What `compile` has to tell of each output."""
        of_score = self.direction == "score" or self.masking is not None
        return (
            "divergence",
            *(("score",) if of_score else ()),
            *(("loss",) if self.direction == "loss" else ()),
        )

    def check(self, model):
        self._place.check(model)

    def check_inputs(self, inputs, model=None):
        if self.masking is not None:
            self.masking.check_inputs(inputs, model)
        if not isinstance(self.bounds, tuple):
            return
        if self._place.moves_tokens(inputs):
            return
        low, high = self.bounds
        for values, real in zip(
            self._place.clean(inputs, model), self._place.real(inputs, model)
        ):
            values = ops.convert_to_numpy(values)
            if real is not None:
                values = values[ops.convert_to_numpy(real)[:, :, 0]]
            if values.size and (values.min() < low or values.max() > high):
                raise ValueError(
                    f"`bounds` of `{type(self).__name__}` exclude the data. "
                    f"Received: bounds={self.bounds}, and inputs from "
                    f"{values.min():.6g} to {values.max():.6g}. Pass the range "
                    "of your data, or `bounds='auto'`."
                )

    def perturb(self, batch):
        inputs = batch.inputs
        moves = self._moves(batch)
        if self.masking is not None:
            inputs = masked(self, batch, self._mask_fraction.in_step())
        return self._place.moved(batch, inputs, moves, self._limits(batch))

    def check_saliency(self, inputs, saliency):
        if self.masking is None:
            self._place.check_gradient(inputs, saliency)
        else:
            self.masking.check_saliency(inputs, saliency, self.mask_fraction)

    def _moves(self, batch):
        """How far each tensor moves, a list."""
        moves = self._place.without_padding(self._directions(batch), batch)
        if self.norm == "inf":
            moves = [ops.sign(m) for m in moves]
        else:
            ones = [ops.ones_like(m) for m in moves]
            n = sum(
                map(
                    directions.sample_sum,
                    self._place.without_padding(ones, batch),
                )
            )
            moves = [
                m * directions.for_samples(ops.sqrt(n), m)
                for m in directions.of_length_one(moves)
            ]
        epsilon = self._epsilon.in_step()
        return [
            epsilon * scale * move
            for scale, move in zip(self._scales(batch, moves), moves)
        ]

    def _directions(self, batch):
        """Where each tensor moves, of any length."""
        if self.direction == "random":
            clean = self._place.clean(batch.inputs, batch.model)
            return directions.random(clean, self.seed_generator)
        score = batch.loss if self.direction == "loss" else batch.score
        up = 1 if self.direction == "loss" else -1
        gradient = self._place.gradient(score, batch)
        if self.masking is None:
            batch.saliency[self.name] = gradient
        return [up * ops.cast(g, "float32") for g in gradient]

    def _scales(self, batch, moves):
        if self.scale == "auto":
            return self._place.scales(batch)
        return [self.scale] * len(moves)

    def _limits(self, batch):
        if self.bounds is None or self._place.moves_tokens(batch.inputs):
            return None
        if self.bounds == "auto":
            return self._place.ranges(batch)
        return [self.bounds] * len(self._place.positions(batch.inputs))

    def control(self):
        changes = {"direction": "random"}
        if self.masking is not None:
            changes["masking"] = blind_masking(self.masking)
        return blind(self, **changes)

    @property
    def epsilon(self):
        """How far features move, in units of σ."""
        return self._epsilon.number

    @epsilon.setter
    def epsilon(self, value):
        self.assign(self._epsilon, settings.positive("epsilon", value))

    @property
    def mask_fraction(self):
        """The share of features that is masked before they move."""
        return self._mask_fraction.number

    @mask_fraction.setter
    def mask_fraction(self, value):
        self.assign(self._mask_fraction, settings.mask_fraction(value))

    def settings(self):
        return [*super().settings(), self._epsilon, self._mask_fraction]

    def get_config(self):
        masking = self.masking and keras.saving.serialize_keras_object(
            self.masking
        )
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "norm": self.norm,
            "masking": masking,
            "mask_fraction": self.mask_fraction,
            "direction": self.direction,
            "scale": self.scale,
            "bounds": self.bounds,
            "inputs": self.inputs,
            "layer": self.layer,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_masking(config))


def _scale(scale):
    return scale if scale == "auto" else settings.positive("scale", scale)


def _bounds(bounds):
    if bounds is None or bounds == "auto":
        return bounds
    pair = tuple(bounds) if isinstance(bounds, (list, tuple)) else ()
    numbers = len(pair) == 2 and all(map(settings.is_number, pair))
    if not numbers or not np.isfinite(pair).all() or pair[0] >= pair[1]:
        raise ValueError(
            "`bounds` has to be 'auto', None or a pair of finite numbers, the "
            f"smaller first. Received: bounds={bounds!r}"
        )
    return pair
