"""Gradients of a score at a model's inputs, or at its embedding."""

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.introspection import embeddings


class Score:
    """A function from inputs to a number that remembers its gradients.

    So that several guidances that need the same gradient of one batch share a
    pass. It lives for one step.

    Args:
        function: callable from a nest of inputs to a scalar tensor.
        check: callable that raises for gradients that are of no use.
    """

    def __init__(self, function, check=None):
        self._function = function
        self._check = check
        self._gradients = {}

    def __call__(self, inputs):
        return self._function(inputs)

    def batch_of(self, inputs):
        """The inputs that are differentiated for the gradient at `inputs`."""
        return inputs

    def gradients(self, batch, place, function, tensors):
        """Those of a function of tensors that ends in this score.

        Args:
            batch: what `batch_of` returned, of which the tensors are a part.
            place: what is differentiated, to know it again.
            function: callable of the tensors, or of the tensor.
            tensors: a tensor or a list of them.
        """

        def compute():
            return backend.input_gradients(function, tensors)

        return self.remembered(place, compute)

    def remembered(self, key, compute):
        if key not in self._gradients:
            gradient = compute()
            if self._check is not None:
                self._check(gradient)
            self._gradients[key] = gradient
        return self._gradients[key]


def at_inputs(score, inputs, positions):
    """The gradients with respect to some of the flat inputs.

    Args:
        score: callable from a nest of inputs to a scalar tensor; a `Score`
            remembers what it found.
        inputs: tensor `(batch, ...)`, or a nest of them.
        positions: list of ints, which of the flat inputs are differentiated.

    Returns:
        List of tensors, one for each position.
    """
    score = _remembering(score)
    batch = score.batch_of(inputs)
    flat = keras.tree.flatten(batch)

    def score_of_some(tensors):
        changed = list(flat)
        for i, tensor in zip(positions, tensors):
            changed[i] = tensor
        return score(keras.tree.pack_sequence_as(batch, changed))

    place = (*positions, *(id(flat[i]) for i in positions))
    tensors = [flat[i] for i in positions]
    return score.gradients(batch, place, score_of_some, tensors)


def at_embedding(score, inputs, ids, layer):
    """The gradient with respect to what the embedding makes of token ids.

    Nothing added to that output has the same gradient as the output itself,
    and can be differentiated in any model, also one that cannot be cut.

    Args:
        score: as in `at_inputs`.
        inputs: the model's inputs, a nest.
        ids: tensor `(batch, tokens)`, the token ids among them.
        layer: the layer that embeds them.

    Returns:
        Tensor `(batch, tokens, width)`.

    Raises:
        ValueError: if the layer is called more than once.
    """
    score = _remembering(score)
    batch = score.batch_of(inputs)
    if batch is not inputs:
        pairs = zip(keras.tree.flatten(inputs), keras.tree.flatten(batch))
        ids = next(whole for share, whole in pairs if share is ids)
    width = _output_shape(layer, ids)[-1]
    nothing = ops.zeros((*ops.shape(ids), width), dtype=layer.compute_dtype)

    def shifted_score(shift):
        with shifted(layer, shift):
            return score(batch)

    place = (layer.name, id(ids))
    return score.gradients(batch, place, shifted_score, nothing)


def shifted(layer, shift):
    """A context in which the output of an embedding is moved.

    Args:
        layer: the layer that embeds the token ids.
        shift: tensor like its output.
    """
    calls = []

    def move(output):
        calls.append(layer)
        if len(calls) > 1:
            raise ValueError(
                f"The embedding layer '{layer.name}' is called more than once, "
                "and the texts cannot be told apart. Give the text that is "
                "to be masked an embedding of its own: "
                "`TokenMasking(layer=...)`."
            )
        if tuple(output.shape[1:]) != tuple(shift.shape[1:]):
            raise ValueError(
                f"The embedding layer '{layer.name}' is given other ids than "
                "the input that is to be masked: it returns the shape "
                f"{tuple(output.shape)}, where those would have "
                f"{tuple(shift.shape)}. Pass the layer and the input that "
                "belong together: `TokenMasking(layer=..., inputs=...)`."
            )
        return output + ops.cast(shift, output.dtype)

    return embeddings.changed_output(layer, move)


def _remembering(score):
    return score if isinstance(score, Score) else Score(score)


def _output_shape(layer, ids):
    try:
        return layer.compute_output_shape(tuple(ids.shape))
    except NotImplementedError:  # a layer that leaves it to Keras
        dtype = keras.backend.standardize_dtype(ids.dtype)
        spec = keras.KerasTensor(tuple(ids.shape), dtype=dtype)
        return layer.compute_output_spec(spec).shape
