"""Where a guidance moves an input: the features it may, how far, in bounds."""

import functools
import warnings

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.guidance.base import Moved
from keras_sgt.introspection.nests import leaf_paths
from keras_sgt.masking import FeatureMasking, Mean, TokenMasking, gradients


def of_length_one(moves):
    """Tensors divided by their common length in each sample."""
    # By the largest first: squares of what a confident model's gradient holds
    # would vanish.
    moves = [ops.cast(move, "float32") for move in moves]
    largest = functools.reduce(ops.maximum, map(_largest_of_sample, moves))
    moves = [_divided(move, largest) for move in moves]
    squares = sum(sample_sum(ops.square(move)) for move in moves)
    return [_divided(move, ops.sqrt(squares)) for move in moves]


def random(tensors, seed):
    """Random directions, tensors like others."""
    return [keras.random.normal(ops.shape(t), seed=seed) for t in tensors]


def sample_sum(values):
    """The sum over each sample, `(batch,)`."""
    return ops.sum(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)


def for_samples(values, like):
    """Numbers `(batch,)` that multiply tensors like another."""
    return ops.reshape(values, (-1, *[1] * (len(like.shape) - 1)))


def _largest_of_sample(values):
    rows = ops.reshape(values, (ops.shape(values)[0], -1))
    return ops.max(ops.abs(rows), axis=1)


def _divided(values, lengths):
    lengths = ops.where(lengths > 0, lengths, 1.0)
    return values / for_samples(lengths, values)


class Place:
    """What of a model's inputs is moved: float inputs, or embedded tokens.

    Args:
        masking: `FeatureMasking` or `TokenMasking`, which names the inputs, the
            embedding and the padding; `None` for all float inputs, or the
            token ids where there are no floats.
        inputs, layer: as in `TokenMasking`, where `masking` is `None`.

    Raises:
        ValueError: for another masking, and for `inputs` or `layer` beside one.
    """

    def __init__(self, masking, inputs, layer):
        _check_place(masking, inputs, layer)
        self._is_open = masking is None
        self._names_layer = layer is not None
        self._features = self._tokens = None
        if self._is_open:
            self._features = FeatureMasking(inputs=inputs)
            self._tokens = TokenMasking(layer=layer, inputs=inputs)
        elif isinstance(masking, TokenMasking):
            self._tokens = masking
        else:
            self._features = masking
        self._statistics = Mean()  # over rows: of columns

    def check(self, model):
        """Finds out what the model takes for padding, and what embeds.

        Raises:
            ValueError: where it cannot be told.
        """
        if self._features is not None:
            self._features.check(model)
        if self._names_layer or self._features is None:
            self._tokens.check(model)

    def moves_tokens(self, inputs):
        """Whether it is the output of an embedding that moves."""
        if not self._is_open:
            return self._features is None
        return self._names_layer or not self.positions(inputs)

    def positions(self, inputs):
        """Which of the flat inputs are floats that may move."""
        flat = keras.tree.flatten(inputs)
        return [
            i for i in self._features.positions(inputs) if _is_float(flat[i])
        ]

    def gradient(self, score, batch):
        """The gradient of a score at what moves, a list of tensors."""
        if self.moves_tokens(batch.inputs):
            ids, layer = self._ids(batch.inputs), self._layer(batch.model)
            return [gradients.at_embedding(score, batch.inputs, ids, layer)]
        positions = self.positions(batch.inputs)
        return gradients.at_inputs(score, batch.inputs, positions)

    def clean(self, inputs, model):
        """What moves, before it does, a list like `gradient`."""
        if self.moves_tokens(inputs):
            return [self._layer(model)(self._ids(inputs))]
        flat = keras.tree.flatten(inputs)
        return [flat[i] for i in self.positions(inputs)]

    def without_padding(self, moves, batch):
        """Moves of 0 where padding and special tokens are."""
        return [
            move if real is None else move * ops.cast(real, move.dtype)
            for move, real in zip(moves, self.real(batch.inputs, batch.model))
        ]

    def scales(self, batch):
        """How large a step of one is, for each tensor that moves.

        Of the whole batch, without padding and samples of weight 0. Images
        and volumes: their range, 1 where they are in [0, 1]. Series: the
        standard deviation of each channel. Tables: that of each column.
        Embedded tokens, whose axes are alike: one for all.
        """
        tokens = self.moves_tokens(batch.whole.inputs)
        scales = []
        for values, counts in self._whole(batch):
            values = ops.cast(values, "float32")
            rank = len(values.shape)
            if rank >= 4:
                low, high = _range(values, counts, None)
                spread = high - low
                scales.append(ops.where(ops.isfinite(spread), spread, 0.0))
                continue
            # A dict of columns may hold each as `(batch,)`.
            columns = 1 if tokens or rank == 1 else values.shape[-1]
            left_out = ops.where(counts, 0.0, float("inf"))
            left_out = ops.broadcast_to(left_out, ops.shape(values))
            _, deviation = self._statistics.mean(
                ops.reshape(values, (-1, columns)),
                ops.reshape(left_out, (-1, columns)),
                None,
            )
            shape = (*[1] * (rank - 1), columns)
            scales.append(ops.reshape(deviation, shape))
        return scales

    def ranges(self, batch):
        """The smallest and the largest value, for each tensor that moves.

        Of the whole batch, as `scales`; of images one pair, of series and
        tables one for each channel or column.
        """
        ranges = []
        for values, counts in self._whole(batch):
            rank = len(values.shape)
            axes = None if rank >= 4 else tuple(range(max(rank - 1, 1)))
            ranges.append(_range(values, counts, axes))
        return ranges

    def moved(self, batch, inputs, moves, bounds=None):
        """X̃: inputs with the moves added, in their bounds; padding stays."""
        if self.moves_tokens(inputs):
            return Moved(inputs, self._layer(batch.model), moves[0])
        flat = keras.tree.flatten(inputs)
        for i, move, bound, real in zip(
            self.positions(inputs),
            moves,
            bounds or [None] * len(moves),
            self.real(batch.inputs, batch.model),
        ):
            values = flat[i] + ops.cast(move, flat[i].dtype)
            if bound is not None:
                low, high = (ops.cast(b, flat[i].dtype) for b in bound)
                values = ops.clip(values, low, high)
            if real is not None:
                values = ops.where(real, values, flat[i])
            flat[i] = values
        return keras.tree.pack_sequence_as(inputs, flat)

    def check_gradient(self, inputs, gradient):
        """Warns of inputs without a gradient, which no direction moves.

        Args:
            inputs: a nest of tensors.
            gradient: what `gradient` returned for them.
        """
        gradient = [
            ops.convert_to_numpy(ops.cast(g, "float32")) for g in gradient
        ]
        still = [g.size > 0 and not g.any() for g in gradient]
        if not any(still):
            return
        what = "the inputs"
        if not self.moves_tokens(inputs) and len(still) > 1:
            paths = keras.tree.flatten(leaf_paths(inputs))
            moving = [paths[i] for i in self.positions(inputs)]
            what += f" {[name for name, s in zip(moving, still) if s]}"
        warnings.warn(_STILL.format(what), stacklevel=3)

    def _whole(self, batch):
        """What moves of the whole batch, and which of it is in statistics."""
        inputs, counted = batch.whole
        pairs = []
        for values, real in zip(
            self.clean(inputs, batch.model), self.real(inputs, batch.model)
        ):
            counts = ops.ones_like(values, dtype="bool")
            if real is not None:
                counts = ops.logical_and(counts, real)
            if counted is not None:
                counts = ops.logical_and(counts, for_samples(counted, values))
            pairs.append((backend.gathered(values), backend.gathered(counts)))
        return pairs

    def real(self, inputs, model):
        """`False` where padding is, a list like `clean`; `None` for no padding.

        Special tokens count as padding: they stay as they are.
        """
        flat = keras.tree.flatten(inputs)
        if not self.moves_tokens(inputs):
            self._features.find_padding(model)
            return [
                self._features.real_steps(flat[i], inputs)
                for i in self.positions(inputs)
            ]
        stays = self._tokens.stays(
            self._ids(inputs), inputs, self._layer(model)
        )
        return [ops.logical_not(stays)[:, :, None]]

    def _ids(self, inputs):
        return keras.tree.flatten(inputs)[self._tokens.position(inputs)]

    def _layer(self, model):
        return self._tokens.embedding(model)


