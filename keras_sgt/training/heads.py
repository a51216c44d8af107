"""What each output means: its divergence, and the score of its labels."""

import functools
import typing
import warnings

import keras
from keras import ops

from keras_sgt import divergences
from keras_sgt.introspection import losses
from keras_sgt.introspection.layers import padding_mask
from keras_sgt.introspection.logits import ends_in_logits
from keras_sgt.training.saliency_scores import (
    NO_LABELS,
    check_classes,
    is_sparse,
    label_scores,
    like_scores,
    predicted,
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
        loss: callable `(y, outputs) -> (batch, ...)`, or `None`.
    """

    meaning: typing.Any
    divergence: typing.Any
    weight: float
    reduction: str
    ignore_class: int | None
    loss: typing.Any


class Output(typing.NamedTuple):
    """One output of a step, for the penalty of a guidance.

    Args:
        head: its `Head`.
        y: its labels, or `None`.
    """

    head: Head
    y: typing.Any

    def divergence(self, clean, perturbed):
        """How far the predictions are apart, `(batch, ...)`."""
        if isinstance(self.head.divergence, divergences.Divergence):
            clean, perturbed = _with_units(clean), _with_units(perturbed)
        return self.head.divergence(clean, perturbed)

    def loss(self, predictions):
        """The compiled loss of each position, `(batch, ...)`."""
        return self.head.loss(self.y, _with_units(predictions))


class Heads:
    """The outputs of a model, as `compile` describes them.

    Args:
        loss: as for `compile`: one, or a list or dict with one for each
            output; an output without a loss takes no part.
        divergence: likewise, where it is not to follow from the loss.
        loss_weights: as for `compile`.
        target: `saliency_target` of the model.
        needs: what has to be known of each output: of "divergence", "score"
            and "loss"; see `Guidance.needs`.
        output_names: the names of the outputs, if they have some.

    Raises:
        ValueError: where it is not.
    """

    def __init__(
        self, loss, divergence, loss_weights, target, needs, output_names=None
    ):
        self.target = target
        loss_weights = _weights_like(loss, loss_weights, output_names)
        divergence = _divergences_like(loss, divergence, output_names)

        def head(key=None):
            if _is_nested(_part(loss, key)) and key is not None:
                if needs:
                    raise ValueError(_NESTED.format(loss=loss))
                return None
            described = _head(
                *(_part(v, key) for v in (loss, divergence, loss_weights))
            )
            if needs and described is not None:
                _check_head(described, _part(loss, key), target, needs)
            return described

        nested = loss if _is_nested(loss) else divergence
        if isinstance(nested, dict):
            self._heads = {key: head(key) for key in nested}
        elif _is_nested(nested):
            self._heads = [head(i) for i in range(len(nested))]
        else:
            self._heads = head()
        if needs and not any(self._flat()):
            raise ValueError(_NO_DIVERGENCE.format(loss=loss))

    def _flat(self):
        if isinstance(self._heads, dict):
            return list(self._heads.values())
        return self._heads if isinstance(self._heads, list) else [self._heads]

    def warn_of_logits(self, model):
        """Warns where a loss takes the logits of a model for probabilities."""
        meanings = [head and head.meaning for head in self._flat()]
        squashed = [getattr(m, "from_logits", None) is False for m in meanings]
        if squashed == [True] and ends_in_logits(model):
            warnings.warn(
                "The model ends in a linear layer, and its loss takes the "
                "outputs for probabilities. Compile with "
                "`loss(from_logits=True)`, or end the model in a softmax or "
                "sigmoid.",
                stacklevel=3,
            )

    def check_labels(self, y, outputs, output_names):
        """Raises for labels that are none of the classes. Looks at values.

        Args:
            y: the labels, or `None`.
            outputs: the outputs, or symbols of their shapes.
            output_names: the names of the outputs, if they have some.
        """
        for head, output, label in self._by_output(outputs, output_names, y):
            classes, sparse = output.shape[-1], is_sparse(label, output.shape)
            if isinstance(head.meaning, divergences.CategoricalKL) and sparse:
                check_classes(label, classes, head.ignore_class)

    def score(self, y, outputs, sample_weight, output_names, logits_of):
        """The scalar whose gradient ranks the features.

        Args:
            y: the labels, or `None` where the target needs none.
            outputs: what the model predicts, a tensor or a nest of them.
            sample_weight: as for `fit`: samples and steps of weight 0 are left
                out.
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
                scores = scores * like_scores(ops.not_equal(weight, 0), scores)
            real = padding_mask(output)
            if real is not None:
                scores = scores * like_scores(real, scores)
            total += ops.sum(scores)
        return total

    def loss(self, y, outputs, sample_weight, output_names):
        """The compiled loss, summed: its gradient is each sample's own.

        Args:
            y, outputs, sample_weight, output_names: as for `score`.
        """
        if y is None:
            raise ValueError(_NO_LABELS_FOR_LOSS)
        total = 0
        rows = self._by_output(outputs, output_names, y, sample_weight)
        for head, output, label, weight in rows:
            if head.loss is not None:
                if weight is not None:
                    weight = ops.cast(ops.not_equal(weight, 0), "float32")
                summed = Reduced(head.loss, reduction="sum")
                total += head.weight * summed(
                    label, _with_units(output), weight
                )
        return total

    def penalty(
        self, penalty, clean, perturbed, y, sample_weight, output_names, whole
    ):
        """The sum of a penalty over all outputs, reduced as Keras does.

        Args:
            penalty: callable `(output, clean, perturbed) -> (batch, ...)`.
            clean: the outputs for X, a tensor or a nest of them.
            perturbed: those for X̃.
            y: the labels, or `None`; positions that a loss ignores do not
                count.
            sample_weight: as for `fit`.
            output_names: the names of the outputs, if they have some.
            whole: how many times as many samples the whole batch has.
        """
        total = 0
        rows = self._by_output(clean, output_names, perturbed, y, sample_weight)
        for head, one, other, label, weight in rows:
            if head.ignore_class is not None and label is not None:
                weight = _without_ignored(head, label, one, weight)
            values = functools.partial(_swapped, penalty, Output(head, label))
            reduced = Reduced(values, reduction=head.reduction)
            # What is padding Keras takes from its second argument: as it is
            # in X, since X̃ may have more.
            value = reduced(other, one, weight)
            if head.reduction == "sum":
                value = value * ops.cast(whole, value.dtype)
            total += head.weight * value
        return total

    def _by_output(self, outputs, names, *others):
        """The head, the output and its part of the others, for each head."""
        keys = range(len(outputs)) if _is_nested(outputs) else [None]
        if isinstance(outputs, dict):
            # In the order in which Keras numbers them.
            keys = keras.tree.flatten({key: key for key in outputs})
        for i, key in enumerate(keys):
            aliases = [key, names[i] if names and len(names) > i else None, i]
            head = _aliased(self._heads, aliases)
            if head is not None:
                output = outputs if key is None else outputs[key]
                yield (head, output, *(_aliased(o, aliases) for o in others))


class Reduced(keras.losses.Loss):
    """Values of each position, reduced, weighted and scaled as Keras does."""

    def __init__(self, function, **kwargs):
        super().__init__(name="divergence", **kwargs)
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred)


