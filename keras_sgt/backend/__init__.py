"""What training needs of a framework, for the one that Keras runs on.

Every module of this package offers the same names:

- `input_gradients(function, inputs)`: gradients of a scalar function with
  respect to its inputs (a tensor or a nest of them).
- `joint_gradients(function, variables, values, tensors)`: what a function of
  values and tensors returns beside its scalar, and the gradients of that with
  respect to the variables (`None` where there is none) and the tensors, from
  one backward pass. `values` are the variables', where Keras holds them
  outside.
- `with_gradients(value, variables, gradients, scale)`: a number that is the
  value, and whose gradients with respect to the variables are these, which
  `joint_gradients` found, divided by the scale.
- `lowest(values, k, draw)`: exactly the k lowest of each row; of equal ones
  those that random numbers choose, int32 `(rows, 3)` that `draw()` returns, or
  the first without `draw`.
- `replica_count()`: how many replicas add up what a step weighs.
- `replica()`: which replica or process this is, an int or a tensor.
- `in_step()`: a context for what all replicas or processes do together.
- `shares_step()`: whether the batch is a part of the step's, as one replica or
  process has it.
- `gathered(tensor)`: the rows of all parts of the step, in place of one's.
- `keep_state(model, train_function)`: a train function that leaves the model
  as it was when a step raises.
- `scope(model)`: a context in which variables are made where the model is
  trained.
- `shared_forward(model)`: a context in which the saliency pass and training
  compute once what is the same in both.
- `restored(variables)`: a context that leaves variables as they were; what is
  computed in it can still be differentiated.
- `advised()`: a context that adds what to do to errors of several devices.
- `kept_random_state()`: a context that leaves the framework's own random
  numbers as they were.
- `compiled(function)`: the function as one program, where its operations would
  be compiled one by one.
- `check_batches(parts)`: raises for batches of arrays that the devices or
  processes cannot share; pairs `(samples, batch_size)`, training's first.
- `check_synchronised(model)`: raises where processes would train apart.
- `distribute(model)`: makes the processes train one model.
- `EAGER_IS_QUICK`: whether a first batch costs little that is not traced; where
  it is not, every operation is compiled by itself.
- `TRACED`: whether steps are traced, so that numbers that change between
  steps have to be variables.
"""

import keras

match keras.backend.backend():
    case "tensorflow":
        from keras_sgt.backend import tensorflow as _backend
    case "jax":
        from keras_sgt.backend import jax as _backend
    case "torch":
        from keras_sgt.backend import torch as _backend
    case other:
        raise ImportError(
            "keras_sgt needs a Keras backend that differentiates: set the "
            "environment variable KERAS_BACKEND to 'tensorflow', 'jax' or "
            f"'torch'. Received: {other!r}"
        )

advised = _backend.advised
check_batches = _backend.check_batches
check_synchronised = _backend.check_synchronised
compiled = _backend.compiled
distribute = _backend.distribute
gathered = _backend.gathered
in_step = _backend.in_step
input_gradients = _backend.input_gradients
joint_gradients = _backend.joint_gradients
keep_state = _backend.keep_state
kept_random_state = _backend.kept_random_state
lowest = _backend.lowest
replica = _backend.replica
replica_count = _backend.replica_count
restored = _backend.restored
scope = _backend.scope
shared_forward = _backend.shared_forward
shares_step = _backend.shares_step
with_gradients = _backend.with_gradients
EAGER_IS_QUICK = _backend.EAGER_IS_QUICK
TRACED = _backend.TRACED
