"""What each output means: its divergence, and the score of its labels."""

import contextlib
import functools
import inspect
import typing

import keras
from keras import ops

from keras_sgt import backend, divergences
from keras_sgt.divergences import BernoulliKL, CategoricalKL
from keras_sgt.introspection import losses
from keras_sgt.introspection.layers import (
    all_layers,
    is_of_keras,
    own_attribute,
)

_SOFTMAX = (keras.activations.softmax, ops.softmax)
_SIGMOID = (keras.activations.sigmoid, ops.sigmoid)

_SINGLE_SOFTMAX = (
    "The model ends in a softmax over a single unit, which is always 1: it "
    "cannot learn, and nothing is salient to it. Use `activation='sigmoid'` "
    "with the loss 'binary_crossentropy', or one unit for each class."
)


def check_softmax(model):
    """Raises if a layer of the model ends in a softmax over one unit."""
    for layer in all_layers(model, include_self=False):
        activation = own_attribute(layer, "activation")
        # A layer of the user's own may have neither; then the first training
        # step finds the single unit (`recorded_logits`).
        units = getattr(layer, "units", getattr(layer, "filters", None))
        if units == 1 and _is_one_of(_SOFTMAX, activation):
            raise ValueError(f"{_SINGLE_SOFTMAX} Received: {layer.name}")


def inner(model):
    """The network itself, of a model that wraps one."""
    wrapped = getattr(model, "model", None)
    return wrapped if isinstance(wrapped, keras.Model) else model


def ends_in_logits(model):
    """Whether the last layer gives logits; `None` where it does not tell.

    Args:
        model: `keras.Model`.

    Returns:
        bool, or `None`.
    """
    layer = _last_layer(inner(model))
    if layer is None or not is_of_keras(type(layer)):
        return None  # what one's own layer does with an activation is unknown
    # Keras's own layers have one under this name, or none.
    activation = own_attribute(layer, "activation")
    if isinstance(layer, keras.layers.Softmax) or _is_one_of(
        _SOFTMAX + _SIGMOID, activation
    ):
        return False
    # An `Activation("linear")` may only set a type, after a softmax.
    linear = activation is keras.activations.linear and layer.weights
    return True if linear else None


