import contextlib
import functools

import tensorflow as tf
from keras import ops

from keras_sgt.backend import bisection

TRACED = True
EAGER_IS_QUICK = True


def input_gradients(function, inputs):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        score = function(inputs)
    return tape.gradient(score, inputs, unconnected_gradients="zero")


def joint_gradients(function, variables, values, tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        scalar, others = function(values, tensors)
    weights, inputs = tape.gradient(
        scalar, [[v.value for v in variables], tensors]
    )
    inputs = tf.nest.map_structure(
        lambda gradient, tensor: (
            tf.zeros_like(tensor) if gradient is None else gradient
        ),
        inputs,
        tensors,
    )
    return others, weights, inputs


def with_gradients(value, variables, gradients, scale):
    @tf.custom_gradient
    def number(*tensors):
        def of_tensors(upstream):
            return [_times(g, upstream / scale) for g in gradients]

        return tf.identity(value), of_tensors

    return number(*(tf.convert_to_tensor(v.value) for v in variables))


def _times(gradient, factor):
    factor = tf.cast(factor, gradient.dtype)
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient * factor
    # The rows of an embedding, which Keras's optimizers take one by one.
    return tf.IndexedSlices(
        gradient.values * factor, gradient.indices, gradient.dense_shape
    )


def lowest(values, k, draw=None):
    return _lowest(values, k, None if draw is None else draw())


# XLA even where Keras leaves it off (on the CPU): unfused, the passes of the
# bisection are as slow as a sort.
@functools.partial(tf.function, jit_compile=True, autograph=False)
def _lowest(values, k, numbers):
    if values.dtype != tf.float64:
        values = tf.cast(values, tf.float32)
    integer = tf.int64 if values.dtype == tf.float64 else tf.int32
    return bisection.lowest(tf.bitcast(values, integer), k, numbers)


def replica_count():
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica():
    if not shares_step():
        return 0
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def in_step():
    return contextlib.nullcontext()  # TensorFlow knows


def shares_step():
    context = tf.distribute.get_replica_context()
    # Outside of a step there is none, and the batch is in one piece.
    return context is not None and context.num_replicas_in_sync > 1


def gathered(tensor):
    if not shares_step():
        return tensor
    if tensor.dtype == tf.bool:
        return tf.cast(gathered(tf.cast(tensor, tf.int32)), tf.bool)
    context = tf.distribute.get_replica_context()
    rows = context.all_gather(tensor, axis=0)
    return tf.ensure_shape(rows, [None, *tensor.shape[1:]])  # it forgets


def scope(model):
    return model.distribute_strategy.scope()


def shared_forward(model):
    return contextlib.nullcontext()  # the compiler finds what is the same


def keep_state(model, train_function):
    return train_function  # the variables hold their values at all times


def advised():
    return contextlib.nullcontext()


def kept_random_state():
    return contextlib.nullcontext()  # Keras holds the seeds


def compiled(function):
    return function


@contextlib.contextmanager
def restored(variables):
    values = [ops.copy(v.value) for v in variables]
    yield
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_batches(parts):
    """Replicas may have parts of different sizes."""


def check_synchronised(model):
    """A strategy synchronises its replicas."""


def distribute(model):
    raise RuntimeError(
        "`keras_sgt.distribute` is for processes of PyTorch. On TensorFlow "
        "make and compile the model within `tf.distribute.MirroredStrategy()"
        ".scope()`, then call `fit`."
    )
