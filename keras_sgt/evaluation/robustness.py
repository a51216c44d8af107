"""Accuracy under attack."""

import dataclasses
import typing

import keras
import numpy as np
from keras import ops

from keras_sgt import backend, checks
from keras_sgt.evaluation import prediction, results
from keras_sgt.introspection.logits import recorded_logits
from keras_sgt.introspection.predicting import Predicting

METHODS = ("fgsm", "pgd")


def adversarial_accuracy(
    model,
    x,
    y,
    radii,
    method="pgd",
    steps=10,
    step_size=None,
    bounds=None,
    from_logits=False,
    batch_size=256,
    seed=0,
):
    """Accuracy on inputs that were changed to be misclassified.

    `value = mean over radii ε of P[f(x) = y and f(x + δ) = y]`, δ the attack
    within `|δ|_∞ ≤ ε`. Bounds: 0 and 1. **Higher is better**. It is an upper
    bound: stronger attacks find more. The gradient is taken at the logits
    where the model ends in a softmax or sigmoid, and in a form that does not
    vanish where the model is confident, which would make it look robust.

    - `"fgsm"`: `δ = ε · sign(∇_x loss)`, the loss the cross-entropy.
    - `"pgd"`: from a random start, `steps` steps of `step_size` along
      `sign(∇_x loss)`, each projected back to the cube.

    Args:
        model: classifier, outputs `(samples, classes)` or `(samples, 1)`.
        x: float array `(samples, ...)`.
        y: true classes, ints `(samples,)`, or one-hot `(samples, classes)`.
        radii: increasing floats > 0, in the units of `x`.
        method: `"fgsm"` or `"pgd"`. Defaults to `"pgd"`.
        steps: int, of PGD. Defaults to 10.
        step_size: float, of PGD. Defaults to `2.5 · ε / steps`.
        bounds: pair of floats, the range of valid inputs. Defaults to the
            smallest and largest value in `x`.
        from_logits: whether outputs are logits. Defaults to `False`.
        batch_size: int. Defaults to 256.
        seed: int, of PGD's start. Defaults to 0.

    Returns:
        `Measure`: `curve`, the accuracy at `levels`, which are 0 and the
        radii; clean accuracy first.

    Raises:
        ValueError: for NaN, radii that do not increase from above 0, labels
            that are no classes, or a model without class outputs.

    Reference: Goodfellow et al., "Explaining and harnessing adversarial
    examples", ICLR 2015; Madry et al., "Towards deep learning models
    resistant to adversarial attacks", ICLR 2018.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(2), np.zeros(2)])
    >>> x = np.array([[0.6, 0.4], [0.1, 0.9]])  # apart by 0.2 and 0.8
    >>> result = keras_sgt.evaluation.adversarial_accuracy(
    ...     model, x, [0, 1], radii=[0.05, 0.2], method="fgsm",
    ...     from_logits=True,
    ... )
    >>> result.curve.tolist(), result.value
    ([1.0, 1.0, 0.5], 0.75)
    """
    prediction.check_model(model)
    x = checks.numeric("x", x).astype(keras.config.floatx())
    y = checks.labels("y", y, len(x))
    radii = _increasing(radii)
    checks.choice("method", method, METHODS)
    steps = checks.count("steps", steps) if method == "pgd" else 1
    if step_size is not None:
        checks.number("step_size", step_size)
    low, high = _range(bounds, x)
    scores = prediction.scores(model, x, batch_size, from_logits)
    if not from_logits:
        # The gradient of what is taken for a probability, and is a logit,
        # would be 0: the attack would do nothing.
        prediction.distributions("the model's outputs", scores)
    prediction.check_classes("y", y, scores)
    attack = _Attack(
        _LossGradient(model, from_logits),
        (low, high),
        steps,
        step_size,
        np.random.default_rng(seed) if method == "pgd" else None,
        batch_size,
    )
    correct = np.empty((len(x), 1 + len(radii)))
    correct[:, 0] = scores.argmax(1) == y
    for i, radius in enumerate(radii):
        attacked = attack(x, y, radius)
        scores = prediction.scores(model, attacked, batch_size, from_logits)
        correct[:, i + 1] = (scores.argmax(1) == y) & (correct[:, 0] == 1)
    return results.of_samples(
        correct[:, 1:].mean(1),
        curve=correct.mean(0),
        levels=np.concatenate([[0], radii]),
    )


