"""What all attribution methods have in common."""

import operator

import keras
import numpy as np
from keras import ops

from keras_sgt import backend, checks
from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution import explained_inputs
from keras_sgt.attribution import inputs as model_inputs
from keras_sgt.attribution.explained_model import Explained
from keras_sgt.attribution.passes import (
    Step,
    like_features,
    place,
    places,
    sum_of_terms,
    sum_over_features,
)
from keras_sgt.attribution.rows import Rows
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.nests import leaf_paths


class Attribution:
    """Base class of the methods: what each input feature did for a score.

    A method is made for a model and called on inputs. One call explains all
    inputs, each in a map of its own: floats as they are (of several inputs ints
    and bools, too, that the model takes as floats); ids at the output of the
    `keras.layers.Embedding` that receives them, pooled to one number for
    each id; for methods that take no gradient (`FeatureAblation`,
    `Occlusion`, `Random`) all numbers and bools. Strings, and for the others
    bools and integers that no embedding receives, have no features: their maps
    are zeros, and to ask for them by `inputs` is an error.

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
        inputs: key or index of the input that is explained, or a list of
            them; all others count as given. Defaults to all that can be.
        layer: the layer that embeds ids, or its name; then ids are explained
            only at its output. Defaults to every `keras.layers.Embedding`
            that receives an input (but for the segments of KerasHub's text
            backbones), and in a `SaliencyGuidedModel` to the layer of its
            `TokenMasking`.
        pooling: `"sum"`, `"mean"` or `"l2"`, from the embedding's axis to one
            number for each token. Defaults to `"sum"`.

    Raises:
        ValueError: for settings that do not exist, or a model without weights.

    **Write your own method**: define `attribute(rows)` in `keras.ops`;
    batches, targets, ids, nests, compilation and progress are taken care of.
    `self.gradient` and `self.scores` run the model; `self.total` adds up many
    such terms in passes of bounded size. Where that does not suffice:

    - `prepare(x, flat)`, checks that need the inputs at hand;
    - `baseline_kind`, how many baselines a sample has: `None` (the method
      takes none), `"one"` or `"several"`; they are read from
      `self.baselines`, and reach `attribute` as `rows.baselines`;
    - `needs_gradient = False` for a method that only takes predictions, so
      that it explains integers and bools, too;
    - `whole_tokens = True` where all of a token's vector is attributed the
      same, which is then the token's, and not pooled;
    - `return_convergence_delta = True` to return how far attributions are from
      adding up to the change of the score;
    - `pool(attributions)`, from a number for each number of a token's vector
      to one for the token; `results(rows)`, all that a pass computes; and
      `checks_results = True` with `check_results(results)`, for warnings;
    - `self.explained`, the model as a function of features: `positions`,
      `embedded`, `outputs`, `scores`, `gradient`.

    Example: the mean sign of the gradient on the way from 0 to the input.

    >>> import keras
    >>> import numpy as np
    >>> from keras import ops
    >>> import keras_sgt
    >>> class MeanSign(keras_sgt.attribution.Attribution):
    ...     def __init__(self, model, n_steps=4, **options):
    ...         super().__init__(model, **options)
    ...         self.n_steps = n_steps
    ...
    ...     def attribute(self, rows):
    ...         def term(rows, i):  # `i` says which step each row is for
    ...             shares = ops.cast(1 + i, "float32")[:, None] / self.n_steps
    ...             on_way = [shares * x for x in rows.features]
    ...             return [ops.sign(g) for g in self.gradient(rows, on_way)]
    ...
    ...         sums = self.total(term, self.n_steps, rows)
    ...         return [s / self.n_steps for s in sums]
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [-3, 5]]), np.zeros(2)])
    >>> MeanSign(model)(np.ones((1, 2)), target=0).tolist()
    [[1.0, -1.0]]
    """

    baseline_kind = None
    baselines = None
    needs_gradient = True
    whole_tokens = False
    return_convergence_delta = False
    checks_results = False

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
        if isinstance(layer, keras.Layer):
            layer = layer.name
        wanted = explained_inputs.Wanted(
            inputs, layer, self.needs_gradient, type(self).__name__
        )
        self.explain(Explained(model, score, from_logits, output, wanted))

    def explain(self, explained):
        """Sets what the method explains; `__init__` calls it.

        Args:
            explained: `Explained`, which methods may share.
        """
        self.explained = explained
        self.model = explained.model
        self._compiled_for = None
        self._steps = {}  # compiled, by the shapes that they are for

    def __call__(self, x, target=None, batch_size=32, verbose=0):
        """Attributes the score of a target to the features of each sample.

        Args:
            x: array `(samples, ...)`, a nest of arrays, or a DataFrame (one
                input of all columns or, where the model has an input for each
                column, by their names). Of a dict, what the model does not
                take is left aside.
            target: int, the class that is explained; ints `(samples,)` or
                `(samples, 1)`, each sample's, or one-hot rows; a callable from
                the model's outputs to `(samples,)`; or `None`, the class that
                the model predicts. A single unit after a sigmoid stands for
                the classes 0 and 1; a single unit of a regression is the
                target 0. Defaults to `None`.
            batch_size: int, samples in one pass through the model. Defaults
                to 32.
            verbose: 1 for Keras's progress bar. Defaults to 0.

        Returns:
            Float32 NumPy array shaped like `x`, a nest of them, or a DataFrame
            with the columns of `x` (inputs that are not explained get zeros);
            with `return_convergence_delta=True` a pair of it and floats
            `(samples,)`.

        Raises:
            ValueError: for NaN, a target or baselines that do not fit, and
                inputs none of which can be explained.
        """
        nest, restored = model_inputs.read(x, self.model)
        rows = checks.count("batch_size", batch_size)
        flat = self.explained.inspect(nest, target)
        samples = len(flat[0])
        self.prepare(nest, flat)
        batch = {f"input_{i}": _for_keras(a) for i, a in enumerate(flat)}
        function = target if callable(target) else None
        if target is not None and function is None:
            batch["target"] = _targets(target, samples, self.explained.classes)
        shared, by_sample = self._resolved_baselines(nest, flat)
        batch.update({f"baseline_{i}": a for i, a in by_sample.items()})
        batch_size = min(rows, samples)
        batch.update(places(samples, batch_size))
        copies = rows // batch_size  # of each sample, where a batch is small
        step = self._step(flat, shared, function, copies)
        with backend.advised():
            results = step.predict(batch, batch_size, verbose)
        if self.checks_results:
            self.check_results(results)
        maps = restored(self._packed(nest, flat, results["attributions"]))
        if self.return_convergence_delta:
            return maps, results["delta"]
        return maps

    # For methods.

    def attribute(self, rows):
        """The attributions of a batch.

        Args:
            rows: `Rows`.

        Returns:
            List of tensors like `rows.features`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define `attribute(rows)`, which "
            "returns a list of tensors like `rows.features`."
        )

    def gradient(self, rows, features=None):
        """The gradient of each row's score, a list like the features."""
        features = rows.features if features is None else features
        return self.explained.gradient(rows, features)

    def scores(self, rows, features=None):
        """The score of each row's target, `(rows,)`."""
        features = rows.features if features is None else features
        return self.explained.scores(rows, features)

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
        return sum_of_terms(
            term, count, rows, zeros, self.baseline_kind == "one"
        )

    def prepare(self, x, flat):
        """Raises for inputs that do not fit, and sets up what depends on them.

        Args:
            x: the inputs, a nest of arrays.
            flat: list of these arrays.
        """

    def pool(self, attributions):
        """One number for each id, from one for each number of its vector.

        Args:
            attributions: what `attribute` returns.

        Returns:
            List of tensors shaped like the inputs.
        """
        pooled = embeddings.POOLING[self.pooling]
        if self.whole_tokens:
            pooled = operator.itemgetter((..., 0))
        return [
            pooled(values) if i in self.explained.embedded else values
            for i, values in zip(self.explained.positions, attributions)
        ]

    def results(self, rows):
        """What one pass computes.

        Args:
            rows: `Rows`.

        Returns:
            dict of tensors or lists of them, `(rows, ...)`: `attributions`,
            pooled, and what `check_results` and the caller look at.
        """
        attributions = self.attribute(rows)
        results = {"attributions": self.pool(attributions)}
        if self.return_convergence_delta:
            change = self.scores(rows) - self._baseline_score(rows)
            results["delta"] = sum_over_features(attributions) - change
        return results

    def check_results(self, results):
        """Warns or raises for what all passes computed, as NumPy arrays.

        Called where `checks_results` is true, also of a method inside another.
        """

    # What happens around them.

    def _resolved_baselines(self, x, flat):
        """Those for all samples and those for each, by position."""
        if self.baseline_kind is None:
            return {}, {}
        shared, by_sample = baseline_values.resolve(
            self.baselines,
            self.baseline_kind,
            x,
            self.explained.positions,
        )
        paths = keras.tree.flatten(leaf_paths(x))
        for i, calls in self.explained.embedded.items():
            ids = shared[i] if i in shared else by_sample[i]
            explained_inputs.check_ids("baselines", ids, calls, paths[i])
        return shared, by_sample

    def _step(self, flat, shared, function, copies):
        """A step for each shape: Keras would relax the shapes of one."""
        if (function, copies) != self._compiled_for:
            self._compiled_for, self._steps = (function, copies), {}
        key = (
            *self.explained.paths,
            tuple((a.shape[1:], a.dtype.kind) for a in flat),
            tuple((i, v.shape, str(v.dtype)) for i, v in shared.items()),
            self.explained.probabilities,
        )
        if key in self._steps:
            self._steps[key].hold(shared)
        else:

            def compute(batch, shared):
                rows = self._rows(batch, shared, function, copies)
                return self.results(rows)

            self._steps[key] = Step(compute, self.model, shared)
        return self._steps[key]

    def _rows(self, batch, shared, function, copies):
        explained = self.explained
        number = sum(key.startswith("input_") for key in batch)
        inputs = [batch[f"input_{i}"] for i in range(number)]
        features = explained.features(inputs)
        target = function or batch.get("target")
        if target is None:
            target = explained.predicted(inputs, features)
        baselines = []
        if self.baseline_kind is not None:
            values = {
                i: batch.get(f"baseline_{i}") for i in explained.positions
            }
            baselines = explained.features({**values, **shared})
        seed, part = place(batch)
        return Rows(
            inputs, features, baselines, target, seed, copies, part=part
        )

    def _packed(self, x, flat, attributions):
        maps = [np.zeros(a.shape, "float32") for a in flat]
        for i, values in zip(self.explained.positions, attributions):
            maps[i] = np.asarray(values, "float32").reshape(flat[i].shape)
        return keras.tree.pack_sequence_as(x, maps)

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


def _for_keras(array):
    """Of strings, Keras's `predict` takes tensors, not arrays of two axes."""
    return ops.convert_to_tensor(array) if array.dtype == object else array


def _targets(target, samples, classes):
    array = np.asarray(target)
    if array.ndim:
        array = checks.classes("target", array, samples)
    elif array.dtype.kind not in "iu":
        raise ValueError(
            "`target` has to be None, a callable, the number of a class, or "
            f"one for each of the {samples} samples, as integers or one-hot "
            f"rows. Received: target={target!r}"
        )
    if array.min() < 0 or array.max() >= classes:
        single = (
            " A single unit that no sigmoid layer ends counts as a number, "
            "the target 0; of a logit say `from_logits=True`, of the "
            "probability of class 1 pass `target=lambda outputs: "
            "outputs[:, 0]`."
        )
        raise ValueError(
            f"`target` has to be from 0 to {classes - 1}, the outputs of the "
            f"model. Received: targets from {array.min()} to {array.max()}."
            f"{single if classes == 1 else ''}"
        )
    return np.broadcast_to(array, (samples,)).astype("int32")
