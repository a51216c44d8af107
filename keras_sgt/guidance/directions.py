"""Where a guidance moves an input: the features it may, how far, in bounds."""

import functools

import keras
from keras import ops

from keras_sgt.guidance.base import Moved
from keras_sgt.masking import FeatureMasking, TokenMasking, gradients
from keras_sgt.masking.replacement import channel_axis


def of_length_one(moves):
    """Tensors divided by their common length in each sample."""
    # By the largest first: squares of what a confident model's gradient holds
    # would vanish.
    moves = [ops.cast(move, "float32") for move in moves]
    largest = functools.reduce(ops.maximum, map(_largest_of_sample, moves))
    moves = [_divided(move, largest) for move in moves]
    squares = sum(sample_sum(ops.square(move)) for move in moves)
    return [_divided(move, ops.sqrt(squares)) for move in moves]


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
    """

    def __init__(self, masking, inputs, layer):
        self._features = self._tokens = None
        if isinstance(masking, TokenMasking):
            self._tokens = masking
        elif masking is not None:
            self._features = masking
        else:
            self._features = FeatureMasking(inputs=inputs)
            self._tokens = TokenMasking(layer=layer, inputs=inputs)
        self._is_open = masking is None
        self._names_layer = layer is not None

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

    def embedding(self, model):
        return self._tokens.embedding(model)

    def gradient(self, score, batch):
        """The gradient of a score at what moves, a list of tensors."""
        if self.moves_tokens(batch.inputs):
            ids, layer = self._ids(batch), self.embedding(batch.model)
            return [gradients.at_embedding(score, batch.inputs, ids, layer)]
        positions = self.positions(batch.inputs)
        return gradients.at_inputs(score, batch.inputs, positions)

    def clean(self, inputs, batch):
        """What moves, before it does, a list like `gradient`."""
        if self.moves_tokens(inputs):
            flat = keras.tree.flatten(inputs)
            ids = flat[self._tokens.position(inputs)]
            return [self.embedding(batch.model)(ids)]
        flat = keras.tree.flatten(inputs)
        return [flat[i] for i in self.positions(inputs)]

    def real(self, batch):
        """Where no padding is, a list like `gradient`; `None` for all."""
        inputs = batch.inputs
        if self.moves_tokens(inputs):
            ids, layer = self._ids(batch), self.embedding(batch.model)
            stays = self._tokens.stays(ids, inputs, layer)
            return [ops.logical_not(stays)[:, :, None]]
        flat = keras.tree.flatten(inputs)
        return [
            self._features.real_steps(flat[i], inputs)
            for i in self.positions(inputs)
        ]

    def moved(self, batch, inputs, moves, bounds=None):
        """X̃: inputs with the moves added, in their bounds."""
        if self.moves_tokens(inputs):
            return Moved(inputs, self.embedding(batch.model), moves[0])
        flat = keras.tree.flatten(inputs)
        for i, move, bound in zip(
            self.positions(inputs), moves, bounds or [None] * len(moves)
        ):
            values = flat[i] + ops.cast(move, flat[i].dtype)
            if bound is not None:
                low, high = (ops.cast(b, flat[i].dtype) for b in bound)
                values = ops.clip(values, low, high)
            flat[i] = values
        return keras.tree.pack_sequence_as(inputs, flat)

    def _ids(self, batch):
        flat = keras.tree.flatten(batch.inputs)
        return flat[self._tokens.position(batch.inputs)]


def scale(values):
    """How large a step of one is, of a batch of one input.

    Images and volumes: the range of the batch, 1 where they are in [0, 1].
    Series: the standard deviation of each channel. Tables: that of each column.
    Embedded tokens, of which each axis is alike: one deviation.
    """
    rank = len(values.shape)
    if rank >= 4:
        return ops.max(values) - ops.min(values)
    values = ops.cast(values, "float32")
    return ops.std(values, axis=tuple(range(rank - 1)), keepdims=True)


def data_bounds(values):
    """The smallest and the largest value of each channel or column."""
    rank = len(values.shape)
    axes = tuple(a for a in range(rank) if a != channel_axis(rank))
    axes = axes if rank < 4 else tuple(range(rank))
    return (
        ops.min(values, axis=axes, keepdims=True),
        ops.max(values, axis=axes, keepdims=True),
    )


def _is_float(tensor):
    if tensor is None:
        return False
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.backend.is_float_dtype(dtype)
