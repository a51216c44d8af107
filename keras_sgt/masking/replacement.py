"""What takes the place of the masked features."""

import numbers

import keras
import numpy as np
from keras import ops

from keras_sgt.masking.base import TakesBatch
from keras_sgt.masking.seeds import SeedGenerator


class Replacement(TakesBatch, keras.layers.Layer):
    """Base class of what takes the place of masked features.

    Subclass it and define `call(inputs, mask, saliency)`, which returns the
    values to put where `mask` is `True`. Random numbers are to be drawn with
    `self.seed_generator`, so that they are drawn anew in every step.

    Args:
        seed: int, the seed of `self.seed_generator`. Defaults to a random one.
        name: name of the layer.

    Example:

    >>> import keras, keras_sgt
    >>> class Zero(keras_sgt.masking.Replacement):
    ...     def call(self, inputs, mask, saliency):
    ...         return keras.ops.zeros_like(inputs)
    >>> masking = keras_sgt.masking.FeatureMasking(replacement=Zero())
    """

    def __init__(self, seed=None, name=None, **kwargs):
        super().__init__(name=name, autocast=False, **kwargs)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.built = True

    def spans_batch(self, inputs):
        """Whether the values for one sample depend on the other samples.

        Only then is `call` given the whole batch. Defaults to whether its
        `call` takes it.
        """
        return self.takes_batch()

    def call(self, inputs, mask, saliency, batch=None):
        """Returns the values to put where `mask` is `True`.

        Args:
            inputs: the clean features, `(batch, ...)`.
            mask: bool, broadcastable to `inputs`: `True` where the value of a
                feature is about to be replaced.
            saliency: floats shaped like `mask`, what the features were ranked
                by; infinite where something is never masked, such as padding.
            batch: `keras_sgt.masking.Batch`, the features of the whole batch,
                where `inputs` is a share of it: the samples to take statistics
                of. `None` where `inputs` is all of it. A `call` without this
                argument is not given it.

        Returns:
            Tensor broadcastable to `inputs`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define `call(inputs, mask, "
            "saliency)`, which returns the values to put where `mask` is True."
        )

    def compute_output_shape(self, inputs_shape, *args, **kwargs):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class _Statistical(Replacement):
    """A replacement drawn from statistics of the clean features."""

    def __init__(self, per="channel", seed=None, **kwargs):
        if per not in ("sample", "channel"):
            raise ValueError(
                "`per` says over what the statistics of a replacement are "
                "taken: 'sample' (one for all features of a sample) or "
                "'channel' (one for each channel of a sample). Received: "
                f"per={per!r}"
            )
        super().__init__(seed=seed, **kwargs)
        self.per = per

    def axes(self, inputs):
        """The axes that a statistic is taken over."""
        rank = len(inputs.shape)
        if rank <= 2:
            return (0,) if self.per == "channel" else tuple(range(1, rank))
        if self.per == "sample":
            return tuple(range(1, rank))
        channel = channel_axis(rank)
        return tuple(axis for axis in range(1, rank) if axis != channel)

    def spans_batch(self, inputs):
        return 0 in self.axes(inputs)

    def mean(self, inputs, saliency, batch):
        """The mean of what is not padding, and the standard deviation."""
        inputs, real = _clean(inputs, saliency, batch)
        axes = self.axes(inputs)

        def average(values):
            total = ops.sum(
                ops.where(real, values, 0), axis=axes, keepdims=True
            )
            return total / ops.maximum(n, 1)

        n = ops.sum(ops.cast(real, inputs.dtype), axis=axes, keepdims=True)
        mean = average(inputs)
        return mean, ops.sqrt(average(ops.square(inputs - mean)))

    def get_config(self):
        return {**super().get_config(), "per": self.per}


@keras.saving.register_keras_serializable(package="keras_sgt")
class Uniform(_Statistical):
    """Random values, uniform between the smallest and the largest clean value.

    Args:
        per: `"channel"`, the range of each channel of each sample (of each
            column over the batch where inputs are `(batch, columns)`), or
            `"sample"`, one range for all features of a sample. Defaults to
            `"channel"`: the same as `"sample"` for grey images of shape
            `(batch, height, width, 1)`. A batch of `(batch, height, width)`
            wants `"sample"`: its last axis would be taken for channels.
        seed: int. Defaults to a random one.
        low: float, or a list of floats for the entries of the last axis (the
            columns of a table): the smallest value, in the place of the
            clean one. Defaults to `None`.
        high: likewise, the largest value. Defaults to `None`.

    Raises:
        ValueError: if `low` is above `high`.

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021, and the authors' code.

    Example:

    >>> import keras_sgt
    >>> age_and_income = keras_sgt.masking.Uniform(low=[18, 0], high=[99, 1e5])
    >>> masking = keras_sgt.masking.FeatureMasking(replacement=age_and_income)
    """

    def __init__(self, per="channel", seed=None, low=None, high=None, **kwargs):
        super().__init__(per=per, seed=seed, **kwargs)
        self.low = _numbers("low", low)
        self.high = _numbers("high", high)
        given = low is not None and high is not None
        if given and np.any(np.greater(self.low, self.high)):
            raise ValueError(
                "`low` has to be at most `high`. Received: "
                f"low={low!r}, high={high!r}"
            )

    def spans_batch(self, inputs):
        given = self.low is not None and self.high is not None
        return not given and super().spans_batch(inputs)

    def call(self, inputs, mask, saliency, batch=None):
        for name in ("low", "high"):
            self._check_length(name, inputs)
        values, real = _clean(inputs, saliency, batch)
        axes = self.axes(inputs)
        if self.low is None:
            clean = ops.where(real, values, float("inf"))
            low = ops.min(clean, axis=axes, keepdims=True)
        else:
            low = ops.cast(self.low, inputs.dtype)
        if self.high is None:
            clean = ops.where(real, values, -float("inf"))
            high = ops.max(clean, axis=axes, keepdims=True)
        else:
            high = ops.cast(self.high, inputs.dtype)
        draws = keras.random.uniform(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        return low + (high - low) * draws

    def _check_length(self, name, inputs):
        given, last = getattr(self, name), inputs.shape[-1]
        if isinstance(given, list) and len(given) not in (1, last):
            raise ValueError(
                f"`{name}` of `Uniform` has to be a number, or a list of as "
                f"many as the last axis of the input, {last}. Received: "
                f"{name}={given!r}. (Of a dict of columns each is an input of "
                "its own: pass them as one array.)"
            )

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="keras_sgt")
class Gaussian(_Statistical):
    """Random values with the mean and standard deviation of the clean ones.

    Args:
        per: as in `Uniform`. Defaults to `"channel"`.
        seed: int. Defaults to a random one.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(replacement="gaussian")
    """

    def call(self, inputs, mask, saliency, batch=None):
        mean, deviation = self.mean(inputs, saliency, batch)
        draws = keras.random.normal(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        return mean + deviation * draws


@keras.saving.register_keras_serializable(package="keras_sgt")
class Mean(_Statistical):
    """The mean of the clean features, the same in every step.

    Args:
        per: as in `Uniform`. Defaults to `"channel"`.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(replacement="mean")
    """

    def call(self, inputs, mask, saliency, batch=None):
        return self.mean(inputs, saliency, batch)[0]


@keras.saving.register_keras_serializable(package="keras_sgt")
class Previous(Replacement):
    """The last value before it that is kept; the first kept one at the start.

    Along the axis after the batch: the steps of a time series, where each
    channel carries its own value forward, or the tokens of a text. Padding is
    not spread. Where nothing is kept, values stay as they are.

    Reference: Ismail et al., NeurIPS 2021, on language.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(replacement="previous")
    """

    def call(self, inputs, mask, saliency):
        kept = ops.logical_and(ops.logical_not(mask), saliency < float("inf"))
        kept = ops.broadcast_to(kept, ops.shape(inputs))
        steps = ops.shape(inputs)[1]
        step = ops.reshape(
            ops.arange(steps, dtype="int32"),
            (1, -1, *[1] * (len(inputs.shape) - 2)),
        )
        # Steps that are kept in order, and how many came so far.
        ordered = ops.argsort(ops.where(kept, step, steps), axis=1)
        before = ops.cumsum(ops.cast(kept, "int32"), axis=1)
        source = ops.take_along_axis(
            ordered, ops.maximum(before - 1, 0), axis=1
        )
        spread = ops.take_along_axis(inputs, source, axis=1)
        return ops.where(ops.any(kept, axis=1, keepdims=True), spread, inputs)


@keras.saving.register_keras_serializable(package="keras_sgt")
class Constant(Replacement):
    """One value for every masked feature.

    Args:
        value: float. Defaults to `0.0`.

    Raises:
        ValueError: for what is no number.

    Example:

    >>> import keras_sgt
    >>> black = keras_sgt.masking.Constant(0.0)
    >>> masking = keras_sgt.masking.FeatureMasking(replacement=black)
    """

    def __init__(self, value=0.0, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(value, numbers.Real):
            raise ValueError(
                "`value` of `Constant` has to be a number, the one that takes "
                f"the place of every masked feature. Received: value={value!r}"
            )
        self.value = value

    def call(self, inputs, mask, saliency):
        return ops.full_like(inputs, self.value)

    def get_config(self):
        return {**super().get_config(), "value": self.value}


@keras.saving.register_keras_serializable(package="keras_sgt")
class Marginal(Replacement):
    """The value of the same feature in another sample of the batch.

    Draws each feature from its own column of the batch, which keeps the codes
    of categories valid and distributions as they are: for tables.

    Args:
        seed: int. Defaults to a random one.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(replacement="marginal")
    """

    def call(self, inputs, mask, saliency, batch=None):
        shape = ops.shape(inputs)
        real = saliency < float("inf")
        if batch is not None:
            inputs, real = batch.inputs, _counted(batch)
        # The samples in which a feature is no padding, in order, and how many.
        real = ops.cast(real, "int32")
        samples = ops.argsort(1 - real, axis=0)
        n = ops.sum(real, axis=0, keepdims=True)
        draws = keras.random.uniform(shape, seed=self.seed_generator)
        drawn = ops.cast(ops.floor(draws * ops.cast(n, "float32")), "int32")
        drawn = ops.clip(drawn, 0, ops.maximum(n - 1, 0))
        samples = ops.broadcast_to(samples, ops.shape(inputs))
        source = ops.take_along_axis(samples, drawn, axis=0)
        return ops.take_along_axis(inputs, source, axis=0)


def _clean(inputs, saliency, batch):
    """The features that statistics are taken of, and where they are none.

    Of the whole batch, where the inputs are a share of it.
    """
    if batch is None:
        real = saliency < float("inf")
    else:
        inputs, real = batch.inputs, _counted(batch)
    return inputs, ops.broadcast_to(real, ops.shape(inputs))


def _counted(batch):
    if batch.counted is not None:
        return batch.counted
    shape = (ops.shape(batch.inputs)[0], *[1] * (len(batch.inputs.shape) - 1))
    return ops.ones(shape, dtype="bool")


def _numbers(name, value):
    """A number, or a list of them, as a config can hold it."""
    if value is None:
        return None
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` of `Uniform` has to be a finite number, or a list of "
            f"them. Received: {name}={value!r}"
        )
    return array.tolist()


_BY_NAME = {
    "marginal": Marginal,
    "previous": Previous,
    "uniform": Uniform,
    "gaussian": Gaussian,
    "mean": Mean,
    "constant": Constant,
}


def get(identifier, seed=None):
    """The replacement of that name, or the given one.

    Args:
        identifier: a `Replacement`, its config, or one of `"uniform"`,
            `"gaussian"`, `"mean"`, `"constant"`, `"marginal"`, `"previous"`.
        seed: int, the seed of a replacement made from its name.

    Returns:
        `Replacement`.

    Raises:
        ValueError: if there is no such replacement.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Replacement):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()](seed=seed)
    raise ValueError(
        f"`replacement` has to be one of {sorted(_BY_NAME)} or an instance of "
        "`keras_sgt.masking.Replacement` (subclass it for your own). "
        f"Received: replacement={identifier!r}"
    )


def channel_axis(rank):
    """The axis of the channels, for inputs of `rank` axes, batch included.

    Images and volumes follow `keras.config.image_data_format()`; sequences
    have their channels last.
    """
    if rank >= 4 and keras.config.image_data_format() == "channels_first":
        return 1
    return rank - 1
