"""What a model loses when the features said to matter are removed."""

import typing

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import fills, prediction, relevance, results
from keras_sgt.evaluation.relevance import LEVELS

# Float inputs are perturbed in chunks of about this size.
_CHUNK_BYTES = 2**26


def accuracy_drop(
    model,
    x,
    y,
    attributions,
    fill="background",
    levels=LEVELS,
    ranking="absolute",
    channel_axis="auto",
    from_logits=False,
    batch_size=256,
    seed=0,
):
    """Accuracy as the most relevant features are removed, without retraining.

    `value = ∫ accuracy(p) dp`, the trapezoid area over the fractions p of
    removed features from 0 to the last level. Bounds: 0 and the last level
    (0.9). **Lower is better**: the sooner accuracy falls, the more relevant
    was what went first. Accuracy also falls because filled inputs are unlike
    any the model was trained on: compare with a random attribution, and fill
    with what training did not use.

    Each sample's features are ranked once, by the magnitude of the
    attribution averaged over channels (ties: the first by position goes
    first); at level p the top `⌊p · n⌋` are replaced.

    Args:
        model: classifier with Keras's `predict`; outputs `(samples, classes)`
            or the probability of class 1, `(samples, 1)`.
        x: array `(samples, ...)`. Images need their channel axis.
        y: true classes, ints `(samples,)`, or one-hot `(samples, classes)`.
        attributions: floats shaped like `x`.
        fill: what replaces features:
            - `"background"`: the sample's top-left pixel (first step, first
              entry), as in the paper. The default.
            - a number: that constant.
            - `"mean"`: the sample's mean, per channel (of tables: the mean of
              the column).
            - `"blur"`: the sample under a Gaussian blur as wide (standard
              deviation) as an eighth of each side.
            - `"uniform"`: random values between the sample's smallest and
              largest, per channel (of tables: the column's).
            - `"sample"`: the values of another sample.
            - a callable from samples to values that broadcast to them.
        levels: increasing fractions in (0, 1); 0 is added. Defaults to
            0.1, 0.2, ..., 0.9.
        ranking: `"absolute"`, or `"signed"`: the largest first, negative
            ones last. Defaults to `"absolute"`.
        channel_axis: int, the axis whose entries share one rank; `None` to
            rank every entry; `"auto"` for the channels of images and volumes.
            Defaults to `"auto"`.
        from_logits: whether a single output is a logit. Defaults to `False`.
        batch_size: int, of `model.predict`. Defaults to 256.
        seed: int, for `"uniform"` and `"sample"`. Defaults to 0.

    Returns:
        `Measure`: `curve`, the accuracy at `levels`, clean accuracy first;
        `per_sample`, the area for each sample.

    Raises:
        ValueError: for attributions of another shape or with NaN, levels
            outside (0, 1), labels that are no classes, unknown names, or a
            model without class outputs.

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021; Samek et al., "Evaluating the
    visualization of what a deep neural network has learned", 2017.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2) * 2 - 1, np.zeros(2)])
    >>> x = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> result = keras_sgt.evaluation.accuracy_drop(
    ...     model, x, [0, 1], x, fill=0.0, levels=[0.25, 0.5]
    ... )
    >>> result.curve.tolist(), result.value
    ([1.0, 0.5, 0.5], 0.3125)
    """
    prediction.check_model(model)
    x, attributions = checks.attributions_of(x, attributions)
    y = checks.labels("y", y, len(x))
    levels = checks.fractions("levels", levels)
    correct = np.empty((len(x), 1 + len(levels)))
    removed = _removed(
        x, attributions, fill, levels, ranking, channel_axis, batch_size, seed
    )
    for part, level, scores in _predicted(
        removed,
        lambda x: prediction.scores(model, x, batch_size, from_logits),
    ):
        prediction.check_classes("y", y[part], scores)
        correct[part, level] = scores.argmax(1) == y[part]
    return _area(correct, np.concatenate([[0], levels]))