def _last_layer(model):
    """The layer that makes the only output, or `None` if none can be named."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1] if model.layers else None
    else:
        outputs = getattr(model, "outputs", None) or []
        last = next(
            (m for m in reversed(model.layers) if _makes(m, outputs)), None
        )
    return _last_layer(last) if isinstance(last, keras.Model) else last


def _makes(layer, outputs):
    try:
        return len(outputs) == 1 and layer.output is outputs[0]
    except (AttributeError, ValueError):  # never called, or more than once
        return False


NO_LABELS = (
    "`saliency_target='label'` needs labels, and `y` is None. Train with "
    "labels, or pass `saliency_target='prediction'` or a callable "
    "`(y, outputs) -> tensor`."
)


class Head(typing.NamedTuple):
    """One output: what its loss says it means, and how it is compared.

    Args:
        meaning: the `Divergence` that goes with its loss, or `None` where the
            loss does not tell.
        divergence: callable `(clean, masked) -> (batch,)`.
        weight: its `loss_weights`.
        reduction: of its loss.
        ignore_class: the label of positions that its loss leaves out.
    """

    meaning: typing.Any
    divergence: typing.Any
    weight: float
    reduction: str
    ignore_class: int | None


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

    def score(self, y, outputs, sample_weight, output_names, logits_of):
        """The scalar whose gradient ranks the features.

        Args:
            y: the labels, or `None` where the target needs none.
            outputs: what the model predicts, a tensor or a nest of them.
            sample_weight: as for `fit`: what weighs nothing is no reason.
            output_names: the names of the outputs, if they have some.
            logits_of: of `recorded_logits`.
        """
        if callable(self.target):
            return ops.sum(self.target(y, outputs))
        if y is None and self.target == "label":
            raise ValueError(NO_LABELS)
        total = 0
        rows = self._by_output(outputs, output_names, y, sample_weight)
        for head, output, label, weight in rows:
            if self.target == "prediction":
                label = predicted(head.meaning, output)
            scores = label_scores(head, label, output, logits_of)
            if weight is not None:
                scores = scores * _like(ops.not_equal(weight, 0), scores)
            total += ops.sum(scores)
        return total

    def divergence(self, clean, masked, y, sample_weight, output_names):
        """The sum of all divergences, reduced and weighted as Keras does.

        Args:
            clean: the outputs for X, a tensor or a nest of them.
            masked: those for X̃.
            y: the labels, or `None`; positions that a loss ignores count not.
            sample_weight: as for `fit`.
            output_names: the names of the outputs, if they have some.
        """
        total = 0
        rows = self._by_output(clean, output_names, masked, y, sample_weight)
        for head, one, other, label, weight in rows:
            if head.ignore_class is not None and label is not None:
                weight = _without_ignored(head, label, one, weight)
            loss = DivergenceLoss(head.divergence, reduction=head.reduction)
            total += head.weight * loss(one, other, weight)
        return total

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

    def __init__(self, divergence, **kwargs):
        super().__init__(name="divergence", **kwargs)
        self.divergence = divergence

    def call(self, y_true, y_pred):
        return self.divergence(y_true, y_pred)


_NO_DIVERGENCE = (
    "No divergence is known for the loss {loss!r}: of the losses of Keras "
    "those of cross-entropy (classes on the last axis) and of regression have "
    "one, where their configuration can be read. Pass "
    "`SaliencyGuidedModel(divergence=...)`: one of `keras_sgt.divergences` "
    "(`CategoricalKL`, `BernoulliKL`, `MeanSquared`) or a callable "
    "`(clean, masked) -> (batch,)`."
)


def _head(loss, divergence, weight):
    if loss is None and divergence is None:
        return None
    facts = losses.UNKNOWN if loss is None else losses.read(loss)
    meaning = None if loss is None else divergences.for_loss(loss)
    if meaning is None and isinstance(divergence, divergences.Divergence):
        meaning = divergence
    return Head(
        meaning,
        meaning if divergence is None else divergence,
        1.0 if weight is None else weight,
        facts.reduction,
        facts.ignore_class,
    )


def _check_head(head, loss, target):
    losses.check_reduction(loss, head.reduction)
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
        for layer in all_layers(model, include_self=False):
            activation = own_attribute(layer, "activation")
            if _is_one_of(_SOFTMAX + _SIGMOID, activation):
                changed = backend.replaced(layer, "activation", recording)
                stack.enter_context(changed)
            elif isinstance(layer, keras.layers.Softmax):
                changed = backend.replaced(layer, "call", recording)
                stack.enter_context(changed)
        yield logits_of


def _is_one_of(functions, function):
    # Others may wrap it too, while they watch a layer.
    return function is not None and inspect.unwrap(function) in functions


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
    if isinstance(meaning, CategoricalKL):
        scores = _logits(outputs, meaning.from_logits, logits_of, _log)
        if head.ignore_class is not None:
            counted = ops.not_equal(y, head.ignore_class)
            y = ops.where(counted, y, 0)
        true = ops.cast(_one_hot(y, scores), "float32") * scores
        true = ops.sum(true, axis=-1)
        if head.ignore_class is not None:
            true = true * _like(counted, true)
        return true
    if isinstance(meaning, BernoulliKL):
        scores = _logits(outputs, meaning.from_logits, logits_of, _log_odds)
        y = ops.reshape(ops.cast(y, "float32"), ops.shape(scores))
        return ops.sum((2 * y - 1) * scores, axis=-1)
    return ops.sum(ops.cast(outputs, "float32"), axis=-1)


def counted_samples(sample_weight):
    """Bool `(batch,)`: which samples weigh anything; `None` if all do."""
    weights = keras.tree.flatten(sample_weight)
    if any(weight is None for weight in weights):
        return None  # an output without weights counts every sample
    weighs = [ops.not_equal(weight, 0) for weight in weights]
    rows = [ops.any(w, axis=tuple(range(1, len(w.shape)))) for w in weighs]
    return functools.reduce(ops.logical_or, rows)


def _like(values, scores):
    """Float32 with the axes of `scores`: less ones of length 1, or more."""
    values = ops.cast(values, "float32")
    while len(values.shape) > len(scores.shape) and values.shape[-1] == 1:
        values = ops.squeeze(values, axis=-1)
    while len(values.shape) < len(scores.shape):
        values = ops.expand_dims(values, axis=-1)
    return values


def _without_ignored(head, y, outputs, weight):
    """Weights that leave out what the loss ignores, from the mean too."""
    position = outputs[..., 0]
    counted = _like(ops.not_equal(y, head.ignore_class), position)
    if head.reduction != "sum":
        counted = counted / ops.maximum(ops.mean(counted), 1e-7)
    return counted if weight is None else counted * _like(weight, position)


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
