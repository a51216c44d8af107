"""Saliency guided training as a Keras model."""

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import typing

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.guidance import Batch, Guidance, Moved
from keras_sgt.guidance.settings import Setting
from keras_sgt.guidance.settings import weight as checked_weight
from keras_sgt.introspection import layers as introspection
from keras_sgt.introspection.logits import check_softmax, recorded_logits
from keras_sgt.introspection.patching import replaced
from keras_sgt.introspection.spectral import normalised_already
from keras_sgt.masking import Batch as WholeBatch
from keras_sgt.masking.gradients import Score
from keras_sgt.training import (
    clean_pass,
    first_batch,
    heads,
    one_pass,
    progress,
    saliency_scores,
)
from keras_sgt.training.changing import ChangingNumbers
from keras_sgt.training.settings import (
    check_batches,
    check_divergence,
    check_not_ragged,
    check_saliency_target,
    check_seed,
    check_stateless,
    checked_flag,
    checked_stride,
    functional,
    guidances,
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
        bound = signature.bind(self, *args, **kwargs)
        arguments = bound.arguments
        x = arguments.get("x")
        first_batch.check_labels(self.saliency_target, x, arguments.get("y"))
        backend.check_synchronised(self)
        if "callbacks" in signature.parameters:  # `fit`
            check_batches(arguments)
            self.settle()  # if a schedule was stopped midway
            arguments["callbacks"] = progress.savers_last(
                arguments.get("callbacks")
            )
            self._check_first_batch(
                x, arguments.get("y"), arguments.get("batch_size")
            )
        weighted = arguments.get("class_weight") is not None
        if weighted != self._class_weighted:
            self._class_weighted = weighted
            self._change_program()
        with backend.advised():
            return method(*bound.args, **bound.kwargs)

    name = method.__name__
    train.__qualname__ = f"SaliencyGuidedModel.{name}"
    train.__doc__ = (
        f"Trains as the guidance says; arguments: see `keras.Model.{name}`."
    )
    return train


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What `compile` decides about a step.

    Args:
        heads: what each output's loss means.
        losses: the compiled loss and its weights, to describe them again.
        stride: every how many-th sample of a batch is guided.
        step_stride: every how many-th step is guided.
        one_pass: whether X and X̃ go through the network together.
        drops: whether the network draws random numbers, as dropout does.
    """

    heads: heads.Heads
    losses: tuple
    stride: int
    step_stride: int
    one_pass: bool
    drops: bool


@dataclasses.dataclass
class _Perturbed:
    """X̃ of one guidance in the step under way, and f(X̃) once it is known."""

    guidance: Guidance
    inputs: typing.Any
    outputs: typing.Any = None

    def predict(self, predict):
        if isinstance(self.inputs, Moved):
            with self.inputs.applied():
                return predict(self.inputs.inputs)
        return predict(self.inputs)


@dataclasses.dataclass
class _Programs:
    """Train functions beside the one in use, so that none is traced twice.

    Args:
        kind: what the one in use was made for.
        others: dict of train functions by what they were made for.
    """

    kind: tuple = ()
    others: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Step:
    """What `train_step` hands on to Keras's own, which it then calls.

    Args:
        perturbed: list of `_Perturbed`.
        clean: `clean_pass.Taken`, if the clean pass has been taken.
        before: pairs of variables and their values before it, where Keras
            holds those outside of the variables.
    """

    perturbed: list
    clean: typing.Any = None
    before: typing.Any = ()

    def __post_init__(self):
        self._owes_outputs = self.clean is not None

    def clean_outputs(self):
        """The predictions for X, if they are known, for the first that asks."""
        if self._owes_outputs:
            self._owes_outputs = False
            return self.clean.outputs
        return None


# The guided step under way. A context variable, because replicas of one model
# step in threads of their own.
_under_way = contextvars.ContextVar("step_under_way", default=None)


def _step_under_way():
    return _under_way.get() or _Step([])


@keras.saving.register_keras_serializable(package="keras_sgt")
class SaliencyGuidedModel(ChangingNumbers, keras.Model):
    """Trains a model so that its gradients show what it relies on.

    In every training step the `mask_fraction` of the features with the lowest
    gradients is replaced, and a divergence between the predictions for the
    clean and the masked inputs is added to the loss:

    `loss = L(f(X), y) + kl_weight · D(f(X) ‖ f(X̃))`

    Or, with other guidances of `keras_sgt.guidance`, one or several:

    `loss = L(f(X), y) + kl_weight · Σ weight · penalty`

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
    in training only; of several guidances each by its name) and the compiled
    metrics.

    Args:
        model: the `keras.Model` to train. Leave it out when subclassing, or
            when `inputs` and `outputs` are given.
        mask_fraction: float in [0, 1], the share of each sample's features
            that is masked. Can be assigned while training, without a new
            trace. Defaults to `0.5`.
        kl_weight: float ≥ 0, the weight λ of the divergence, a factor of all
            guidances. At 0, training is that of `keras.Model`, at its cost.
            Can be assigned while training; only leaving or reaching 0 traces
            the step again.
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
        guidance: a `keras_sgt.guidance.Guidance`, or a list of them, whose
            penalties add up. They have `mask_fraction`, `masking` and `seed`
            as arguments of their own. Defaults to `None`, the paper's:
            `MaskedConsistency(mask_fraction, masking=masking, seed=seed)`.
        one_backward: bool, whether features are ranked by the gradient of the
            loss in training, a by-product of the weights' gradient. That
            spares the pass for the saliency, and with it f(X) is held
            constant in the divergence. Cheaper ("performance" in the docs),
            and another term: choose `kl_weight` anew. Defaults to `False`.

    Raises:
        ValueError: for arguments out of their range, at construction; in
            `compile`, for a loss that does not tell what a guidance needs; in
            `fit`, for a first batch of arrays that cannot be guided.

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
        guidance=None,
        one_backward=False,
        **kwargs,
    ):
        if "inputs" in kwargs or "outputs" in kwargs:
            model = functional(model, kwargs)
        self._check_model(model)
        check_divergence(divergence)
        check_saliency_target(saliency_target)
        check_seed(masking, seed)
        if model is not None:
            warn_of_own_training(model)
            kwargs.setdefault("dtype", model.dtype_policy)
        terms = guidances(guidance, mask_fraction, masking, seed)
        super().__init__(name=name, **kwargs)
        self.supports_masking = True
        self.model = model
        self.guidance = terms
        self.divergence = divergence
        self.saliency_target = saliency_target
        self.batch_fraction = batch_fraction
        self.masked_statistics = checked_flag(
            "masked_statistics", masked_statistics
        )
        self.step_fraction = step_fraction
        self.one_backward = checked_flag("one_backward", one_backward)
        self.seed = seed
        self._is_papers = guidance is None
        self._kl_weight = Setting(checked_weight("kl_weight", kl_weight))
        self._is_for_now = False
        self._plan = None  # made by `compile`
        self._shares()  # checked
        # The two things that differ from step to step.
        self._class_weighted = False  # whether `fit` was given class weights
        self._guides = True  # whether the step under way is a guided one
        self._programs = _Programs()
        self._step = 0  # where every n-th is guided, how many there were
        self._scheduled = None  # the last epoch that a schedule changed
        self._mask_function = None
        self._has_looked = False  # at the saliency of a first batch
        self._trackers = [
            keras.metrics.Mean(
                name=term.name if len(terms) > 1 else "divergence"
            )
            for term in terms
        ]
        for term in terms:
            term.attach(self)
        if self.one_backward:
            clean_pass.check(self, SaliencyGuidedModel)
        if model is not None and model.built:
            self.built = True

    def __call__(self, *args, **kwargs):
        known = _step_under_way().clean_outputs()
        return super().__call__(*args, **kwargs) if known is None else known

    def stateless_call(
        self, trainable_variables, non_trainable_variables, *args, **kwargs
    ):
        """Calls the model without changing it: see `keras.Model`."""
        known = _step_under_way().clean_outputs()
        variables = trainable_variables, non_trainable_variables
        if known is None:
            return super().stateless_call(*variables, *args, **kwargs)
        losses = ([],) if kwargs.get("return_losses") else ()
        return known, non_trainable_variables, *losses

    def call(self, inputs, training=None):
        if not introspection.takes_training(self.model):
            training = False  # as Keras would train such a model
        batches = _step_under_way().perturbed
        goes_together = self._plan is not None and self._plan.one_pass
        is_clean = batches and all(batch.outputs is None for batch in batches)
        if goes_together and training and is_clean:
            return self._predict_together(inputs, batches)
        return self.model(inputs, training=training)

    @property
    def _wrapped_model(self):
        """The wrapped model, where calling this one is to call that one."""
        is_own = type(self).call is not SaliencyGuidedModel.call
        return None if is_own else self.model

    def _predict_together(self, inputs, batches):
        together = [
            batch
            for batch in batches
            if not isinstance(batch.inputs, Moved)
            and not self._is_of_inference(batch.guidance)
        ]
        outputs, *others = one_pass.predict(
            self.model, [inputs, *(batch.inputs for batch in together)]
        )
        for batch, other in zip(together, others):
            batch.outputs = other
        return outputs

    # Training: Algorithm 1.

    fit = _of_keras(keras.Model.fit)
    train_on_batch = _of_keras(keras.Model.train_on_batch)

    def train_step(self, *args):
        if not self._guides:
            return super().train_step(*args)
        terms = self._active()
        idle = [
            t for t, g in zip(self._trackers, self.guidance) if g not in terms
        ]
        if not terms:
            return _without(idle, super().train_step(*args))
        *state, data = args  # on JAX, the values of all variables come first
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # Once, so that both passes are given the same tensors.
        x, y = keras.tree.map_structure(first_batch.tensor, (x, y))
        self._build(x)
        data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        with backend.in_step(), self._shared_forward():
            step, state = self._perturb(terms, x, y, sample_weight, state)
            token = _under_way.set(step)
            try:
                return _without(idle, super().train_step(*state, data))
            finally:
                _under_way.reset(token)

    def _active(self):
        """The guidances that weigh anything."""
        if self.kl_weight == 0:
            return []
        return [term for term in self.guidance if term.weight > 0]

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        if force:
            self._programs.others.clear()
        self._programs.kind = self._wanted()
        step_stride = self._plan.step_stride
        alternates = step_stride > 1 and bool(self._active())
        programs = []  # the guided one, and the plain one where there are both
        for _ in range(1 + alternates):
            # A new function for each: a bound method equals itself, and JAX
            # would take the old trace for it.
            with replaced(self, "train_step", functools.partial):
                super().make_train_function(force=True)
            programs.append(backend.keep_state(self, self.train_function))

        def train(*args):
            self._guides = self._step % step_stride == 0
            try:
                outcome = programs[0 if self._guides else 1](*args)
            finally:
                self._guides = True  # as a training loop of one's own has it
            self._step += 1  # not where the data has ended instead
            return outcome

        self.train_function = train if alternates else programs[0]

    def _wanted(self):
        """What a program depends on that may change between steps."""
        return self._class_weighted, *(term.name for term in self._active())

    def _change_program(self):
        """Takes the train function of the kind that is wanted, if known."""
        programs = self._programs
        if self.train_function is not None:
            programs.others[programs.kind] = self.train_function
        programs.kind = self._wanted()
        self.train_function = programs.others.pop(programs.kind, None)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        step = _step_under_way() if training else _Step([])
        if step.clean is None:
            loss = super().compute_loss(
                x=x,
                y=y,
                y_pred=y_pred,
                sample_weight=sample_weight,
                training=training,
            )
        else:
            loss = step.clean.differentiable_loss(self.trainable_variables)
        if not step.perturbed:
            return loss
        if self._class_weighted:
            sample_weight = None
        x, y, sample_weight = self._share((x, y, sample_weight))
        share, whole = y_pred, 1
        if self._plan.stride > 1:
            part = slice(None, None, self._plan.stride)
            share = one_pass.some_samples(y_pred, part)
            # A sum over a share stands for that over the batch.
            whole = one_pass.samples(y_pred) / one_pass.samples(share)
        for batch in step.perturbed:
            loss = loss + self._weighted_penalty(
                batch, x, share, y, sample_weight, whole
            )
        return loss

    def _is_of_inference(self, guidance):
        return guidance.without_dropout and self._plan.drops

    def _weighted_penalty(self, batch, x, y_pred, y, sample_weight, whole):
        if self._is_of_inference(batch.guidance):
            predict = functools.partial(self._predict, training=False)
            y_pred, batch.outputs = predict(x), batch.predict(predict)
        if batch.outputs is None:
            batch.outputs = batch.predict(self._predict_perturbed)
        if self.one_backward:  # also where nothing asked for a gradient
            y_pred = one_pass.with_padding(
                y_pred, ops.stop_gradient, of_mask=lambda mask: mask
            )
        penalty = self._plan.heads.penalty(
            batch.guidance.penalty,
            y_pred,
            batch.outputs,
            y,
            sample_weight,
            self._names(),
            whole,
        )
        inputs = batch.inputs
        if isinstance(inputs, Moved):
            inputs = inputs.inputs
        tracker = self._trackers[self.guidance.index(batch.guidance)]
        tracker.update_state(
            penalty * backend.replica_count(),
            sample_weight=one_pass.samples(inputs),
        )
        # Both are variables where steps are traced: either may change later.
        weight = self._kl_weight.in_step() * batch.guidance.weight_in_step()
        if backend.TRACED:
            weight = ops.cast(weight, penalty.dtype)
        return self._plan.step_stride * weight * penalty

    def test_step(self, *args):
        return _without(self._trackers, super().test_step(*args))

    def mask_on_batch(self, x, y=None):
        """The inputs X̃ that the next training step would see.

        Of the whole batch, whatever `batch_fraction` is. Changes nothing, not
        even the state of random generators. Can be called while training. On
        JAX it is compiled, as steps are, unless `compile(run_eagerly=True)`.

        Args:
            x: array `(batch, ...)`, or a nest of them.
            y: the labels of `x`; needed for `saliency_target="label"`, and for
                guidances made from the loss.

        Returns:
            NumPy array, or a nest of them, shaped like `x`; with several
            guidances a dict of them by the guidances' names. Where token ids
            move at the output of their embedding, how far: an array `(batch,
            tokens, width)`.

        Raises:
            ValueError: if the model is not compiled, labels are missing, or
                inputs are NaN or, for token ids, outside of the vocabulary.
        """
        if self._plan is None:
            raise ValueError(
                "`mask_on_batch` needs a compiled model, whose loss tells what "
                "its outputs mean. Call `compile(loss=...)` first."
            )
        self.sync()
        x, y = self._batch_to_mask(x, y)
        self._build(x)
        if self._mask_function is None:
            self._mask_function = backend.compiled(self._mask_stateless)
        mask = self._mask_stateless if self.run_eagerly else self._mask_function
        with backend.kept_random_state():
            by_guidance, saliency = mask(
                [v.value for v in self.variables], x, y
            )
        for term in self.guidance:
            if term.name in saliency:
                term.check_saliency(x, saliency[term.name])
        by_guidance = keras.tree.map_structure(
            lambda t: None if t is None else ops.convert_to_numpy(t),
            by_guidance,
        )
        if len(self.guidance) == 1:
            return by_guidance[self.guidance[0].name]
        return by_guidance

    def _batch_to_mask(self, x, y):
        """X and y as tensors, once their values have been looked at."""
        x, y = keras.tree.map_structure(first_batch.tensor, (x, y))
        sizes = {a.shape[0] for a in keras.tree.flatten(x) if a is not None}
        if 0 in sizes:
            raise ValueError(
                "`mask_on_batch` needs at least one sample. Received: x with "
                "none"
            )
        self._check_inputs(x)
        outputs = introspection.output_specs(self.model)
        if outputs is not None:
            self._plan.heads.check_labels(y, outputs, self._names())
        return x, y

    def _mask_stateless(self, values, x, y):
        mapping = [*zip(self.variables, values)]
        whole = WholeBatch(x)
        with keras.StatelessScope(mapping):
            batches, saliency = self._perturbed(
                self.guidance, x, y, None, whole, mapping, None
            )
        inputs = {
            b.guidance.name: b.inputs.shift
            if isinstance(b.inputs, Moved)
            else b.inputs
            for b in batches
        }
        return inputs, saliency

    def _check_inputs(self, x):
        for guidance in self.guidance:
            guidance.check_inputs(x, self)

    def _build(self, x):
        # On TensorFlow the first step builds: not to be done amid a gradient.
        if not self.built:
            with backend.scope(self):
                self._predict(x, training=False)

    def _perturb(self, terms, x, y, sample_weight, state):
        """The `_Step` with X̃ of each term, and the state that it leaves."""
        clean = None
        if self.one_backward:
            clean = self._clean_pass(x, y, sample_weight, state)
        if self._class_weighted:
            sample_weight = None
        counted = saliency_scores.counted_samples(sample_weight)
        whole = WholeBatch(x, counted)
        share = self._share((x, y, sample_weight))
        if not state:
            batches, _ = self._perturbed(terms, *share, whole, [], clean)
            return _Step(batches, clean and clean.taken), state
        trainable, non_trainable, *rest = state[0]
        mapping = [
            *zip(self.trainable_variables, trainable),
            *zip(self.non_trainable_variables, non_trainable),
        ]
        with keras.StatelessScope(mapping) as scope:
            batches, _ = self._perturbed(terms, *share, whole, mapping, clean)
        drawn = [
            scope.get_current_value(v) for v in self.non_trainable_variables
        ]
        step = _Step(batches, clean and clean.taken, mapping)
        if step.clean is None:
            return step, [(trainable, drawn, *rest)]
        return step, [step.clean.state_after(state[0], drawn)]

    def _clean_pass(self, x, y, sample_weight, state):
        pairs = []
        if state:
            groups = (
                self.trainable_variables,
                self.non_trainable_variables,
                self.optimizer.variables,
                self.metrics_variables,
            )
            for variables, values in zip(groups, state[0]):
                pairs += zip(variables, values)
        return clean_pass.CleanPass(
            self,
            x,
            functools.partial(self._clean_loss, y, sample_weight),
            self._plan.stride,
            pairs,
        )

    def _clean_loss(self, y, sample_weight, x):
        """Keras's loss in training, and the predictions."""
        outputs = self._predict(x, training=True)
        loss = self.compute_loss(
            x=x, y=y, y_pred=outputs, sample_weight=sample_weight
        )
        return loss, outputs

    def _perturbed(self, terms, x, y, sample_weight, whole, mapping, clean):
        """A list of `_Perturbed`, constants to the gradient of the weights.

        And what features were ranked by, by the name of the guidance.
        """
        score, loss = (
            self._ranking_by_loss(x, y, sample_weight, mapping, clean)
            if self.one_backward
            else self._ranking(y, sample_weight, mapping)
        )
        batch = Batch(
            inputs=x,
            whole=whole,
            counted=saliency_scores.counted_samples(sample_weight),
            score=score,
            loss=loss,
            model=self,
            saliency={},
        )
        if self.run_eagerly:
            self._check_inputs(x)
        batches = [_Perturbed(g, _constant(g.perturb(batch))) for g in terms]
        if self.run_eagerly:
            for term in terms:
                if term.name in batch.saliency:
                    term.check_saliency(x, batch.saliency[term.name])
        return batches, batch.saliency

    def _ranking(self, y, sample_weight, mapping):
        """The scores of which guidances may ask the gradients: two `Score`s."""
        scale = self._gradient_scale()

        def stateless(of_outputs):
            def score(inputs):
                # This pass leaves no trace: no statistics, no losses.
                with keras.StatelessScope(mapping):
                    with recorded_logits(self) as logits_of:
                        outputs = self._predict(inputs, training=False)
                    return scale * of_outputs(outputs, logits_of)

            return Score(score, self._check_of_gradients())

        def score(outputs, logits_of):
            return self._plan.heads.score(
                y, outputs, sample_weight, self._names(), logits_of
            )

        def loss(outputs, logits_of):
            return self._plan.heads.loss(
                y, outputs, sample_weight, self._names()
            )

        return stateless(score), stateless(loss)

    def _ranking_by_loss(self, x, y, sample_weight, mapping, clean):
        """The same where the loss stands in for the labels' score."""
        scale = self._gradient_scale()
        if y is None:
            raise ValueError(saliency_scores.NO_LABELS)

        def loss(inputs):
            # A layer may write to its input in training.
            inputs = keras.tree.map_structure(
                lambda t: None if t is None else ops.copy(t), inputs
            )
            with clean_pass.without_trace(self, mapping):
                loss, _ = self._clean_loss(y, sample_weight, inputs)
            # The sum has gradients as large as those of the score.
            samples = ops.cast(one_pass.samples(inputs), loss.dtype)
            return scale * samples * loss

        return [
            clean_pass.ByProduct(
                clean, x, loss, sign, self._check_of_gradients()
            )
            for sign in (-1, 1)
        ]

    def _gradient_scale(self):
        """Small gradients vanish in float16, where they would tie.

        Neither a ranking nor a direction knows a scale.
        """
        half = any(
            layer.compute_dtype == "float16"
            for layer in introspection.all_layers(self)
        )
        return 2.0**8 if half else 1.0

    def _check_of_gradients(self):
        return _check_finite if self.run_eagerly else None

    def _predict(self, inputs, training):
        if introspection.takes_training(self):
            return self(inputs, training=training)
        return self(inputs)

    def _predict_perturbed(self, inputs):
        with normalised_already(self, _step_under_way().before):
            if self.masked_statistics:
                return self._predict(inputs, training=True)
            with backend.restored(self._statistics()):
                return self._predict(inputs, training=True)

    def _shared_forward(self):
        # Of one pass, or one backward pass, the saliency's is no part.
        if self._plan.one_pass or self.one_backward:
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
        stride = self._plan.stride
        if stride == 1:
            return batch
        # Strided, so that each device of a sharded batch holds its part.
        return keras.tree.map_structure(
            lambda t: None if t is None else t[::stride], batch
        )

    # Settings.

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """Configures the model for training: see `keras.Model.compile`."""
        check_stateless(self)
        check_softmax(self)
        for guidance in self.guidance:
            guidance.check(self)
        stride, step_stride = self._shares()
        loss_weights = args[0] if args else kwargs.get("loss_weights")
        # Keras keeps the loss of an earlier `compile`.
        losses = (self.loss if loss is None else loss, loss_weights)
        described = self._heads_of(*losses, self._active())
        described.warn_of_logits(self)
        super().compile(optimizer, loss, *args, **kwargs)
        self._mask_function = None
        self._has_looked = False
        self._programs.others.clear()
        self._step = 0
        self._plan = _Plan(
            heads=described,
            losses=losses,
            stride=stride,
            step_stride=step_stride,
            one_pass=(
                not self.one_backward
                and type(self).call is SaliencyGuidedModel.call
                # What is computed again in the backward pass cannot be kept.
                and not introspection.is_rematerialised(self)
                and one_pass.pays(self.model)
            ),
            drops=introspection.draws_numbers(self, besides=self.guidance),
        )

    def _shares(self):
        names = ("batch_fraction", "step_fraction")
        return [checked_stride(name, getattr(self, name)) for name in names]

    def compile_from_config(self, config):
        # Keras leaves this to models with a `compile` of their own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _heads_of(self, loss, loss_weights, terms):
        needs = {need for term in terms for need in term.needs}
        if self.one_backward:
            needs.discard("score")
        return heads.Heads(
            loss,
            self.divergence,
            loss_weights,
            self.saliency_target,
            needs,
            self._names(),
        )

    def check_needs(self, guidance):
        """Raises if the compiled loss does not tell what a guidance needs."""
        if self._plan is not None:
            self._heads_of(*self._plan.losses, [guidance])

    def _names(self):
        return getattr(self, "output_names", None)

    @property
    def variables(self):
        """State of the step: `weights`, seeds, and numbers that may change."""
        return [*super().variables, *(s.variable for s in self.settings())]

    def save_own_variables(self, store):
        super().save_own_variables(store)
        progress.save(store, self, self._step, self._scheduled)

    def export(self, filepath, *args, **kwargs):
        """Exports the wrapped model: see `keras.Model.export`."""
        exporting = super() if self.model is None else self.model
        return exporting.export(filepath, *args, **kwargs)

    def load_weights(self, filepath, *args, **kwargs):
        """Loads weights: see `keras.Model.load_weights`."""
        try:
            super().load_weights(filepath, *args, **kwargs)
        except ValueError as error:
            error.add_note(
                "A file of a plain model is loaded by the wrapped one: "
                "`guided.model.load_weights(...)`. The file of a guided model "
                "fits a guided model only; `guided.model.save_weights(...)` "
                "makes one for plain models."
            )
            raise

    def load_own_variables(self, store):
        super().load_own_variables(progress.without(store))
        with self._retracing():
            found = progress.load(store, self)
        self._step, self._scheduled = found or (self._step, self._scheduled)

    @property
    def output_names(self):
        """The wrapped model's names, for losses and metrics given as dicts."""
        return self.model.output_names

    def get_config(self):
        with self.lasting():
            return self._lasting_config()

    def _lasting_config(self):
        config = {
            "name": self.name,
            "model": self.model,
            "kl_weight": self.kl_weight,
            "divergence": self.divergence,
            "saliency_target": self.saliency_target,
            "batch_fraction": self.batch_fraction,
            "masked_statistics": self.masked_statistics,
            "step_fraction": self.step_fraction,
            "one_backward": self.one_backward,
            "dtype": self.dtype_policy,
        }
        if self._is_papers:
            config["mask_fraction"] = self.mask_fraction
            config["masking"] = self.masking
        else:
            config["guidance"] = list(self.guidance)
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

    def _check_first_batch(self, x, y, batch_size):
        """Of arrays: a step is traced, and cannot look at values."""
        if self._plan is None or not self._active():
            return
        check_not_ragged(x)
        inputs = first_batch.first(x, batch_size or 32)
        if inputs is None:
            return
        self._check_inputs(inputs)
        # With `run_eagerly` every step looks.
        if self._has_looked or self.run_eagerly:
            return
        inputs, labels = (
            first_batch.first(nest, first_batch.LOOKED_AT) for nest in (x, y)
        )
        is_labelled = y is None or labels is not None
        if is_labelled and first_batch.may_tie(self):
            self.mask_on_batch(inputs, labels)
        self._has_looked = True

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


def _without(metrics, outcome):
    """The outcome of a step without metrics that the step did not update."""
    if not metrics:
        return outcome
    names = {metric.name for metric in metrics}
    logs, *state = outcome if isinstance(outcome, tuple) else (outcome,)
    logs = {name: v for name, v in logs.items() if name not in names}
    return (logs, *state) if state else logs


def _check_finite(gradients):
    for gradient in keras.tree.flatten(gradients):
        if gradient is not None and bool(ops.any(ops.isnan(gradient))):
            raise ValueError(
                "The saliency, the gradient of the model's output with respect "
                "to its input, contains NaN. Look for NaN in the data and in "
                "the weights (`keras.callbacks.TerminateOnNaN` stops training "
                "when they appear)."
            )


def _constant(perturbed):
    if isinstance(perturbed, Moved):
        return Moved(
            _constant(perturbed.inputs),
            perturbed.layer,
            ops.stop_gradient(perturbed.shift),
        )
    return keras.tree.map_structure(
        lambda t: None if t is None else ops.stop_gradient(t), perturbed
    )
