"""The passes a guided step is made of, each compiled as a step would be.

They are what a step cannot do without: their times imply how fast guided
training could be at best.
"""

import keras
from keras import ops

from keras_sgt import divergences

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(function, model=None):
    """The function as a training step would hold it, called to completion.

    The weights of `model` are arguments of the program, not its constants.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.function(function, autograph=False)
        case "jax":
            import jax

            variables = model.variables if model else []

            def with_values(values, *args):
                with keras.StatelessScope(zip(variables, values)):
                    return function(*args)

            program = jax.jit(with_values)
            return lambda *args: jax.block_until_ready(
                program([v.value for v in variables], *args)
            )
    return function


def parameter_gradients(model, x, y, inputs_too=False):
    """Those of the loss with respect to the weights, and to the inputs too."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                if inputs_too:
                    tape.watch(x)
                loss = LOSS(y, model(x, training=True))
            weights = list(model.trainable_variables)
            return tape.gradient(loss, weights + [x] * inputs_too)
        case "jax":
            import jax

            def loss(values, x):
                scope = keras.StatelessScope(
                    zip(model.trainable_variables, values)
                )
                with scope:
                    return LOSS(y, model(x, training=True))

            values = [v.value for v in model.trainable_variables]
            return jax.grad(loss, (0, 1) if inputs_too else 0)(values, x)
        case "torch":
            import torch

            x = x.detach().requires_grad_(inputs_too)
            loss = LOSS(y, model(x, training=True))
            weights = [v.value for v in model.trainable_variables]
            return torch.autograd.grad(loss, weights + [x] * inputs_too)


def of_one_backward(model, x, y, share):
    """As `of`, what a step with `one_backward` and a share cannot do without.

    Args:
        share: int, how many samples the masked batch has.
    """
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)

    def weights(x, y):
        return parameter_gradients(model, x, y)

    def both(x, y):
        return parameter_gradients(model, x, y, inputs_too=True)

    programs = {
        "weights": (compiled(weights, model), (x, y)),
        "weights and inputs": (compiled(both, model), (x, y)),
        "weights, share": (compiled(weights, model), (x[:share], y[:share])),
    }
    return _without_arguments(programs)


def _without_arguments(programs):
    return {
        name: lambda program=program, args=args: program(*args)
        for name, (program, args) in programs.items()
    }


def of(model, masking, x, y):
    """Functions without arguments, by the name of the pass."""
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)

    def score(inputs):
        logits = model(inputs, training=False)
        return ops.sum(ops.take_along_axis(logits, y[:, None], axis=1))

    def forward(x):
        return model(x, training=True)

    def saliency(x):
        return masking.saliency(score, x, model)

    def gradient(x, y):
        return parameter_gradients(model, x, y)

    def mask(x, saliency):
        return masking.call(x, saliency, 0.5)

    kl = divergences.CategoricalKL(from_logits=True)
    logits = ops.convert_to_tensor(model.predict(x, verbose=0))
    salient = compiled(saliency, model)
    programs = {
        "forward": (compiled(forward, model), (x,)),
        "saliency": (salient, (x,)),
        "gradient": (compiled(gradient, model), (x, y)),
        "masking": (compiled(mask, masking), (x, salient(x))),
        "divergence": (compiled(kl), (logits, ops.flip(logits, axis=0))),
    }
    return _without_arguments(programs)