@dataclasses.dataclass
class _Attack:
    """Steps up the sign of the gradient, within a cube around the input.

    Args:
        gradient: `_LossGradient`.
        bounds: the range of valid inputs.
        steps: int.
        step_size: float; `None` for one that can leave the cube.
        rng: what the start is drawn from; `None` to start at the input.
        batch_size: int.
    """

    gradient: typing.Any
    bounds: tuple
    steps: int
    step_size: float | None
    rng: typing.Any
    batch_size: int

    def __call__(self, x, y, radius):
        attacked, size = x, radius
        if self.rng is not None:
            start = self.rng.uniform(-radius, radius, x.shape)
            attacked = np.clip(x + start, *self.bounds).astype(x.dtype)
            size = self.step_size
            if size is None:
                size = 2.5 * radius / self.steps
        for _ in range(self.steps):
            direction = self.gradient.predict(
                [attacked, y.astype("int32")], self.batch_size, verbose=0
            )
            attacked = attacked + size * np.sign(direction)
            attacked = np.clip(attacked, x - radius, x + radius)
            attacked = np.clip(attacked, *self.bounds).astype(x.dtype)
        return attacked


class _LossGradient(Predicting):
    """The direction of the gradient of the cross-entropy, at the inputs.

    The loss `log Σ_{j≠y} exp(z_j) − z_y` has the gradient of the cross-entropy
    over 1 − p_y: the same signs, without vanishing where p_y rounds to 1.

    A model, so that `predict` compiles it once on every backend.
    """

    def __init__(self, model, from_logits):
        super().__init__(name="loss_gradient")
        self.model = model
        self.from_logits = from_logits
        self.built = True

    def call(self, inputs):
        x, labels = inputs
        return backend.input_gradients(lambda x: self._loss(x, labels), x)

    def _loss(self, x, labels):
        with recorded_logits(self.model) as logits_of:
            outputs = self.model(x, training=False)
            logits = outputs if self.from_logits else logits_of(outputs)
        if logits is None:
            tiny = keras.config.epsilon()
            logits = ops.log(ops.clip(outputs, tiny, 1))
            if outputs.shape[-1] == 1:
                logits = logits - ops.log(ops.clip(1 - outputs, tiny, 1))
        logits = ops.cast(logits, "float32")
        if logits.shape[-1] == 1:
            logits = ops.concatenate([ops.zeros_like(logits), logits], -1)
        true = ops.one_hot(labels, logits.shape[-1])
        others = ops.logsumexp(logits - 1e30 * true, axis=-1)
        return ops.sum(others - ops.sum(true * logits, axis=-1))


def _increasing(radii):
    array = np.asarray(radii, "float64")
    valid = array.ndim == 1 and array.size and np.isfinite(array).all()
    if not valid or array[0] <= 0 or (np.diff(array) <= 0).any():
        raise ValueError(
            "`radii` has to hold increasing numbers above 0 (clean accuracy "
            f"is added). Received: radii={radii!r}"
        )
    return array


def _range(bounds, x):
    low, high = (x.min(), x.max()) if bounds is None else bounds
    if not low < high or x.min() < low or x.max() > high:
        raise ValueError(
            "`bounds` has to be a pair (low, high) that `x` lies between. "
            f"Received: bounds={bounds!r} for inputs from {x.min():.4g} to "
            f"{x.max():.4g}"
        )
    return low, high