def deletion(
    model,
    x,
    attributions,
    target=None,
    fill=0.0,
    levels=None,
    ranking="signed",
    channel_axis="auto",
    from_logits=False,
    batch_size=256,
    seed=0,
):
    """The target's probability as the most relevant features are removed.

    `value = ∫₀¹ p_target(x without its top fraction q) dq`, by trapezoids.
    Bounds: 0 and 1. **Lower is better**: removing what matters makes the
    prediction collapse.

    Args:
        model: classifier with Keras's `predict`, outputs `(samples, classes)`
            or `(samples, 1)`.
        x: array `(samples, ...)`.
        attributions: floats shaped like `x`.
        target: ints `(samples,)`. Defaults to the predicted classes.
        fill: as in `accuracy_drop`. Defaults to `0.0`.
        levels: increasing fractions in (0, 1); 0 and 1 are added. Defaults to
            0.05, 0.1, ..., 0.95.
        ranking, channel_axis: as in `accuracy_drop`. `ranking` defaults to
            `"signed"`.
        from_logits: whether outputs are logits. Defaults to `False`.
        batch_size: int, of `model.predict`. Defaults to 256.
        seed: int, for `"uniform"` and `"sample"`. Defaults to 0.

    Returns:
        `Measure`: `curve`, the mean probability at `levels`, the clean one
        first; `per_sample`, the area for each sample.

    Raises:
        ValueError: as `accuracy_drop`, and for outputs that are not
            probabilities.

    Reference: Petsiuk et al., "RISE: Randomized input sampling for
    explanation of black-box models", BMVC 2018. At levels of equal steps
    the curve is that of Quantus's `PixelFlipping`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(2), np.zeros(2)])
    >>> x = np.array([[3.0, 0.0]])
    >>> result = keras_sgt.evaluation.deletion(
    ...     model, x, x, levels=[0.5], from_logits=True
    ... )
    >>> result.curve.round(3).tolist()
    [0.953, 0.5, 0.5]
    """
    return _probability_curve(
        model,
        x,
        attributions,
        target,
        levels,
        from_logits,
        batch_size,
        dict(fill=fill, ranking=ranking, channel_axis=channel_axis, seed=seed),
    )


def insertion(
    model,
    x,
    attributions,
    target=None,
    fill="blur",
    levels=None,
    ranking="signed",
    channel_axis="auto",
    from_logits=False,
    batch_size=256,
    seed=0,
):
    """The target's probability as the most relevant features are put back.

    `value = ∫₀¹ p_target(only the top fraction q of x) dq`, by trapezoids,
    everything else filled. Bounds: 0 and 1. **Higher is better**: few
    features suffice for the prediction. The curve ends at the clean
    probability.

    Args:
        model, x, attributions, target, levels, ranking, channel_axis,
            from_logits, batch_size, seed: as in `deletion`.
        fill: as in `accuracy_drop`. Defaults to `"blur"`, for inputs that
            have space or time.

    Returns:
        `Measure`: `curve`, the mean probability at `levels`, the clean one
        last; `per_sample`, the area for each sample.

    Raises:
        ValueError: as `deletion`.

    Reference: Petsiuk et al., "RISE: Randomized input sampling for
    explanation of black-box models", BMVC 2018.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(2), np.zeros(2)])
    >>> x = np.array([[3.0, 0.0]])
    >>> result = keras_sgt.evaluation.insertion(
    ...     model, x, x, fill=0.0, levels=[0.5], from_logits=True
    ... )
    >>> result.curve.round(3).tolist()
    [0.5, 0.953, 0.953]
    """
    return _probability_curve(
        model,
        x,
        attributions,
        target,
        levels,
        from_logits,
        batch_size,
        dict(
            fill=fill,
            ranking=ranking,
            channel_axis=channel_axis,
            seed=seed,
            insert=True,
        ),
    )


def output_change(
    model,
    x,
    attributions,
    target=None,
    fill="mean",
    levels=None,
    ranking="absolute",
    keep_top=False,
    spread=None,
    channel_axis="auto",
    batch_size=256,
    seed=0,
):
    """How far an output moves as the most relevant features are removed.

    `value = ∫₀¹ |f(x without its top fraction q) − f(x)| / s dq`, by
    trapezoids, f the target's output and s its standard deviation over the
    samples. For outputs that are no classes: of a regression, of several
    labels. Bounds: 0 and infinity. **Higher is better**: what goes first moves
    the output. With `keep_top` only the top fraction q is left, the rest
    filled, and **lower is better**: few features suffice for the output.

    Args:
        model: model with Keras's `predict`, outputs `(samples, outputs)`.
        x: array `(samples, ...)`.
        attributions: floats shaped like `x`.
        target: ints `(samples,)`, which output is meant. Defaults to the
            first.
        fill: as in `accuracy_drop`. Defaults to `"mean"`.
        levels: increasing fractions in (0, 1); 0 and 1 are added. Defaults to
            0.05, 0.1, ..., 0.95.
        ranking: `"absolute"`, or `"signed"`: the largest first, negative ones
            last. Defaults to `"absolute"`.
        keep_top: whether the top features are kept instead. Defaults to
            `False`.
        spread: floats `(outputs,)`, each s. Defaults to the standard deviation
            of the outputs for `x`.
        channel_axis: as in `accuracy_drop`.
        batch_size: int, of `model.predict`. Defaults to 256.
        seed: int, for `"uniform"` and `"sample"`. Defaults to 0.

    Returns:
        `Measure`: `curve`, the mean change at `levels`; `per_sample`, the area
        for each sample.

    Raises:
        ValueError: as `accuracy_drop`.

    Reference: Letzgus et al., "Toward explainable artificial intelligence for
    regression models", 2022, who flip features so; Samek et al., "Evaluating
    the visualization of what a deep neural network has learned", 2017.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[2.0], [0.0]]), np.zeros(1)])
    >>> x = np.array([[1.0, 5.0], [-1.0, 5.0]])
    >>> result = keras_sgt.evaluation.output_change(
    ...     model, x, np.array([[1.0, 0.0]] * 2), levels=[0.5]
    ... )  # 2 and -2, with a deviation of 2, become 0
    >>> result.curve.tolist()
    [0.0, 1.0, 1.0]
    """
    prediction.check_model(model)
    x, attributions = checks.attributions_of(x, attributions)
    if levels is None:
        levels = np.arange(1, 20) / 20
    levels = np.append(checks.fractions("levels", levels), 1.0)
    target = np.zeros(len(x), int) if target is None else target
    target = checks.labels("target", target, len(x))
    clean = prediction.values(model, x, batch_size)
    spread = clean.std(0) if spread is None else np.asarray(spread)
    scale = np.where(spread > 0, spread, 1)[target]
    clean = prediction.of_target(clean, target)
    found = np.empty((len(x), 1 + len(levels)))
    removed = _removed(
        x,
        attributions,
        fill,
        levels,
        ranking,
        channel_axis,
        batch_size,
        seed,
        insert=keep_top,
    )
    for part, level, outputs in _predicted(
        removed, lambda x: prediction.values(model, x, batch_size)
    ):
        moved = prediction.of_target(outputs, target[part]) - clean[part]
        found[part, level] = abs(moved) / scale[part]
    return _area(found, np.concatenate([[0], levels]))


