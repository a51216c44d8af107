"""What to change, and what to watch, while a model trains."""

import keras

from keras_sgt.training.model import SaliencyGuidedModel


class _GuidedCallback(keras.callbacks.Callback):
    def set_model(self, model):
        if not isinstance(model, SaliencyGuidedModel):
            raise ValueError(
                f"`{type(self).__name__}` is for the `fit` of a "
                f"`SaliencyGuidedModel`. Received: {model!r}"
            )
        super().set_model(model)

    def on_train_end(self, logs=None):
        self.model.settle()

    def _log(self, logs, name):
        """Puts what the epoch was trained with beside its metrics."""
        if logs is not None:
            logs[name] = getattr(self.model, name)


class KLWeightWarmup(_GuidedCallback):
    """Raises `kl_weight` in equal parts from epoch to epoch.

    Epoch 0 trains with `start`, epoch `epochs` and all after it with the
    weight that the model had when training began, which is also the one that
    it is saved with, and has after training. Epochs at 0 are plain training at
    its price; the step is compiled once more when they end. `History` has the
    `kl_weight` of every epoch.

    Args:
        epochs: int ≥ 1, the epoch that first has the full weight.
        start: float ≥ 0, the weight of epoch 0. Defaults to `0.0`.

    Raises:
        ValueError: for `epochs` or `start` out of range, at construction;
            in `fit`, for a model that is not a `SaliencyGuidedModel`.

    Example:

    >>> import keras_sgt
    >>> warmup = keras_sgt.callbacks.KLWeightWarmup(epochs=3)
    """

    def __init__(self, epochs, start=0.0):
        super().__init__()
        if type(epochs) is not int or epochs < 1:
            raise ValueError(
                f"`epochs` has to be an int, 1 or more. Received: {epochs!r}"
            )
        if not start >= 0:
            raise ValueError(
                f"`start` has to be 0 or more. Received: {start!r}"
            )
        self.epochs = epochs
        self.start = start

    def on_epoch_begin(self, epoch, logs=None):
        with self.model.lasting():
            full = self.model.kl_weight
        share = min(1.0, epoch / self.epochs)
        with self.model.for_now():
            self.model.kl_weight = self.start + share * (full - self.start)

    def on_epoch_end(self, epoch, logs=None):
        self._log(logs, "kl_weight")


class MaskFractionSchedule(_GuidedCallback):
    """Sets `mask_fraction` at the beginning of every epoch.

    The model's own fraction, which it had when training began, is the one that
    it is saved with, and has after training. `History` has the `mask_fraction`
    of every epoch.

    Args:
        schedule: callable `(epoch, mask_fraction) -> float`, as in
            `keras.callbacks.LearningRateScheduler`. It is given the fraction
            of the epoch before, also where training was stopped and goes on
            with `initial_epoch`; in the first epoch the model's own.

    Raises:
        ValueError: for a schedule that cannot be called, or that returns
            what is no fraction; in `fit`, for a model that is not a
            `SaliencyGuidedModel`.

    Example:

    >>> import keras_sgt
    >>> schedule = keras_sgt.callbacks.MaskFractionSchedule(
    ...     lambda epoch, fraction: min(0.5, 0.1 * (1 + epoch))
    ... )
    """

    def __init__(self, schedule):
        super().__init__()
        if not callable(schedule):
            raise ValueError(
                "`schedule` has to be a callable `(epoch, mask_fraction) -> "
                f"float`. Received: {schedule!r}"
            )
        self.schedule = schedule

    def on_epoch_begin(self, epoch, logs=None):
        self.model.begin_epoch(epoch, self.schedule)

    def on_epoch_end(self, epoch, logs=None):
        self._log(logs, "mask_fraction")


class AdaptiveMaskFraction(_GuidedCallback):
    """Masks as much as the model withstands.

    After every epoch `mask_fraction` rises by `step` if what is monitored
    reached its target, and falls by `step` if it did not. What was found so
    stays: the model is saved with it, and has it after training. `History` has
    the `mask_fraction` of every epoch.

    Args:
        target: float, what the monitored quantity is to reach.
        monitor: a name in the logs, such as `"divergence"` or
            `"val_accuracy"`. Defaults to `"divergence"`.
        mode: `"min"` if small values reach the target, `"max"` if large ones
            do. Defaults to `"min"`.
        step: float in (0, 1), the change after an epoch. Defaults to `0.05`.
        minimum: float in [0, 1], the smallest fraction. Defaults to `0.0`.
        maximum: float in [0, 1], the largest fraction. Defaults to `0.9`.
        warmup: int ≥ 0, epochs at the beginning that mask nothing. The first
            epoch after them has the fraction that the model had when training
            began. Defaults to `0`.

    Raises:
        ValueError: for arguments out of their range, at construction; in
            `fit`, for a model that is not a `SaliencyGuidedModel`, and if the
            logs of an epoch lack what is monitored.

    Reference: after the adaptive number of masked features in Karkehabadi,
    Homayoun, Sasan, "SMOOT: Saliency Guided Mask Optimized Online Training",
    arXiv 2310.00772. Here it is one number for all samples.

    Example:

    >>> import keras_sgt
    >>> adaptive = keras_sgt.callbacks.AdaptiveMaskFraction(
    ...     target=0.95, monitor="val_accuracy", mode="max", warmup=2
    ... )
    """

    def __init__(
        self,
        target,
        monitor="divergence",
        mode="min",
        step=0.05,
        minimum=0.0,
        maximum=0.9,
        warmup=0,
    ):
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(
                f"`mode` has to be 'min' or 'max'. Received: {mode!r}"
            )
        if not 0 < step < 1:
            raise ValueError(
                "`step` has to be between 0 and 1, a change of the fraction. "
                f"Received: {step!r}"
            )
        if not 0 <= minimum <= maximum <= 1:
            raise ValueError(
                "`minimum` and `maximum` have to be fractions from 0 to 1 in "
                f"this order. Received: minimum={minimum!r}, "
                f"maximum={maximum!r}"
            )
        if type(warmup) is not int or warmup < 0:
            raise ValueError(
                f"`warmup` has to be an int, 0 or more. Received: {warmup!r}"
            )
        self.target = target
        self.monitor = monitor
        self.mode = mode
        self.step = step
        self.minimum = minimum
        self.maximum = maximum
        self.warmup = warmup

    def on_epoch_begin(self, epoch, logs=None):
        if epoch < self.warmup:
            with self.model.for_now():
                self.model.mask_fraction = 0.0
        elif epoch == self.warmup:
            with self.model.lasting():
                start = self.model.mask_fraction
            self.model.mask_fraction = start

    def on_epoch_end(self, epoch, logs=None):
        self._log(logs, "mask_fraction")
        plain = self.monitor == "divergence" and self.model.kl_weight == 0
        if epoch < self.warmup or plain:
            return
        value = (logs or {}).get(self.monitor)
        if value is None:
            raise ValueError(
                f"The logs have no '{self.monitor}' to monitor. They have "
                f"{sorted(logs or {})}."
            )
        reached = value <= self.target
        if self.mode == "max":
            reached = value >= self.target
        fraction = self.model.mask_fraction
        fraction += self.step if reached else -self.step
        self.model.mask_fraction = min(
            max(fraction, self.minimum), self.maximum
        )
