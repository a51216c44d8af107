"""Saliency guided training as a Keras model."""

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import typing

import keras
import numpy as np
from keras import ops

from keras_sgt import backend
from keras_sgt.introspection import layers as introspection
from keras_sgt.introspection.logits import check_softmax, recorded_logits
from keras_sgt.introspection.patching import replaced
from keras_sgt.masking import Batch, get_masking
from keras_sgt.masking.base import takes_batch
from keras_sgt.training import heads, one_pass, saliency_scores
from keras_sgt.training.settings import (
    Setting,
    check_divergence,
    check_saliency_target,
    check_stateless,
    checked_flag,
    checked_fraction,
    checked_stride,
    checked_weight,
    functional,
    warn_of_own_training,
)


def _of_keras(method):
    """A training method of Keras, once its arguments have been looked at.

    Class weights are for the supervised loss, not for the divergence. Keras
    turns them into sample weights, which are for both; whether that is what
    sample weights are has to be known in the step.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def train(self, *args, **kwargs):
        arguments = signature.bind(self, *args, **kwargs).arguments
        self._check_labels(arguments.get("x"), arguments.get("y"))
        weighted = arguments.get("class_weight") is not None
        if weighted != self._class_weighted:
            self._class_weighted = weighted
            self.train_function = None  # another program
        return method(self, *args, **kwargs)

    return train


@dataclasses.dataclass
class _Masked:
    """X̃ of the step under way, and f(X̃) once it is known."""

    inputs: typing.Any
    outputs: typing.Any = None


# On its way from `train_step` to `compute_loss`. A context variable, because
# replicas of one model step in threads of their own.
_masked_batch = contextvars.ContextVar("masked_batch", default=None)


@keras.saving.register_keras_serializable(package="keras_sgt")
class SaliencyGuidedModel(keras.Model):
    """Trains a model so that its gradients show what it relies on.

    In every training step the `mask_fraction` of the features with the lowest
    gradients is replaced, and a divergence between the predictions for the
    clean and the masked inputs is added to the loss:

    `loss = L(f(X), y) + kl_weight · D(f(X) ‖ f(X̃))`

    Everything else is Keras's own: `fit`, `evaluate`, `predict`, metrics,
    callbacks, distribution. Evaluation and prediction cost what they cost
    without it. There are three ways in:

    - wrap any model, trained or not: `SaliencyGuidedModel(model)`. The trained
      model is its attribute `model`, which needs no keras_sgt to be saved,
      loaded and served;
    - build it like a functional model:
      `SaliencyGuidedModel(inputs=inputs, outputs=outputs)`;
    - subclass it and define `call`.

    `fit` logs `loss` (the total that is minimised), `divergence` (unweighted,
    in training only) and the compiled metrics.

    Args:
        model: the `keras.Model` to train. Leave it out when subclassing, or
            when `inputs` and `outputs` are given.
        mask_fraction: float in [0, 1], the share of each sample's features
            that is masked. Can be assigned while training, without a new
            trace. Defaults to `0.5`.
        kl_weight: float ≥ 0, the weight λ of the divergence. At 0, training
            is that of `keras.Model`, at its cost. Can be assigned while
            training; only leaving or reaching 0 traces the step again.
            Defaults to `1.0`.
        masking: a `keras_sgt.masking` layer, or the ranking of a
            `FeatureMasking`, such as `"random"`. Defaults to
            `FeatureMasking()`, which suits images, time series and tables.
        divergence: callable `(clean, masked) -> (batch,)`, such as those of
            `keras_sgt.divergences`; for several outputs also a list or dict of
            them, as `compile` takes losses. Defaults to the one that goes with
            the compiled loss, also for an output that the list or dict leaves
            out.
        saliency_target: the score whose gradient ranks the features:
            `"label"`, the output for the true class (logits where the model
            ends in a softmax or sigmoid, the sum of outputs in a regression);
            `"prediction"`, the output for the predicted class, which needs no
            labels; or a callable `(y, outputs) -> tensor`, summed. Defaults to
            `"label"`.
        batch_fraction: 1 or 1/2, 1/3, 1/4, ...: the evenly strided share of
            each batch that is masked and compared. A quarter costs a quarter.
            Defaults to `1.0`.
        seed: int, the seed of a masking given by its name, or of the default
            one. Defaults to a random one.
        name: name of the model.
        masked_statistics: bool, whether the masked batch enters the moving
            statistics of batch normalisation too, after the clean one, as in
            the authors' code. Without it predictions were more accurate
            (benchmarks/batch_normalisation.py). Defaults to `False`.
        step_fraction: 1 or 1/2, 1/3, 1/4, ...: the share of the training steps
            that are guided, the first and every n-th after it; the others are
            plain training. The divergence weighs n times as much in them, so
            that `kl_weight` weighs it as before over all. Cheaper than a share
            of each batch where many small operations cost (recurrent and small
            networks). With `steps_per_execution`, whole executions are guided
            or not. An epoch without a guided step logs a divergence of 0.
            Defaults to `1.0`.

    Raises:
        ValueError: for arguments out of their range, at construction; in
            `compile`, for a loss that no divergence is known for.

    Reference: Ismail, Corrada Bravo, Feizi, "Improving Deep Learning
    Interpretability by Saliency Guided Training", NeurIPS 2021, Algorithm 1.

    Example:

    >>> import keras
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    >>> guided = keras_sgt.SaliencyGuidedModel(model, mask_fraction=0.5)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> guided.compile("adam", loss, metrics=["accuracy"])
    >>> x, y = keras.random.normal((32, 8)), [0, 1] * 16
    >>> history = guided.fit(x, keras.ops.array(y), verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'divergence', 'loss']
    """

    def __init__(
        self,
        model=None,
        mask_fraction=0.5,
        kl_weight=1.0,
        masking=None,
        divergence=None,
        saliency_target="label",
        batch_fraction=1.0,
        seed=None,
        name=None,
        *,
        masked_statistics=False,
        step_fraction=1.0,
        **kwargs,
    ):
        if "inputs" in kwargs or "outputs" in kwargs:
            model = functional(model, kwargs)
        self._check_model(model)
        if model is not None:
            warn_of_own_training(model)
        check_divergence(divergence)
        check_saliency_target(saliency_target)
        if (
            not (masking is None or isinstance(masking, str))
            and seed is not None
        ):
            raise ValueError(
                "`seed` is for a masking given by its name, or none; a masking "
                "has its own: "
                "`FeatureMasking(seed=...)`. Received both `masking` and "
                f"seed={seed}"
            )
        if model is not None:
            kwargs.setdefault("dtype", model.dtype_policy)
        super().__init__(name=name, **kwargs)
        self.supports_masking = True
        self.model = model
        self.masking = get_masking(masking, seed)
        self.divergence = divergence
        self.saliency_target = saliency_target
        self.batch_fraction = batch_fraction
        self.masked_statistics = checked_flag(
            "masked_statistics", masked_statistics
        )
        self.step_fraction = step_fraction
        self.seed = seed
        self._class_weighted = False
        self._stride, self._step_stride = self._shares()  # fixed by `compile`
        self._guides = True  # whether the step under way is a guided one
        self._one_pass = False
        self._mask_function = None
        self._kl_weight = Setting(checked_weight(kl_weight))
        self._mask_fraction = Setting(checked_fraction(mask_fraction))
        self._divergence_tracker = keras.metrics.Mean(name="divergence")
        self._heads = None
        if model is not None and model.built:
            self.built = True

    def call(self, inputs, training=None):
        if not introspection.takes_training(self.model):
            training = False  # as Keras would train such a model
        masked = _masked_batch.get()
        if self._one_pass and training and masked and masked.outputs is None:
            outputs, masked.outputs = one_pass.predict(
                self.model, inputs, masked.inputs
            )
            return outputs
        return self.model(inputs, training=training)

    # Training: Algorithm 1.

    fit = _of_keras(keras.Model.fit)
    train_on_batch = _of_keras(keras.Model.train_on_batch)

    def train_step(self, *args):
        if self.kl_weight == 0:
            return _without(self._divergence_tracker, super().train_step(*args))
        if not self._guides:
            return super().train_step(*args)
        *state, data = args  # on JAX, the values of all variables come first
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # Once, so that both passes are given the same tensors.
        x, y = keras.tree.map_structure(_tensor, (x, y))
        self._build(x)
        data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        with self._shared_forward():
            masked, state = self._mask_and_state(x, y, sample_weight, state)
            token = _masked_batch.set(_Masked(masked))
            try:
                return super().train_step(*state, data)
            finally:
                _masked_batch.reset(token)

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        alternates = self._step_stride > 1 and self.kl_weight > 0
        programs = []  # the guided one, and the plain one where there are both
        for _ in range(1 + alternates):
            # JAX would take the trace of one method for that of another.
            with replaced(self, "train_step", functools.partial):
                super().make_train_function(force=True)
            programs.append(backend.keep_state(self, self.train_function))
        steps = 0

        def train(*args):
            nonlocal steps
            self._guides = steps % self._step_stride == 0
            try:
                outcome = programs[0 if self._guides else 1](*args)
            finally:
                self._guides = True  # as a training loop of one's own has it
            steps += 1  # not where the data has ended instead
            return outcome

        self.train_function = train if alternates else programs[0]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(
            x=x,
            y=y,
            y_pred=y_pred,
            sample_weight=sample_weight,
            training=training,
        )
        masked = _masked_batch.get()
        if not training or masked is None:
            return loss
        masked_pred = masked.outputs
        if masked_pred is None:
            masked_pred = self._predict_masked(masked.inputs)
        if self._class_weighted:
            sample_weight = None
        y_pred, y, sample_weight = self._share((y_pred, y, sample_weight))
        divergence = self._heads.divergence(
            y_pred, masked_pred, y, sample_weight, self._names()
        )
        self._divergence_tracker.update_state(
            divergence * backend.replica_count(),
            sample_weight=one_pass.samples(masked.inputs),
        )
        weight = self._kl_weight.in_step()
        if backend.TRACED:
            weight = ops.cast(weight, divergence.dtype)
        return loss + self._step_stride * weight * divergence

    def test_step(self, *args):
        return _without(self._divergence_tracker, super().test_step(*args))

    def mask_on_batch(self, x, y=None):
        """The masked inputs X̃ that the next training step would see.

        Of the whole batch, whatever `batch_fraction` is. Changes nothing, not
        even the state of random generators. Can be called while training. On
        JAX it is compiled, as steps are, unless `compile(run_eagerly=True)`.

        Args:
            x: array `(batch, ...)`, or a nest of them.
            y: the labels of `x`; needed for `saliency_target="label"`.

        Returns:
            NumPy array, or a nest of them, shaped like `x`.

        Raises:
            ValueError: if the model is not compiled, labels are missing, or
                inputs are NaN or, for token ids, outside of the vocabulary.
        """
        if self._heads is None:
            raise ValueError(
                "`mask_on_batch` needs a compiled model, whose loss tells what "
                "its outputs mean. Call `compile(loss=...)` first."
            )
        introspection.sync(self)
        x, y = keras.tree.map_structure(_tensor, (x, y))
        self.masking.check_inputs(x, self)
        self._build(x)
        if self._mask_function is None:
            self._mask_function = backend.compiled(self._mask_stateless)
        mask = self._mask_stateless if self.run_eagerly else self._mask_function
        masked, saliency = mask([v.value for v in self.variables], x, y)
        if not self.run_eagerly:
            self.masking.check_saliency(x, saliency, self.mask_fraction)
        return keras.tree.map_structure(
            lambda t: None if t is None else ops.convert_to_numpy(t), masked
        )

    def _mask_stateless(self, values, x, y):
        mapping = [*zip(self.variables, values)]
        with keras.StatelessScope(mapping):
            return self._mask(x, y, None, mapping)

    def _build(self, x):
        # On TensorFlow the first step builds: not to be done amid a gradient.
        if not self.built:
            self._predict(x, training=False)

    def _mask_and_state(self, x, y, sample_weight, state):
        if self._class_weighted:
            sample_weight = None
        whole = None
        if self._stride > 1:
            counted = saliency_scores.counted_samples(sample_weight)
            whole = Batch(x, counted)
        batch = self._share((x, y, sample_weight))
        if not state:
            return self._mask(*batch, state_mapping=[], whole=whole)[0], state
        trainable, non_trainable, *rest = state[0]
        mapping = [
            *zip(self.trainable_variables, trainable),
            *zip(self.non_trainable_variables, non_trainable),
        ]
        with keras.StatelessScope(mapping) as scope:
            masked, _ = self._mask(*batch, mapping, whole)
        non_trainable = [
            scope.get_current_value(v) for v in self.non_trainable_variables
        ]
        return masked, [(trainable, non_trainable, *rest)]

    def _mask(self, x, y, sample_weight, state_mapping, whole=None):
        """X̃, the least salient features of `x` replaced, a constant; and the
        saliency."""
        half = any(
            layer.compute_dtype == "float16"
            for layer in introspection.all_layers(self)
        )
        # Small gradients vanish in float16, and ties would be masked by their
        # position. A ranking knows no scale.
        scale = 2.0**8 if half else 1.0

        def score(inputs):
            # The saliency pass leaves no trace: no statistics, no losses.
            with keras.StatelessScope(state_mapping):
                return scale * self._score(inputs, y, sample_weight)

        if self.run_eagerly:
            self.masking.check_inputs(x, self)
        saliency = self.masking.saliency(score, x, self)
        if self.run_eagerly:
            _check_finite(saliency)
            self.masking.check_saliency(x, saliency, self.mask_fraction)
        # Not through `__call__`: under a `RematScope` its random numbers would
        # be drawn inside of a checkpoint.
        counted = saliency_scores.counted_samples(sample_weight)
        options = {} if counted is None else {"counted": counted}
        if whole is not None and takes_batch(self.masking):
            options["batch"] = whole
        masked = self.masking.call(
            x, saliency, self._mask_fraction.in_step(), **options
        )
        masked = keras.tree.map_structure(
            lambda t: None if t is None else ops.stop_gradient(t), masked
        )
        return masked, saliency

    def _score(self, inputs, y, sample_weight):
        with recorded_logits(self) as logits_of:
            outputs = self._predict(inputs, training=False)
        return self._heads.score(
            y, outputs, sample_weight, self._names(), logits_of
        )

    def _predict(self, inputs, training):
        if introspection.takes_training(self):
            return self(inputs, training=training)
        return self(inputs)

    def _predict_masked(self, masked):
        if self.masked_statistics:
            return self._predict(masked, training=True)
        with backend.restored(self._statistics()):
            return self._predict(masked, training=True)

    def _shared_forward(self):
        if self._one_pass:  # of which the saliency pass is no part
            return contextlib.nullcontext()
        return backend.shared_forward(self)

    def _statistics(self):
        """The weights that training updates by other means than gradients."""
        frozen = {
            id(weight)
            for layer in introspection.all_layers(self)
            if not layer.trainable
            for weight in layer.weights
        }
        return [v for v in self.non_trainable_weights if id(v) not in frozen]

    def _share(self, batch):
        """The share of the batch that is regularised."""
        if self._stride == 1:
            return batch
        # Strided, so that each device of a sharded batch holds its part.
        return keras.tree.map_structure(
            lambda t: None if t is None else t[:: self._stride], batch
        )

    # Settings.

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """Configures the model for training: see `keras.Model.compile`."""
        check_stateless(self)
        check_softmax(self)
        self.masking.check(self)
        shares = self._shares()
        loss_weights = args[0] if args else kwargs.get("loss_weights")
        # Keras keeps the loss of an earlier `compile`.
        losses = (self.loss if loss is None else loss, loss_weights)
        described = self._heads_of(*losses, required=self.kl_weight > 0)
        super().compile(optimizer, loss, *args, **kwargs)
        self._heads, self._losses_and_weights = described, losses
        self._mask_function = None
        self._stride, self._step_stride = shares
        self._one_pass = (
            type(self).call is SaliencyGuidedModel.call
            # What is computed again in the backward pass cannot be kept.
            and not introspection.is_rematerialised(self)
            and one_pass.pays(self.model)
        )

    def _shares(self):
        names = ("batch_fraction", "step_fraction")
        return [checked_stride(name, getattr(self, name)) for name in names]

    def compile_from_config(self, config):
        # Keras leaves this to models with a `compile` of their own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _heads_of(self, loss, loss_weights, required):
        return heads.Heads(
            loss, self.divergence, loss_weights, self.saliency_target, required
        )

    def _names(self):
        return getattr(self, "output_names", None)

    @property
    def kl_weight(self):
        """The weight λ of the divergence."""
        return self._kl_weight.number

    @kl_weight.setter
    def kl_weight(self, value):
        value = checked_weight(value)
        crosses_zero = (value == 0) != (self.kl_weight == 0)
        if self.compiled and value > 0:
            self._heads_of(*self._losses_and_weights, required=True)
        self._assign(self._kl_weight, value)
        if crosses_zero and self.compiled and self.train_function is not None:
            # Plain training is a program of its own.
            self.make_train_function(force=True)

    @property
    def mask_fraction(self):
        """The share of each sample's features that is masked."""
        return self._mask_fraction.number

    @mask_fraction.setter
    def mask_fraction(self, value):
        self._assign(self._mask_fraction, checked_fraction(value))

    def _assign(self, setting, value):
        introspection.sync(self)
        setting.assign(value)

    @property
    def variables(self):
        """State of the step: `weights`, seeds, and numbers that may change."""
        settings = (self._kl_weight, self._mask_fraction)
        return [*super().variables, *(s.variable for s in settings)]

    @property
    def output_names(self):
        """The wrapped model's names, for losses and metrics given as dicts."""
        return self.model.output_names

    def get_config(self):
        config = {
            "name": self.name,
            "model": self.model,
            "mask_fraction": self.mask_fraction,
            "kl_weight": self.kl_weight,
            "masking": self.masking,
            "divergence": self.divergence,
            "saliency_target": self.saliency_target,
            "batch_fraction": self.batch_fraction,
            "masked_statistics": self.masked_statistics,
            "step_fraction": self.step_fraction,
            "dtype": self.dtype_policy,
        }
        return {
            key: keras.saving.serialize_keras_object(value)
            for key, value in config.items()
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = {
            key: keras.saving.deserialize_keras_object(value, custom_objects)
            for key, value in config.items()
        }
        return cls(**config)

    def _check_labels(self, x, y):
        """Arrays without labels; data sets bring theirs."""
        arrays = all(hasattr(a, "shape") for a in keras.tree.flatten(x))
        if y is None and arrays and self.saliency_target == "label":
            raise ValueError(saliency_scores.NO_LABELS)

    def _check_model(self, model):
        if model is None:
            if type(self).call is SaliencyGuidedModel.call:
                raise ValueError(
                    "`SaliencyGuidedModel` needs a model: pass `model`, or "
                    "`inputs=` and `outputs=`, or subclass it and define "
                    "`call`."
                )
        elif isinstance(model, SaliencyGuidedModel):
            raise ValueError(
                "`model` is a `SaliencyGuidedModel` already; to change its "
                "settings wrap `guided.model`."
            )
        elif not isinstance(model, keras.Model):
            raise ValueError(
                "`model` has to be a `keras.Model`; symbolic tensors are given "
                "as `inputs=` and `outputs=`, layers in a `keras.Sequential`. "
                f"Received: {model!r} of type {type(model).__name__}"
            )


def _without(metric, outcome):
    """The outcome of a step without a metric that the step did not update."""
    logs, *state = outcome if isinstance(outcome, tuple) else (outcome,)
    logs = {name: v for name, v in logs.items() if name != metric.name}
    return (logs, *state) if state else logs


def _check_finite(saliency):
    for gradient in keras.tree.flatten(saliency):
        if gradient is not None and bool(ops.any(ops.isnan(gradient))):
            raise ValueError(
                "The saliency, the gradient of the model's output with respect "
                "to its input, contains NaN. Look for NaN in the data and in "
                "the weights (`keras.callbacks.TerminateOnNaN` stops training "
                "when they appear)."
            )


def _tensor(x):
    """A tensor as `fit` would make it: floats of NumPy become floatx."""
    if x is None:
        return None
    if ops.is_tensor(x):
        return ops.convert_to_tensor(x)  # on the device of the model
    if not hasattr(x, "dtype"):
        x = np.asarray(x)  # a number, a data frame
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return ops.convert_to_tensor(x, dtype=keras.config.floatx())
    return ops.convert_to_tensor(x)
