"""What each output means: its divergence, and the score of its labels."""

import contextlib
import inspect
import typing

import keras
from keras import ops

from keras_sgt import backend, divergences
from keras_sgt.divergences import BernoulliKL, CategoricalKL

_SOFTMAX = (keras.activations.softmax, ops.softmax)
_SIGMOID = (keras.activations.sigmoid, ops.sigmoid)

_SINGLE_SOFTMAX = (
    "The model ends in a softmax over a single unit, which is always 1: it "
    "cannot learn, and nothing is salient to it. Use `activation='sigmoid'` "
    "with the loss 'binary_crossentropy', or one unit for each class."
)


class Head(typing.NamedTuple):
    """One output: what its loss says it means, and how it is compared.

    Args:
        meaning: the `Divergence` that goes with its loss, or `None` where the
            loss does not tell.
        divergence: callable `(clean, masked) -> (batch,)`.
        weight: its `loss_weights`.
    """

    meaning: typing.Any
    divergence: typing.Any
    weight: float


class Heads:
    """The outputs of a model, as `compile` describes them.

    Args:
        loss: as for `compile`: one, or a list or dict with one for each
            output; an output without a loss takes no part.
        divergence: likewise, where it is not to follow from the loss.
        loss_weights: as for `compile`.
        target: `saliency_target` of the model.
        required: whether a loss that no divergence is known for is an error.

    Raises:
        ValueError: where it is one.
    """

    def __init__(self, loss, divergence, loss_weights, target, required):
        self.target = target

        def head(key=None):
            found = _head(
                *(_part(v, key) for v in (loss, divergence, loss_weights))
            )
            if required and found is not None:
                _check_head(found, _part(loss, key), target)
            return found

        nested = loss if _is_nested(loss) else divergence
        if isinstance(nested, dict):
            self._heads = {key: head(key) for key in nested}
        elif _is_nested(nested):
            self._heads = [head(i) for i in range(len(nested))]
        else:
            self._heads = head()
        if required and not any(self._flat()):
            raise ValueError(_NO_DIVERGENCE.format(loss=loss))

    def _flat(self):
        if isinstance(self._heads, dict):
            return list(self._heads.values())
        return self._heads if isinstance(self._heads, list) else [self._heads]

    def score(self, y, outputs, output_names, logits_of):
        """The scalar whose gradient ranks the features."""
        if callable(self.target):
            return ops.sum(self.target(y, outputs))
        if y is None and self.target == "label":
            raise ValueError(
                "`saliency_target='label'` needs labels, and `y` is None. "
                "Train with labels, or pass `saliency_target='prediction'` or "
                "a callable `(y, outputs) -> tensor`."
            )
        total = 0
        for head, output, label in self._by_output(outputs, output_names, y):
            if self.target == "prediction":
                label = predicted(head.meaning, output)
            total += label_score(head.meaning, label, output, logits_of)
        return total

    def divergence(self, clean, masked, sample_weight, output_names):
        """The sum of all divergences, reduced and weighted as Keras does."""
        rows = self._by_output(clean, output_names, masked, sample_weight)
        return sum(
            head.weight * DivergenceLoss(head.divergence)(one, other, weight)
            for head, one, other, weight in rows
        )

    def _by_output(self, outputs, names, *others):
        """The head, the output and its part of the others, for each head."""
        keys = range(len(outputs)) if _is_nested(outputs) else [None]
        if isinstance(outputs, dict):
            keys = list(outputs)
        for i, key in enumerate(keys):
            aliases = [key, names[i] if names and len(names) > i else None, i]
            head = _aliased(self._heads, aliases)
            if head is not None:
                output = outputs if key is None else outputs[key]
                yield (head, output, *(_aliased(o, aliases) for o in others))


class DivergenceLoss(keras.losses.Loss):
    """A divergence, reduced, weighted and scaled as Keras does with losses."""

    def __init__(self, divergence):
        super().__init__(name="divergence")
        self.divergence = divergence

    def call(self, y_true, y_pred):
        return self.divergence(y_true, y_pred)


_NO_DIVERGENCE = (
    "No divergence is known for the loss {loss!r}. Pass "
    "`SaliencyGuidedModel(divergence=...)`: one of `keras_sgt.divergences` "
    "(`CategoricalKL`, `BernoulliKL`, `MeanSquared`) or a callable "
    "`(clean, masked) -> (batch,)`."
)


def _head(loss, divergence, weight):
    if loss is None and divergence is None:
        return None
    meaning = None if loss is None else divergences.for_loss(loss)
    if meaning is None and isinstance(divergence, divergences.Divergence):
        meaning = divergence
    weight = 1.0 if weight is None else weight
    return Head(meaning, meaning if divergence is None else divergence, weight)


def _check_head(head, loss, target):
    if head.divergence is None:
        raise ValueError(_NO_DIVERGENCE.format(loss=loss))
    if head.meaning is None and not callable(target):
        raise ValueError(
            f"The loss {loss!r} does not tell which output belongs to a label. "
            f"Received: saliency_target={target!r}. Pass a callable "
            "`(y, outputs) -> tensor` whose gradient is to rank the features."
        )


def _is_nested(value):
    return isinstance(value, (dict, list, tuple)) and not hasattr(
        value, "_fields"
    )


def _part(value, key):
    """What a setting is for one output: itself, if it is the same for all."""
    if key is None or not _is_nested(value):
        return value
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if key < len(value) else None


def _aliased(value, aliases):
    """The part of a nest for an output that goes by several names."""
    if isinstance(value, dict):
        return next((value[a] for a in aliases if a in value), None)
    if _is_nested(value):
        return value[aliases[-1]]
    return value


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
            records.append((output, x, not _is_one_of(_SIGMOID, function)))
            return output

        return recorded

    def logits_of(output):
        for recorded, logits, is_softmax in records:
            if recorded is output:
                if is_softmax and output.shape[-1] == 1:
                    raise ValueError(_SINGLE_SOFTMAX)
                return logits
        return None

    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers(include_self=False):
            activation = vars(layer).get("activation")
            if _is_one_of(_SOFTMAX + _SIGMOID, activation):
                changed = backend.replaced(layer, "activation", recording)
                stack.enter_context(changed)
            elif isinstance(layer, keras.layers.Softmax):
                changed = backend.replaced(layer, "call", recording)
                stack.enter_context(changed)
        yield logits_of


def _is_one_of(functions, function):
    return inspect.unwrap(function) in functions  # others may wrap it too


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
