"""Masking of token ids, ranked at the output of their embedding."""

import operator

import keras
from keras import ops
from keras.layers import Embedding

from keras_sgt import backend
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.logits import inner
from keras_sgt.introspection.nests import leaf_paths
from keras_sgt.masking import gradients, selection
from keras_sgt.masking import replacement as replacements
from keras_sgt.masking.base import Batch, Masking
from keras_sgt.masking.feature_masking import RANKINGS
from keras_sgt.masking.padding import check_padding_mask, padding_mask


@keras.saving.register_keras_serializable(package="keras_sgt")
class RandomToken(replacements.Replacement):
    """Ids drawn uniformly from a vocabulary.

    Args:
        high: int, one more than the largest id.
        low: int, the smallest id. Defaults to `1`, sparing a padding id of 0.
        seed: int. Defaults to a random one.

    Raises:
        ValueError: if the range holds no id.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.TokenMasking(
    ...     replacement=keras_sgt.masking.RandomToken(high=1000)
    ... )
    """

    def __init__(self, high, low=1, seed=None, **kwargs):
        if not 0 <= low < high:
            raise ValueError(
                "`RandomToken` draws ids from `low` to `high - 1`. Received: "
                f"low={low}, high={high}"
            )
        super().__init__(seed=seed, **kwargs)
        self.high = high
        self.low = low

    def call(self, inputs, mask, saliency):
        return keras.random.randint(
            ops.shape(inputs), self.low, self.high, seed=self.seed_generator
        )

    def get_config(self):
        return {**super().get_config(), "high": self.high, "low": self.low}


