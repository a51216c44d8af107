"""A loss that rises without the most relevant features."""

import keras
from keras import ops

from keras_sgt.guidance import settings
from keras_sgt.guidance.base import Guidance, blind
from keras_sgt.guidance.masked_consistency import (
    blind_masking,
    masked,
    with_masking,
)
from keras_sgt.masking import FeatureMasking, Uniform, get_masking


@keras.saving.register_keras_serializable(package="keras_sgt")
class MeanToUniform(Uniform):
    """A point between the mean and a draw of `Uniform`, one share a sample."""

    def call(self, inputs, mask, saliency, batch=None):
        draws = super().call(inputs, mask, saliency, batch)
        mean = self.mean(inputs, saliency, batch)[0]
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        share = keras.random.uniform(
            shape, dtype=inputs.dtype, seed=self.seed_generator
        )
        return mean + share * (draws - mean)


@keras.saving.register_keras_serializable(package="keras_sgt")
class Comprehensiveness(Guidance):
    """Without the most relevant features, the loss is larger by a margin.

    `max(0, margin + ℓ(X) − ℓ(X̃))`, ℓ(X) a constant, X̃ being X with the `top`
    share of the most relevant features replaced: those with the largest
    `|∇ₓ f_y · (x − mean)|`.

    Args:
        top: float in (0, 1], the share of each sample's features that goes.
            Defaults to `0.2`.
        margin: float > 0, by how much the loss is to rise, in its own units.
            Defaults to `1.0`.
        weight: float ≥ 0. Defaults to `0.5`.
        masking: a `keras_sgt.masking.Masking` that removes what is relevant,
            or the ranking of a `FeatureMasking`.
            For token ids `TokenMasking(ranking="relevance")`. Defaults to
            `FeatureMasking(ranking="relevance")`, whose replacement is drawn
            between the mean and a random value of the range.
        seed: int, the seed of the default masking, or of one given by its
            name. Defaults to a random one.
        name: name in the logs.

    Raises:
        ValueError: for arguments out of their range.

    Reference: Chan et al., "UNIREX: A Unified Learning Framework for Language
    Model Rationale Extraction", ICML 2022, the criterion with a margin.

    Example:

    >>> import keras_sgt
    >>> guidance = keras_sgt.guidance.Comprehensiveness(top=0.2)
    >>> guidance.control().masking.ranking
    'random'
    """

    needs = ("score", "loss")
    takes_constant_clean = True

    def __init__(
        self,
        top=0.2,
        margin=1.0,
        weight=0.5,
        masking=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        super().__init__(weight=weight, seed=seed, name=name, **kwargs)
        self.margin = settings.positive("margin", margin)
        self._top = settings.Setting(_share(top))
        if masking is None:
            masking = FeatureMasking(
                ranking="relevance", replacement=MeanToUniform(seed=seed)
            )
        self.masking = get_masking(masking, seed)

    def check(self, model):
        self.masking.check(model)

    def check_inputs(self, inputs, model=None):
        self.masking.check_inputs(inputs, model)

    def perturb(self, batch):
        return masked(self, batch, self._top.in_step())

    def check_saliency(self, inputs, saliency):
        self.masking.check_saliency(inputs, saliency, self.top)

    def penalty(self, output, clean, perturbed):
        loss = ops.stop_gradient(output.loss(clean))
        return ops.relu(self.margin + loss - output.loss(perturbed))

    def control(self):
        return blind(self, masking=blind_masking(self.masking))

    @property
    def top(self):
        """The share of each sample's features that goes."""
        return self._top.number

    @top.setter
    def top(self, value):
        self.assign(self._top, _share(value))

    def settings(self):
        return [*super().settings(), self._top]

    def get_config(self):
        return {
            **super().get_config(),
            "top": self.top,
            "margin": self.margin,
            "masking": keras.saving.serialize_keras_object(self.masking),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_masking(config))


def _share(value):
    if not settings.is_number(value) or not 0 < value <= 1:
        raise ValueError(
            "`top` has to be a number above 0, at most 1: the share of each "
            f"sample's features that goes. Received: top={value!r}"
        )
    return float(value)
