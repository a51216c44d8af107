"""What plain Keras trains, a guided model trains: every layer of Keras.

Layers are tried side by side in one model, which is compiled once; where that
fails they are tried one by one, each beside plain `keras.Model.fit`.
"""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt

BATCH = 4
SHAPES = {
    "vector": (6,),
    "sequence": (8, 4),
    "recurrent": (4, 3),
    "image": (8, 8, 3),
    "augmented": (8, 8, 3),
    "volume": (4, 4, 4, 2),
    "ids": (5,),
    "signal": (64,),
    "sound": (64, 1),
    "recurrent_image": (3, 4, 3),
    "recurrent_video": (3, 4, 4, 2),
    "recurrent_volume": (2, 3, 3, 3, 1),
}

# For each kind of input the layers, by name, and what they are built with.
TABLE = {
    "vector": {
        "Activation": {"activation": "tanh"},
        "ActivityRegularization": {"l2": 0.1},
        "AlphaDropout": {"rate": 0.2},
        "BatchNormalization": {},
        "TernaryDense": {"units": 4},
        "Dense": {"units": 3},
        "Discretization": {"bin_boundaries": [0.0, 0.5]},
        "Dropout": {"rate": 0.2},
        "ELU": {},
        "EinsumDense": {"equation": "ab,bc->ac", "output_shape": 3},
        "Flatten": {},
        "GaussianDropout": {"rate": 0.2},
        "GaussianNoise": {"stddev": 0.1},
        "GroupNormalization": {"groups": 2},
        "Identity": {},
        "Lambda": {"function": ops.sin},
        "LayerNormalization": {},
        "LeakyReLU": {},
        "Normalization": {"mean": 0.5, "variance": 2.0},
        "PReLU": {},
        "Pipeline": {"layers": [lambda: layers.Rescaling(2.0)]},
        "RMSNormalization": {},
        "ReLU": {},
        "RepeatVector": {"n": 2},
        "Rescaling": {"scale": 2.0},
        "Reshape": {"target_shape": (2, 3)},
        "Softmax": {},
        "SpectralNormalization": {"layer": lambda: layers.Dense(3)},
        "UnitNormalization": {},
        **{
            name: {}
            for name in (
                "Add",
                "Average",
                "Concatenate",
                "Maximum",
                "Minimum",
                "Multiply",
                "Subtract",
            )
        },
        "Dot": {"axes": 1},
    },
    "sequence": {
        "AdaptiveAveragePooling1D": {"output_size": 2},
        "AdaptiveMaxPooling1D": {"output_size": 2},
        "AdditiveAttention": {},
        "Attention": {"use_scale": True},
        "AveragePooling1D": {"pool_size": 2},
        "Conv1D": {"filters": 2, "kernel_size": 3},
        "Conv1DTranspose": {"filters": 2, "kernel_size": 3},
        "Cropping1D": {},
        "DepthwiseConv1D": {"kernel_size": 3},
        "GlobalAveragePooling1D": {},
        "GlobalMaxPooling1D": {},
        "GroupQueryAttention": {
            "head_dim": 2,
            "num_query_heads": 2,
            "num_key_value_heads": 1,
        },
        "GroupedQueryAttention": {
            "head_dim": 2,
            "num_query_heads": 2,
            "num_key_value_heads": 1,
        },
        "Masking": {},
        "MaxPooling1D": {},
        "MultiHeadAttention": {"num_heads": 2, "key_dim": 2},
        "Permute": {"dims": (2, 1)},
        "SeparableConv1D": {"filters": 2, "kernel_size": 3},
        "SpatialDropout1D": {"rate": 0.2},
        "TimeDistributed": {"layer": lambda: layers.Dense(2)},
        "UpSampling1D": {},
        "ZeroPadding1D": {},
    },
    "recurrent": {
        "Bidirectional": {"layer": lambda: layers.LSTM(2)},
        "GRU": {"units": 2},
        "LSTM": {"units": 2},
        "RNN": {"cell": lambda: layers.LSTMCell(2)},
        "SimpleRNN": {"units": 2},
    },
    "image": {
        "AdaptiveAveragePooling2D": {"output_size": 2},
        "AdaptiveMaxPooling2D": {"output_size": 2},
        "AveragePooling2D": {"pool_size": 2},
        "CenterCrop": {"height": 4, "width": 4},
        "Conv2D": {"filters": 2, "kernel_size": 3},
        "Conv2DTranspose": {"filters": 2, "kernel_size": 3},
        "Cropping2D": {},
        "DepthwiseConv2D": {"kernel_size": 3},
        "GlobalAveragePooling2D": {},
        "GlobalMaxPooling2D": {},
        "MaxPooling2D": {},
        "Resizing": {"height": 4, "width": 4},
        "SeparableConv2D": {"filters": 2, "kernel_size": 3},
        "SpatialDropout2D": {"rate": 0.2},
        "UpSampling2D": {},
        "ZeroPadding2D": {},
    },
    "augmented": {
        "AugMix": {"value_range": (0, 1)},
        "AutoContrast": {"value_range": (0, 1)},
        "ContrastLimitedAdaptiveHistogramEqualization": {
            "value_range": (0, 1),
            "tile_grid_size": (2, 2),
        },
        "Equalization": {"value_range": (0, 1)},
        "RandAugment": {"value_range": (0, 1)},
        "RandomBrightness": {"factor": 0.2, "value_range": (0, 1)},
        "RandomColorDegeneration": {"factor": 0.2, "value_range": (0, 1)},
        "RandomColorJitter": {"value_range": (0, 1), "hue_factor": 0.1},
        "RandomContrast": {"factor": 0.2, "value_range": (0, 1)},
        "RandomCrop": {"height": 8, "width": 8},
        "RandomElasticTransform": {"value_range": (0, 1)},
        "RandomErasing": {"value_range": (0, 1)},
        "RandomFlip": {},
        "RandomGaussianBlur": {"value_range": (0, 1)},
        "RandomGrayscale": {},
        "RandomHue": {"factor": 0.2, "value_range": (0, 1)},
        "RandomInvert": {"value_range": (0, 1)},
        "RandomPerspective": {},
        "RandomPosterization": {"factor": 4, "value_range": (0, 1)},
        "RandomRotation": {"factor": 0.2},
        "RandomSaturation": {"factor": 0.2, "value_range": (0, 1)},
        "RandomSharpness": {"factor": 0.2, "value_range": (0, 1)},
        "RandomShear": {"x_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
        "Solarization": {"value_range": (0, 1)},
    },
    "volume": {
        "AdaptiveAveragePooling3D": {"output_size": 2},
        "AdaptiveMaxPooling3D": {"output_size": 2},
        "AveragePooling3D": {"pool_size": 2},
        "Conv3D": {"filters": 2, "kernel_size": 2},
        "Conv3DTranspose": {"filters": 2, "kernel_size": 2},
        "Cropping3D": {},
        "GlobalAveragePooling3D": {},
        "GlobalMaxPooling3D": {},
        "MaxPooling3D": {},
        "SpatialDropout3D": {"rate": 0.2},
        "UpSampling3D": {},
        "ZeroPadding3D": {},
    },
    # Beside a dense input, which is the one that is masked.
    "ids": {
        "CategoryEncoding": {"num_tokens": 9, "output_mode": "multi_hot"},
        "Embedding": {"input_dim": 9, "output_dim": 2},
        "ReversibleEmbedding": {"input_dim": 9, "output_dim": 2},
    },
    "signal": {
        "MelSpectrogram": {
            "fft_length": 16,
            "sequence_stride": 8,
            "sampling_rate": 800,
            "num_mel_bins": 4,
            "min_freq": 10,
        },
    },
    "sound": {
        "STFTSpectrogram": {
            "frame_length": 8,
            "frame_step": 8,
            "fft_length": 8,
        },
    },
    "recurrent_image": {"ConvLSTM1D": {"filters": 2, "kernel_size": 2}},
    "recurrent_video": {"ConvLSTM2D": {"filters": 2, "kernel_size": 2}},
    "recurrent_volume": {"ConvLSTM3D": {"filters": 1, "kernel_size": 2}},
}
OF_SEVERAL = {
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
}
OF_TWO = {
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "MultiHeadAttention",
}

LEFT_OUT = {
    **dict.fromkeys(("Layer", "Wrapper", "InputLayer"), "do nothing alone"),
    **dict.fromkeys(
        ("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"),
        "parts of the recurrent layers, which are tried",
    ),
    **dict.fromkeys(
        ("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
        "hold a model of one framework",
    ),
    **dict.fromkeys(
        (
            "Hashing",
            "HashedCrossing",
            "IntegerLookup",
            "StringLookup",
            "TextVectorization",
        ),
        "prepare data, in TensorFlow on every backend",
    ),
    **dict.fromkeys(
        ("CutMix", "MixUp", "Mosaic", "MaxNumBoundingBoxes"),
        "change labels or boxes beside the images: for data sets",
    ),
}


# What a guided model does not train yet, although plain Keras does.
FAULTS = {
    # PyTorch: what these layers compute again is not what they computed first,
    # since they draw at random which operations they run.
    ("torch", "rematerialised"): {"Pipeline"},
}
if keras.__version__.startswith("3.12."):
    # This Keras also writes into the input, whose gradient is asked for.
    FAULTS["torch", "rematerialised"] |= {"AugMix", "RandomBrightness"}


def public_layers():
    """The layer classes of the installed Keras, one name for each."""
    classes = {}
    for name, cls in inspect.getmembers(layers, inspect.isclass):
        if issubclass(cls, layers.Layer) and cls.__name__ == name:
            classes[name] = cls
    return classes


def test_no_layer_of_keras_is_forgotten():
    tried = {name for kind in TABLE.values() for name in kind}
    assert set(public_layers()) <= tried | set(LEFT_OUT)


def built(name, arguments, variant):
    made = {}
    for key, value in arguments.items():
        if isinstance(value, list):
            value = [v() if inspect.isfunction(v) else v for v in value]
        lazy = inspect.isfunction(value) and key != "function"
        made[key] = value() if lazy else value
    cls = getattr(layers, name)
    if variant != "rematerialised":
        return cls(**made)
    with keras.RematScope("full"):
        return cls(**made)


def changed(layer, variant):
    """The layer, built, as the variant has it; `False` if it has none."""
    if variant == "frozen":
        layer.trainable = False
        return bool(layer.weights)
    if variant == "int8":
        try:
            layer.quantize("int8")
        except (NotImplementedError, AttributeError, ValueError):
            return False
    if variant == "LoRA":
        if not hasattr(layer, "enable_lora"):
            return False
        layer.enable_lora(2)
    return True


def network(kind, names, variant):
    """All layers side by side, and what one layer of them makes of that."""
    x = keras.Input(SHAPES[kind], name="x")
    inputs, before = {"x": x}, x
    if kind == "ids":
        before = keras.Input(SHAPES[kind], dtype="int32", name="ids")
        inputs["ids"] = before
    outputs = [layers.Dense(2)(layers.Flatten()(x))]
    for name in names:
        layer = built(name, TABLE[kind][name], variant)
        if name in OF_SEVERAL:
            output = layer([before, before])
        else:
            output = layer(*[before] * (1 + (name in OF_TWO)))
        if changed(layer, variant):
            outputs.append(layers.Flatten()(output))
    if len(outputs) == 1:
        return None
    joined = layers.concatenate(outputs)
    return keras.Model(inputs, layers.Dense(2)(joined))


def trained(kind, model):
    """Two steps."""
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    rng = np.random.default_rng(0)
    x = {"x": rng.random((2 * BATCH, *SHAPES[kind]), dtype="float32")}
    if kind == "ids":
        x["ids"] = rng.integers(0, 9, (2 * BATCH, 5)).astype("int32")
    history = model.fit(
        x, np.arange(2 * BATCH) % 2, batch_size=BATCH, verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()
    return history


def guided(model, variant):
    return keras_sgt.SaliencyGuidedModel(
        model,
        masking=keras_sgt.masking.FeatureMasking(inputs="x"),
        batch_fraction=1.0 if variant == "plain" else 0.5,
    )


def plain_trains(kind, names, variant):
    try:
        trained(kind, network(kind, names, variant))
    except Exception:
        return False
    return True


def fails(kind, name, variant):
    """What the guided model raises where the plain one does not."""
    if not plain_trains(kind, [name], variant):
        return None
    try:
        trained(kind, guided(network(kind, [name], variant), variant))
    except Exception as error:
        return f"{name}: {type(error).__name__}: {str(error)[:300]}"


VARIANTS = ("plain", "frozen", "int8", "LoRA", "rematerialised")
# Compiling takes minutes: `pytest -m slow` tries the rest.
TRACED = keras.backend.backend() != "torch"
QUICK = {"frozen": {"vector", "ids"}, "rematerialised": {"recurrent"}}


def cases():
    for variant in VARIANTS:
        for kind in TABLE:
            slow = TRACED and kind not in QUICK.get(variant, ())
            slow = slow and (variant != "plain" or kind == "augmented")
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(kind, variant, marks=marks)


@pytest.mark.parametrize(("kind", "variant"), cases())
def test_two_guided_steps(kind, variant):
    faults = FAULTS.get((keras.backend.backend(), variant), set())
    names = [n for n in TABLE[kind] if n in public_layers() and n not in faults]
    model = network(kind, names, variant)
    if model is None:
        return  # no layer of this kind has such a variant
    try:
        history = trained(kind, guided(model, variant))
    except Exception:
        errors = [fails(kind, name, variant) for name in names]
        errors = [error for error in errors if error is not None]
        assert not errors, "\n".join(errors)
        # Such as rematerialised layers of Keras 3.15 on JAX 0.10.
        if not plain_trains(kind, names, variant):
            return
        raise
    assert history["divergence"][0] > 0