@keras.saving.register_keras_serializable(package="keras_sgt")
class TokenMasking(Masking):
    """Replaces the least salient tokens of each text by other tokens.

    Saliency is the gradient at the output of the embedding layer, pooled over
    its last axis. Ids are replaced by ids, so that the masked batch is an
    input that the model can meet. Of a text's n real tokens exactly
    `⌊mask_fraction · n⌋` are replaced; padding and special tokens are neither
    counted nor ranked nor replaced.

    Args:
        layer: the embedding layer, or its name. `None` where the model has
            just one `keras.layers.Embedding`, at any depth, or holds a
            backbone of KerasHub, whose embedding is called
            `"token_embedding"`.
        ranking: as in `FeatureMasking`. Defaults to `"absolute"`.
        replacement: what takes a token's place: `"previous"`, the nearest
            kept token before it (after it, at the start); an int, such as the
            id of a mask token; or a `keras_sgt.masking.Replacement`, such as
            `RandomToken(vocabulary_size)`. Defaults to `"previous"`.
        padding: which tokens are padding: `"auto"`, those that an input
            `padding_mask` leaves out, else those that the embedding's
            `compute_mask` leaves out (id 0 where it has `mask_zero=True`),
            else none; an int, the id; or `None`.
            Defaults to `"auto"`.
        special_ids: ints, the ids of tokens that always stay, such as those
            that open and close a text. Defaults to none.
        pooling: `"sum"`, `"mean"` or `"l2"` over the embedding axis. Behind an
            embedding that is normalised at once, as BERT's is, sum and mean
            are 0 but for rounding: there `"l2"` ranks. Defaults to `"sum"`.
        inputs: the input with the token ids, where a model has several: its
            key or index. Defaults to `"token_ids"` where there is one by that
            name, else to the only input.
        seed: int, for random rankings and for the choice among equally salient
            tokens. Defaults to a random one.
        name: name of the layer.

    Raises:
        ValueError: for settings that do not exist; and in `compile`, where
            the embedding layer cannot be told.

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021.

    Example:

    >>> import keras
    >>> import keras_sgt
    >>> model = keras.Sequential(
    ...     [
    ...         keras.layers.Embedding(100, 8, mask_zero=True),
    ...         keras.layers.GlobalAveragePooling1D(),
    ...         keras.layers.Dense(1, activation="sigmoid"),
    ...     ]
    ... )
    >>> masking = keras_sgt.masking.TokenMasking()
    >>> guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
    >>> guided.compile("adam", "binary_crossentropy")
    """

    def __init__(
        self,
        layer=None,
        ranking="absolute",
        replacement="previous",
        padding="auto",
        special_ids=(),
        pooling="sum",
        inputs=None,
        seed=None,
        name=None,
        **kwargs,
    ):
        _check_options(ranking, padding, pooling)
        super().__init__(seed=seed, name=name, **kwargs)
        self.layer = layer.name if isinstance(layer, keras.Layer) else layer
        self.ranking = ranking
        self.replacement = _replacement(replacement)
        self.padding = padding
        self.special_ids = _checked_ids(special_ids)
        self.pooling = pooling
        self.inputs = inputs
        self._received = None  # the model, layer and input that go together

    def check(self, model):
        """Raises unless the embedding layer can be told and has all the ids.

        And, of a functional model, unless it embeds the input that is masked.
        """
        size = self._vocabulary_size(model)
        ids = {
            "special_ids": self.special_ids,
            "padding": (self.padding,) if type(self.padding) is int else (),
            "replacement": self._replacing_ids(),
        }
        for argument, given in ids.items():
            outside = [i for i in given if size is not None and i >= size]
            if outside:
                raise ValueError(
                    f"`{argument}` of `TokenMasking` has ids outside of the "
                    f"vocabulary, which has the ids 0 to {size - 1}. "
                    f"Received: {outside}"
                )
        example = embeddings.example_inputs(inner(model))
        if example is not None:
            self._check_receives(example, model)

    def _check_receives(self, inputs, model):
        """Raises if what the user named does not belong together."""
        if self.layer is None and self.inputs is None:
            return
        layer, position = self.embedding(model), self.position(inputs)
        found = (id(model), id(layer), position)
        if found != self._received:
            embeddings.check_receives(
                layer, position, inner(model), inputs, "TokenMasking"
            )
        self._received = found

    def check_inputs(self, inputs, model):
        """Raises if token ids are outside of the vocabulary.

        Looks at the values, which a traced training step cannot do.
        """
        size = self._vocabulary_size(model)
        ids = keras.tree.flatten(inputs)[self.position(inputs)]
        _check_ids(ids)
        ids = ops.convert_to_numpy(ids)
        if (
            size is not None
            and ids.size
            and not 0 <= ids.min() <= ids.max() < size
        ):
            raise ValueError(
                f"Token ids have to be from 0 to {size - 1}, the vocabulary of "
                f"the embedding layer. Received: ids from {ids.min()} to "
                f"{ids.max()}"
            )
        if ids.size:
            arrays = keras.tree.map_structure(ops.convert_to_numpy, inputs)
            self._check_receives(arrays, model)

    def _vocabulary_size(self, model):
        layer = embeddings.vocabulary(self.embedding(model))
        # Of a layer of the user's own it is not known; then Keras finds, or
        # the framework, that an id has no vector.
        return layer.input_dim if isinstance(layer, Embedding) else None

    def _replacing_ids(self):
        if isinstance(self.replacement, RandomToken):
            return (self.replacement.high - 1,)
        if isinstance(self.replacement, replacements.Constant):
            return (self.replacement.value,)
        return ()

    def saliency(self, score, inputs, model, batch=None):
        """The pooled gradient at the embedding's output.

        Args:
            score: function from `inputs` to a scalar tensor.
            inputs: token ids `(batch, tokens)`, or a nest with them.
            model: the `keras.Model` that `score` runs.
            batch: `keras_sgt.masking.Batch`, the whole batch, of which
                `inputs` is a share: the mean that relevance is measured from
                is taken there.

        Returns:
            Floats `(batch, tokens)`, infinite where a token always stays.

        Raises:
            ValueError: for texts that are no ids yet, and for an embedding
                that embeds more than one text.
        """
        layer = self.embedding(model)
        ids = keras.tree.flatten(inputs)[self.position(inputs)]
        _check_ids(ids)
        stays = self.stays(ids, inputs, layer)
        if self.ranking == "random":
            ranked = keras.random.uniform(
                ops.shape(ids), seed=self.seed_generator
            )
        else:
            gradient = gradients.at_embedding(score, inputs, ids, layer)
            gradient = ops.cast(gradient, "float32")
            if self.ranking == "relevance":
                mean = self._mean_vector(batch or Batch(inputs), layer)
                vectors = ops.cast(layer(ids), "float32")
                gradient = gradient * (vectors - mean)
            ranked = embeddings.POOLING[self.pooling](gradient)
            if self.ranking == "absolute":
                ranked = ops.abs(ranked)
            elif self.ranking == "reversed":
                ranked = -ranked
            elif self.ranking == "relevance":
                ranked = -ops.abs(ranked)
        return ops.where(stays, float("inf"), ranked)

    def _mean_vector(self, batch, layer):
        """The mean over the tokens that may go, of all replicas of a step."""
        ids = keras.tree.flatten(batch.inputs)[self.position(batch.inputs)]
        counts = ops.logical_not(self.stays(ids, batch.inputs, layer))
        if batch.counted is not None:
            counts = ops.logical_and(counts, batch.counted[:, None])
        if backend.shares_step():
            ids, counts = backend.gathered(ids), backend.gathered(counts)
        weights = ops.cast(counts, "float32")[:, :, None]
        vectors = weights * ops.cast(layer(ids), "float32")
        total = ops.sum(vectors, axis=(0, 1), keepdims=True)
        return total / ops.maximum(ops.sum(weights), 1)

    def call(self, inputs, saliency, mask_fraction, counted=None, batch=None):
        """Replaces the least salient tokens.

        Args:
            inputs: token ids `(batch, tokens)`, or a nest with them.
            saliency: what `saliency()` returned.
            mask_fraction: float in [0, 1], or a scalar tensor of it.
            counted: bool `(batch,)`, which texts are masked. Defaults to all.
            batch: `keras_sgt.masking.Batch`, the whole batch, of which
                `inputs` is a share.

        Returns:
            The masked inputs, a nest of the same structure.

        Raises:
            ValueError: for a share of a batch, of which the replacement takes
                statistics.
        """
        self._check_whole(inputs, batch)
        if counted is not None:
            saliency = ops.where(counted[:, None], saliency, float("inf"))
        flat = keras.tree.flatten(inputs)
        i = self.position(inputs)
        ids = flat[i]
        real = saliency < float("inf")
        seed = None if self.ranking == "random" else self.seed_generator
        mask = selection.lowest_mask(saliency, mask_fraction, real, seed)
        tokens = self.replacement.call(ids, mask, saliency)
        flat[i] = ops.where(mask, ops.cast(tokens, ids.dtype), ids)
        return keras.tree.pack_sequence_as(inputs, flat)

    def _check_whole(self, inputs, batch):
        ids = keras.tree.flatten(inputs)[self.position(inputs)]
        is_share = batch is not None or backend.shares_step()
        if is_share and self.replacement.spans_batch(ids):
            raise ValueError(
                f"{type(self.replacement).__name__} takes ids from the other "
                "texts of the batch, and `TokenMasking` sees only a share of "
                "them. Train with `batch_fraction=1` on one device, or take "
                "another replacement, such as `RandomToken`."
            )

    def check_saliency(self, inputs, saliency, mask_fraction):
        """Warns where tokens are masked at random, or not at all.

        That is where all tokens of each text have the same saliency, and where
        `mask_fraction` is less than one token. Looks at the values, which a
        traced training step cannot do.
        """
        tied = self.ranking != "random"
        selection.check_ranked(saliency, mask_fraction, tied)

    def stays(self, ids, inputs, layer):
        """Which tokens always stay: padding and special ones, bool."""
        padding = self.padding
        if padding == "auto":
            mask = padding_mask(inputs)
            if mask is not None:
                check_padding_mask(mask, ids.shape)
                left_out = ops.logical_not(ops.cast(mask, "bool"))
                return ops.logical_or(left_out, self._is_one_of(ids, ()))
            # What Keras takes for text, in the layer or the one it holds.
            real = layer.compute_mask(ids, None)
            if real is None:
                real = embeddings.vocabulary(layer).compute_mask(ids, None)
            stays = self._is_one_of(ids, ())
            if real is None:
                return stays
            check_padding_mask(real, ids.shape)
            return ops.logical_or(stays, ops.logical_not(real))
        return self._is_one_of(ids, () if padding is None else (padding,))

    def _is_one_of(self, ids, padding):
        equal = ops.zeros_like(ids, dtype="bool")
        for one in (*self.special_ids, *padding):
            equal = ops.logical_or(equal, ids == one)
        return equal

    def position(self, inputs):
        """The position of the token ids in the flat inputs."""
        paths = keras.tree.flatten(leaf_paths(inputs))
        wanted = self.inputs
        if wanted is None and len(paths) > 1:
            wanted = embeddings.TOKEN_IDS
        if wanted is None:
            return 0
        if str(wanted) not in paths:
            raise ValueError(
                "`TokenMasking` has to know which input holds the token ids: "
                f"pass `TokenMasking(inputs=...)`, one of {paths}. Received: "
                f"inputs={self.inputs!r}"
            )
        return paths.index(str(wanted))

    def embedding(self, model):
        """The layer that embeds the token ids."""
        return embeddings.find(model, self.layer, "TokenMasking")

    def get_config(self):
        return {
            **super().get_config(),
            "layer": self.layer,
            "ranking": self.ranking,
            "replacement": keras.saving.serialize_keras_object(
                self.replacement
            ),
            "padding": self.padding,
            "special_ids": list(self.special_ids),
            "pooling": self.pooling,
            "inputs": self.inputs,
        }


