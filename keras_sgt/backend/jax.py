import jax
import jax.numpy as jnp

from keras_sgt.backend import bisection

TRACED = True


def input_gradients(function, inputs):
    return jax.grad(function)(inputs)


@jax.jit
def lowest(values, k):
    if values.dtype != jnp.float64:
        values = values.astype(jnp.float32)
    integer = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    return bisection.lowest(jax.lax.bitcast_convert_type(values, integer), k)


def replica_count():
    return 1  # one program over all devices
