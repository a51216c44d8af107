"""What all attribution methods have in common."""

import math
import operator

import keras
import numpy as np
from keras import ops

from keras_sgt import checks
from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.explained_model import Explained
from keras_sgt.attribution.passes import (
    Step,
    like_features,
    only_where,
    repeated,
    sum_of_looks,
)
from keras_sgt.attribution.rows import Rows
from keras_sgt.introspection import embeddings


class Attribution:
    """Base class of the methods: what each input feature did for a score.

    A method is made for a model and called on inputs. A method of your own
    defines `attribute(rows)`, in `keras.ops`; batches, targets, text, nests,
    compilation and progress are taken care of.

    Args:
        model: `keras.Model` with weights, such as a `SaliencyGuidedModel`. It
            may be trained further; the method then explains the new weights.
        score: what is explained of the target class: `"logit"`, also where
            the model ends in a softmax or sigmoid (a confident model's
            probabilities are flat, and each mixes in the evidence for all
            other classes), or `"probability"`. Where no logits can be reached
            the logarithm of the probability stands in. Defaults to `"logit"`.
        from_logits: whether outputs that no softmax or sigmoid ends are
            logits. Matters for a single unit, which then stands for two
            classes, and for `score="probability"`. Defaults to `False`.
        output: key or index of the output that is explained, where the model
            has several.
        inputs: key or index of the input with the token ids, where several
            inputs hold integers. Defaults to `"token_ids"`.
        layer: the layer that embeds token ids, or its name. Defaults to the
            only `keras.layers.Embedding`.
        pooling: `"sum"`, `"mean"` or `"l2"`, from the embedding's axis to one
            number for each token. Defaults to `"sum"`.

    Raises:
        ValueError: for settings that do not exist, or a model without weights.
    """

    # How many baselines a method needs for a sample: None, "one" or "several".
    baseline_kind = None
    baselines = None
    # Whether all of a token's embedding is attributed the same, which is then
    # the token's, and not to be pooled.
    whole_tokens = False
    return_convergence_delta = False

    def __init__(
        self,
        model,
        score="logit",
        from_logits=False,
        output=None,
        inputs=None,
        layer=None,
        pooling="sum",
    ):
        embeddings.check_pooling(pooling)
        self.pooling = pooling
        self._explain(
            Explained(
                model,
                score,
                from_logits,
                output,
                inputs,
                layer,
                owner=type(self).__name__,
            )
        )

    def _explain(self, explained):
        self.explained = explained
        self.model = explained.model
        self._target = None
        self._looks = 1
        self._steps = {}  # compiled, by the shapes that they are for

    def __call__(self, x, target=None, batch_size=32, verbose=0):
        """Attributes the score of a target to the features of each sample.

        Args:
            x: array `(samples, ...)` of floats or token ids, or a nest.
            target: int, the class that is explained; ints `(samples,)`, each
                sample's; a callable from the model's outputs to `(samples,)`;
                or `None`, the class that the model predicts. A single unit
                after a sigmoid stands for the classes 0 and 1; a single unit
                of a regression is the target 0. Defaults to `None`.
            batch_size: int, samples in one pass through the model. Defaults
                to 32.
            verbose: 1 for Keras's progress bar. Defaults to 0.

        Returns:
            Float32 NumPy array shaped like `x`, or a nest of them (inputs
            that are not explained get zeros); with
            `return_convergence_delta=True` a pair of it and floats
            `(samples,)`.

        Raises:
            ValueError: for NaN, a target or baselines that do not fit, or
                inputs without a gradient.
        """
        x = keras.tree.map_structure(lambda a: checks.finite("x", a), x)
        samples = _samples(keras.tree.flatten(x))
        rows = checks.count("batch_size", batch_size)
        batch_size = min(rows, samples)
        looks = rows // batch_size  # a small batch is looked at many times
        function = target if callable(target) else None
        flat = self.explained.look(x, function)
        self._prepare(x, flat)
        batch = {f"input_{i}": a for i, a in enumerate(flat)}
        batch["number"] = np.arange(samples, dtype="int32")
        if target is not None and function is None:
            batch["target"] = _targets(target, samples, self.explained.classes)
        shared, own = {}, {}
        if self.baseline_kind is not None:
            shared, own = baseline_values.resolve(
                self.baselines, self.baseline_kind, x, self.explained.positions
            )
        batch.update({f"baseline_{i}": a for i, a in own.items()})
        self._settle(function, looks)
        step = self._step_of(flat, shared)
        found = step.predict(batch, batch_size, verbose)
        attributions = self._packed(x, flat, found["attributions"])
        if self.return_convergence_delta:
            return attributions, found["delta"]
        return attributions

    # For methods.

    def attribute(self, rows):
        """The attributions of a batch.

        Args:
            rows: `Rows`.

        Returns:
            List of tensors like `rows.features`.
        """
        raise NotImplementedError

    def gradient(self, rows, features=None):
        """The gradient of each row's score, a list like the features."""
        features = rows.features if features is None else features
        return self.explained.gradient(rows, features, self._target)

    def scores(self, rows, features=None):
        """The score of each row's target, `(rows,)`."""
        features = rows.features if features is None else features
        return self.explained.scores(rows, features, self._target)

    def total(self, term, count, rows, zeros=None):
        """The sum of `count` terms for each row, in passes of bounded size.

        Args:
            term: function `(rows, i)` to a list of tensors `(rows, ...)`; the
                ints `i` `(rows,)` say which term each row is for.
            count: int, the number of terms.
            rows: `Rows`.
            zeros: list of tensors, zero, of the sums' shapes. Defaults to
                those of the features.

        Returns:
            List of tensors like `zeros`.
        """
        if zeros is None:
            zeros = [ops.zeros_like(f) for f in rows.features]
        looks = min(self._looks, count)
        several = repeated(rows, looks, self.baseline_kind == "one")
        first = ops.zeros_like(rows.features[0], dtype="int32")
        first = ops.reshape(first, (ops.shape(first)[0], -1))[:, :1]
        first = first + ops.arange(looks, dtype="int32")

        def add(i, sums):
            i = ops.cast(i, "int32")
            indices = ops.reshape(first + i * looks, (-1,))
            values = term(
                several._replace(seed=rows.seed * 1000003 + i + 1),
                ops.minimum(indices, count - 1),
            )
            if count % looks:
                values = [only_where(indices < count, v) for v in values]
            return [s + sum_of_looks(v, looks, s) for s, v in zip(sums, values)]

        passes = math.ceil(count / looks)
        if passes == 1:
            return add(0, zeros)
        return ops.fori_loop(0, passes, add, zeros)

    def _prepare(self, x, flat):
        """Checks what can be checked only with the inputs at hand."""

    # What happens around them.

    def _settle(self, target, looks):
        """Settings that a compiled step has built in."""
        if (target, looks) != (self._target, self._looks):
            self._steps = {}
        self._target, self._looks = target, looks

    def _step_of(self, flat, shared):
        """A step for each shape: Keras would relax the shapes of one."""
        key = (
            tuple(a.shape[1:] for a in flat),
            tuple((i, v.shape, str(v.dtype)) for i, v in shared.items()),
            self.explained.probabilities,
        )
        if key in self._steps:
            self._steps[key].hold(shared)
        else:
            self._steps[key] = Step(self, shared)
        return self._steps[key]

    def _batch(self, batch, shared):
        explained = self.explained
        number = sum(key.startswith("input_") for key in batch)
        inputs = [batch[f"input_{i}"] for i in range(number)]
        features = explained.features(inputs)
        target = batch.get("target")
        if target is None and self._target is None:
            target = explained.predicted(inputs, features)
        baselines = []
        if self.baseline_kind is not None:
            values = {
                i: batch.get(f"baseline_{i}") for i in explained.positions
            }
            baselines = explained.features({**values, **shared})
        seed = batch["number"][0]
        rows = Rows(inputs, features, baselines, target, seed, [])
        found = self.attribute(rows)
        result = {"attributions": self._pooled(found)}
        if self.return_convergence_delta:
            result["delta"] = self._delta(rows, found)
        return result

    def _pooled(self, found):
        pool = embeddings.POOLING[self.pooling]
        if self.whole_tokens:
            pool = operator.itemgetter((..., 0))
        return [
            pool(values) if i == self.explained.embedded else values
            for i, values in zip(self.explained.positions, found)
        ]

    def _packed(self, x, flat, found):
        results = [np.zeros(a.shape, "float32") for a in flat]
        for i, values in zip(self.explained.positions, found):
            results[i] = np.asarray(values, "float32")
        return keras.tree.pack_sequence_as(x, results)

    def _delta(self, rows, found):
        """What attributions add up to, less the change from the baseline."""
        change = self.scores(rows) - self._baseline_score(rows)
        sums = [
            ops.sum(ops.reshape(f, (ops.shape(f)[0], -1)), 1) for f in found
        ]
        return sum(sums) - change

    def _baseline_score(self, rows):
        baselines = rows.baselines
        if self.baseline_kind == "one":
            return self.scores(rows, like_features(baselines, rows))
        several = baselines[0].shape[0]

        def term(rows, i):
            return [self.scores(rows, [ops.take(b, i, 0) for b in baselines])]

        zeros = [ops.zeros_like(self.scores(rows))]
        without = rows._replace(baselines=[])
        return self.total(term, several, without, zeros)[0] / several


def _samples(flat):
    lengths = {a.shape[0] if a.ndim else 0 for a in flat}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`x` has to hold arrays `(samples, ...)` of one number of samples "
            f"above 0. Received: shapes {[a.shape for a in flat]}"
        )
    return lengths.pop()


def _targets(target, samples, classes):
    array = np.asarray(target)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iu" or array.shape not in ((), (samples,)):
        raise ValueError(
            "`target` has to be None, a callable, the number of a class, or "
            f"one for each of the {samples} samples, as integers (of one-hot "
            f"rows, `y.argmax(1)`). Received: {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(
            f"`target` has to be from 0 to {classes - 1}, the outputs of the "
            f"model. Received: targets from {array.min()} to {array.max()}"
        )
    return np.broadcast_to(array, (samples,)).astype("int32")
