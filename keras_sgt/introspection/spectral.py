"""Spectral normalisation, done once in a step.

Each call of `keras.layers.SpectralNormalization` in training divides its kernel
by an estimate of its norm, for good. A second pass would divide it again, which
is another function and another training; and PyTorch refuses that, for the
gradient of the first pass needs the kernel as it was.
"""

import contextlib

import keras

from keras_sgt.introspection.layers import all_layers
from keras_sgt.introspection.patching import replaced


def normalised_layers(model):
    """Every built `SpectralNormalization` layer of a model, at any depth."""
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.SpectralNormalization) and layer.built
    ]


@contextlib.contextmanager
def normalised_already(model, before):
    """Within it, a pass in training takes kernels as the last one made them.

    Args:
        model: `keras.Model`.
        before: pairs of variables and the values they had before the last pass
            in training, where Keras holds those outside of the variables; else
            empty.
    """
    known = {id(variable): value for variable, value in before}
    with contextlib.ExitStack() as stack:
        for layer in normalised_layers(model):
            if id(layer.vector_u) in known:
                # There the loss is given the trainable weights as they were
                # before the pass; from the same vector they come out the same.
                change = _starting_from(layer, known[id(layer.vector_u)])
                stack.callback(layer.kernel.assign, layer.kernel.value)
            else:
                change = _leaving_the_kernel
            stack.enter_context(replaced(layer, "call", change))
        yield


def _starting_from(layer, vector):
    def changed(original):
        def call(*args, training=False, **kwargs):
            if training:
                layer.vector_u.assign(vector)
            return original(*args, training=training, **kwargs)

        return call

    return changed


def _leaving_the_kernel(original):
    def call(*args, training=False, **kwargs):
        # The layer within still knows that it trains: Keras tells it.
        return original(*args, **kwargs)

    return call
