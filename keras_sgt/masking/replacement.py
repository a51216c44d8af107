"""What takes the place of the masked features."""

import keras
from keras import ops


class Replacement(keras.layers.Layer):
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
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, mask, saliency):
        """Returns the values to put where `mask` is `True`.

        Args:
            inputs: the clean features, `(batch, ...)`.
            mask: bool, broadcastable to `inputs`: `True` where the value of a
                feature is about to be replaced.
            saliency: floats shaped like `mask`, what the features were ranked
                by.

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
        if self.per == "sample":
            return tuple(range(1, rank))
        if rank == 2:
            return (0,)
        channel = channel_axis(rank)
        return tuple(axis for axis in range(1, rank) if axis != channel)

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

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021, and the authors' code.

    Example:

    >>> import keras_sgt
    >>> masking = keras_sgt.masking.FeatureMasking(
    ...     replacement=keras_sgt.masking.Uniform(per="sample", seed=1)
    ... )
    """

    def call(self, inputs, mask, saliency):
        axes = self.axes(inputs)
        low = ops.min(inputs, axis=axes, keepdims=True)
        high = ops.max(inputs, axis=axes, keepdims=True)
        draws = keras.random.uniform(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        return low + (high - low) * draws


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

    def call(self, inputs, mask, saliency):
        axes = self.axes(inputs)
        mean = ops.mean(inputs, axis=axes, keepdims=True)
        deviation = ops.std(inputs, axis=axes, keepdims=True)
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

    def call(self, inputs, mask, saliency):
        return ops.mean(inputs, axis=self.axes(inputs), keepdims=True)


@keras.saving.register_keras_serializable(package="keras_sgt")
class Constant(Replacement):
    """One value for every masked feature.

    Args:
        value: float. Defaults to `0.0`.

    Example:

    >>> import keras_sgt
    >>> black = keras_sgt.masking.Constant(0.0)
    >>> masking = keras_sgt.masking.FeatureMasking(replacement=black)
    """

    def __init__(self, value=0.0, **kwargs):
        super().__init__(**kwargs)
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

    def call(self, inputs, mask, saliency):
        shape = ops.shape(inputs)
        samples = keras.random.randint(
            shape, 0, shape[0], seed=self.seed_generator
        )
        return ops.take_along_axis(inputs, samples, axis=0)


_BY_NAME = {
    "marginal": Marginal,
    "uniform": Uniform,
    "gaussian": Gaussian,
    "mean": Mean,
    "constant": Constant,
}


def get(identifier, seed=None):
    """The replacement of that name, or the given one.

    Args:
        identifier: a `Replacement`, its config, or one of `"uniform"`,
            `"gaussian"`, `"mean"`, `"constant"`, `"marginal"`.
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
