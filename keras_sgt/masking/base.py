"""What a masking is: derive from `Masking` to write your own."""

import inspect
import typing

import keras

from keras_sgt.masking.seeds import SeedGenerator


class Batch(typing.NamedTuple):
    """A whole batch, of which only a share is masked.

    Args:
        inputs: tensor `(batch, ...)`, or a nest of them.
        counted: bool, broadcastable to `inputs` from the left: `False` for
            what belongs in no statistic, samples of weight 0 and padding.
            `None` if all belongs there.
    """

    inputs: typing.Any
    counted: typing.Any = None


class TakesBatch:
    """What knows which of its methods have an argument `batch`.

    It looks when the class is defined: `torch.compile` cannot trace `inspect`.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.methods_with_batch = tuple(
            method
            for method in ("saliency", "call")
            if callable(getattr(cls, method, None))
            and "batch" in inspect.signature(getattr(cls, method)).parameters
        )

    def takes_batch(self, method="call"):
        return method in self.methods_with_batch


class Masking(TakesBatch, keras.layers.Layer):
    """Base class of the maskings: what is masked, and what takes its place.

    A masking of your own defines `saliency` and `call`; `check` and
    `check_inputs` where there is something to refuse, `check_saliency` where
    there is something to warn of. Draw random numbers with
    `self.seed_generator`, so that every step draws new ones.

    Args:
        seed: int, the seed of `self.seed_generator`. Defaults to a random one.
        name: name of the layer.

    Example: the half of an image with the smaller gradients turns black.

    >>> import keras
    >>> from keras import ops
    >>> import keras_sgt
    >>> class BlackHalf(keras_sgt.masking.Masking):
    ...     def saliency(self, score, inputs, model=None):
    ...         return keras_sgt.backend.input_gradients(score, inputs)
    ...
    ...     def call(self, inputs, saliency, mask_fraction, counted=None):
    ...         half = inputs.shape[2] // 2
    ...         left = ops.sum(saliency[:, :, :half], (1, 2, 3), keepdims=True)
    ...         right = ops.sum(saliency[:, :, half:], (1, 2, 3), keepdims=True)
    ...         columns = ops.arange(inputs.shape[2])[None, None, :, None]
    ...         black = ops.logical_xor(columns < half, left > right)
    ...         return ops.where(black, 0, inputs)
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4, 4, 1)),
    ...         keras.layers.Flatten(),
    ...         keras.layers.Dense(2, activation="softmax"),
    ...     ]
    ... )
    >>> guided = keras_sgt.SaliencyGuidedModel(model, masking=BlackHalf())
    >>> guided.compile("adam", "sparse_categorical_crossentropy")
    >>> x = keras.random.normal((2, 4, 4, 1))
    >>> int((guided.mask_on_batch(x, [0, 1]) == 0).sum())
    16
    """

    def __init__(self, seed=None, name=None, **kwargs):
        super().__init__(name=name, autocast=False, **kwargs)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.built = True

    def check(self, model):
        """Raises `ValueError`, in `compile`, for a model it does not fit."""

    def check_inputs(self, inputs, model=None):
        """Raises `ValueError` for inputs that cannot be masked.

        Looks at the values, which a traced training step cannot do: called by
        `mask_on_batch` and with `run_eagerly=True`.
        """

    def check_saliency(self, inputs, saliency, mask_fraction):
        """Warns where the saliency does not decide what is masked.

        Looks at the values, which a traced training step cannot do: called by
        `mask_on_batch` and with `run_eagerly=True`.

        Args:
            inputs: tensor `(batch, ...)`, or a nest of them.
            saliency: what `saliency` returned for them.
            mask_fraction: float in [0, 1].
        """

    def saliency(self, score, inputs, model=None):
        """What features are ranked by.

        Args:
            score: function from `inputs` to a scalar tensor, the score that
                features are salient to. It runs the model in inference.
            inputs: tensor `(batch, ...)`, or a nest of them.
            model: the `keras.Model` that `score` runs.
            batch: `Batch`, as in `call`; an argument that a masking may have.

        Returns:
            A tensor, or a nest of them, that `call` understands.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define `saliency(score, inputs, "
            "model)`, which returns what features are ranked by."
        )

    def call(self, inputs, saliency, mask_fraction, counted=None, batch=None):
        """The masked inputs X̃.

        Args:
            inputs: tensor `(batch, ...)`, or a nest of them.
            saliency: what `saliency` returned.
            mask_fraction: float in [0, 1], or a scalar tensor of it.
            counted: bool `(batch,)`, which samples are masked; those of
                weight 0 are not. `None` for all.
            batch: `Batch`, the whole batch, of which `inputs` is a share, with
                `counted` of shape `(batch,)`. `None` where `inputs` is all of
                it, and for a masking whose `call` has no such argument.

        Returns:
            A nest like `inputs`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define `call(inputs, saliency, "
            "mask_fraction, counted)`, which returns the masked inputs."
        )

    def compute_output_shape(self, inputs_shape, *args, **kwargs):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