def _checked_ids(ids):
    """The ids as a config can hold them."""
    try:
        integers = tuple(operator.index(i) for i in ids)
    except TypeError:
        integers = (-1,)
    if any(i < 0 for i in integers):
        raise ValueError(
            "`special_ids` has to be a list of token ids, integers from 0 up. "
            f"Received: special_ids={ids!r}"
        )
    return integers


def _check_ids(ids):
    dtype = keras.backend.standardize_dtype(ids.dtype)
    if dtype == "string":
        raise ValueError(
            "`TokenMasking` masks token ids, and the model is given strings. "
            "Turn them into ids where the data are made, such as with "
            "`dataset.map(lambda text, y: (vectorization(text), y))`."
        )


def _check_options(ranking, padding, pooling):
    if ranking not in RANKINGS:
        raise ValueError(
            f"`ranking` has to be one of {list(RANKINGS)}. Received: "
            f"ranking={ranking!r}"
        )
    embeddings.check_pooling(pooling)
    if padding not in ("auto", None) and type(padding) is not int:
        raise ValueError(
            "`padding` has to be 'auto', None or the id of the padding token. "
            f"Received: padding={padding!r}"
        )


def _replacement(identifier):
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, replacements.Replacement):
        return identifier
    if identifier == "previous":
        return replacements.Previous()
    if type(identifier) is int and identifier >= 0:
        return replacements.Constant(identifier)
    raise ValueError(
        "`replacement` of tokens has to be 'previous', the id of a token, or "
        "an instance of `keras_sgt.masking.Replacement`, such as "
        f"`RandomToken(vocabulary_size)`. Received: replacement={identifier!r}"
    )