_STILL = (
    "The gradient with respect to {} is 0 in this whole batch, so that they "
    "are not moved. Token ids and category codes have none where they are "
    "given as floats: pass them as integers, `x.astype('int32')`, or name what "
    "is to move, `inputs=...`. A layer that rounds or counts, such as "
    "`Discretization`, cuts the gradient too; in half precision small ones "
    "vanish."
)


def _check_place(masking, inputs, layer):
    if masking is None:
        return
    if not isinstance(masking, (FeatureMasking, TokenMasking)):
        raise ValueError(
            "`masking` has to be a `FeatureMasking` or a `TokenMasking`, which "
            "tell what moves, or the ranking of a `FeatureMasking`. Received: "
            f"masking={masking!r}"
        )
    if inputs is not None or layer is not None:
        raise ValueError(
            "With a masking, `inputs` and `layer` are its arguments: "
            "`FeatureMasking(inputs=...)`, `TokenMasking(layer=...)`. "
            f"Received: inputs={inputs!r} and layer={layer!r} beside "
            f"masking={masking!r}"
        )


def _range(values, counts, axes):
    """The smallest and the largest of the values that count.

    Where none does, minus and plus infinity, which bound nothing.
    """
    infinity = float("inf")
    low = ops.where(counts, values, infinity)
    high = ops.where(counts, values, -infinity)
    low = ops.min(low, axis=axes, keepdims=True)
    high = ops.max(high, axis=axes, keepdims=True)
    return ops.minimum(low, high), ops.maximum(low, high)


def _is_float(tensor):
    if tensor is None:
        return False
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.backend.is_float_dtype(dtype)
