import contextlib

import keras
from keras import layers, ops

from keras_sgt import backend
from keras_sgt.attribution.base import Attribution
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.layers import all_layers

_CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)


class GradCAM(Attribution):
    """Where the channels of a layer speak for the target.

    The channels of the layer's output, weighed by the mean over places of
    their gradient, summed, and enlarged to the size of the input. The maps
    have only the layer's resolution; all channels of a pixel get the same
    value.

    Args:
        model: `keras.Model` with weights, for one input
            `(samples, height, width, channels)`, channels first if
            `keras.config.image_data_format()` says so, or
            `(samples, steps, channels)`.
        conv_layer: the layer, or its name, at any depth. Defaults to the last
            convolution that runs.
        relu: whether negative values become 0, as in the paper. Defaults to
            `True`.
        **options: those of `Attribution`.

    Raises:
        ValueError: if there is no such layer, no places to show, or the
            layer's channels are on another axis than the input's.

    Reference: Selvaraju et al., "Grad-CAM: visual explanations from deep
    networks via gradient-based localization", ICCV 2017. Captum's
    `LayerGradCam` with `relu_attributions`, enlarged by bilinear
    interpolation.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((8, 8, 1)),
    ...         keras.layers.Conv2D(4, 3, activation="relu"),
    ...         keras.layers.GlobalAveragePooling2D(),
    ...         keras.layers.Dense(3),
    ...     ]
    ... )
    >>> method = keras_sgt.attribution.GradCAM(model)
    >>> method(np.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """

    needs_gradient = False  # of the inputs

    def __init__(self, model, conv_layer=None, relu=True, **options):
        super().__init__(model, **options)
        if isinstance(conv_layer, keras.Layer):
            conv_layer = conv_layer.name
        self.conv_layer = conv_layer
        self.relu = relu
        self._candidates = _candidates(model, conv_layer)

    def attribute(self, rows):
        outputs = []
        with contextlib.ExitStack() as stack:
            for layer in self._candidates:
                stack.enter_context(_recorded(layer, outputs))
            self.explained.outputs(rows.inputs, rows.features)
        layer, activations = outputs[-1]
        if len(activations.shape) != len(rows.features[0].shape):
            raise ValueError(
                "`conv_layer` has to have an output for each place of the "
                f"input. Received: '{layer.name}' with an output of shape "
                f"{tuple(activations.shape)}"
            )
        channels = _channel_axis(layer, len(activations.shape))
        activations = ops.stop_gradient(activations)

        def score(activations):
            with embeddings.changed_output(layer, lambda own: activations):
                return ops.sum(self.scores(rows))

        gradient = backend.input_gradients(score, activations)
        axes = range(1, len(activations.shape))
        places = tuple(axis for axis in axes if axis != channels)
        weights = ops.mean(gradient, axis=places, keepdims=True)
        places = ops.sum(weights * activations, axis=channels, keepdims=True)
        places = ops.relu(places) if self.relu else places
        return [_enlarged(places, rows.features[0], channels)]

    def prepare(self, x, flat):
        shapes = [a.shape for a in flat]
        if len(shapes) != 1 or len(shapes[0]) not in (3, 4):
            raise ValueError(
                "`GradCAM` is for one input `(samples, height, width, "
                "channels)` or `(samples, steps, channels)`. Received: inputs "
                f"of shapes {shapes}"
            )


def _candidates(model, conv_layer):
    """The layer of that name, or all convolutions."""
    layers = all_layers(model, include_self=False)
    if conv_layer is None:
        candidates = [x for x in layers if isinstance(x, _CONVOLUTIONS)]
    else:
        candidates = [x for x in layers if x.name == conv_layer]
    if not candidates or (conv_layer is not None and len(candidates) > 1):
        raise ValueError(
            "`conv_layer` has to be a layer of the model with an output for "
            "each place, or its name (by default, the last convolution). The "
            f"layers: {[x.name for x in layers]}. Received: "
            f"conv_layer={conv_layer!r}"
        )
    return candidates


def _recorded(layer, outputs):
    def record(output):
        outputs.append((layer, output))
        return output

    return embeddings.changed_output(layer, record)


def _channel_axis(layer, rank):
    """Where the channels are, in the layer's output as in the input.

    Keras has one format for images; series have their channels last.
    """
    usual = keras.config.image_data_format() if rank == 4 else "channels_last"
    own = getattr(layer, "data_format", None) or usual
    if own != usual:
        raise ValueError(
            f"`conv_layer` has to be {usual}, as the input is taken to be "
            "(images by `keras.config.image_data_format()`, series always). "
            "Pass another `conv_layer`, behind which the channels are there, "
            "or, of images, call `keras.config.set_image_data_format`. "
            f"Received: '{layer.name}' with data_format={own!r}"
        )
    return 1 if usual == "channels_first" else rank - 1


def _enlarged(values, like, channels):
    """Bilinear, to the places of another tensor."""
    values = ops.moveaxis(values, channels, -1)
    size = [n for axis, n in enumerate(like.shape) if axis not in (0, channels)]
    if len(size) == 1:
        values = ops.image.resize(
            values[:, :, None], (size[0], 1), data_format="channels_last"
        )[:, :, 0]
    else:
        values = ops.image.resize(values, size, data_format="channels_last")
    return ops.moveaxis(values, -1, channels) + ops.zeros_like(like)