def remove_and_retrain(
    build_model,
    train,
    test,
    train_attributions,
    test_attributions,
    fill="mean",
    levels=(0.1, 0.3, 0.5, 0.7, 0.9),
    repeats=1,
    ranking="absolute",
    channel_axis="auto",
    from_logits=False,
    batch_size=256,
    seed=0,
    **fit_options,
):
    """Accuracy of models trained anew on inputs without their top features.

    As `accuracy_drop`, but at every level a fresh model is trained on the
    training set with its most relevant features removed and tested on the
    test set with its own removed, so that unfamiliar inputs cannot be the
    reason of a loss. Bounds: 0 and the last level. **Lower is better**.

    Args:
        build_model: function without arguments that returns a new, compiled
            classifier.
        train, test: pairs `(x, y)` of arrays, as for `accuracy_drop`. Models
            are fitted on the `y` of `train` as it is: class numbers or
            one-hot, as their loss takes it.
        train_attributions, test_attributions: floats shaped like each `x`.
        fill: as in `accuracy_drop`. Defaults to `"mean"`.
        levels: increasing fractions in (0, 1); 0 is added. Defaults to
            0.1, 0.3, 0.5, 0.7, 0.9.
        repeats: int, how many models are trained at each level. Defaults to
            1; the source takes 5.
        ranking, channel_axis, from_logits, seed: as in `accuracy_drop`. Call
            `keras.utils.set_random_seed` first to repeat the training.
        batch_size: int, of training and prediction. Defaults to 256.
        **fit_options: on to `fit`, such as `epochs`.

    Returns:
        `Measure`: `curve`, the mean test accuracy at `levels`, that of
        training on clean inputs first; `per_sample`, the area for each test
        sample; `spread`, the standard error over `repeats`, `None` of one.

    Raises:
        ValueError: as `accuracy_drop`.

    Reference: Hooker et al., "A benchmark for interpretability methods in
    deep neural networks" (ROAR), NeurIPS 2019.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> def build_model():
    ...     model = keras.Sequential([keras.layers.Dense(2, "softmax")])
    ...     model.compile("sgd", "sparse_categorical_crossentropy")
    ...     return model
    >>> x, y = np.eye(4), np.array([0, 0, 1, 1])
    >>> result = keras_sgt.evaluation.remove_and_retrain(
    ...     build_model, (x, y), (x, y), x, x, levels=[0.5], verbose=0
    ... )
    >>> result.levels.tolist()
    [0.0, 0.5]
    """
    if not callable(build_model):
        raise ValueError(
            "`build_model` has to be a function that returns a new, compiled "
            f"model. Received: {type(build_model).__name__}"
        )
    levels = checks.fractions("levels", levels)
    repeats = checks.count("repeats", repeats)
    checks.choice("ranking", ranking, relevance.RANKINGS)

    def ranked(name, split, attributions):
        x, attributions = checks.attributions_of(split[0], attributions, name)
        relevances = relevance.pooled(attributions, channel_axis, ranking)
        return _Ranked(
            x,
            np.asarray(split[1]),
            checks.labels("y", split[1], len(x)),
            fills.get(fill, x, seed)(slice(None)),
            relevance.level_of(relevances, levels),
        )

    train = ranked("train_attributions", train, train_attributions)
    test = ranked("test_attributions", test, test_attributions)
    correct = np.empty((repeats, len(test.x), 1 + len(levels)))
    for i in range(1 + len(levels)):
        x, x_test = train.without(i), test.without(i)
        for repeat in range(repeats):
            model = build_model()
            model.fit(x, train.labels, batch_size=batch_size, **fit_options)
            scores = prediction.scores(model, x_test, batch_size, from_logits)
            prediction.check_classes("test", test.classes, scores)
            correct[repeat, :, i] = scores.argmax(1) == test.classes
    points = np.concatenate([[0], levels])
    areas = results.area(correct.mean(1), points)
    return results.Measure(
        value=float(areas.mean()),
        curve=correct.mean((0, 1)),
        levels=points,
        per_sample=results.area(correct.mean(0), points),
        spread=results.standard_error(areas),
    )


