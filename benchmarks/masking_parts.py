"""What masking the batch of a small network consists of, and could cost.

    KERAS_BACKEND=jax python benchmarks/masking_parts.py

A batch of the TCN, whose step is so short that masking shows: all of masking,
its selection and its random numbers, each compiled by itself, in turn. On JAX
beside other random numbers (counters that are not partitionable, XLA's own
generator), and beside a selection by the same bisection that stops as soon as
every row has its k.
"""

import argparse
import functools
import os

import common
import keras
import numpy as np
import passes
import step_cost_by_network
from keras import ops

from keras_sgt import backend
from keras_sgt.backend import bisection

NETWORK = "TCN, 50"
FEATURES, K = 2500, 1250
INT32 = np.iinfo("int32")
BITS = 32


def parts(workload):
    """Functions without arguments, by what they do."""
    x, y = workload.data(1)
    masking = workload.masking()
    whole = passes.of(workload.build(), masking, x, y)["masking"]
    rows = ops.convert_to_tensor(np.abs(x).reshape(len(x), FEATURES))
    k = ops.full((len(x), 1), K, dtype="int32") if backend.TRACED else K
    seeds = masking.replacement.seed_generator
    selected = passes.compiled(lambda v: backend.lowest(v, k))
    drawn = passes.compiled(
        lambda: keras.random.uniform(x.shape, seed=seeds), masking
    )
    found = {
        "masking": whole,
        "selection": lambda: selected(rows),
        "random numbers": drawn,
    }
    if keras.backend.backend() == "jax":
        found |= others(x.shape, rows, k)
    return found


def others(shape, rows, k):
    """What else JAX offers."""
    import jax

    def drawn(key):
        return jax.jit(lambda: jax.random.uniform(key, shape))

    def waited(function, *args):
        return lambda: jax.block_until_ready(function(*args))

    def not_partitionable(function):
        with jax.threefry_partitionable(False):
            return jax.block_until_ready(function())

    values = jax.lax.bitcast_convert_type(rows, "int32")
    at_once, early = (
        jax.jit(functools.partial(bisected, stops_early=stops))
        for stops in (False, True)
    )
    (marked, _), (same, used) = at_once(values, k), early(values, k)
    np.testing.assert_array_equal(marked, same)
    name = f"selection that stops early ({used} of {BITS // 2} passes)"
    return {
        "random numbers, threefry, not partitionable": functools.partial(
            not_partitionable, drawn(jax.random.key(0))
        ),
        "random numbers, rbg": waited(drawn(jax.random.key(0, impl="rbg"))),
        "selection by bisection alone": waited(at_once, values, k),
        name: waited(early, values, k),
    }


def bisected(values, k, stops_early):
    """The k lowest of each row, and after how many passes of two bits."""
    import jax
    from jax import numpy as jnp

    blocks = values.reshape(len(values), -1, FEATURES // 4)

    def narrowed(state):
        i, low, _ = state
        step = jnp.left_shift(jnp.ones_like(low), BITS - 2 * (i + 1))
        packed = jnp.zeros_like(blocks)
        for j in range(3):
            below = blocks < (low + (j + 1) * step)[..., None]
            packed += below.astype("int32") << (j * bisection._FIELD_BITS)
        packed = packed.sum(2)
        exact = jnp.zeros_like(low, dtype=bool)
        for j in range(3):
            counts = (packed >> (j * bisection._FIELD_BITS)) & bisection._FIELD
            counts = counts.sum(1, keepdims=True)
            low = low + jnp.where(counts <= k, step, 0)
            exact |= counts == k
        return i + 1, low, exact.all()

    def goes_on(state):
        return (state[0] < BITS // 2) & ~(stops_early & state[2])

    start = jnp.full_like(values[:, :1], INT32.min)
    state = jnp.int32(0), start, jnp.bool_(False)
    passes_, low, _ = jax.lax.while_loop(goes_on, narrowed, state)
    return values < low, passes_


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=101)
    args = parser.parse_args()
    workload = step_cost_by_network.WORKLOADS[NETWORK]
    times = common.interleaved(parts(workload), args.rounds)
    for name, time in times.items():
        print(f"{name:60} {time['median_ms']:.3f} ms")
    common.save("masking_parts", {**vars(args), "rows": times})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
