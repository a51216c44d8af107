"""The clean pass of a step, taken once: for the weights and for the saliency.

The gradient of the loss at the inputs is a by-product of the one at the
weights. So the clean batch goes forward and backward before the guidances are
asked, and Keras's own step, which follows, is given what came of it.
"""

import contextlib
import typing

import keras
from keras import ops

from keras_sgt import backend
from keras_sgt.guidance import Guidance
from keras_sgt.introspection.layers import padding_mask
from keras_sgt.masking.gradients import Score
from keras_sgt.training import one_pass


class Taken(typing.NamedTuple):
    """What came of the clean pass.

    Args:
        loss: Keras's loss of it, a scalar.
        outputs: the predictions, a tensor or a nest.
        scale: the optimizer's loss scale, a scalar.
        weights: gradients of the scaled loss, one for each trainable variable;
            `None` for those that it does not depend on.
        state: values of the variables afterwards, where Keras holds them
            outside of the variables; else empty.
    """

    loss: typing.Any
    outputs: typing.Any
    scale: typing.Any
    weights: list
    state: list

    def state_after(self, before, drawn):
        """The step's state: what the pass changed, and numbers drawn since.

        Args:
            before: the state, a tuple of lists of values: of trainable and
                other variables, of the optimizer, of metrics.
            drawn: those of other variables, once guidances drew numbers.
        """
        trainable, others, optimizer, metrics = before
        after = self.state[len(trainable) :]
        others = [
            new if new is not old else changed
            for new, old, changed in zip(drawn, others, after)
        ]
        metrics = self.state[len(self.state) - len(metrics) :]
        return trainable, others, optimizer, metrics

    def differentiable_loss(self, variables):
        """The loss, with the gradients that are known already."""
        known = [
            (variable, gradient)
            for variable, gradient in zip(variables, self.weights)
            if gradient is not None
        ]
        if not known:
            return ops.stop_gradient(self.loss)
        variables, gradients = zip(*known)
        return backend.with_gradients(
            self.loss, variables, gradients, self.scale
        )


class CleanPass:
    """The clean pass of one step, taken when a guidance asks for a gradient.

    Args:
        model: the `SaliencyGuidedModel`.
        x: the whole batch, a nest.
        loss: function from inputs to Keras's loss in training and predictions.
        stride: every how many-th sample is guided.
        state: pairs of variables and their values, where Keras holds those
            outside of the variables; else empty.
    """

    def __init__(self, model, x, loss, stride, state):
        self.x, self._loss = x, loss
        self._model, self._stride, self._state = model, stride, state
        self._runs_with = None  # values of the weights, while it runs
        self._place = None
        self._gradients = None
        self.taken = None

    @property
    def runs(self):
        """Whether it is under way."""
        return self._runs_with is not None

    def gradients(self, place, function, tensors):
        """The gradients of the loss, of the samples that are guided.

        Args:
            place: what is differentiated, to know it again.
            function: callable of the tensors that ends in `forward`.
            tensors: what is differentiated, of the whole batch.
        """
        if self._place not in (None, place):
            raise ValueError(
                "With `one_backward=True` all guidances have to rank or move "
                "the same inputs, which one backward pass is for. Received "
                f"guidances that do not: {self._model.guidance}. Leave "
                "`one_backward` out."
            )
        if self.taken is None:
            self._place = place
            self._take(function, tensors)
        return self._gradients

    def forward(self, inputs):
        """Keras's forward pass and loss.

        Returns:
            The scaled loss, and the loss, its scale, outputs, what is padding
            in them, and the state.
        """
        optimizer = self._model.optimizer
        with self._scope() as scope:
            loss, outputs = self._loss(inputs)
            scale = ops.ones(())
            if optimizer is not None:
                scale = optimizer.scale_loss(scale)
            state = [scope.get_current_value(v) for v, _ in self._state]
        masks = keras.tree.map_structure(padding_mask, outputs)
        found = loss, scale, outputs, masks, state
        return loss * ops.cast(scale, loss.dtype), found

    def _scope(self):
        if not self._state:  # the variables hold their values
            return contextlib.nullcontext()
        values = zip(self._model.trainable_variables, self._runs_with)
        return keras.StatelessScope(
            [*self._state, *values], collect_losses=True
        )

    def _take(self, function, tensors):
        def scaled_loss(values, tensors):
            self._runs_with = values
            try:
                return function(tensors)
            finally:
                self._runs_with = None

        variables = self._model.trainable_variables
        known = {id(variable): value for variable, value in self._state}
        values = [known.get(id(variable)) for variable in variables]
        forward, weights, found = backend.joint_gradients(
            scaled_loss, variables, values, tensors
        )
        loss, scale, outputs, masks, state = forward
        outputs = one_pass.padded(outputs, masks)
        self.taken = Taken(loss, outputs, scale, weights, state)
        # Neither a ranking nor a direction knows a scale.
        self._gradients = keras.tree.map_structure(
            lambda gradient: gradient[:: self._stride], found
        )