class _Ranked(typing.NamedTuple):
    """Samples, and at which level each of their features is removed."""

    x: np.ndarray
    labels: np.ndarray  # as given: the form that the loss of a model takes
    classes: np.ndarray
    fills: np.ndarray
    level: np.ndarray

    def without(self, level):
        """The samples with all filled that is removed below a level."""
        return np.where(self.level < level, self.fills, self.x).astype(
            self.x.dtype
        )


def _probability_curve(
    model, x, attributions, target, levels, from_logits, batch_size, options
):
    prediction.check_model(model)
    x, attributions = checks.attributions_of(x, attributions)
    if levels is None:
        levels = np.arange(1, 20) / 20
    levels = np.append(checks.fractions("levels", levels), 1.0)
    if target is None:
        clean = prediction.probabilities(model, x, batch_size, from_logits)
        target = clean.argmax(1)
    target = checks.labels("target", target, len(x))
    found = np.empty((len(x), 1 + len(levels)))
    removed = _removed(
        x, attributions, levels=levels, batch_size=batch_size, **options
    )
    for part, level, p in _predicted(
        removed,
        lambda x: prediction.probabilities(model, x, batch_size, from_logits),
    ):
        found[part, level] = prediction.of_target(p, target[part])
    return _area(found, np.concatenate([[0], levels]))


def _removed(
    x,
    attributions,
    fill,
    levels,
    ranking,
    channel_axis,
    batch_size,
    seed,
    insert=False,
):
    """The inputs at each level, a chunk of samples after the other.

    Yields:
        The chunk (a slice), the number of the level (0: nothing removed, or
        nothing inserted), and the inputs, which the next step overwrites.
    """
    checks.count("batch_size", batch_size)
    checks.choice("ranking", ranking, relevance.RANKINGS)
    relevance.pooled_axis(channel_axis, x.ndim)
    values = fills.get(fill, x, seed)
    batches = _CHUNK_BYTES // (x[0].nbytes * batch_size)
    size = max(1, batches) * batch_size
    for start in range(0, len(x), size):
        part = slice(start, min(start + size, len(x)))
        ranked = relevance.pooled(attributions[part], channel_axis, ranking)
        level = relevance.level_of(ranked, levels)
        inputs, other = x[part].copy(), values(part)
        if insert:
            other = inputs.copy()
            np.copyto(inputs, values(part), casting="unsafe")
        yield part, 0, inputs
        for i in range(len(levels)):
            np.copyto(inputs, other, where=level == i, casting="unsafe")
            yield part, i + 1, inputs


def _predicted(removed, predict):
    """What `_removed` yields, with predictions in the place of the inputs.

    Of several levels in one call, as far as they are small: a call of Keras's
    `predict` takes tens of milliseconds on TensorFlow, however little it is
    given.
    """
    waiting, together = [], None
    for part, level, inputs in removed:
        if together is None:  # the first chunk is the largest
            room = max(1, _CHUNK_BYTES // inputs.nbytes) * len(inputs)
            together, end = np.empty((room, *inputs.shape[1:]), inputs.dtype), 0
        if end + len(inputs) > len(together):
            yield from _predicted_together(waiting, predict, together[:end])
            waiting, end = [], 0
        together[end : end + len(inputs)] = inputs
        end += len(inputs)
        waiting.append((part, level, end))
    if waiting:
        yield from _predicted_together(waiting, predict, together[:end])


def _predicted_together(waiting, predict, inputs):
    found, start = predict(inputs), 0
    for part, level, end in waiting:
        yield part, level, found[start:end]
        start = end


def _area(per_sample_curves, levels):
    return results.of_samples(
        results.area(per_sample_curves, levels),
        curve=per_sample_curves.mean(0),
        levels=levels,
    )
