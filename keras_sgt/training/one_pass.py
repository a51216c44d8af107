"""Clean and masked samples in one forward pass.

A recurrent network takes its time by the step, not by the sample: one loop over
both batches takes little longer than a loop over one. Elsewhere two passes are
as fast or faster, because the clean one has much in common with the saliency
pass, which is then computed once.
"""

import keras
from keras import layers, ops

from keras_sgt.introspection.layers import (
    all_layers,
    argument_of,
    between_layers,
    is_of_keras,
    padding_mask,
)

# Layers that treat each sample by itself, at their default arguments. Of
# others, such as batch normalisation and the user's own, it is not known.
_BY_SAMPLE = {
    getattr(layers, name)
    for name in (
        *("InputLayer", "Masking", "Embedding", "Dense", "TimeDistributed"),
        *("SimpleRNN", "GRU", "LSTM", "RNN", "Bidirectional"),
        *("SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells"),
        *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
        *("Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D"),
        *("MaxPooling1D", "MaxPooling2D"),
        *("AveragePooling1D", "AveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D"),
        *("GlobalAveragePooling1D", "GlobalAveragePooling2D"),
        *("Attention", "AdditiveAttention"),
        *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
        *("Concatenate", "Flatten", "Reshape", "Permute", "RepeatVector"),
        *("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D"),
        *("LayerNormalization", "RMSNormalization"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D"),
        *("AlphaDropout", "GaussianDropout", "GaussianNoise"),
    )
}


def pays(model):
    """Whether one pass is faster than two, and the same function.

    Dropout draws other numbers for each sample in either case.

    Args:
        model: `keras.Model`.

    Returns:
        bool.
    """
    inner = all_layers(model)
    return (
        any(isinstance(layer, layers.RNN) for layer in inner)
        and all(map(_treats_each_sample_by_itself, inner))
        # Devices that share a batch would have to exchange samples.
        and keras.distribution.distribution() is None
    )


def predict(model, batches):
    """The outputs for several batches, in training.

    Args:
        model: `keras.Model`.
        batches: list of tensors `(batch, ...)`, or of nests of them; none has
            more samples than the first.

    Returns:
        List of the outputs for each.
    """
    together = keras.tree.map_structure(_one_after_the_other, *batches)
    outputs = model(together, training=True)
    parts, start = [], 0
    for batch in batches:
        end = start + samples(batch)
        is_last = len(parts) == len(batches) - 1
        parts.append(slice(start, None if is_last else end))
        start = end
    return [some_samples(outputs, part) for part in parts]


def some_samples(outputs, part):
    """A slice of outputs, and of what Keras holds to be padding in them."""
    return with_padding(outputs, lambda tensor: tensor[part])


def with_padding(outputs, function, of_mask=None):
    """A function of each output, whose padding Keras still knows.

    Losses leave out what is padding.

    Args:
        outputs: tensor, or a nest of them and of `None`.
        function: callable, from a tensor to another one.
        of_mask: the same for the padding mask. Defaults to `function`.
    """

    def changed(output):
        if output is None or padding_mask(output) is None:
            return None if output is None else function(output)
        return _Padded(function, of_mask or function)(output)

    return keras.tree.map_structure(changed, outputs)


def padded(outputs, masks):
    """Outputs of which Keras knows the padding, where they had lost it."""

    def changed(output, mask):
        if mask is None or padding_mask(output) is not None:
            return output
        return _Padded(lambda tensor: tensor, lambda _: mask)(output)

    return keras.tree.map_structure(changed, outputs, masks)


def samples(batch):
    """The number of samples, of a nest of tensors and of `None`."""
    first = next(t for t in keras.tree.flatten(batch) if t is not None)
    return ops.shape(first)[0]


def _one_after_the_other(clean, *others):
    if clean is None:  # an optional input
        return None
    others = [ops.cast(other, clean.dtype) for other in others]
    return ops.concatenate([clean, *others], axis=0)


class _Padded(layers.Layer):
    """A function of an output, and of its padding mask."""

    def __init__(self, function, of_mask):
        super().__init__(name="padded", autocast=False)
        self.supports_masking = True
        self.function, self.of_mask = function, of_mask

    def call(self, inputs):
        return self.function(inputs)

    def compute_mask(self, inputs, previous_mask):
        return self.of_mask(previous_mask)


def _treats_each_sample_by_itself(layer):
    if isinstance(layer, keras.Model):
        operations = between_layers(layer)
        return (
            is_of_keras(type(layer).call)
            and operations is not None
            and all(map(_computes_a_padding_mask, operations))
        )
    return (
        type(layer) in _BY_SAMPLE
        and all(
            function is None or is_of_keras(function)
            for function in (
                argument_of(layer, "activation"),
                argument_of(layer, "recurrent_activation"),
            )
        )
        and _spares_the_batch_axis(argument_of(layer, "axis", -1))
        and layer.activity_regularizer is None
        and argument_of(layer, "noise_shape") is None
    )


def _spares_the_batch_axis(axes):
    return all(axis == -1 or axis > 0 for axis in keras.tree.flatten(axes))


def _computes_a_padding_mask(operation):
    """Whether it is one of the operations that layers mark padding with."""
    name = type(operation).__name__
    if not is_of_keras(type(operation)) or name not in ("NotEqual", "Any"):
        return False
    return name == "NotEqual" or _spares_the_batch_axis(operation.axis)
