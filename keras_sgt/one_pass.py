"""Clean and masked samples in one forward pass.

A recurrent network takes its time by the step, not by the sample: one loop over
both batches takes little longer than a loop over one. Elsewhere two passes are
as fast or faster, because the clean one has much in common with the saliency
pass, which is then computed once.
"""

import keras
from keras import layers, ops

# Layers that treat each sample by itself, if they are told nothing else. Of
# others, such as batch normalisation and one's own, it is not known.
_BY_SAMPLE = {
    getattr(layers, name).call
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
    inner = list(model._flatten_layers())
    return (
        any(isinstance(layer, layers.RNN) for layer in inner)
        and all(map(_by_sample, inner))
        # Devices that share a batch would have to exchange samples.
        and keras.distribution.distribution() is None
    )


def predict(model, clean, masked):
    """The outputs for both batches, in training.

    Args:
        model: `keras.Model`.
        clean: tensor `(batch, ...)`, or a nest of them.
        masked: likewise; of as many samples, or fewer.

    Returns:
        Tuple of the outputs for `clean` and for `masked`.
    """
    both = keras.tree.map_structure(_one_after_the_other, clean, masked)
    outputs = model(both, training=True)
    count = samples(clean)
    return tuple(
        keras.tree.map_structure(_Samples(part), outputs)
        for part in (slice(None, count), slice(count, None))
    )


def samples(batch):
    """The number of samples, of a nest of tensors and of `None`."""
    first = next(t for t in keras.tree.flatten(batch) if t is not None)
    return ops.shape(first)[0]


def _one_after_the_other(clean, masked):
    if clean is None:  # an optional input
        return None
    return ops.concatenate([clean, ops.cast(masked, clean.dtype)], axis=0)


class _Samples(layers.Layer):
    """Some samples of an output, and of what Keras holds to be padding in it.

    Losses leave out what is padding.
    """

    def __init__(self, part):
        super().__init__(name="samples", autocast=False)
        self.supports_masking = True
        self.part = part

    def call(self, inputs):
        return inputs[self.part]

    def compute_mask(self, inputs, previous_mask):
        return None if previous_mask is None else previous_mask[self.part]


def _by_sample(layer):
    if isinstance(layer, keras.Model):
        operations = getattr(layer, "operations", layer.layers)
        return _of_keras(type(layer).call) and all(
            isinstance(operation, layers.Layer) or _finds_padding(operation)
            for operation in operations
        )
    activations = (
        getattr(layer, name, None)
        for name in ("activation", "recurrent_activation")
    )
    return (
        type(layer).call in _BY_SAMPLE
        and all(f is None or _of_keras(f) for f in activations)
        and _along_a_sample(layer)
        and layer.activity_regularizer is None
        and getattr(layer, "noise_shape", None) is None
    )


def _of_keras(thing):
    return getattr(thing, "__module__", "").startswith("keras.")


def _along_a_sample(layer_or_operation):
    """Whether its axes, if it has some, are none of the batch."""
    axes = keras.tree.flatten(getattr(layer_or_operation, "axis", -1))
    return all(axis == -1 or axis > 0 for axis in axes)


def _finds_padding(operation):
    """Whether it is of those by which layers tell what is padding."""
    return (
        _of_keras(type(operation))
        and type(operation).__name__ in ("NotEqual", "Any")
        and _along_a_sample(operation)
    )
