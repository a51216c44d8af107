"""Which features an attribution says matter, and in what order."""

import keras
import numpy as np

from keras_sgt import checks

RANKINGS = ("absolute", "signed")


def pooled(attributions, channel_axis="auto", ranking="absolute"):
    """Relevance of each feature, the channels averaged first.

    Args:
        attributions: floats `(samples, ...)`.
        channel_axis: int, the axis that is averaged; `None` for none;
            `"auto"` for the channels of images and volumes (rank 4 and 5).
        ranking: `"absolute"` or `"signed"`.

    Returns:
        Floats shaped like `attributions`, with length 1 along the channels.
    """
    checks.choice("ranking", ranking, RANKINGS)
    if attributions.dtype.kind != "f":
        attributions = attributions.astype("float64")
    axis = pooled_axis(channel_axis, attributions.ndim)
    if axis is not None:
        attributions = attributions.mean(axis, keepdims=True)
    return np.abs(attributions) if ranking == "absolute" else attributions


def pooled_axis(channel_axis, rank):
    """The axis over which channels are averaged, or `None`."""
    if isinstance(channel_axis, str) and channel_axis == "auto":
        return channels(rank) if rank >= 4 else None
    if channel_axis is None:
        return None
    valid = isinstance(channel_axis, int) and -rank < channel_axis < rank
    if not valid or channel_axis == 0:
        raise ValueError(
            "`channel_axis` has to be 'auto', None, or an axis other than the "
            f"batch axis 0. Received: channel_axis={channel_axis!r} for "
            f"attributions of {rank} axes."
        )
    return channel_axis % rank


def channels(rank):
    """The axis of the channels, for arrays of `rank` axes; `None` of two."""
    if rank < 3:
        return None
    first = keras.config.image_data_format() == "channels_first"
    return 1 if first and rank >= 4 else rank - 1


def order(relevance):
    """Positions from the most relevant down, the first of equals first."""
    rows = relevance.reshape(len(relevance), -1)
    return np.argsort(-rows, axis=1, kind="stable")


def top_counts(levels, features):
    """How many features `⌊level · features⌋` are; rounding noise is lost."""
    return np.floor(np.asarray(levels) * features + 1e-9).astype("int64")


def level_of(relevance, levels):
    """The first level whose top features include each feature.

    Returns:
        Integers shaped like `relevance`; `len(levels)` where none does.
    """
    rows = relevance.reshape(len(relevance), -1)
    counts = top_counts(levels, rows.shape[1])
    counts = np.broadcast_to(counts, (len(rows), len(counts)))
    return first_set(rows, descending(rows), counts).reshape(relevance.shape)


def descending(rows):
    return np.sort(rows, axis=1)[:, ::-1]


def first_set(rows, ordered, counts):
    """The first of a row's growing top sets that includes each entry.

    Args:
        rows: floats `(samples, features)`.
        ordered: the same, `descending`.
        counts: ints `(samples, sets)`, the increasing sizes of the sets.

    Returns:
        Integers shaped like `rows`, `sets` where none does. Of equal entries,
        the first comes first.
    """
    found = np.zeros(rows.shape, np.min_scalar_type(counts.shape[1]))
    # A set is known by its least value: sorting values is ten times as fast
    # as sorting positions, which matter only where a set ends among equals.
    least = np.take_along_axis(ordered, np.maximum(counts - 1, 0), 1)
    least = np.where(counts > 0, least, np.inf)
    after = np.minimum(counts, rows.shape[1] - 1)
    tied = least == np.take_along_axis(ordered, after, 1)
    for i, value in enumerate(least.T):
        found += rows < value[:, None]
        some = np.flatnonzero(tied[:, i])
        if some.size:
            found[some] += _late(rows[some], value[some], counts[some, i])
    return found


def _late(rows, value, count):
    """Which of the entries equal to `value` the first `count` leave out."""
    equal = rows == value[:, None]
    room = count - (rows > value[:, None]).sum(1)
    return equal & (np.cumsum(equal, 1, dtype="int32") > room[:, None])


def ranking(rows):
    """The rank of each entry in its row, 0 the highest, the first of equals."""
    positions = order(rows)
    ranks = np.empty_like(positions)
    np.put_along_axis(ranks, positions, np.arange(rows.shape[1])[None], 1)
    return ranks


LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
