import contextlib
import functools
import re

import jax
import jax.numpy as jnp
import keras
from keras import ops

from keras_sgt.backend import bisection

TRACED = True
EAGER_IS_QUICK = False
UNEVEN = (
    "Under a `keras.distribution` each batch, the last one too, is divided "
    "among the devices. Choose a `batch_size` that they divide, and leave out "
    "the samples of a last batch that they do not: `x[: len(x) // n * n]` for "
    "n devices, `.batch(size, drop_remainder=True)` for a `tf.data.Dataset`, "
    "`drop_last=True` for a `DataLoader`."
)
ELSEWHERE = (
    "Keras's `predict` cannot collect what the processes of JAX have computed, "
    "and attribution and `compare` go through it. Save the model, and load it "
    "in a process by itself: `keras.models.load_model(path)`."
)
# What errors say, whose words depend on the version.
ADVICE = {
    "divisible|evenly divide": UNEVEN,
    "non-addressable|not fully addressable": ELSEWHERE,
}


def input_gradients(function, inputs):
    return jax.grad(function)(inputs)


def joint_gradients(function, variables, values, tensors):
    of_both = jax.value_and_grad(function, argnums=(0, 1), has_aux=True)
    (_, others), gradients = of_both(values, tensors)
    return others, *gradients


def with_gradients(value, variables, gradients, scale):
    @jax.custom_gradient
    def number(tensors):
        def of_tensors(upstream):
            factor = upstream / scale
            return ([factor.astype(g.dtype) * g for g in gradients],)

        return value, of_tensors

    return number([v.value for v in variables])


def lowest(values, k, draw=None):
    return _lowest(values, k, None if draw is None else draw())


@jax.jit
def _lowest(values, k, numbers):
    if values.dtype != jnp.float64:
        values = values.astype(jnp.float32)
    integer = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    bits = jax.lax.bitcast_convert_type(values, integer)
    return bisection.lowest(bits, k, numbers)


def replica_count():
    return 1  # one program over all devices


def replica():
    return 0


def in_step():
    return contextlib.nullcontext()


def shares_step():
    return False  # one program sees all devices


def gathered(tensor):
    return tensor


def scope(model):
    return contextlib.nullcontext()  # a `keras.distribution` is global


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
        except BaseException as error:  # KeyboardInterrupt too
            _advise(error)
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


@contextlib.contextmanager
def advised():
    try:
        yield
    except Exception as error:
        _advise(error)
        raise


def _advise(error):
    for words, advice in ADVICE.items():
        known = advice in getattr(error, "__notes__", ())
        if re.search(words, str(error)) and not known:
            error.add_note(advice)


def kept_random_state():
    return contextlib.nullcontext()  # Keras holds the seeds


def compiled(function):
    # A new function each time: a bound method equals itself, and JAX would
    # take the old trace for it.
    return jax.jit(functools.partial(function))


@contextlib.contextmanager
def restored(variables):
    values = [ops.copy(v.value) for v in variables]
    yield
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_batches(parts):
    distribution = keras.distribution.distribution()
    name = getattr(distribution, "batch_dim_name", None)
    if name is None or jax.process_count() > 1:  # each has its own data
        return
    mesh = distribution.device_mesh
    devices = mesh.shape[mesh.axis_names.index(name)]
    for samples, batch_size in parts:
        last = samples % batch_size
        if last % devices or (samples >= batch_size and batch_size % devices):
            raise ValueError(
                f"{devices} devices cannot share the batches equally. "
                f"Received: {samples} samples with batch_size={batch_size}, of "
                f"which the last batch has {last or batch_size}. {UNEVEN}"
            )


def check_synchronised(model):
    """One program runs on all devices."""


def distribute(model):
    raise RuntimeError(
        "`keras_sgt.distribute` is for processes of PyTorch. On JAX call "
        "`keras.distribution.set_distribution(keras.distribution."
        "DataParallel())` before the model is made (with several processes "
        "`keras.distribution.initialize` first), then call `fit`."
    )
