"""Exact selection by bisection: the fastest way where XLA fuses the passes.

A float's bits, read as an integer, sort like the float. Bisecting that integer
finds the k-th lowest of a row in one compare-and-count pass a bit, where a sort
costs ten times as much. Ties at the threshold are then bisected in the same way
by an order of their own.
"""

import keras
import numpy as np
from keras import ops

# Three counts of at most `_FIELD` fit in one int32.
_FIELD_BITS = 10
_FIELD = 2**_FIELD_BITS - 1


def lowest(bits, k, numbers=None):
    """Marks exactly the `k` lowest of each row.

    Args:
        bits: the bits of floats as int32 or int64, `(rows, n)`.
        k: int32, `(rows, 1)`.
        numbers: random int32, `(rows, 3)`, which put the positions of a row
            in the order in which equal values are marked: see `shuffled`.
            `None` marks the first of equal values first.

    Returns:
        bool, `(rows, n)`.
    """
    values = _ordered(bits)
    integers = np.iinfo(keras.backend.standardize_dtype(values.dtype))
    start = ops.full_like(values[:, :1], integers.min)
    threshold = _bisect(values, k, start, integers.bits)
    below = values < threshold
    missing = k - _count(below)
    return ops.cond(
        ops.any(missing > 0),
        lambda: below | _some(values == threshold, missing, numbers),
        lambda: below,
    )


def _ordered(bits):
    """Integers in the order of the floats: -0 equals 0, any NaN comes last."""
    integers = np.iinfo(keras.backend.standardize_dtype(bits.dtype))
    infinity = {32: 0x7F800000, 64: 0x7FF0000000000000}[integers.bits]
    magnitude = ops.bitwise_and(bits, integers.max)
    values = ops.where(bits < 0, -magnitude, magnitude)
    return ops.where(magnitude > infinity, integers.max, values)


def _some(marked, count, numbers):
    """`count` of the marked entries of each row, in the order of `numbers`."""
    n = ops.shape(marked)[1]
    bits = bits_of(n) if isinstance(n, int) else 31
    order = ops.arange(n, dtype="int32")[None]
    if numbers is not None:
        order = shuffled(order, numbers, bits)
    order = ops.where(marked, order, np.iinfo("int32").max)
    # Fewer than `count` come before the last of them.
    last = _bisect(order, count - 1, ops.zeros_like(count), bits)
    return marked & (order <= last) & (count > 0)


def bits_of(n):
    """How many bits `shuffled` needs for `n` positions: with fewer than twelve
    it does not know enough orders to treat the positions of a short row alike.
    """
    return max((n - 1).bit_length(), 12)


def shuffled(positions, numbers, bits):
    """Other integers below `2 ** bits`, different for different positions.

    Each of the four steps maps the integers below `2 ** bits` one to one onto
    themselves, so that no two positions meet: a sum, and products with odd
    numbers, both modulo `2 ** bits`, with a shift between them, without which
    the lower bits would never depend on the upper ones.

    Args:
        positions: int32 in `[0, 2 ** bits)`, `(rows or 1, n)`.
        numbers: random int32, `(rows, 3)`.
        bits: int, at most 31.

    Returns:
        int32 in `[0, 2 ** bits)`, `(rows, n)`.
    """
    first, second, third = (numbers[:, i : i + 1] for i in range(3))
    lower = 2**bits - 1
    mixed = (positions + first) * ops.bitwise_or(second, 1)
    mixed = ops.bitwise_and(mixed, lower)
    mixed = ops.bitwise_xor(mixed, ops.right_shift(mixed, (bits + 1) // 2))
    return ops.bitwise_and(mixed * ops.bitwise_or(third, 1), lower)


def _bisect(values, k, start, bits):
    """The largest integer with at most `k` of each row below it."""
    n = values.shape[1]
    blocks = n and _blocks(n)
    if blocks:
        in_blocks = ops.reshape(values, (-1, blocks, n // blocks))
        return _bisect_by_quarters(in_blocks, k, start, bits)

    def halve(i, low):
        middle = low + _power_of_two(bits - 1 - i, low)
        return ops.where(_count(values < middle) <= k, middle, low)

    return ops.fori_loop(0, bits, halve, start)


def _blocks(n):
    """Into how many equal blocks of at most `_FIELD` a row of `n` falls.

    `None` where they would be so short that they save nothing.
    """
    fewest = -(-n // _FIELD)
    return next((d for d in range(fewest, 4 * fewest) if n % d == 0), None)


def _bisect_by_quarters(values, k, start, bits):
    """Two bits a pass: three counts of a block fit in one integer."""
    passes = (bits + 1) // 2

    def quarter(i, low):
        step = _power_of_two(2 * (passes - 1 - i), low)
        packed = ops.zeros_like(values, dtype="int32")
        for j in range(3):
            middle = ops.expand_dims(low + (j + 1) * step, axis=2)
            below = ops.cast(values < middle, "int32")
            packed = packed + ops.left_shift(below, j * _FIELD_BITS)
        packed = ops.sum(packed, axis=2)
        for j in range(3):
            counts = ops.right_shift(packed, j * _FIELD_BITS)
            counts = ops.bitwise_and(counts, _FIELD)
            enough = ops.sum(counts, axis=1, keepdims=True) <= k
            low = low + ops.where(enough, step, 0)
        return low

    return ops.fori_loop(0, passes, quarter, start)


def _power_of_two(exponent, like):
    return ops.left_shift(ops.ones_like(like), ops.cast(exponent, like.dtype))


def _count(marked):
    return ops.sum(ops.cast(marked, "int32"), axis=1, keepdims=True)