_NO_LABELS_FOR_LOSS = (
    "This guidance is made from the loss, which needs labels, and `y` is None. "
    "Train with labels, or with `MaskedConsistency` and "
    "`saliency_target='prediction'`."
)

_NESTED = (
    "Guidance takes a loss for each output, in one list or dict. Received "
    "outputs that are nested more deeply: loss={loss!r}. Give the model its "
    "outputs in one list or dict, or train with `kl_weight=0`."
)

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
        None
        if loss is None or losses.is_named_by_the_data(loss)
        else losses.per_position(loss),
    )


def _check_head(head, loss, target, needs):
    losses.check_reduction(loss, head.reduction)
    if "divergence" in needs and head.divergence is None:
        raise ValueError(_NO_DIVERGENCE.format(loss=loss))
    if "score" in needs and head.meaning is None and not callable(target):
        raise ValueError(
            f"The loss {loss!r} does not tell which output belongs to a label. "
            f"Received: saliency_target={target!r}. Pass a callable "
            "`(y, outputs) -> tensor` whose gradient is to rank the features."
        )
    if "loss" in needs and head.loss is None:
        raise ValueError(
            "This guidance is made from the compiled loss of each sample. "
            f"Received: loss={loss!r}. Name one for each output, such as "
            "'sparse_categorical_crossentropy'."
        )


def _is_nested(value):
    return isinstance(value, (dict, list, tuple)) and not hasattr(
        value, "_fields"
    )


def _weights_like(loss, weights, names):
    """Loss weights in the container that the losses have, as Keras takes them.

    Keras matches a list and a dict by their flat order.
    """
    is_one = loss is not None and not _is_nested(loss)
    if not _is_nested(weights) or not (is_one or _differ(loss, weights)):
        return weights
    flat = keras.tree.flatten(weights)
    count = 1 if is_one else len(loss)
    if len(flat) != count:
        raise ValueError(
            f"`loss_weights` has to hold as many weights as there are losses, "
            f"{count}. Received: loss_weights={weights!r}"
        )
    if is_one:
        return flat[0]
    if isinstance(loss, dict) and set(names or ()) == set(loss):
        return dict(zip(names, flat))  # in the order of the outputs
    return keras.tree.pack_sequence_as(loss, flat)


def _divergences_like(loss, divergence, names):
    """Divergences in the container that the losses have, by output."""
    if not _differ(loss, divergence):
        return divergence
    if isinstance(loss, dict):
        names = names if set(names or ()) == set(loss) else sorted(loss)
        return dict(zip(names, divergence))
    unknown = set(divergence) - set(names or ())
    if unknown:
        raise ValueError(
            "`divergence` names outputs that the model does not have: "
            f"{sorted(unknown)}. Its outputs: {names}. Pass a list, as `loss` "
            "is one."
        )
    return [divergence.get(name) for name in names]


def _differ(loss, value):
    """Whether one is a dict and the other a list, of outputs."""
    both = _is_nested(loss) and _is_nested(value)
    return both and isinstance(loss, dict) != isinstance(value, dict)


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


def _swapped(penalty, output, perturbed, clean):
    return penalty(output, clean, perturbed)


def _with_units(output):
    """Outputs with an axis of units, of which a squeezed one has lost its."""
    return output[:, None] if len(output.shape) == 1 else output


def _without_ignored(head, y, outputs, weight):
    """Weights that leave out what the loss ignores, from the mean too."""
    position = outputs[..., 0]
    counted = like_scores(ops.not_equal(y, head.ignore_class), position)
    if head.reduction != "sum":
        counted = counted / ops.maximum(ops.mean(counted), 1e-7)
    return (
        counted if weight is None else counted * like_scores(weight, position)
    )
