"""Whether relevance lies where it should: masks and boxes."""

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import relevance, results


def relevance_mass(
    attributions,
    masks=None,
    boxes=None,
    ranking="absolute",
    channel_axis="auto",
):
    """The share of relevance that lies inside the mask.

    `value = mean over samples of Σ_{i in mask} r_i / Σ_i r_i`, r the
    magnitude of the attribution averaged over channels. Bounds: 0 and 1.
    **Higher is better**; a random map gets the mask's share of the area. A map
    that is all zero puts nothing inside: 0.

    Args:
        attributions: floats `(samples, ...)`.
        masks: bools shaped like `attributions`, or with length 1 or no axis
            for the channels.
        boxes: instead of masks, ints `(samples, 2 · d)` for samples of d axes
            (channels not counted): first the start of each axis, then the end
            of each, excluded. For images: top, left, bottom, right.
        ranking: `"absolute"`, or `"signed"`: only positive relevance counts.
            Defaults to `"absolute"`.
        channel_axis: int, the axis of the channels; `None` for none;
            `"auto"` for that of images and volumes. Defaults to `"auto"`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for masks of another shape, NaN, a mask that is empty or
            full, a box outside, or none or both of `masks` and `boxes`.

    Reference: Arras et al., "CLEVR-XAI: A benchmark dataset for the ground
    truth evaluation of neural network explanations", 2022. Quantus's
    `RelevanceMassAccuracy` with `abs=True`.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[[3.0, 1.0], [0.0, 0.0]]])
    >>> boxes = [[0, 0, 1, 1]]
    >>> keras_sgt.evaluation.relevance_mass(maps, boxes=boxes).value
    0.75
    """
    rows, mask = _rows(attributions, masks, boxes, ranking, channel_axis)
    rows = np.maximum(rows, 0)
    total = rows.sum(1)
    inside = (rows * mask).sum(1)
    return results.of_samples(inside / np.where(total > 0, total, 1))


def relevance_rank(
    attributions,
    masks=None,
    boxes=None,
    ranking="absolute",
    channel_axis="auto",
):
    """The share of the top features that lies inside the mask.

    `value = mean over samples of |top_K ∩ mask| / K`, K the size of the mask
    (ties: the first by position is on top). Bounds: 0 and 1. **Higher is
    better**; a random map gets the mask's share of the area.

    Args:
        attributions, masks, boxes, channel_axis: as in `relevance_mass`.
        ranking: `"absolute"` or `"signed"`. Defaults to `"absolute"`.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: as `relevance_mass`.

    Reference: Arras et al., "CLEVR-XAI: A benchmark dataset for the ground
    truth evaluation of neural network explanations", 2022. Quantus's
    `RelevanceRankAccuracy` with `abs=True`.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[[3.0, 1.0], [2.0, 0.0]]])
    >>> masks = np.array([[[True, True], [False, False]]])
    >>> keras_sgt.evaluation.relevance_rank(maps, masks).value
    0.5
    """
    rows, mask = _rows(attributions, masks, boxes, ranking, channel_axis)
    hits = np.take_along_axis(mask, relevance.order(rows), 1)
    size = mask.sum(1)
    top = np.arange(mask.shape[1]) < size[:, None]
    return results.of_samples((hits & top).sum(1) / size)


def pointing_game(
    attributions,
    masks=None,
    boxes=None,
    ranking="absolute",
    channel_axis="auto",
):
    """How often the most relevant feature lies inside the mask.

    `value = mean over samples of [argmax_i r_i in mask]`, a hit if any of
    several equal maxima is inside; a map that is all zero points nowhere and
    misses. Bounds: 0 and 1. **Higher is better**.

    Args:
        attributions, masks, boxes, channel_axis: as in `relevance_mass`.
        ranking: `"absolute"` or `"signed"`. Defaults to `"absolute"`.

    Returns:
        `Measure` without a curve; `per_sample` is 1 for a hit, else 0.

    Raises:
        ValueError: as `relevance_mass`.

    Reference: Zhang et al., "Top-down neural attention by excitation
    backprop", 2018. Quantus's `PointingGame` with `abs=True`, but for maps
    that are all zero.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = np.array([[[3.0, 1.0], [2.0, 0.0]]])
    >>> masks = np.array([[[True, True], [False, False]]])
    >>> keras_sgt.evaluation.pointing_game(maps, masks).value
    1.0
    """
    rows, mask = _rows(attributions, masks, boxes, ranking, channel_axis)
    largest = rows == rows.max(1, keepdims=True)
    return results.of_samples((largest & mask).any(1) & rows.any(1))


def _rows(attributions, masks, boxes, ranking, channel_axis):
    """Relevance and masks of each sample, both `(samples, features)`."""
    attributions = checks.numeric("attributions", attributions)
    rows = relevance.pooled(attributions, channel_axis, ranking)
    axis = relevance.pooled_axis(channel_axis, attributions.ndim)
    if (masks is None) == (boxes is None):
        raise ValueError(
            "One of `masks` and `boxes` has to be given. Received: "
            + ("neither" if masks is None else "both")
        )
    if boxes is not None:
        lengths = [rows.shape[i] for i in range(1, rows.ndim) if i != axis]
        masks = _masks_of(boxes, (len(rows), *lengths))
    masks = _without_channels(np.asarray(masks), attributions.shape, axis)
    masks = checks.truth_masks(
        "masks" if boxes is None else "boxes", masks, rows.shape
    )
    samples = len(rows)
    return rows.reshape(samples, -1), masks.reshape(samples, -1)


def _without_channels(masks, shape, axis):
    """Masks with length 1 along the channels."""
    if axis is None:
        return masks
    if masks.ndim == len(shape) - 1:
        return np.expand_dims(masks, axis)
    if masks.shape == shape:
        first = np.take(masks, [0], axis)
        if (masks != first).any():
            raise ValueError(
                "`masks` has to be the same for all channels, or without an "
                "axis for them: relevance is averaged over channels. Received:"
                " masks that differ. Pass `channel_axis=None` to measure every "
                "entry for itself."
            )
        return first
    return masks


def _masks_of(boxes, shape):
    samples, *lengths = shape
    boxes = np.asarray(boxes)
    if boxes.shape != (samples, 2 * len(lengths)) or boxes.dtype.kind not in (
        "iu"
    ):
        raise ValueError(
            "`boxes` has to hold integers of shape (samples, starts and ends) "
            f"= {(samples, 2 * len(lengths))}. Received: boxes of shape "
            f"{boxes.shape} and dtype {boxes.dtype}"
        )
    starts, ends = np.split(boxes, 2, axis=1)
    if (starts < 0).any() or (ends > lengths).any() or (starts >= ends).any():
        raise ValueError(
            "`boxes` has to hold starts before ends, inside samples of shape "
            f"{tuple(lengths)}. Received: starts from "
            f"{starts.min(0).tolist()}, ends up to {ends.max(0).tolist()}"
        )
    masks = np.ones(shape, bool)
    for axis, length in enumerate(lengths):
        position = np.arange(length)
        inside = (position >= starts[:, axis, None]) & (
            position < ends[:, axis, None]
        )
        broadcast = [samples, *[1] * len(lengths)]
        broadcast[axis + 1] = length
        masks &= inside.reshape(broadcast)
    return masks
