"""Which part of a batch is masked, and how: the function M_k of the paper."""

import functools
import math
import numbers
import types
import typing

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.introspection.layers import all_layers
from keras_sgt.introspection.nests import leaf_paths
from keras_sgt.masking import replacement as replacements
from keras_sgt.masking import selection
from keras_sgt.masking.base import Batch, Masking
from keras_sgt.masking.gradients import at_inputs
from keras_sgt.masking.padding import (
    PADDING_MASK,
    check_padding_mask,
    padding_mask,
)

RANKINGS = ("signed", "absolute", "random", "reversed", "relevance")
INFINITY = float("inf")


def get_masking(identifier=None, seed=None):
    """The masking of that name, or the given one.

    Args:
        identifier: a `Masking`, its config, or the ranking of a
            `FeatureMasking`: `"signed"`, `"absolute"`, `"random"`,
            `"reversed"`. `None` for the default, `FeatureMasking()`.
        seed: int, the seed of a masking made from its name.

    Returns:
        `Masking`.

    Raises:
        ValueError: if there is no such masking.

    Example:

    >>> import keras_sgt
    >>> keras_sgt.masking.get_masking("random").ranking
    'random'
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Masking):
        return identifier
    if identifier is None:
        return FeatureMasking(seed=seed)
    if isinstance(identifier, str) and identifier in RANKINGS:
        return FeatureMasking(identifier, seed=seed)
    raise ValueError(
        "`masking` has to be a `keras_sgt.masking.Masking`, such as "
        "`FeatureMasking(replacement='mean')` or one of your own, derived from "
        f"that class; or a ranking, one of {list(RANKINGS)}. Received: "
        f"masking={identifier!r}"
    )


class _Ranked(typing.NamedTuple):
    """What the features of one input are ranked by.

    Args:
        position: int, the input's in the flat inputs.
        saliency: floats, infinite for what is padding in all of its channels.
        real: bool, `False` for padding; `None` if nothing is.
    """

    position: int
    saliency: typing.Any
    real: typing.Any


@keras.saving.register_keras_serializable(package="keras_sgt")
class FeatureMasking(Masking):
    """Replaces the least salient features of each sample of a dense input.

    For images, time series and tables: anything that a gradient can be taken
    with respect to. Exactly `⌊mask_fraction · n⌋` of each sample's n features
    are replaced; which of equally salient ones, is drawn at random. Of several
    inputs each loses its own share; those of a single feature, such as a dict
    of columns, are ranked together.

    Args:
        ranking: what decides which features go first.
            - `"signed"`: the smallest gradients, so the most negative first,
              as in the authors' code. The default.
            - `"absolute"`: the gradients smallest in magnitude (before
              channels are averaged), as the paper's words read.
            - `"random"`: any features, which needs no gradient. The control
              that a claim about saliency guided training has to beat.
            - `"reversed"`: the largest gradients.
            - `"relevance"`: the features that did most, the largest
              `|gradient · (input − mean)|`, the mean of its channel or column.
        replacement: what takes their place: `"uniform"`, `"gaussian"`,
            `"mean"`, `"constant"`, `"marginal"`, `"previous"`, or a
            `keras_sgt.masking.Replacement`. Defaults to `"uniform"`.
        channel_axis: int or tuple of ints, the axes over which saliency is
            averaged and which share one mask. `None` makes every entry its
            own feature. `"auto"` pools the channels of images and volumes
            (rank 4 and 5, in `keras.config.image_data_format()`) and nothing
            else. For time series `(batch, steps, channels)`, `-1` masks whole
            steps and `1` whole channels. Defaults to `"auto"`.
        inputs: the inputs that are ranked and masked, where a model has
            several: a key or index, or a list of them. `None` for all.
        seed: int, for random rankings, for the choice among equally salient
            features, and for a replacement given by its name. Defaults to a
            random one.
        name: name of the layer.
        padding: which steps of a time series `(batch, steps, ...)` are
            padding, which is neither ranked nor counted nor masked, and in no
            statistic: those that an input `padding_mask` `(batch, steps)`
            leaves out; else, for `"auto"`, those that a `keras.layers.Masking`
            of the model would mask; for a float, those of which every entry
            has that value; for `None`, none. Defaults to `"auto"`.

    Raises:
        ValueError: for a ranking or replacement that does not exist.

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021, Algorithm 1.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(replacement="constant")
    >>> x = np.array([[1.0, 2.0, 3.0, 4.0]], "float32")
    >>> saliency = np.array([[0.1, -0.3, 0.2, 0.0]], "float32")
    >>> np.array(masking(x, saliency=saliency, mask_fraction=0.5)).tolist()
    [[1.0, 0.0, 3.0, 0.0]]
    """

    def __init__(
        self,
        ranking="signed",
        replacement="uniform",
        channel_axis="auto",
        inputs=None,
        seed=None,
        name=None,
        padding="auto",
        **kwargs,
    ):
        if ranking not in RANKINGS:
            raise ValueError(
                f"`ranking` has to be one of {list(RANKINGS)}. Received: "
                f"ranking={ranking!r}"
            )
        if not _is_axis(channel_axis):
            raise ValueError(
                "`channel_axis` has to be 'auto', None, an axis (int, not the "
                "batch axis 0) or a tuple of axes. Received: "
                f"channel_axis={channel_axis!r}"
            )
        if not (padding in ("auto", None) or _is_number(padding)):
            raise ValueError(
                "`padding` has to be 'auto', None or the number that padded "
                f"steps are filled with. Received: padding={padding!r}"
            )
        if isinstance(inputs, (list, tuple)) and not inputs:
            raise ValueError(
                "`inputs` has to name at least one input that is masked. "
                f"Received: inputs={inputs!r}. `None` stands for all."
            )
        super().__init__(seed=seed, name=name, **kwargs)
        self.ranking = ranking
        self.replacement = replacements.get(replacement, seed=seed)
        self.channel_axis = channel_axis
        self.inputs = inputs
        self.padding = padding
        self._padding_value = None if padding == "auto" else padding
        # In an object of its own, which Keras does not track.
        self._padding_of = types.SimpleNamespace(model={})
        self._means = replacements.Mean() if ranking == "relevance" else None

    def check(self, model):
        """Finds out what the model takes for padding.

        Raises:
            ValueError: if its `Masking` layers disagree.
        """
        if self.padding != "auto":
            return
        values = {
            layer.mask_value
            for layer in all_layers(model, include_self=False)
            if isinstance(layer, keras.layers.Masking)
        }
        if len(values) > 1:
            raise ValueError(
                "The model's `Masking` layers have several values: "
                f"{sorted(values)}. Pass the one of the padded steps: "
                "`FeatureMasking(padding=...)`."
            )
        self._padding_of.model[id(model)] = next(iter(values), None)
        self.find_padding(model)

    def find_padding(self, model):
        """Takes for padding what `check` found in that model."""
        found = self._padding_of.model
        # Looked up, for `torch.compile` cannot walk through the layers.
        if id(model) in found:
            self._padding_value = found[id(model)]

    def check_inputs(self, inputs, model=None):
        """Raises if what is masked contains NaN.

        Looks at the values, which a traced training step cannot do.
        """
        flat = keras.tree.flatten(inputs)
        for i in self.positions(inputs):
            if bool(ops.any(ops.isnan(flat[i]))):
                raise ValueError(
                    "The inputs contain NaN, and with it every prediction and "
                    "gradient would. Impute or drop missing values. Received: "
                    f"an input of shape {tuple(flat[i].shape)} with NaN."
                )

    def saliency(self, score, inputs, model=None):
        """The gradient of a score with respect to the inputs that are masked.

        Args:
            score: function from `inputs` to a scalar tensor.
            inputs: float tensor `(batch, ...)`, or a nest of them.
            model: the `keras.Model` that `score` runs: what it takes for
                padding is padding in `call` too.

        Returns:
            List with the gradient of each masked input, in the order of
            `keras.tree.flatten`; `None` where no gradient is needed (random
            ranking) or the input is passed through.

        Raises:
            ValueError: for an input without gradients, such as token ids.
        """
        self.find_padding(model)  # several may be trained with one masking
        flat = keras.tree.flatten(inputs)
        chosen = self.positions(inputs)
        for i in chosen:
            _check_float(flat[i])
        gradients = [None] * len(flat)
        if self.ranking == "random":
            return gradients

        found = at_inputs(score, inputs, chosen)
        for i, gradient in zip(chosen, found):
            gradients[i] = gradient
        return gradients

    def call(self, inputs, saliency, mask_fraction, counted=None, batch=None):
        """Replaces the least salient features.

        Args:
            inputs: float tensor `(batch, ...)`, or a nest of them.
            saliency: what `saliency()` returned, or a tensor shaped like
                `inputs` where there is one input.
            mask_fraction: float in [0, 1], or a scalar tensor of it.
            counted: bool `(batch,)`, which samples are masked and enter the
                statistics of a replacement; those of weight 0 do not.
                Defaults to all.
            batch: `keras_sgt.masking.Batch`, the whole batch, of which
                `inputs` is a share: a replacement takes its statistics from
                there. Defaults to `inputs` and `counted`.

        Returns:
            The masked inputs, a nest of the same structure.
        """
        flat = keras.tree.flatten(inputs)
        for i in self.positions(inputs):
            _check_float(flat[i])
        ranked_inputs = self._rank_inputs(
            inputs, saliency, counted=counted, batch=batch
        )
        for group in ranked_inputs:
            for ranked, mask in zip(group, self._select(group, mask_fraction)):
                i = ranked.position
                whole = self._whole(i, inputs, counted, batch, self.replacement)
                flat[i] = self._replace(flat[i], mask, ranked, counted, whole)
        return keras.tree.pack_sequence_as(inputs, flat)

    def check_saliency(self, inputs, saliency, mask_fraction):
        """Warns where features are masked at random, or not at all.

        That is where all features of each sample have the same saliency, and
        where `mask_fraction` is less than one feature. Looks at the values,
        which a traced training step cannot do.

        Args:
            inputs: float tensor `(batch, ...)`, or a nest of them.
            saliency: what `saliency()` returned for them.
            mask_fraction: float in [0, 1].
        """
        for group in self._rank_inputs(inputs, saliency, draw=ops.zeros):
            rows = [_rows(ranked.saliency) for ranked in group]
            rows = ops.concatenate(rows, axis=1)
            tied = self.ranking != "random"
            selection.check_ranked(rows, mask_fraction, tied)

    def _rank_inputs(
        self, inputs, saliency, draw=None, counted=None, batch=None
    ):
        """What each input is ranked by: a list of lists of `_Ranked`, in each
        those that are ranked together."""
        flat = keras.tree.flatten(inputs)
        saliency = saliency if isinstance(saliency, list) else [saliency]
        chosen = self.positions(inputs)
        columns = [i for i in chosen if set(flat[i].shape[1:]) <= {1}]
        columns = columns if len(columns) > 1 else []
        groups = [columns] if columns else []
        groups += [[i] for i in chosen if i not in columns]
        ranked = []
        for group in groups:
            ranked.append([])
            for i in group:
                real = (
                    None
                    if columns == group
                    else self.real_steps(flat[i], inputs)
                )
                gradient = saliency[i]
                if self.ranking == "relevance":
                    whole = self._whole(i, inputs, counted, batch, self._means)
                    gradient = gradient * self._from_mean(flat[i], real, whole)
                values = self._rank(flat[i], gradient, draw, real)
                ranked[-1].append(_Ranked(i, values, real))
        return ranked

    def _select(self, group, mask_fraction):
        """Where to mask each of the inputs that are ranked together."""
        seed = None if self.ranking == "random" else self.seed_generator
        if len(group) == 1:
            [(_, values, real)] = group
            if real is None:
                return [
                    selection.lowest_mask(values, mask_fraction, None, seed)
                ]
            mask = selection.lowest_mask(
                values, mask_fraction, values < INFINITY, seed
            )
            return [ops.logical_and(mask, real)]
        rows = ops.concatenate([_rows(one.saliency) for one in group], axis=1)
        mask = selection.lowest_mask(rows, mask_fraction, None, seed)
        return [
            ops.reshape(mask[:, i], ops.shape(one.saliency))
            for i, one in enumerate(group)
        ]

    def _whole(self, i, inputs, counted, batch, replacement):
        """All that a replacement takes statistics of, where it is more than
        the input at position `i`: a `Batch`, or `None`."""
        tensor = keras.tree.flatten(inputs)[i]
        is_part = backend.shares_step()
        if batch is None and not is_part:
            return None
        if not replacement.spans_batch(tensor):
            return None
        inputs, counted = (inputs, counted) if batch is None else batch
        tensor = keras.tree.flatten(inputs)[i]
        real = self.real_steps(tensor, inputs)
        if counted is not None:
            counted = _like_rows(counted, tensor)
            real = counted if real is None else ops.logical_and(real, counted)
        if is_part:
            tensor = backend.gathered(tensor)
            real = None if real is None else backend.gathered(real)
        return Batch(tensor, real)

    def _replace(self, inputs, mask, ranked, counted, whole):
        saliency = ranked.saliency
        if ranked.real is not None:
            saliency = ops.where(ranked.real, saliency, INFINITY)
        if counted is not None:
            counted = _like_rows(counted, inputs)
            mask = ops.logical_and(mask, counted)
            saliency = ops.where(counted, saliency, INFINITY)
        options = {} if whole is None else {"batch": whole}
        # Not through `__call__`, which takes `mask` for a padding mask.
        values = self.replacement.call(inputs, mask, saliency, **options)
        return ops.where(mask, ops.cast(values, inputs.dtype), inputs)

    def _rank(self, inputs, saliency, draw=None, real=None):
        """What the features of one input are ranked by.

        Infinite for what is padding in all of its channels. `draw` makes the
        random ranking, from a shape.
        """
        axes = self._pooled_axes(len(inputs.shape))
        if self.ranking == "random":
            shape = list(ops.shape(inputs))
            for axis in axes:
                shape[axis] = 1
            draw = draw or functools.partial(
                keras.random.uniform, seed=self.seed_generator
            )
            saliency = draw(shape)
        else:
            if self.ranking == "absolute":
                saliency = ops.abs(saliency)
            if self.ranking == "relevance":
                saliency = -ops.abs(saliency)
            if real is not None:
                saliency = ops.where(real, saliency, 0)
            if axes:
                saliency = ops.mean(saliency, axis=axes, keepdims=True)
            if self.ranking == "reversed":
                saliency = -saliency
        if real is None:
            return saliency
        if axes:
            real = ops.any(real, axis=axes, keepdims=True)
        return ops.where(real, saliency, INFINITY)

    def _from_mean(self, inputs, real, whole):
        """How far each value is from the mean of its channel or column."""
        present = ops.zeros_like(inputs)
        if real is not None:
            present = ops.where(real, present, INFINITY)
        return inputs - self._means.mean(inputs, present, whole)[0]

    def real_steps(self, tensor, inputs):
        """`(batch, steps, 1)`, `False` for padding; `None` if all is real."""
        if self.padding is None or len(tensor.shape) != 3:
            return None
        mask = padding_mask(inputs)
        if mask is not None:
            check_padding_mask(mask, tensor.shape[:2])
            return ops.cast(mask, "bool")[:, :, None]
        if self._padding_value is None:
            return None
        return ops.any(tensor != self._padding_value, axis=2, keepdims=True)

    def _pooled_axes(self, rank):
        if self.channel_axis is None:
            return ()
        if self.channel_axis == "auto":
            return (replacements.channel_axis(rank),) if rank >= 4 else ()
        axes = self.channel_axis
        axes = axes if isinstance(axes, (list, tuple)) else (axes,)
        axes = tuple(
            axis % rank if -rank <= axis < rank else 0 for axis in axes
        )
        if 0 in axes:
            raise ValueError(
                "`channel_axis` has to name axes of the input other than the "
                f"batch axis. Received: channel_axis={self.channel_axis!r} "
                f"for an input of {rank} axes."
            )
        if len(axes) == rank - 1:
            raise ValueError(
                "`channel_axis` leaves a single feature of each sample, of "
                f"which none can be masked. Received: "
                f"channel_axis={self.channel_axis!r} for an input of {rank} "
                "axes. Pass `channel_axis=None` to make each entry a feature."
            )
        return axes

    def positions(self, inputs):
        """Positions, in the flat inputs, of those that are masked."""
        paths = keras.tree.flatten(leaf_paths(inputs))
        # Optional inputs may be left out: `None`.
        given = [t is not None for t in keras.tree.flatten(inputs)]
        if self.inputs is None:
            return [
                i
                for i, path in enumerate(paths)
                if path != PADDING_MASK and given[i]
            ]
        wanted = self.inputs
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        wanted = [str(name) for name in wanted]
        unknown = [name for name in wanted if name not in paths]
        if unknown:
            raise ValueError(
                f"`inputs` of {type(self).__name__} names inputs that do not "
                f"exist: {unknown}. The model is given {paths}."
            )
        return [
            i for i, path in enumerate(paths) if path in wanted and given[i]
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "ranking": self.ranking,
            "replacement": keras.saving.serialize_keras_object(
                self.replacement
            ),
            "channel_axis": self.channel_axis,
            "inputs": self.inputs,
            "padding": self.padding,
        }


def _rows(tensor):
    """`(batch, features)`."""
    n = math.prod(ops.shape(tensor)[1:])
    return ops.reshape(tensor, (-1, n))


def _like_rows(values, tensor):
    """Values `(batch,)` with as many axes as the tensor."""
    return ops.reshape(values, (-1, *[1] * (len(tensor.shape) - 1)))


def _is_number(value):
    """Whether it is a number that something can be equal to: not NaN."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and value == value


def _is_axis(axis):
    if axis is None or axis == "auto":
        return True
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return all(type(axis) is int and axis != 0 for axis in axes)


def _check_float(inputs):
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            "`FeatureMasking` ranks features by a gradient, which integers "
            f"and strings do not have. Received: inputs of dtype {dtype}. For "
            "token ids use `masking=keras_sgt.masking.TokenMasking()`; "
            "numbers, such as the pixels of an image, cast to float32 first; "
            "an input that is not "
            "to be masked leave out of `FeatureMasking(inputs=...)`."
        )
