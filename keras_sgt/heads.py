"""What an output means: the score of a label, and the logits behind it."""

import contextlib

import keras
from keras import ops

from keras_sgt.divergences import BernoulliKL, CategoricalKL

_SOFTMAX = (keras.activations.softmax, ops.softmax)
_SIGMOID = (keras.activations.sigmoid, ops.sigmoid)

_SINGLE_SOFTMAX = (
    "The model ends in a softmax over a single unit, which is always 1: it "
    "cannot learn, and nothing is salient to it. Use `activation='sigmoid'` "
    "with the loss 'binary_crossentropy', or one unit for each class."
)


@contextlib.contextmanager
def recorded_logits(model):
    """Records what goes into every softmax and sigmoid of a model.

    While it is active, the yielded function maps an output of the model to the
    logits it was made of, or to `None` where its last step is not the softmax
    or sigmoid of a layer. This reaches the logits of any model, functional or
    not, without rebuilding it.
    """
    records = []

    def recording(function):
        def recorded(x, *args, **kwargs):
            output = function(x, *args, **kwargs)
            records.append((output, x, function not in _SIGMOID))
            return output

        return recorded

    def logits_of(output):
        for recorded, logits, is_softmax in records:
            if recorded is output:
                if is_softmax and output.shape[-1] == 1:
                    raise ValueError(_SINGLE_SOFTMAX)
                return logits
        return None

    # The instances' own dictionaries: Keras tracks nothing, torch registers
    # nothing, and taking the entries out again restores the layers.
    replaced = []
    for layer in model._flatten_layers(include_self=False):
        attributes = vars(layer)
        if attributes.get("activation") in _SOFTMAX + _SIGMOID:
            replaced.append((attributes, "activation", layer.activation))
            attributes["activation"] = recording(layer.activation)
        elif isinstance(layer, keras.layers.Softmax):
            replaced.append((attributes, "call", None))
            attributes["call"] = recording(layer.call)
    try:
        yield logits_of
    finally:
        for attributes, name, original in replaced:
            if original is None:
                del attributes[name]
            else:
                attributes[name] = original


def label_score(divergence, y, outputs, logits_of):
    """The scalar whose gradient ranks features: the outputs for the labels.

    The sum over samples and positions of the true class's logit; of the logits
    of independent units, negated where the label is 0; of the outputs of a
    regression. Where logits cannot be had, log-probabilities stand in.

    Args:
        divergence: the output's `Divergence`, which tells its kind.
        y: the labels, as the loss takes them (sparse or one-hot).
        outputs: the outputs, `(batch, ..., units)`.
        logits_of: function from outputs to their logits or `None`, from
            `recorded_logits`.

    Returns:
        Float32 scalar tensor.
    """
    if isinstance(divergence, CategoricalKL):
        scores = _logits(outputs, divergence.from_logits, logits_of, _log)
        return ops.sum(ops.cast(_one_hot(y, scores), "float32") * scores)
    if isinstance(divergence, BernoulliKL):
        scores = _logits(outputs, divergence.from_logits, logits_of, _log_odds)
        y = ops.reshape(ops.cast(y, "float32"), ops.shape(scores))
        return ops.sum((2 * y - 1) * scores)
    return ops.sum(ops.cast(outputs, "float32"))


def predicted(divergence, outputs):
    """The labels that the outputs stand for, in the place of true ones."""
    if isinstance(divergence, CategoricalKL):
        return ops.argmax(outputs, axis=-1)
    if isinstance(divergence, BernoulliKL):
        return outputs > (0 if divergence.from_logits else 0.5)
    return None


def _logits(outputs, from_logits, logits_of, inverse):
    logits = outputs if from_logits else logits_of(outputs)
    if logits is not None:
        return ops.cast(logits, "float32")
    return inverse(ops.cast(outputs, "float32"))


def _log(probabilities):
    return ops.log(ops.maximum(probabilities, keras.config.epsilon()))


def _log_odds(probabilities):
    return _log(probabilities) - _log(1 - probabilities)


def _one_hot(y, scores):
    classes = scores.shape[-1]
    if len(y.shape) == len(scores.shape) and y.shape[-1] == classes:
        return y
    if len(y.shape) == len(scores.shape):
        y = ops.squeeze(y, axis=-1)
    return ops.one_hot(ops.cast(y, "int32"), classes)
