"""Sanity checks: does an attribution depend on what was learned?"""

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import results
from keras_sgt.evaluation.prediction import attribute

ORDERS = ("cascading", "independent")


def parameter_randomization(
    model, method, x, target=None, order="cascading", seed=0
):
    """How alike attributions stay when the model's weights are shuffled.

    `value = mean over samples of Spearman's rank correlation of |Φ(x)| and
    |Φ'(x)|`, Φ' that of the model whose weights are all shuffled. Bounds: −1
    and 1. **Near 0 is right**: an attribution that survives does not show what
    the model has learned. The entries of each weight are permuted, which keeps
    their distribution; the model gets its own weights back, also after an
    error. A map without variation correlates with nothing: 0.

    Args:
        model: a `keras.Model`, of any kind.
        method: function from a model to an attribution method, such as a
            class of `keras_sgt.attribution`: `method(model)` is a callable
            `(x, target=None)` that returns floats shaped like `x`.
        x: array `(samples, ...)`.
        target: ints `(samples,)`, on to the method. Give it: predictions of
            shuffled weights are others.
        order: `"cascading"`: from the output down, layers stay shuffled as
            further ones are; `"independent"`: one layer at a time, and
            `value` is of the mean over layers. Defaults to `"cascading"`.
        seed: int. Defaults to 0.

    Returns:
        `Measure`: `curve`, the mean correlation after each layer, `levels`
        their names, from the output down.

    Raises:
        ValueError: for NaN, an unknown order, a model without weights, or a
            method that returns another shape.

    Reference: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> def edges(model):  # looks like an attribution, ignores the model
    ...     return lambda x, target=None: np.diff(x, append=0)
    >>> x = np.array([[1.0, 5.0, 2.0, 0.0]])
    >>> keras_sgt.evaluation.parameter_randomization(model, edges, x).value
    1.0
    """
    x = checks.numeric("x", x)
    checks.choice("order", order, ORDERS)
    target = None if target is None else checks.labels("target", target, len(x))
    layers = [layer for layer in _layers(model) if layer.weights][::-1]
    if not layers:
        raise ValueError(
            "`model` has to have weights to shuffle. Received: a model "
            f"{getattr(model, 'name', model)!r} without any; build it first, "
            "by calling it on inputs."
        )
    rng = np.random.default_rng(seed)
    saved = model.get_weights()
    clean = attribute(method(model), x, target)
    found = np.empty((len(x), len(layers)))
    try:
        for i, layer in enumerate(layers):
            if order == "independent":
                model.set_weights(saved)
            layer.set_weights(
                [_permuted(rng, weight) for weight in layer.get_weights()]
            )
            found[:, i] = spearman(clean, attribute(method(model), x, target))
    finally:
        model.set_weights(saved)
    return results.of_samples(
        found[:, -1] if order == "cascading" else found.mean(1),
        curve=found.mean(0),
        levels=tuple(layer.name for layer in layers),
    )


def label_randomization(
    model,
    build_model,
    method,
    train,
    x,
    target=None,
    batch_size=256,
    seed=0,
    **fit_options,
):
    """How alike attributions are to those of a model trained on wrong labels.

    `value = mean over samples of Spearman's rank correlation of |Φ(x)| and
    |Φ'(x)|`, Φ' that of a model trained on permuted labels. Bounds: −1 and 1.
    **Near 0 is right**: an attribution that stays does not show how inputs and
    labels are related. A map without variation gets 0.

    Args:
        model: the classifier trained on the true labels.
        build_model: function without arguments that returns a new, compiled
            classifier of the same kind.
        method: function from a model to an attribution method, as in
            `parameter_randomization`.
        train: pair `(x, y)` of training arrays.
        x: array `(samples, ...)`, what is explained.
        target: ints `(samples,)`, on to the method. Give it.
        batch_size: int, of training. Defaults to 256.
        seed: int, of the permutation. Defaults to 0. Call
            `keras.utils.set_random_seed` first to repeat the training.
        **fit_options: on to `fit`, such as `epochs`: enough to learn the
            permuted labels by heart.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for NaN, labels that do not match, or a method that
            returns another shape.

    Reference: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> def build_model():
    ...     model = keras.Sequential([keras.layers.Dense(2, "softmax")])
    ...     model.compile("sgd", "sparse_categorical_crossentropy")
    ...     return model
    >>> def inputs(model):  # looks like an attribution, ignores the model
    ...     return lambda x, target=None: x
    >>> x, y = np.eye(4), np.array([0, 0, 1, 1])
    >>> result = keras_sgt.evaluation.label_randomization(
    ...     build_model(), build_model, inputs, (x, y), x, verbose=0
    ... )
    >>> round(result.value, 6)
    1.0
    """
    x = checks.numeric("x", x)
    target = None if target is None else checks.labels("target", target, len(x))
    x_train, y_train = checks.numeric("train", train[0]), np.asarray(train[1])
    checks.labels("train", y_train, len(x_train))
    clean = attribute(method(model), x, target)
    permutation = np.random.default_rng(seed).permutation(len(y_train))
    misled = build_model()
    misled.fit(
        x_train, y_train[permutation], batch_size=batch_size, **fit_options
    )
    return results.of_samples(
        spearman(clean, attribute(method(misled), x, target))
    )


def spearman(a, b):
    """Spearman's correlation of the magnitudes in each row.

    Equal magnitudes share a rank; 0 where a row has no variation.
    """
    a, b = _ranks(np.abs(a)), _ranks(np.abs(b))
    a -= a.mean(1, keepdims=True)
    b -= b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.where(scale > 0, scale, 1)


def _ranks(rows):
    """Ranks along rows, equal values given the mean of theirs."""
    order = np.argsort(rows, axis=1, kind="stable")
    values = np.take_along_axis(rows, order, 1)
    # Runs of equal values are numbered through all rows.
    new = np.ones(rows.shape, bool)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    run = np.cumsum(new.ravel()) - 1
    position = np.broadcast_to(np.arange(rows.shape[1]), rows.shape).ravel()
    mean = np.bincount(run, position) / np.bincount(run)
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, mean[run].reshape(rows.shape), 1)
    return ranks


def _layers(model):
    """The layers of a model from the input up, those of nested ones too."""
    for layer in getattr(model, "layers", []):
        if getattr(layer, "layers", None):
            yield from _layers(layer)
        else:
            yield layer


def _permuted(rng, weight):
    return rng.permutation(weight.ravel()).reshape(weight.shape)
