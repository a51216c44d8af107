"""Choosing exactly the lowest half of each row: ours and the alternatives.

    KERAS_BACKEND=jax python benchmarks/selection_cost.py

All run in one process, in turn, on the same random rows. An alternative is
exact when it marks the same entries as a stable sort where values tie; the
`top_k` of a framework alone, without making a mask of what it found, is given
for comparison and marks nothing.
"""

import argparse

import common
import keras
import numpy as np
import passes
from keras import ops

from keras_sgt import backend

SIZES = [(256, 784), (32, 50176)]


def threshold_mask(values, threshold, k):
    """Exact: all below the k-th lowest, and the first of its equals."""
    below, tied = values < threshold, values == threshold
    missing = k - ops.sum(ops.cast(below, "int32"), axis=1, keepdims=True)
    position = ops.cumsum(ops.cast(tied, "int32"), axis=1)
    return ops.logical_or(below, ops.logical_and(tied, position <= missing))


def alternatives(k):
    def top_k_alone(values):
        return ops.top_k(-values, k, sorted=False)[0]

    def top_k(values):
        return threshold_mask(
            values, -ops.min(top_k_alone(values), axis=1, keepdims=True), k
        )

    def sort(values):
        return threshold_mask(values, ops.sort(values, axis=1)[:, k - 1 : k], k)

    def argsort(values):
        order = ops.argsort(values, axis=1)
        return ops.argsort(order, axis=1) < k

    found = {
        "top_k alone": top_k_alone,
        "top_k": top_k,
        "sort": sort,
        "argsort": argsort,
    }
    if keras.backend.backend() == "torch":
        found["kthvalue"] = lambda values: threshold_mask(
            values, values.kthvalue(k, dim=1, keepdim=True).values, k
        )
    return found


def measured(shape, half_zero, rounds):
    """A row for each method on one array."""
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    if half_zero:  # dead units and black borders tie in great number
        values[:, ::2] = 0
    k = shape[1] // 2
    mask = np.zeros(shape, bool)
    lowest = np.argsort(values, axis=1, kind="stable")[:, :k]
    np.put_along_axis(mask, lowest, True, axis=1)
    tensor = ops.convert_to_tensor(values)
    our_k = ops.full((1, 1), k, dtype="int32") if backend.TRACED else k
    draws = keras.random.randint((shape[0], 3), 0, 2**31 - 1, seed=0)
    functions = {
        "keras_sgt": lambda v: backend.lowest(v, our_k),
        "ties at random": lambda v: backend.lowest(v, our_k, lambda: draws),
        **alternatives(k),
    }
    calls = {name: passes.compiled(f) for name, f in functions.items()}
    times = common.interleaved(
        {name: lambda call=call: call(tensor) for name, call in calls.items()},
        rounds,
    )
    ours = times["keras_sgt"]["median_ms"]
    return [
        {
            "shape": list(shape),
            "half_zero": half_zero,
            "method": name,
            "exact": np.array_equal(
                ops.convert_to_numpy(calls[name](tensor)), mask
            ),
            **time,
            "times_ours": round(time["median_ms"] / ours, 2),
        }
        for name, time in times.items()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    rounds = parser.parse_args().rounds
    rows = []
    for shape in SIZES:
        for half_zero in (False, True):
            rows += measured(shape, half_zero, rounds)
    for row in rows:
        print(*(f"{value!s:>14}" for value in row.values()))
    common.save("selection_cost", {"rounds": rounds, "rows": rows})


if __name__ == "__main__":
    main()
