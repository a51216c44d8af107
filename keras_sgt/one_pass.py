"""Clean and masked samples in one forward pass.

A recurrent network takes its time by the step, not by the sample: one loop over
both batches takes little longer than a loop over one. Elsewhere two passes are
as fast or faster, because the clean one has much in common with the saliency
pass, which is then computed once.
"""

import keras
from keras import layers, ops

# Layers that treat each sample by itself. Of others, such as batch
# normalisation and one's own, it is not known.
_BY_SAMPLE = {
    getattr(layers, name).call
    for name in (
        *("InputLayer", "Masking", "Embedding", "Dense", "EinsumDense"),
        *("SimpleRNN", "GRU", "LSTM", "RNN", "Bidirectional"),
        *("SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells"),
        *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "TimeDistributed"),
        *("Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D"),
        *("MaxPooling1D", "MaxPooling2D"),
        *("AveragePooling1D", "AveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D"),
        *("GlobalAveragePooling1D", "GlobalAveragePooling2D"),
        *("MultiHeadAttention", "GroupQueryAttention"),
        *("Attention", "AdditiveAttention"),
        *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
        *("Concatenate", "Dot"),
        *("Flatten", "Reshape", "Permute", "RepeatVector"),
        *("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D"),
        *("LayerNormalization", "RMSNormalization"),
        *("GroupNormalization", "UnitNormalization"),
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
        and _any_batch_size(model)
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
    both = keras.tree.map_structure(
        lambda c, m: ops.concatenate([c, ops.cast(m, c.dtype)], axis=0),
        clean,
        masked,
    )
    outputs = model(both, training=True)
    count = ops.shape(keras.tree.flatten(clean)[0])[0]
    return (
        keras.tree.map_structure(lambda x: x[:count], outputs),
        keras.tree.map_structure(lambda x: x[count:], outputs),
    )


def _by_sample(layer):
    if isinstance(layer, keras.Model):
        operations = getattr(layer, "operations", layer.layers)
        own = not type(layer).call.__module__.startswith("keras.")
        return not own and all(
            isinstance(operation, layers.Layer) or _finds_padding(operation)
            for operation in operations
        )
    return (
        type(layer).call in _BY_SAMPLE
        and layer.activity_regularizer is None
        and getattr(layer, "noise_shape", None) is None
    )


def _finds_padding(operation):
    """Whether it is of those by which layers tell what is padding."""
    return (
        type(operation).__module__.startswith("keras.")
        and type(operation).__name__ in ("NotEqual", "Any")
        and getattr(operation, "axis", -1) in (-1, [-1], (-1,))
    )


def _any_batch_size(model):
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return all(x.shape[0] is None for x in inputs)
