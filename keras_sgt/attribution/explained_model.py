"""A model as what a method explains: a function from features to a score."""

import contextlib

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.layers import all_layers
from keras_sgt.introspection.logits import ends_in_logits, recorded_logits
from keras_sgt.introspection.nests import leaf_paths

SCORES = ("logit", "probability")

_LOOKED_AT = 32  # samples at a time, of a model run for its outputs alone


class Explained:
    """The score of a target, as a function of a model's features.

    Features are the floating-point inputs and, of token ids, the output of
    their embedding.

    Args:
        model: `keras.Model` with weights.
        score: `"logit"` or `"probability"`.
        from_logits: whether outputs that no softmax or sigmoid ends are logits.
        output: key or index of the output, of several.
        inputs: key or index of the token ids, of several integer inputs.
        layer: the embedding layer or its name, of several.
        owner: str, the name of the method, for errors.
    """

    def __init__(self, model, score, from_logits, output, inputs, layer, owner):
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
        self.inputs = inputs
        self.layer = layer.name if isinstance(layer, keras.Layer) else layer
        self.owner = owner
        self.embedding = None
        self.embedded = None
        self.classes = None
        self.probabilities = False  # of outputs that no known layer ends
        self._structure = self._looked = None

    def look(self, x, function=None):
        """Learns from a nest of arrays what goes in, and what comes out.

        Args:
            x: the inputs, a nest of arrays.
            function: a target of the user's own; then outputs need no classes.

        Returns:
            The flat inputs.
        """
        flat = keras.tree.flatten(x)
        kinds = [(a.dtype.kind, a.shape[1:]) for a in flat]
        looked = (kinds, function is None)
        self._structure = keras.tree.map_structure(lambda a: 0, x)
        if looked != self._looked:
            self._look_at_inputs(x, flat)
            self._looked = looked
        if function is None:
            self.probabilities = self._gives_probabilities(flat)
            self._check_output()
        return flat

    def _look_at_inputs(self, x, flat):
        self.direct = [i for i, a in enumerate(flat) if a.dtype.kind == "f"]
        self.embedded = self._ids(x, flat)
        if self.embedded is not None:
            self.embedding = embeddings.find(self.model, self.layer, self.owner)
        elif not self.direct:
            raise ValueError(_NOTHING_TO_EXPLAIN)
        self._look_at_outputs([ops.convert_to_tensor(a[:1]) for a in flat])

    @property
    def positions(self):
        """Which of the flat inputs each feature belongs to."""
        ids = [] if self.embedded is None else [self.embedded]
        return sorted(self.direct + ids)

    def features(self, inputs):
        """The features of inputs, given flat or by their position."""
        return [
            ops.cast(
                self.embedding(inputs[i]) if i == self.embedded else inputs[i],
                "float32",
            )
            for i in self.positions
        ]

    def outputs(self, inputs, features):
        """The model's outputs for features in the place of its own."""
        flat, replaced = list(inputs), contextlib.nullcontext()
        for i, value in zip(self.positions, features):
            if i == self.embedded:
                replaced = embeddings.changed_output(
                    self.embedding,
                    lambda own, value=value: ops.cast(value, own.dtype),
                )
            else:
                flat[i] = value
        nest = keras.tree.pack_sequence_as(self._structure, flat)
        with replaced:
            return self.model(nest, training=False)

    def scores(self, rows, features, target):
        """The score of each row's target, `(rows,)`."""
        with recorded_logits(self.model) as logits_of:
            outputs = self.outputs(rows.inputs, features)
        if callable(target):
            scores = target(outputs)
            lengths = {*scores.shape, features[0].shape[0]} - {None}
            if len(scores.shape) != 1 or len(lengths) > 1:
                raise ValueError(
                    "`target` has to return one number for each sample, "
                    "`(samples,)`, as `lambda outputs: outputs[:, 0]` does. "
                    f"Received: values of shape {tuple(scores.shape)}"
                )
            return ops.cast(scores, "float32")
        output = self._picked(outputs)
        scores = self._of_classes(output, logits_of(output))
        chosen = ops.one_hot(rows.target, self.classes)
        return ops.sum(scores * chosen, axis=-1)

    def predicted(self, inputs, features):
        """The class that the model predicts, `(rows,)`."""
        output = self._picked(self.outputs(inputs, features))
        output = ops.reshape(output, (-1, output.shape[-1]))
        if self.classes == 2 and output.shape[-1] == 1:
            return ops.cast(
                output[:, 0] > (0.5 if self._recorded else 0), "int32"
            )
        return ops.cast(ops.argmax(output, axis=-1), "int32")

    def gradient(self, rows, features, target):
        """The gradient of the score of each row, like `features`."""
        return backend.input_gradients(
            lambda features: ops.sum(self.scores(rows, features, target)),
            list(features),
        )

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
                scores = ops.log(ops.maximum(output, keras.config.epsilon()))
            single = (-scores, scores)
        if self.classes == 2 and scores.shape[-1] == 1:
            return ops.concatenate(single, axis=-1)
        return scores

    def _picked(self, outputs):
        if self.output is None or not isinstance(outputs, (dict, list, tuple)):
            return outputs
        return outputs[self.output]

    def _ids(self, x, flat):
        """The position of the token ids, if there are any."""
        paths = keras.tree.flatten(leaf_paths(x))
        ids = [i for i, a in enumerate(flat) if a.dtype.kind in "iu"]
        if self.inputs is not None:
            ids = [i for i, p in enumerate(paths) if p == str(self.inputs)]
            if not ids or flat[ids[0]].dtype.kind not in "iu":
                raise ValueError(
                    "`inputs` has to be the key or index of an input with "
                    f"token ids, one of {paths}. Received: "
                    f"inputs={self.inputs!r}"
                )
        if ids and not self._embeds():
            if self.direct:
                return None
            raise ValueError(_NO_EMBEDDING.format(dtype=flat[ids[0]].dtype))
        named = [i for i in ids if paths[i] == embeddings.TOKEN_IDS]
        if len(ids) > 1 and not named:
            raise ValueError(
                "Several inputs hold integers, so it has to be told which one "
                "is to be explained: pass `inputs=`, one of "
                f"{[paths[i] for i in ids]}."
            )
        return (named or ids or [None])[0]

    def _embeds(self):
        return self.layer is not None or any(
            isinstance(layer, keras.layers.Embedding)
            for layer in all_layers(self.model, include_self=False)
        )

    def _look_at_outputs(self, inputs):
        calls = []
        counted = contextlib.nullcontext()
        if self.embedded is not None:
            counted = embeddings.changed_output(
                self.embedding, lambda own: calls.append(1) or own
            )
        with counted, recorded_logits(self.model) as logits_of:
            nest = keras.tree.pack_sequence_as(self._structure, inputs)
            outputs = self.model(nest, training=False)
        if self.embedded is not None and len(calls) != 1:
            raise ValueError(
                f"The embedding layer {self.embedding.name!r} runs "
                f"{len(calls)} times for one input. A token has one "
                "attribution where it runs once: name the right layer with "
                "`layer=`."
            )
        self._several = isinstance(outputs, (dict, list, tuple))
        if self._several:
            self._names = keras.tree.flatten(leaf_paths(outputs))
            if str(self.output) not in self._names:
                self._shape = None
                return
        output = self._picked(outputs)
        self._shape = tuple(output.shape)
        self._recorded = logits_of(output) is not None

    def _gives_probabilities(self, flat):
        """Whether outputs that no softmax ends are nevertheless like one's.

        Only where the model does not tell is x looked at: all of it, since
        other numbers may add up to 1 in a few samples.
        """
        told = self._shape is None or self._recorded or self.from_logits
        if told or len(self._shape) != 2 or self._shape[1] == 1:
            return False
        if ends_in_logits(self.model):
            return False
        for start in range(0, len(flat[0]), _LOOKED_AT):
            part = [
                ops.convert_to_tensor(a[start : start + _LOOKED_AT])
                for a in flat
            ]
            nest = keras.tree.pack_sequence_as(self._structure, part)
            output = self._picked(self.model(nest, training=False))
            values = ops.convert_to_numpy(output).astype("float64")
            if values.min() < 0 or abs(values.sum(1) - 1).max() > 1e-2:
                return False
        return True

    def _check_output(self):
        """Raises unless the outputs are scores of classes."""
        if self._shape is None:
            raise ValueError(
                "The model has several outputs, so it has to be told which one "
                f"is explained: pass `output=`, one of {self._names}, or a "
                "function of the outputs as `target`. Received: "
                f"output={self.output!r}"
            )
        if len(self._shape) > 2:
            raise ValueError(
                "The model has outputs at several positions, of shape "
                f"{self._shape}. Pass as `target` a function of the outputs "
                "that returns one number for each sample, such as "
                "`lambda outputs: outputs[:, 0, 3]`."
            )
        units = self._shape[1] if len(self._shape) == 2 else 1
        single = units == 1 and (self._recorded or self.from_logits)
        self.classes = 2 if single else units
        known = self._recorded or self.probabilities or self.from_logits
        if self.score == "probability" and not known:
            raise ValueError(
                "`score='probability'` needs a model whose outputs are "
                "probabilities, or `from_logits=True` if they are logits. "
                "Neither a softmax nor a sigmoid ends this model."
            )


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


_NOTHING_TO_EXPLAIN = (
    "None of the inputs is floating point, so none has a gradient. Received: "
    "bools only."
)

_NO_EMBEDDING = (
    "An input of dtype {dtype} has no gradient, and the model has no "
    "`keras.layers.Embedding` at whose output one could be taken. Images and "
    "other numbers: pass `x.astype('float32')`. Token ids: name the layer that "
    "embeds them with `layer=`."
)
