"""Choosing exactly the lowest half of each row: ours and the alternatives.

    KERAS_BACKEND=jax python benchmarks/selection.py

All run in one process, in turn, on the same random rows. An alternative is
exact when it marks the same entries as a stable sort where values tie; the
`top_k` of a framework alone, without making a mask of what it found, is given
for comparison and marks nothing.
"""

import argparse

import common
import keras
import numpy as np
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


def compiled(function):
    """The function as a training step would hold it, called to completion."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            traced = tf.function(function)
            return lambda values: traced(values).numpy()
        case "jax":
            import jax

            traced = jax.jit(function)
            return lambda values: traced(values).block_until_ready()
    return function


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    rows = []
    for shape in SIZES:
        k = shape[1] // 2
        for half_zero in (False, True):
            values = np.random.default_rng(0).normal(size=shape)
            if half_zero:  # dead units and black borders tie in great number
                values[:, ::2] = 0
            tensor = ops.convert_to_tensor(values, dtype="float32")
            ours_k = k
            if backend.TRACED:
                ours_k = ops.full((1, 1), k, dtype="int32")
            functions = {
                "keras_sgt": lambda v, k=ours_k: backend.lowest(v, k),
                **alternatives(k),
            }
            calls, exact = {}, {}
            mask = np.zeros(shape, bool)
            order = np.argsort(values.astype("float32"), 1, kind="stable")
            np.put_along_axis(mask, order[:, :k], True, axis=1)
            for name, function in functions.items():
                call = compiled(function)
                result = ops.convert_to_numpy(call(tensor))
                exact[name] = bool(
                    result.shape == mask.shape and (result == mask).all()
                )
                calls[name] = lambda call=call: call(tensor)
            times = common.interleaved(calls, rounds)
            for name, time in times.items():
                row = {
                    "shape": list(shape),
                    "half_zero": half_zero,
                    "method": name,
                    "exact": exact[name],
                    **time,
                    "times_ours": round(
                        time["median_ms"] / times["keras_sgt"]["median_ms"], 2
                    ),
                }
                rows.append(row)
                print(*(f"{value!s:>14}" for value in row.values()))
    common.save("selection", {"rounds": rounds, "rows": rows})


if __name__ == "__main__":
    main()
