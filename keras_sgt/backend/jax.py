import contextlib
import functools

import jax
import jax.numpy as jnp
from keras import ops

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


def shared_forward(model):
    return contextlib.nullcontext()  # the compiler finds what is the same


def keep_state(model, train_function):
    """Hands the model its variables back when a step raises.

    While it trains on JAX, Keras holds their values outside of the variables;
    an error in the first step, such as bad input, would lose them.
    """

    @functools.wraps(train_function)
    def step(state, iterator):
        try:
            return train_function(state, iterator)
        except StopIteration:
            raise
        except BaseException:  # KeyboardInterrupt too
            groups = (
                model.trainable_variables,
                model.non_trainable_variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
            for variables, values in zip(groups, state):
                for variable, value in zip(variables, values):
                    if not value.is_deleted():
                        variable.assign(value)
            raise

    return step


def compiled(function):
    # JAX would take the trace of one method for that of another.
    return jax.jit(functools.partial(function))


@contextlib.contextmanager
def restored(variables):
    values = [ops.copy(v.value) for v in variables]
    yield
    for variable, value in zip(variables, values):
        variable.assign(value)
