"""What models are asked to predict: a class, several labels, or numbers."""

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction
from keras_sgt.introspection import losses
from keras_sgt.introspection.logits import ends_in_logits, inner

TASKS = CLASSES, LABELS, NUMBERS = (
    "classification",
    "multi-label",
    "regression",
)


def of(task, y, models, outputs):
    """The task, told by the labels, the losses and the outputs.

    Args:
        task: one of `TASKS`, or `"auto"`.
        y: what is to be predicted, an array.
        models: list of models.
        outputs: function to the outputs of the first model for some samples,
            `(some, units)`.

    Returns:
        One of `TASKS`.
    """
    checks.choice("task", task, ("auto", *TASKS))
    if task != "auto":
        return task
    kinds = {_loss_of(model) for model in models}
    if y.ndim == 2 and y.shape[1] > 1:
        return _of_rows(y, kinds, models, outputs)
    squashed = ends_in_logits(models[0]) is False
    if (losses.NUMBERS in kinds and not squashed) or (y != np.floor(y)).any():
        return NUMBERS
    units = {_units(model) for model in models}
    if units == {1} and y.size and y.max() > 1:
        return NUMBERS
    return CLASSES


def _of_rows(y, kinds, models, outputs):
    """The task of several numbers a sample."""
    if not np.isin(y, (0, 1)).all():
        return NUMBERS if not _shares(outputs()) else CLASSES
    exclusive = (y.sum(1) == 1).all()
    if losses.BERNOULLI in kinds:
        return LABELS
    if losses.CATEGORICAL in kinds or _shares(outputs()):
        return CLASSES
    sigmoids = ends_in_logits(models[0]) is False
    return CLASSES if exclusive and not sigmoids else LABELS


def _shares(outputs):
    """Whether outputs are the probabilities of exclusive classes."""
    return outputs.min() >= 0 and abs(outputs.sum(1) - 1).max() < 1e-2


def _loss_of(model):
    for one in (model, inner(model)):
        loss = getattr(one, "loss", None)
        if isinstance(loss, (dict, list, tuple)) or loss is None:
            continue
        return losses.read(loss).kind
    return None


def _units(model):
    shape = getattr(inner(model), "output_shape", None)
    plain = isinstance(shape, tuple) and len(shape) in (1, 2)
    return (1 if len(shape) == 1 else shape[1]) if plain else None


def checked(task, y, samples):
    """What is to be predicted, as floats `(samples, outputs)`.

    Raises:
        ValueError: for another number of samples, or what is no label.
    """
    rows = checks.numeric("y", y.reshape(len(y), -1) if y.ndim else y[None])
    if len(rows) != samples:
        raise ValueError(
            f"`y` has to hold a row for each of the {samples} samples. "
            f"Received: y of shape {y.shape}"
        )
    if task == LABELS and not np.isin(rows, (0, 1)).all():
        raise ValueError(
            "`y` of several labels has to hold 0 and 1 only. Received: y from "
            f"{rows.min():.4g} to {rows.max():.4g}"
        )
    rows = rows.astype("float64")
    if task == NUMBERS and (rows.std(0) == 0).any():
        raise ValueError(
            "`y` has to vary, to tell how well it is predicted. Received: an "
            "output that is the same for all samples"
        )
    return rows


def quality(task, model, data, from_logits, batch_size):
    """How well a model predicts each sample, other than one class.

    Returns:
        Floats `(samples,)`: the share of labels that are right; or, with R² as
        their mean, `1 − (f(x) − y)² / Var y`, averaged over outputs.
    """
    values = prediction.values(model, data.x, batch_size)
    if values.shape[1] != data.y.shape[1]:
        raise ValueError(
            f"`y` has to hold a number for each of the {values.shape[1]} "
            f"outputs of the model. Received: y of shape {data.y.shape}"
        )
    if task == LABELS:
        right = (values > (0 if from_logits else 0.5)) == data.y
        return right.mean(1)
    return 1 - ((values - data.y) ** 2 / data.y.var(0)).mean(1)


def chance(task, y):
    """The quality of who says the same of all samples."""
    if task == NUMBERS:
        return 0.0
    if task == LABELS:
        shares = y.mean(0)
        return float(np.maximum(shares, 1 - shares).mean())
    return float(np.bincount(y).max() / len(y))
