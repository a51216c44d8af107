"""Properties an attribution should have, measured without a ground truth."""

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction, results


def max_sensitivity(
    method, x, target=None, radius=0.02, draws=10, perturb=None, seed=0
):
    """How far an attribution moves when its input hardly does.

    `value = mean over samples of max_δ ‖Φ(x + δ) − Φ(x)‖₂ / ‖Φ(x)‖₂`, over
    `draws` random δ, uniform in the cube of side 2 · `radius` (a map that is
    all zero is divided by 1). Bounds: 0 and infinity. **Lower is better**;
    a constant attribution gets 0 without being faithful.

    Args:
        method: attribution method, a callable `(x, target=None)` that returns
            floats shaped like `x`.
        x: float array `(samples, ...)`.
        target: ints `(samples,)`, on to the method. Give it: a method may
            otherwise explain another class once the prediction changes.
        radius: float > 0, in the units of `x`. Defaults to 0.02.
        draws: int. Defaults to 10.
        perturb: callable `(x, rng)` to perturbed inputs, instead of the
            uniform noise; `rng` is a `numpy.random.Generator`.
        seed: int. Defaults to 0.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for NaN, a radius or a number of draws out of range, or a
            method that returns another shape.

    Reference: Yeh et al., "On the (in)fidelity and sensitivity of
    explanations", NeurIPS 2019. The values are Captum's
    `sensitivity_max` for the same perturbations.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> def double(x, target=None):
    ...     return 2 * x
    >>> result = keras_sgt.evaluation.max_sensitivity(
    ...     double, np.ones((1, 4)), perturb=lambda x, rng: 1.5 * x
    ... )
    >>> result.value
    0.5
    """
    x = _floats(x)
    radius = checks.number("radius", radius)
    draws = checks.count("draws", draws)
    target = _target(target, len(x))
    rng = np.random.default_rng(seed)
    clean = prediction.attribute(method, x, target)
    norm = np.linalg.norm(clean, axis=1)
    largest = np.zeros(len(x))
    for _ in range(draws):
        if perturb is None:
            noise = rng.uniform(-radius, radius, x.shape)
            perturbed = (x + noise).astype(x.dtype)
        else:
            perturbed = _perturbed(perturb, x, rng)
        moved = prediction.attribute(method, perturbed, target) - clean
        largest = np.maximum(largest, np.linalg.norm(moved, axis=1))
    return results.of_samples(largest / np.where(norm > 0, norm, 1))


def infidelity(
    model,
    x,
    attributions,
    target=None,
    noise=0.2,
    draws=10,
    perturb=None,
    normalize=False,
    from_logits=False,
    batch_size=256,
    seed=0,
    regression=False,
):
    """How badly an attribution predicts what a perturbation does.

    `value = mean over samples of E_I (Iᵀ Φ(x) − (f(x) − f(x − I)))²`, f the
    model's output for the target and I a random perturbation. Bounds: 0 and
    infinity, in squared units of the output. **Lower is better**. Attributions
    have to be in units of output per input, as a gradient is; of a model that
    ends in a softmax or sigmoid, those of the probability
    (`Gradient(model, score="probability")`).

    Args:
        model: classifier with Keras's `predict`; outputs as they are, logits
            or probabilities, `(samples, classes)` or `(samples, 1)`.
        x: float array `(samples, ...)`.
        attributions: floats shaped like `x`.
        target: ints `(samples,)`. Defaults to the predicted classes.
        noise: float > 0, the standard deviation of the Gaussian I. Defaults
            to 0.2.
        draws: int, over which the expectation is taken. Defaults to 10.
        perturb: callable `(x, rng)` to perturbed inputs x − I, instead of the
            Gaussian noise; `rng` is a `numpy.random.Generator`.
        normalize: whether attributions are first scaled, per sample, to what
            fits best, so that only their direction counts. Defaults to
            `False`.
        from_logits: whether a single output is a logit. Defaults to `False`.
        batch_size: int, of `model.predict`. Defaults to 256.
        seed: int. Defaults to 0.
        regression: whether outputs are numbers, not classes: `target` is then
            the output, and a single one is taken as it is. Defaults to
            `False`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for attributions of another shape, NaN, numbers out of
            range, or a model without class outputs.

    Reference: Yeh et al., "On the (in)fidelity and sensitivity of
    explanations", NeurIPS 2019. The values are Captum's `infidelity` for the
    same perturbations.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 0]]), np.zeros(2)])
    >>> x, gradient = np.ones((1, 2)), np.array([[1.0, 3.0]])
    >>> result = keras_sgt.evaluation.infidelity(model, x, gradient)
    >>> result.value < 1e-9  # a linear model is its gradient
    True
    """
    prediction.check_model(model)
    x, attributions = checks.attributions_of(_floats(x), attributions)
    noise = checks.number("noise", noise)
    draws = checks.count("draws", draws)
    rng = np.random.default_rng(seed)
    said = _outputs_of(model, batch_size, from_logits, regression)
    clean = said(x)
    target = clean.argmax(1) if target is None else target
    target = _target(target, len(x))
    clean = prediction.of_target(clean, target)
    predicted, actual = np.empty((2, draws, len(x)))
    for i in range(draws):
        if perturb is None:
            perturbed = (x - noise * rng.standard_normal(x.shape)).astype(
                x.dtype
            )
        else:
            perturbed = _perturbed(perturb, x, rng)
        actual[i] = clean - prediction.of_target(said(perturbed), target)
        moved = (x.astype("float64") - perturbed) * attributions
        predicted[i] = moved.reshape(len(x), -1).sum(1)
    if normalize:
        squares = (predicted**2).sum(0)
        fit = (predicted * actual).sum(0)
        predicted *= fit / np.where(squares > 0, squares, 1)
    return results.of_samples(((predicted - actual) ** 2).mean(0))


