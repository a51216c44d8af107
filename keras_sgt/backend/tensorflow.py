import contextlib
import functools

import tensorflow as tf
from keras import ops

from keras_sgt.backend import bisection

TRACED = True


def input_gradients(function, inputs):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        score = function(inputs)
    return tape.gradient(score, inputs, unconnected_gradients="zero")


# XLA even where Keras leaves it off (on the CPU): unfused, the passes of the
# bisection are as slow as a sort.
@functools.partial(tf.function, jit_compile=True, autograph=False)
def lowest(values, k):
    if values.dtype != tf.float64:
        values = tf.cast(values, tf.float32)
    integer = tf.int64 if values.dtype == tf.float64 else tf.int32
    return bisection.lowest(tf.bitcast(values, integer), k)


def replica_count():
    return tf.distribute.get_strategy().num_replicas_in_sync


def shared_forward(model):
    return contextlib.nullcontext()  # the compiler finds what is the same


def keep_state(model, train_function):
    return train_function  # the variables hold their values at all times


def compiled(function):
    return function


@contextlib.contextmanager
def restored(variables):
    values = [ops.copy(v.value) for v in variables]
    yield
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_batches(samples, batch_size):
    """Replicas may have parts of different sizes."""


def check_synchronised(model):
    """A strategy synchronises its replicas."""


def distribute(model):
    raise RuntimeError(
        "`keras_sgt.distribute` is for processes of PyTorch. On TensorFlow "
        "make and compile the model within `tf.distribute.MirroredStrategy()"
        ".scope()`, then call `fit`."
    )
