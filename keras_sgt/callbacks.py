"""What to change while a `SaliencyGuidedModel` trains."""

import keras

from keras_sgt.model import SaliencyGuidedModel


class _GuidedCallback(keras.callbacks.Callback):
    def set_model(self, model):
        if not isinstance(model, SaliencyGuidedModel):
            raise ValueError(
                f"`{type(self).__name__}` is for the `fit` of a "
                f"`SaliencyGuidedModel`. Received: {model!r}"
            )
        super().set_model(model)


class KLWeightWarmup(_GuidedCallback):
    """Raises `kl_weight` in equal parts from epoch to epoch.

    Epoch 0 trains with `start`, epoch `epochs` and all after it with the
    weight that the model had when training began. Epochs at 0 are plain
    training at its price; the step is compiled once more when they end.

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
        self._full = None

    def on_train_begin(self, logs=None):
        self._full = self.model.kl_weight

    def on_epoch_begin(self, epoch, logs=None):
        share = min(1.0, epoch / self.epochs)
        self.model.kl_weight = self.start + share * (self._full - self.start)


class MaskFractionSchedule(_GuidedCallback):
    """Sets `mask_fraction` at the beginning of every epoch.

    Args:
        schedule: callable `(epoch, mask_fraction) -> float`, as in
            `keras.callbacks.LearningRateScheduler`.

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
        self.model.mask_fraction = self.schedule(
            epoch, self.model.mask_fraction
        )