def completeness(
    model,
    x,
    attributions,
    baselines=0.0,
    target=None,
    from_logits=False,
    batch_size=256,
    regression=False,
):
    """How far attributions are from adding up to the change of the output.

    `value = mean over samples of |Σ_i Φ_i(x) − (f(x) − f(baseline))|`, f the
    model's output for the target. Bounds: 0 and infinity, in units of the
    output. **Lower is better**, for methods that promise it (integrated
    gradients, DeepLIFT, SHAP); a gradient does not. The output is what the
    model predicts: of one that ends in a softmax or sigmoid, attribute the
    probability (`IntegratedGradients(model, score="probability")`), or take
    what the method itself tells of its logits (`return_convergence_delta`).

    Args:
        model: as in `infidelity`.
        x: array `(samples, ...)`.
        attributions: floats shaped like `x`.
        baselines: a number, or floats that broadcast to `x`. Defaults to 0.0.
        target: ints `(samples,)`. Defaults to the predicted classes.
        from_logits: whether a single output is a logit. Defaults to `False`.
        batch_size: int, of `model.predict`. Defaults to 256.
        regression: as in `infidelity`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for attributions or baselines of another shape, NaN, or a
            model without class outputs.

    Reference: Sundararajan et al., "Axiomatic attribution for deep networks",
    ICML 2017. The magnitude of Captum's `compute_convergence_delta`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 0]]), np.zeros(2)])
    >>> x, gradient = np.full((1, 2), 2.0), np.array([[1.0, 3.0]])
    >>> keras_sgt.evaluation.completeness(model, x, gradient * x).value
    0.0
    """
    prediction.check_model(model)
    x, attributions = checks.attributions_of(x, attributions)
    try:
        given = np.broadcast_to(baselines, x.shape)
    except ValueError:
        raise ValueError(
            "`baselines` has to be a number or to broadcast to the shape of "
            f"`x`, {x.shape}. Received: baselines of shape "
            f"{np.shape(baselines)}"
        ) from None
    baselines = checks.numeric("baselines", given).astype(x.dtype)
    if x.dtype.kind != "f" and (baselines != given).any():
        raise ValueError(
            "`baselines` have to be values that `x` can hold. Received: "
            f"fractions, or numbers out of range, for x of dtype {x.dtype}. "
            "Pass `x.astype('float32')`."
        )
    said = _outputs_of(model, batch_size, from_logits, regression)
    clean, empty = said(x), said(baselines)
    target = clean.argmax(1) if target is None else target
    target = _target(target, len(x))
    change = prediction.of_target(clean - empty, target)
    total = attributions.reshape(len(x), -1).sum(1, dtype="float64")
    return results.of_samples(np.abs(total - change))


def _outputs_of(model, batch_size, from_logits, regression):
    """The function from inputs to a score for each class, or to outputs."""
    if regression:
        return lambda x: prediction.values(model, x, batch_size)
    return lambda x: prediction.scores(model, x, batch_size, from_logits)


def _target(target, samples):
    return None if target is None else checks.labels("target", target, samples)


def _perturbed(perturb, x, rng):
    perturbed = checks.numeric("what `perturb` returns", perturb(x, rng))
    checks.same_shape("what `perturb` returns", perturbed, "x", x)
    return perturbed


def _floats(x):
    """A small perturbation of integers would be rounded away."""
    x = checks.numeric("x", x)
    if x.dtype.kind != "f":
        raise ValueError(
            "`x` has to be floating point, to be perturbed a little. Received: "
            f"x of dtype {x.dtype}. Cast images to float32; token ids cannot "
            "be perturbed so."
        )
    return x
