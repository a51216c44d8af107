"""The paper's guidance: predictions that survive masking."""

import keras

from keras_sgt.guidance import settings
from keras_sgt.guidance.base import Guidance, blind
from keras_sgt.masking import get_masking


@keras.saving.register_keras_serializable(package="keras_sgt")
class MaskedConsistency(Guidance):
    """Predictions stay the same without the features of low gradients.

    The paper's term: `D(f(X) ‖ f(X̃))`, X̃ being X with the `mask_fraction` of
    the lowest gradients of each sample replaced.

    Args:
        mask_fraction: float in [0, 1], the share of each sample's features
            that is masked. Can be assigned while training, without a new
            trace. Defaults to `0.5`.
        weight: float ≥ 0, λ. Defaults to `1.0`.
        masking: a `keras_sgt.masking.Masking`, or the ranking of a
            `FeatureMasking`, such as `"random"`. Defaults to
            `FeatureMasking()`.
        seed: int, the seed of the default masking. Defaults to a random one.
        name: name in the logs.

    Raises:
        ValueError: for arguments out of their range.

    Reference: Ismail, Corrada Bravo, Feizi, "Improving Deep Learning
    Interpretability by Saliency Guided Training", NeurIPS 2021, Algorithm 1.

    Example:

    >>> import keras_sgt
    >>> guidance = keras_sgt.guidance.MaskedConsistency(mask_fraction=0.3)
    >>> guidance.control().masking.ranking
    'random'
    """

    needs = ("divergence", "score")

    def __init__(
        self,
        mask_fraction=0.5,
        weight=1.0,
        masking=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        super().__init__(weight=weight, seed=seed, name=name, **kwargs)
        self.masking = get_masking(masking, seed)
        self._mask_fraction = settings.Setting(
            settings.mask_fraction(mask_fraction)
        )

    def check(self, model):
        self.masking.check(model)

    def check_inputs(self, inputs, model=None):
        self.masking.check_inputs(inputs, model)

    def perturb(self, batch):
        return masked(self, batch, self._mask_fraction.in_step())

    def check_saliency(self, inputs, saliency):
        self.masking.check_saliency(inputs, saliency, self.mask_fraction)

    def control(self):
        return blind(self, masking=blind_masking(self.masking))

    @property
    def mask_fraction(self):
        """The share of each sample's features that is masked."""
        return self._mask_fraction.number

    @mask_fraction.setter
    def mask_fraction(self, value):
        self.assign(self._mask_fraction, settings.mask_fraction(value))

    def settings(self):
        return [*super().settings(), self._mask_fraction]

    def get_config(self):
        return {
            **super().get_config(),
            "mask_fraction": self.mask_fraction,
            "masking": keras.saving.serialize_keras_object(self.masking),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_masking(config))


def masked(guidance, batch, mask_fraction):
    """X as the masking of a guidance leaves it."""
    masking = guidance.masking

    def whole(method):
        is_share = batch.whole.inputs is not batch.inputs
        if is_share and masking.takes_batch(method):
            return {"batch": batch.whole}
        return {}

    saliency = masking.saliency(
        batch.score, batch.inputs, batch.model, **whole("saliency")
    )
    batch.saliency[guidance.name] = saliency
    options = whole("call")
    if batch.counted is not None:
        options["counted"] = batch.counted
    # Not through `__call__`: under a `RematScope` its random numbers would be
    # drawn inside of a checkpoint.
    return masking.call(batch.inputs, saliency, mask_fraction, **options)


def blind_masking(masking):
    """The masking with a random ranking."""
    config = masking.get_config()
    if "ranking" not in config:
        raise ValueError(
            f"{type(masking).__name__} has no `ranking`, so its control cannot "
            "be made from it. Train the control with a masking of your own."
        )
    return type(masking).from_config({**config, "ranking": "random"})


def with_masking(config):
    """A configuration with its masking as an object."""
    masking = config.get("masking")
    if isinstance(masking, dict):
        masking = keras.saving.deserialize_keras_object(masking)
    return {**config, "masking": masking}
