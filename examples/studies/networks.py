"""The networks of the examples; all end in logits.

Where they come from the paper or its companion benchmark of time series, the
docstring says what they consist of there.
"""

import keras
import numpy as np
from keras import layers, ops


def mnist_cnn(input_shape=(28, 28, 1), classes=10):
    """The paper's network for MNIST, 1,199,882 parameters."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(classes),
        ],
        name="mnist_cnn",
    )


def resnet18(input_shape=(32, 32, 3), classes=10, width=64, pool=False):
    """ResNet-18 in its form for CIFAR: 11,173,962 parameters at width 64.

    A 3×3 convolution, then four stages of two basic blocks, of `width` to
    8 `width` channels, and the mean over the places. (He et al., CVPR 2016;
    `pool` halves large images before the first stage.)
    """
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, width, 3)
    if pool:
        x = layers.MaxPooling2D()(x)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            x = _basic_block(x, width * 2**stage, stride)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="resnet18")


def _basic_block(x, channels, stride):
    short = x
    if stride > 1 or x.shape[-1] != channels:
        short = _convolution(x, channels, 1, stride, activation=None)
    x = _convolution(x, channels, 3, stride)
    x = _convolution(x, channels, 3, activation=None)
    return layers.ReLU()(layers.add([x, short]))


def _convolution(x, channels, size, stride=1, activation="relu"):
    # Padded by hand: with "same", strided windows would lie off the centre.
    if size > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    x = layers.Conv2D(
        channels,
        size,
        stride,
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if activation else x


def vgg16(input_shape=(96, 96, 3), classes=3, weights=None):
    """Keras's VGG16 without its top, a mean over the places, and logits."""
    base = keras.applications.VGG16(False, weights, input_shape=input_shape)
    x = layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, layers.Dense(classes)(x), name="vgg16")


def small_vgg16(input_shape=(64, 64, 3), classes=3, width=16):
    """The thirteen convolutions of VGG-16, narrower and normalised.

    In five stages of `width` to 8 `width` channels, each ending in a maximum
    over 2×2 places; then a mean over the places. (Simonyan, Zisserman, ICLR
    2015, whose first stage is 64 wide and which normalises nothing.)
    """
    inputs = x = keras.Input(input_shape)
    for factor, count in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
        for _ in range(count):
            x = _convolution(x, factor * width, 3)
        x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="small_vgg16")


def bilstm(length, vocabulary, classes=2, width=100, units=64, vectors=None):
    """Embedding, bidirectional LSTM, the mean of its states, a hidden layer.

    With the last states instead of their mean it does not learn from the 1,600
    documents of Movies without pretrained embeddings.
    """
    return keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            _embedding(vocabulary, width, vectors, mask_zero=True),
            layers.Bidirectional(layers.LSTM(units, return_sequences=True)),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(0.2),
            layers.Dense(units, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(classes),
        ],
        name="bilstm",
    )


def text_transformer(
    length, vocabulary, classes=2, width=64, blocks=2, heads=4, vectors=None
):
    """A small encoder over words and places, pooled by their mean."""
    tokens = keras.Input((length,), dtype="int32")
    x = _embedding(vocabulary, width, vectors, mask_zero=True)(tokens)
    if x.shape[-1] != width:
        x = layers.Dense(width)(x)
    x = AddPositions()(x)
    for _ in range(blocks):
        x = _encoder_block(x, heads, 4 * width, dropout=0.1, causal=False)
    x = layers.LayerNormalization()(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(classes)(x), name="transformer")


def _embedding(vocabulary, width, vectors, mask_zero):
    """An embedding; with `vectors` `(vocabulary, width)`, it starts there."""
    if vectors is None:
        return layers.Embedding(vocabulary, width, mask_zero=mask_zero)
    return layers.Embedding(
        *np.shape(vectors),
        embeddings_initializer=keras.initializers.Constant(vectors),
        mask_zero=mask_zero,
    )


def lstm(steps=50, features=50, classes=2, units=5):
    """The benchmark's LSTM: 5 units, logits from the last step."""
    return keras.Sequential(
        [
            keras.Input((steps, features)),
            layers.Dropout(0.1),
            layers.LSTM(units),
            layers.Dropout(0.1),
            layers.Dense(classes),
        ],
        name="lstm",
    )


def input_cell_attention_lstm(steps=50, features=50, classes=2, units=5):
    """The benchmark's LSTM whose cell attends to all inputs so far."""
    return keras.Sequential(
        [
            keras.Input((steps, features)),
            layers.Dropout(0.1),
            InputCellAttention(hidden=50, hops=10),
            layers.LSTM(units),
            layers.Dropout(0.1),
            layers.Dense(classes),
        ],
        name="input_cell_attention_lstm",
    )


