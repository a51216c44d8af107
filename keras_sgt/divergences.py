"""D(f(X) ‖ f(X̃)): how far masking moved a prediction, one value a sample."""

import keras
from keras import ops

from keras_sgt.introspection import losses


class Divergence:
    """Base class of the divergences: `divergence(clean, masked)`.

    Any callable `(clean, masked) -> (batch,)` serves as well; deriving from
    this class adds saving and loading.
    """

    def __call__(self, clean, masked):
        """Returns the divergence of each sample.

        Args:
            clean: the model's outputs for X, `(batch, ..., units)`.
            masked: its outputs for X̃, shaped like `clean`.

        Returns:
            Floats, `(batch, ...)`: one value for each position of the output.
        """
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class _FromLogits(Divergence):
    def __init__(self, from_logits=False):
        self.from_logits = from_logits

    def get_config(self):
        return {"from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="keras_sgt")
class CategoricalKL(_FromLogits):
    """Kullback-Leibler divergence of two categorical distributions.

    `Σ_c p_c (log p_c − log q_c)` over the last axis, `p` clean and `q` masked.

    Args:
        from_logits: whether outputs are logits; otherwise probabilities,
            clipped to `keras.config.epsilon()` as in
            `keras.losses.KLDivergence`. Defaults to `False`.

    Raises:
        ValueError: when called with a single unit, whose softmax is always 1
            and whose divergence is always 0.

    Reference: Ismail et al., NeurIPS 2021, Algorithm 1.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> divergence = keras_sgt.divergences.CategoricalKL()
    >>> p = np.array([[0.5, 0.5]], "float32")
    >>> q = np.array([[0.25, 0.75]], "float32")
    >>> round(float(divergence(p, q)[0]), 4)  # log(2) / 2 + log(2 / 3) / 2
    0.1438
    """

    def __call__(self, clean, masked):
        if clean.shape[-1] == 1:
            raise ValueError(
                "`CategoricalKL` of a single unit is always 0, because its "
                f"softmax is always 1. Received: outputs of shape "
                f"{tuple(clean.shape)}. A single unit with a sigmoid wants "
                "the loss 'binary_crossentropy' and "
                "`divergence=keras_sgt.divergences.BernoulliKL()`; a number "
                "to be regressed, `MeanSquared()`."
            )
        if self.from_logits:
            log_p = ops.log_softmax(clean, axis=-1)
            log_q = ops.log_softmax(masked, axis=-1)
            p = ops.exp(log_p)
        else:
            p, log_p = _clipped_log(clean)
            _, log_q = _clipped_log(masked)
        return _without_rounding(ops.sum(p * (log_p - log_q), axis=-1))


@keras.saving.register_keras_serializable(package="keras_sgt")
class BernoulliKL(_FromLogits):
    """Kullback-Leibler divergence of independent yes-or-no units, summed.

    `Σ_u p_u log(p_u / q_u) + (1 − p_u) log((1 − p_u) / (1 − q_u))` over the
    last axis: for a single sigmoid unit and for several labels at once.

    Args:
        from_logits: whether outputs are logits; otherwise probabilities,
            clipped to `keras.config.epsilon()`. Defaults to `False`.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> divergence = keras_sgt.divergences.BernoulliKL()
    >>> p, q = np.array([[0.5]], "float32"), np.array([[0.25]], "float32")
    >>> round(float(divergence(p, q)[0]), 4)
    0.1438
    """

    def __call__(self, clean, masked):
        if self.from_logits:
            p = ops.sigmoid(clean)
            yes = ops.log_sigmoid(clean) - ops.log_sigmoid(masked)
            no = ops.log_sigmoid(-clean) - ops.log_sigmoid(-masked)
            return _without_rounding(ops.sum(p * yes + (1 - p) * no, axis=-1))
        p, log_p = _clipped_log(clean)
        _, log_q = _clipped_log(masked)
        no_p, log_no_p = _clipped_log(1 - p)
        _, log_no_q = _clipped_log(1 - masked)
        yes = p * (log_p - log_q)
        no = no_p * (log_no_p - log_no_q)
        return _without_rounding(ops.sum(yes + no, axis=-1))


@keras.saving.register_keras_serializable(package="keras_sgt")
class MeanSquared(Divergence):
    """Mean squared difference over the last axis, for regression.

    Reference: the consistency term of Bertoin et al., "Look where you look!
    Saliency-guided Q-networks", NeurIPS 2022.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> clean = np.array([[1.0, 2.0]], "float32")
    >>> masked = np.array([[0.0, 4.0]], "float32")
    >>> float(keras_sgt.divergences.MeanSquared()(clean, masked)[0])
    2.5
    """

    def __call__(self, clean, masked):
        return ops.mean(ops.square(clean - masked), axis=-1)


def _without_rounding(divergence):
    """0 where rounding leaves a divergence a hair below; the same gradient."""
    below = ops.clip(-divergence, 0, 1e-6)
    return divergence + ops.stop_gradient(below)


def _clipped_log(probabilities):
    clipped = ops.clip(probabilities, keras.config.epsilon(), 1.0)
    return clipped, ops.log(clipped)


_OF_KIND = {
    losses.CATEGORICAL: CategoricalKL,
    losses.BERNOULLI: BernoulliKL,
    losses.NUMBERS: MeanSquared,
}


def for_loss(loss):
    """The divergence that goes with a loss.

    Cross-entropies get the KL divergence of the distribution they assume, from
    logits where they are; losses of numbers, `MeanSquared`.

    Args:
        loss: anything that `compile(loss=...)` takes for one output.

    Returns:
        `Divergence`, or `None` where the loss does not say what outputs mean
        (no cross-entropy of Keras, or a configuration that cannot be read), or
        has its classes on another axis than the last.

    Example:

    >>> import keras_sgt
    >>> type(keras_sgt.divergences.for_loss("binary_crossentropy")).__name__
    'BernoulliKL'
    """
    facts = losses.read(loss)
    if facts.kind is None:
        return None
    divergence = _OF_KIND[facts.kind]
    if issubclass(divergence, _FromLogits):
        return divergence(facts.from_logits)
    return divergence()
