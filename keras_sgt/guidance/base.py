"""What a guidance is: derive from `Guidance` to write your own."""

import contextlib
import re
import typing
import weakref

import keras

from keras_sgt import masking
from keras_sgt.guidance import settings
from keras_sgt.masking import gradients
from keras_sgt.masking.seeds import SeedGenerator


class Batch(typing.NamedTuple):
    """What a guidance is given of a training step.

    Args:
        inputs: the samples that are guided, a tensor `(batch, ...)` or a nest.
        whole: `keras_sgt.masking.Batch`, all samples of the step, for
            statistics.
        counted: bool `(batch,)`, which samples weigh anything; `None` for all.
        score: function from inputs to the scalar whose gradient is saliency:
            the outputs for the labels, summed.
        loss: function from inputs to the compiled loss, summed over samples.
        model: the guided model.
        saliency: dict, where a guidance leaves what it ranked or moved
            features by under its name, for `check_saliency`.
    """

    inputs: typing.Any
    whole: masking.Batch
    counted: typing.Any
    score: gradients.Score
    loss: gradients.Score
    model: keras.Model
    saliency: dict


class Moved(typing.NamedTuple):
    """X̃ where the output of an embedding is moved, not the token ids.

    Args:
        inputs: the model's inputs, a nest.
        layer: the layer that embeds the token ids.
        shift: tensor `(batch, tokens, width)`, what is added to its output.
    """

    inputs: typing.Any
    layer: keras.Layer
    shift: typing.Any

    def applied(self):
        """A context in which the model sees the moved embedding."""
        if self.layer is None:
            return contextlib.nullcontext()
        return gradients.shifted(self.layer, self.shift)


class Guidance(keras.layers.Layer):
    """Base class of what a step asks beside the loss.

    A guided step makes X̃ from X (`perturb`), predicts both, and adds
    `weight · penalty` to the loss. What `perturb` returns is a constant: no
    gradient goes through it. A guidance of your own defines `perturb`, and
    `penalty` unless it is the divergence of the two predictions; random numbers
    are drawn with `self.seed_generator`.

    Args:
        weight: float ≥ 0, the weight of the penalty; at 0 it costs nothing.
            Can be assigned while training; only leaving or reaching 0 traces
            the step again. Defaults to `1.0`.
        seed: int, the seed of `self.seed_generator`. Defaults to a random one.
        name: name of the guidance in the logs, where there are several.
            Defaults to the name of its class.

    Raises:
        ValueError: for a weight that is negative or not finite.

    Example: predictions that stay the same when the image is mirrored.

    >>> import keras
    >>> import keras_sgt
    >>> class Mirrored(keras_sgt.guidance.Guidance):
    ...     def perturb(self, batch):
    ...         return keras.ops.flip(batch.inputs, axis=2)
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4, 4, 1)),
    ...         keras.layers.Flatten(),
    ...         keras.layers.Dense(2, activation="softmax"),
    ...     ]
    ... )
    >>> guided = keras_sgt.SaliencyGuidedModel(model, guidance=Mirrored())
    >>> guided.compile("adam", "sparse_categorical_crossentropy")
    >>> x, y = keras.random.normal((8, 4, 4, 1)), keras.ops.array([0, 1] * 4)
    >>> logs = guided.train_on_batch(x, y, return_dict=True)
    >>> logs["divergence"] > 0
    True
    """

    # What `compile` has to be able to tell of each output: "divergence" (how
    # two predictions are compared), "score" (the output of a label) and "loss"
    # (the compiled loss of one sample).
    needs = ("divergence",)

    # Whether a network that drops units in training predicts X and X̃ as in
    # inference: what is dropped differs between the two, and would drown a
    # small difference.
    without_dropout = False

    # Whether the penalty asks the same where f(X) is held constant, as
    # `one_backward` does; by itself, where it is the divergence.
    takes_constant_clean = None

    def __init__(self, weight=1.0, seed=None, name=None, **kwargs):
        kwargs.setdefault("autocast", False)
        super().__init__(name=name or _snake_case(type(self)), **kwargs)
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self._weight = settings.Setting(settings.weight("weight", weight))
        self._models = weakref.WeakSet()
        self._is_for_now = False
        self.built = True

    def check(self, model):
        """Raises `ValueError`, in `compile`, for a model it does not fit."""

    def check_inputs(self, inputs, model=None):
        """Raises `ValueError` for inputs that it cannot perturb.

        Looks at the values, which a traced training step cannot do: called for
        the first batch of arrays given to `fit`, by `mask_on_batch`, and in
        each step with `run_eagerly=True`.
        """

    def check_saliency(self, inputs, saliency):
        """Warns where what features were ranked or moved by does neither.

        Looks at the values, as `check_inputs` does.
        """

    def perturb(self, batch):
        """Makes X̃.

        Args:
            batch: `Batch`.

        Returns:
            A nest like `batch.inputs`, or `Moved`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define `perturb(batch)`, which "
            "returns what the second prediction is made of."
        )

    def penalty(self, output, clean, perturbed):
        """What is to be small, for each position of an output.

        Args:
            output: what `compile` says of this output: its
                `divergence(clean, perturbed)`, and its `loss(predictions)` for
                the labels of the step, both `(batch, ...)`.
            clean: predictions for X, `(batch, ..., units)`.
            perturbed: predictions for X̃.

        Returns:
            Tensor `(batch, ...)`, reduced as the compiled loss is.
        """
        return output.divergence(clean, perturbed)

    def control(self):
        """The same guidance, blind: of the same size, from random numbers.

        What a claim about this guidance has to beat.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no `control()`, the blind guidance "
            "of the same size that it is to be compared with."
        )

    @property
    def weight(self):
        """The weight of the penalty."""
        return self._weight.number

    @weight.setter
    def weight(self, value):
        value = settings.weight("weight", value)
        crosses_zero = (value == 0) != (self.weight == 0)
        if crosses_zero and value > 0:
            for model in self._models:
                model.check_needs(self)
        self.assign(self._weight, value)
        if crosses_zero:
            for model in self._models:
                model.retrace()

    def weight_in_step(self):
        """The weight as a step takes it: a tensor where steps are traced."""
        return self._weight.in_step()

    def settings(self):
        """The numbers that may change between steps."""
        return [self._weight]

    def assign(self, setting, value):
        """Assigns a number, also while a model trains."""
        for model in self._models:
            model.sync()
        setting.assign(value, self._is_for_now)

    @contextlib.contextmanager
    def for_now(self):
        """A context: numbers assigned in it are not those that last."""
        self._is_for_now = True
        try:
            yield
        finally:
            self._is_for_now = False

    def attach(self, model):
        """Tells which model has to know of changed settings."""
        self._models.add(model)

    def compute_output_shape(self, inputs_shape, *args, **kwargs):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "weight": self.weight,
            "seed": self.seed,
        }


def blind(guidance, **changes):
    """A copy of a guidance with other arguments, named as a control."""
    config = {**guidance.get_config(), **changes}
    config["name"] = f"{guidance.name}_control"
    return type(guidance).from_config(config)


def _snake_case(class_):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_.__name__).lower()