@keras.saving.register_keras_serializable("keras_sgt_examples")
class InputCellAttention(layers.Layer):
    """What an LSTM reads at each step: a mix of all inputs up to that step.

    Attention of hop r over the steps i ≤ t: softmax_i(W₂ tanh(W₁xᵢ)),
    `(hops)`; the mix is Σᵢ aᵢxᵢ, its mean over the hops as in the benchmark's
    code. (Ismail et al., "Input-cell attention reduces vanishing saliency of
    recurrent neural networks", NeurIPS 2019.)
    """

    def __init__(self, hidden, hops, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.hops = hidden, hops
        self.first = layers.Dense(hidden, activation="tanh")
        self.second = layers.Dense(hops)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.hidden))

    def call(self, inputs):
        scores = ops.transpose(self.second(self.first(inputs)), (0, 2, 1))
        steps = inputs.shape[1]
        seen = ops.tril(ops.ones((steps, steps), dtype="bool"))
        # (batch, hops, t, i): the score of a step does not depend on t.
        scores = ops.where(seen, scores[:, :, None, :], -1e9)
        mixture = ops.mean(ops.softmax(scores, axis=-1), axis=1)
        return ops.matmul(mixture, inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {"hidden": self.hidden, "hops": self.hops}
        return {**super().get_config(), **config}


def tcn(steps=50, features=50, classes=2, channels=(5, 5, 50), kernel_size=4):
    """The benchmark's temporal convolutional network; it sees 43 steps back.

    Blocks of two dilated causal convolutions with weight normalisation and a
    shortcut, dilations 1, 2, 4; the largest value over time. (Bai et al., "An
    empirical evaluation of generic convolutional and recurrent networks for
    sequence modeling", 2018.)

    Their code draws all kernels from N(0, 0.01), and PyTorch's weight
    normalisation then takes those of the two convolutions from its own
    parameters, drawn before: uniform within 1/√(inputs of a unit). If all are
    N(0, 0.01), outputs hardly differ between series, and of harder data sets
    many networks stay constant for epochs.
    """
    inputs = x = keras.Input((steps, features))
    for level, width in enumerate(channels):
        short = x
        for _ in range(2):
            inputs_of_unit = kernel_size * x.shape[-1]
            x = WeightNormConv1D(
                width,
                kernel_size,
                padding="causal",
                dilation_rate=2**level,
                kernel_initializer=_within(inputs_of_unit),
                bias_initializer=_within(inputs_of_unit),
            )(x)
            x = layers.Dropout(0.1)(layers.ReLU()(x))
        if short.shape[-1] != width:
            short = layers.Conv1D(
                width,
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
                bias_initializer=_within(short.shape[-1]),
            )(short)
        x = layers.ReLU()(layers.add([x, short]))
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="tcn")


def _within(count):
    """As PyTorch draws the weights of a unit that has so many inputs."""
    limit = count**-0.5
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable("keras_sgt_examples")
class WeightNormConv1D(layers.Conv1D):
    """A convolution with kernel g·v/‖v‖, ‖·‖ over all but the filters."""

    # Those of Conv1D would leave out the scale g.
    save_own_variables = layers.Layer.save_own_variables
    load_own_variables = layers.Layer.load_own_variables

    def build(self, input_shape):
        super().build(input_shape)
        norm = np.sqrt((np.array(self._kernel) ** 2).sum((0, 1)))
        self.scale = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.Constant(norm),
            name="scale",
        )

    @property
    def kernel(self):
        direction = super().kernel
        squares = ops.sum(ops.square(direction), axis=(0, 1))
        return direction * (self.scale / ops.sqrt(squares))


def transformer(steps=50, features=50, classes=2, blocks=6, heads=5):
    """The benchmark's causal Transformer: width 50, 6 blocks, 5 heads."""
    inputs = keras.Input((steps, features))
    x = layers.Dropout(0.1)(AddPositions()(inputs))
    for _ in range(blocks):
        x = _encoder_block(x, heads, 400, dropout=0.1, causal=True)
    x = layers.LayerNormalization()(x)
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x), name="transformer")


def _encoder_block(x, heads, hidden, dropout, causal):
    """Attention, then two dense layers, each behind a normalisation."""
    width = x.shape[-1]
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout)(
        y, y, use_causal_mask=causal
    )
    x = layers.add([x, layers.Dropout(dropout)(y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(hidden, activation="relu")(y)
    y = layers.Dense(width)(layers.Dropout(dropout)(y))
    return layers.add([x, layers.Dropout(dropout)(y)])


@keras.saving.register_keras_serializable("keras_sgt_examples")
class AddPositions(layers.Layer):
    """√width · x, plus sines of each place (Vaswani et al., NeurIPS 2017)."""

    supports_masking = True

    def call(self, inputs):
        steps, width = inputs.shape[1:]
        rates = 10_000 ** (-2 * (np.arange(width) // 2) / width)
        angles = np.arange(steps)[:, None] * rates
        sines = np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))
        return width**0.5 * inputs + ops.cast(sines, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def mlp(features, classes=2, units=(64, 32)):
    """Dense layers over the columns of a table."""
    hidden = [layers.Dense(n, activation="relu") for n in units]
    return keras.Sequential(
        [keras.Input((features,)), *hidden, layers.Dense(classes)], name="mlp"
    )
