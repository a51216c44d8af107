"""How few features an attribution points at."""

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import relevance, results


def gini(attributions, channel_axis=None):
    """The Gini index of the magnitudes of an attribution.

    `value = mean over samples of Σ_i (2i − n − 1) a_i / (n Σ_i a_i)`, a the
    magnitudes in increasing order, i from 1 to n. Bounds: 0, all features
    alike, and 1 − 1/n, a single one. **Higher is sparser**, which is not the
    same as more faithful. A map that is all zero has all features alike: 0.

    Args:
        attributions: floats `(samples, ...)`.
        channel_axis: int, an axis that is averaged first; `"auto"` for the
            channels of images and volumes. Defaults to `None`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for an array that is empty, has one axis, or holds NaN.

    Reference: Hurley and Rickard, "Comparing measures of sparsity", 2009;
    Chalasani et al., "Concise explanations of neural networks using
    adversarial training", ICML 2020. Quantus's `Sparseness`, which adds 1e-7
    to each magnitude.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[0.0, 0.0, 0.0, -2.0]])
    >>> keras_sgt.evaluation.gini(maps).value
    0.75
    """
    rows = np.sort(_magnitudes(attributions, channel_axis), axis=1)
    n = rows.shape[1]
    weighted = rows @ (2 * np.arange(1, n + 1) - n - 1)
    total = rows.sum(1)
    return results.of_samples(
        np.maximum(weighted, 0) / (n * np.where(total > 0, total, 1))
    )


def hoyer(attributions, channel_axis=None):
    """Hoyer's sparseness of an attribution.

    `value = mean over samples of (√n − ‖a‖₁ / ‖a‖₂) / (√n − 1)`. Bounds: 0,
    all features alike, and 1, a single one. **Higher is sparser**, which is
    not the same as more faithful. A map that is all zero gets 0.

    Args:
        attributions: floats `(samples, ...)`, of at least two features.
        channel_axis: as in `gini`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: as `gini`, and for a single feature.

    Reference: Hoyer, "Non-negative matrix factorization with sparseness
    constraints", 2004.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[0.0, 0.0, 0.0, -2.0]])
    >>> keras_sgt.evaluation.hoyer(maps).value
    1.0
    """
    rows = _magnitudes(attributions, channel_axis)
    root = np.sqrt(rows.shape[1])
    if root == 1:
        raise ValueError(
            "`attributions` has to have at least two features to be sparse. "
            f"Received: attributions of shape {np.shape(attributions)}"
        )
    # Scaled first, so that squares of tiny values do not vanish.
    largest = rows.max(1, keepdims=True)
    rows = np.divide(rows, largest, out=np.ones_like(rows), where=largest > 0)
    ratio = rows.sum(1) / np.sqrt((rows**2).sum(1))
    return results.of_samples(np.clip((root - ratio) / (root - 1), 0, 1))


def _magnitudes(attributions, channel_axis):
    attributions = checks.numeric("attributions", attributions)
    pooled = relevance.pooled(attributions, channel_axis)
    return pooled.reshape(len(pooled), -1).astype("float64")
