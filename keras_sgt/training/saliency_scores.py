"""The score whose gradient ranks the features."""

import functools

import keras
from keras import ops

from keras_sgt.divergences import BernoulliKL, CategoricalKL

NO_LABELS = (
    "`saliency_target='label'` needs labels, and `y` is None. Train with "
    "labels, or pass `saliency_target='prediction'` or a callable "
    "`(y, outputs) -> tensor`."
)


def label_scores(head, y, outputs, logits_of):
    """The scalars whose sum ranks features: the outputs for the labels.

    The true class's logit; of independent units the sum of logits, negated
    where the label is 0; of a regression the sum of outputs. Where logits
    cannot be had, log-probabilities stand in.

    Args:
        head: the output's `Head`, which tells its kind.
        y: the labels, as the loss takes them (sparse or one-hot).
        outputs: the outputs, `(batch, ..., units)`.
        logits_of: function from outputs to their logits or `None`, from
            `recorded_logits`.

    Returns:
        Float32 `(batch, ...)`, one for each position of the output.
    """
    meaning = head.meaning
    if len(outputs.shape) == 1:  # of a single unit, squeezed
        known = logits_of(outputs)
        logits_of = functools.partial(_of_one_unit, known)
        outputs = outputs[:, None]
    if isinstance(meaning, CategoricalKL):
        scores = _logits(outputs, meaning.from_logits, logits_of, _log)
        if head.ignore_class is not None:
            counted = ops.not_equal(y, head.ignore_class)
            y = ops.where(counted, y, 0)
        true = ops.cast(_one_hot(y, scores), "float32") * scores
        true = ops.sum(true, axis=-1)
        if head.ignore_class is not None:
            true = true * like_scores(counted, true)
        return true
    if isinstance(meaning, BernoulliKL):
        scores = _logits(outputs, meaning.from_logits, logits_of, _log_odds)
        y = ops.reshape(ops.cast(y, "float32"), ops.shape(scores))
        return ops.sum((2 * y - 1) * scores, axis=-1)
    return ops.sum(ops.cast(outputs, "float32"), axis=-1)


def _of_one_unit(logits, outputs):
    return None if logits is None else logits[:, None]


def counted_samples(sample_weight):
    """Bool `(batch,)`: which samples weigh anything; `None` if all do."""
    weights = keras.tree.flatten(sample_weight)
    if any(weight is None for weight in weights):
        return None  # an output without weights counts every sample
    weighs = [ops.not_equal(weight, 0) for weight in weights]
    rows = [ops.any(w, axis=tuple(range(1, len(w.shape)))) for w in weighs]
    return functools.reduce(ops.logical_or, rows)


def predicted(divergence, outputs):
    """The labels that the outputs stand for, in the place of true ones."""
    if isinstance(divergence, CategoricalKL):
        return ops.argmax(outputs, axis=-1)
    if isinstance(divergence, BernoulliKL):
        return outputs > (0 if divergence.from_logits else 0.5)
    return None


def like_scores(values, scores):
    """Float32 with the axes of `scores`: less ones of length 1, or more."""
    values = ops.cast(values, "float32")
    while len(values.shape) > len(scores.shape) and values.shape[-1] == 1:
        values = ops.squeeze(values, axis=-1)
    while len(values.shape) < len(scores.shape):
        values = ops.expand_dims(values, axis=-1)
    return values


def _logits(outputs, from_logits, logits_of, inverse):
    logits = outputs if from_logits else logits_of(outputs)
    if logits is not None:
        return ops.cast(logits, "float32")
    return inverse(ops.cast(outputs, "float32"))


def _log(probabilities):
    return ops.log(ops.maximum(probabilities, keras.config.epsilon()))


def _log_odds(probabilities):
    return _log(probabilities) - _log(1 - probabilities)


def is_sparse(y, shape):
    """Whether labels are numbers of classes, not one-hot."""
    return y is not None and not (
        len(y.shape) == len(shape) and y.shape[-1] == shape[-1]
    )


def check_classes(y, classes, ignored):
    """Raises for labels outside of `0` to `classes - 1`. Looks at values."""
    labels = ops.convert_to_numpy(y)
    labels = labels[labels != ignored]
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"`y` has to hold classes from 0 to {classes - 1}, as many as the "
            "model has outputs. Received: labels from "
            f"{labels.min()} to {labels.max()}"
        )


def _one_hot(y, scores):
    classes = scores.shape[-1]
    if not is_sparse(y, scores.shape):
        return y
    if len(y.shape) == len(scores.shape):
        y = ops.squeeze(y, axis=-1)
    return ops.one_hot(ops.cast(y, "int32"), classes)
