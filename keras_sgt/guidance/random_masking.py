"""Samples with random features masked, learnt as well."""

import keras
from keras import ops

from keras_sgt.guidance import settings
from keras_sgt.guidance.base import Guidance
from keras_sgt.guidance.masked_consistency import masked, with_masking
from keras_sgt.masking import get_masking


@keras.saving.register_keras_serializable(package="keras_sgt")
class RandomMasking(Guidance):
    """The model learns masked samples too, whatever is masked.

    `ℓ(X̃)` itself, for every second sample of the batch, of whose features a
    random share is masked. It needs no gradient, and makes measures that mask
    features fair: masked samples are none that the model has never seen.

    Args:
        rate: float in (0, 1], the share of features that is masked, or
            `"uniform"`, drawn anew from [0, 1) for each sample. Defaults to
            `"uniform"`.
        weight: float ≥ 0. Defaults to `1.0`.
        masking: a `keras_sgt.masking.Masking`, or the ranking of a
            `FeatureMasking`; for token ids `TokenMasking(ranking="random")`.
            Defaults to `"random"`.
        seed: int. Defaults to a random one.
        name: name in the logs.

    Raises:
        ValueError: for arguments out of their range.

    Reference: Madsen, Reddy, Chandar, "Faithfulness Measurable Masked Language
    Models", arXiv 2310.07819.

    Example:

    >>> import keras_sgt
    >>> guidance = keras_sgt.guidance.RandomMasking(rate="uniform")
    """

    needs = ("loss",)
    takes_constant_clean = True

    def __init__(
        self,
        rate="uniform",
        weight=1.0,
        masking=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        super().__init__(weight=weight, seed=seed, name=name, **kwargs)
        is_share = settings.is_number(rate) and 0 < rate <= 1
        if rate != "uniform" and not is_share:
            raise ValueError(
                "`rate` has to be 'uniform' or a number above 0, at most 1: "
                "the share of features that is masked. Received: "
                f"rate={rate!r}"
            )
        self.rate = rate
        self.masking = get_masking(
            "random" if masking is None else masking, seed
        )

    def check(self, model):
        self.masking.check(model)

    def check_inputs(self, inputs, model=None):
        self.masking.check_inputs(inputs, model)

    def perturb(self, batch):
        first = next(
            t for t in keras.tree.flatten(batch.inputs) if t is not None
        )
        n = ops.shape(first)[0]
        rates = self.rate
        if self.rate == "uniform":
            rates = keras.random.uniform((n, 1), seed=self.seed_generator)
        return masked(self, batch, rates * every_second(n)[:, None])

    def penalty(self, output, clean, perturbed):
        loss = output.loss(perturbed)
        chosen = every_second(ops.shape(loss)[0])
        shape = (-1, *[1] * (len(loss.shape) - 1))
        return loss * ops.reshape(chosen, shape)

    def control(self):
        """A copy: it is blind already."""
        return type(self).from_config(self.get_config())

    def get_config(self):
        return {
            **super().get_config(),
            "rate": self.rate,
            "masking": keras.saving.serialize_keras_object(self.masking),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_masking(config))


def every_second(n):
    """0, 1, 0, 1, ... `(n,)`."""
    return ops.cast(ops.arange(n) % 2, "float32")