class ByProduct(Score):
    """A score whose gradient is that of the loss, which the clean pass has.

    Args:
        clean: `CleanPass` of the step; `None` outside of one.
        share: the samples that are guided, a nest.
        loss: callable of inputs like `share` to their loss: what the score is
            of other inputs, and outside of a step.
        sign: 1, or -1 for a score that falls where the loss rises.
        check: as of `Score`.
    """

    def __init__(self, clean, share, loss, sign, check=None):
        super().__init__(lambda inputs: sign * loss(inputs), check)
        self._clean, self._share, self._sign = clean, share, sign

    def __call__(self, inputs):
        # While the pass is taken, the scalar has with it what came of it.
        if self._clean is not None and self._clean.runs:
            return self._clean.forward(inputs)
        return super().__call__(inputs)

    def batch_of(self, inputs):
        is_known = self._clean is not None and inputs is self._share
        return self._clean.x if is_known else inputs

    def gradients(self, batch, place, function, tensors):
        if self._clean is None or batch is not self._clean.x:
            return super().gradients(batch, place, function, tensors)

        def compute():
            found = self._clean.gradients(place, function, tensors)
            return keras.tree.map_structure(lambda g: self._sign * g, found)

        return self.remembered(place, compute)


def check(model, base):
    """Raises where a model cannot train so.

    Args:
        model: a model of the class `base` or derived from it.
        base: `SaliencyGuidedModel`.

    Raises:
        ValueError: for a target that is not the label's, a guidance that needs
            the gradient of f(X), and a loss of one's own.
    """
    if model.saliency_target != "label":
        raise ValueError(
            "`one_backward=True` ranks by the gradient of the loss. Received: "
            f"saliency_target={model.saliency_target!r}. Leave one of them out."
        )
    if type(model).compute_loss is not base.compute_loss:
        raise ValueError(
            "`one_backward=True` takes the gradient of Keras's loss, and "
            f"{type(model).__name__} defines its own `compute_loss`. Leave "
            "`one_backward` out, or add losses with `add_loss` in a layer."
        )
    for guidance in model.guidance:
        if not _takes_constant_clean(guidance):
            raise ValueError(
                "`one_backward=True` holds the predictions for X constant, "
                f"and `{type(guidance).__name__}` is not known to be the same "
                "then (its `takes_constant_clean`). Leave `one_backward` out."
            )


def _takes_constant_clean(guidance):
    if guidance.takes_constant_clean is not None:
        return guidance.takes_constant_clean
    return type(guidance).penalty is Guidance.penalty


def without_trace(model, mapping):
    """A context in which Keras's loss leaves no trace, in metrics either."""
    metrics = [
        (variable, ops.zeros(variable.shape, variable.dtype))
        for variable in model.metrics_variables
    ]
    return keras.StatelessScope([*mapping, *metrics], collect_losses=True)
