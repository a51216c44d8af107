"""A model as what a method explains: a function from features to a score."""

import contextlib

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.attribution import explained_inputs
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.logits import (
    are_probabilities,
    ends_in_logits,
    recorded_logits,
)
from keras_sgt.introspection.nests import leaf_paths

SCORES = ("logit", "probability")

_CHUNK = 32  # samples at a time, of a model run for its outputs alone


class Explained:
    """The score of a target, as a function of a model's features.

    Features are the floating-point inputs and, of ids, the output of their
    embedding; for a method without gradients also ints and bools, as floats.

    Args:
        model: `keras.Model` with weights.
        score: `"logit"` or `"probability"`.
        from_logits: whether outputs that no softmax or sigmoid ends are logits.
        output: key or index of the output, of several.
        wanted: `explained_inputs.Wanted`.

    Attributes:
        positions: which of the flat inputs each feature belongs to.
        embedded: dict with the calls of embedding layers for each position
            whose input holds ids.
        classes: int, the number of classes.
        is_binary: bool, whether a single unit that no known sigmoid ends is
            the probability of class 1; otherwise it is a number, or a logit
            where `from_logits` says so. Set by who knows the labels.
    """

    def __init__(self, model, score, from_logits, output, wanted):
        _check_model(model)
        if score not in SCORES:
            raise ValueError(
                f"`score` has to be one of {list(SCORES)}. Received: "
                f"score={score!r}"
            )
        self.model = model
        self.score = score
        self.from_logits = from_logits
        self.output = output
        self.wanted = wanted
        self.positions, self.embedded, self.classes = [], {}, None
        self.is_binary = False
        self._numbers = set()
        self.probabilities = False  # of outputs that no known layer ends
        self._calls = []
        self._structure = self._inspected = None

    def inspect(self, x, target=None):
        """Learns from a nest of arrays what goes in, and what comes out.

        Args:
            x: the inputs, a nest of arrays.
            target: a function of the outputs, which then need no classes.

        Returns:
            The flat inputs.
        """
        flat = keras.tree.flatten(x)
        self.paths = keras.tree.flatten(leaf_paths(x))
        kinds = [*self.paths, *((a.dtype.kind, a.shape[1:]) for a in flat)]
        self._structure = keras.tree.map_structure(lambda a: 0, x)
        if kinds != self._inspected:
            explained_inputs.check_no_strings(x, self.model)
            found = explained_inputs.choose(
                self.model, self._run, x, self.wanted
            )
            self.positions, self.embedded = found.positions, found.embedded
            self._calls, self._numbers = found.calls, found.numbers
            self._inspect_outputs([ops.convert_to_tensor(a[:1]) for a in flat])
            self._inspected = kinds
        for i, calls in self.embedded.items():
            explained_inputs.check_ids("x", flat[i], calls, self.paths[i])
        if not callable(target):
            self.probabilities = self._gives_probabilities(flat)
            self._check_output()
        return flat

    def features(self, inputs):
        """The features of inputs, given flat or by their position."""
        return [
            ops.cast(
                self._vectors(i, inputs[i])
                if i in self.embedded
                else inputs[i],
                "float32",
            )
            for i in self.positions
        ]

    def outputs(self, inputs, features):
        """The model's outputs for features in the place of its own."""
        flat, vectors = list(inputs), {}
        for i, value in zip(self.positions, features):
            if i in self.embedded:
                vectors.update(self._split(i, value))
            else:
                dtype = keras.backend.standardize_dtype(inputs[i].dtype)
                is_float = keras.backend.is_float_dtype(dtype)
                stays = is_float or i in self._numbers
                flat[i] = value if stays else ops.cast(value, dtype)
        nest = keras.tree.pack_sequence_as(self._structure, flat)
        with contextlib.ExitStack() as stack:
            layers = {id(c.layer): c.layer for c in self._calls}
            for layer in layers.values():
                change = _replacing(
                    [c for c in self._calls if c.layer is layer], vectors
                )
                stack.enter_context(embeddings.changed_output(layer, change))
            return self.model(nest, training=False)

    def scores(self, rows, features):
        """The score of each row's target, `(rows,)`."""
        with recorded_logits(self.model) as logits_of:
            outputs = self.outputs(rows.inputs, features)
        if callable(rows.target):
            return _of_function(rows.target, outputs, features)
        output = self._picked(outputs)
        scores = self._of_classes(output, logits_of(output))
        chosen = ops.one_hot(rows.target, self.classes)
        return ops.sum(scores * chosen, axis=-1)

    def predicted(self, inputs, features):
        """The class that the model predicts, `(rows,)`."""
        output = self._picked(self.outputs(inputs, features))
        output = ops.reshape(output, (-1, output.shape[-1]))
        if self.classes == 2 and output.shape[-1] == 1:
            is_probability = self._recorded or self.probabilities
            return ops.cast(
                output[:, 0] > (0.5 if is_probability else 0), "int32"
            )
        return ops.cast(ops.argmax(output, axis=-1), "int32")

    def gradient(self, rows, features):
        """The gradient of the score of each row, like `features`."""
        return backend.input_gradients(
            lambda features: ops.sum(self.scores(rows, features)),
            list(features),
        )

    def _run(self, nest):
        nest = keras.tree.map_structure(ops.convert_to_tensor, nest)
        return self.model(nest, training=False)

    def _vectors(self, position, ids):
        """Of all layers that embed an input, one behind the other."""
        vectors = []
        for call in self.embedded[position]:
            if len(ids.shape) != 1 + len(call.shape):
                ids = ops.reshape(ids, (-1, *call.shape))
            vectors.append(call.layer(ids))
        return ops.concatenate(vectors, -1) if len(vectors) > 1 else vectors[0]

    def _split(self, position, vectors):
        """The vectors of each layer, by the layer and the position."""
        start, split, calls = 0, {}, self.embedded[position]
        if len(calls) == 1:
            return {(id(calls[0].layer), position): vectors}
        for call in calls:
            part = vectors[..., start : start + call.width]
            split[id(call.layer), position] = part
            start += call.width
        return split

    def _of_classes(self, output, logits):
        """The score of every class, `(rows, classes)`."""
        output = ops.cast(output, "float32")
        if len(output.shape) == 1:
            output = output[:, None]
        if self.score == "probability":
            scores = output
            if not self._recorded and not self.probabilities:
                squash = ops.sigmoid if output.shape[-1] == 1 else ops.softmax
                scores = squash(output)
            single = (1 - scores, scores)
        else:
            scores = output if logits is None else ops.cast(logits, "float32")
            if self.probabilities and logits is None:
                scores = _log(output)
                if output.shape[-1] == 1:
                    scores = scores - _log(1 - output)
            single = (-scores, scores)
        if self.classes == 2 and scores.shape[-1] == 1:
            return ops.concatenate(single, axis=-1)
        return scores

    def _picked(self, outputs):
        if self.output is None or not isinstance(outputs, (dict, list, tuple)):
            return outputs
        return outputs[self.output]

    def _inspect_outputs(self, inputs):
        with recorded_logits(self.model) as logits_of:
            nest = keras.tree.pack_sequence_as(self._structure, inputs)
            outputs = self.model(nest, training=False)
        self._shape, self._recorded = None, False
        if isinstance(outputs, (dict, list, tuple)):
            self._names = keras.tree.flatten(leaf_paths(outputs))
            if str(self.output) not in self._names:
                return
        output = self._picked(outputs)
        self._shape = tuple(output.shape)
        self._recorded = logits_of(output) is not None

    def _gives_probabilities(self, flat):
        """Whether outputs that no softmax ends are nevertheless like one's.

        Only where the model does not say is x looked at: all of it, since
        other numbers may add up to 1 in a few samples.
        """
        known = self._shape is None or self._recorded or self.from_logits
        if known or len(self._shape) > 2:
            return False
        if self._units == 1:
            return self.is_binary
        if ends_in_logits(self.model):
            return False
        for start in range(0, len(flat[0]), _CHUNK):
            some = [a[start : start + _CHUNK] for a in flat]
            nest = keras.tree.pack_sequence_as(self._structure, some)
            output = self._picked(self._run(nest))
            if not are_probabilities(ops.convert_to_numpy(output)):
                return False
        return True

    @property
    def _units(self):
        return self._shape[1] if len(self._shape) == 2 else 1

    def _check_output(self):
        """Raises unless the outputs are scores of classes."""
        if self._shape is None:
            raise ValueError(
                "The model has several outputs, of which one is explained: "
                f"pass `output=`, one of {self._names}, or a function of the "
                f"outputs as `target`. Received: output={self.output!r}"
            )
        if len(self._shape) > 2:
            raise ValueError(
                "The model has outputs at several positions, of shape "
                f"{self._shape}. Pass as `target` a function of the outputs "
                "that returns one number for each sample, such as "
                "`lambda outputs: outputs[:, 0, 3]`."
            )
        known = self._recorded or self.probabilities or self.from_logits
        is_binary = self._units == 1 and known
        self.classes = 2 if is_binary else self._units
        if self.score == "probability" and not known:
            raise ValueError(
                "`score='probability'` needs a model whose outputs are "
                "probabilities, or `from_logits=True` if they are logits. "
                "Neither a softmax nor a sigmoid ends this model."
            )


def _log(probabilities):
    return ops.log(ops.maximum(probabilities, keras.config.epsilon()))


def _replacing(calls, vectors):
    """What changes the outputs of a layer, call by call, to other vectors."""
    remaining = iter(calls)

    def change(output):
        call = next(remaining, None)
        if call is None:
            raise ValueError(
                f"The layer {calls[0].layer.name!r} runs more often than it "
                f"did for the first samples, {len(calls)} times, so that what "
                "it embeds is not known."
            )
        value = vectors.get((id(call.layer), call.position))
        return output if value is None else ops.cast(value, output.dtype)

    return change


def _of_function(function, outputs, features):
    scores = function(outputs)
    lengths = {*scores.shape, features[0].shape[0]} - {None}
    if len(scores.shape) != 1 or len(lengths) > 1:
        raise ValueError(
            "`target` has to return one number for each sample, "
            "`(samples,)`, as `lambda outputs: outputs[:, 0]` does. "
            f"Received: values of shape {tuple(scores.shape)}"
        )
    return ops.cast(scores, "float32")


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` has to be a keras.Model. Received: {type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} is not built: it has no weights whose "
            "decisions could be explained. Train it, load its weights, or "
            "call it on data first."
        )
