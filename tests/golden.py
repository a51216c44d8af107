"""What was computed outside of this package, beside what it computes now.

The folder `KERAS_SGT_GOLDEN` holds the numbers of the original authors' code
for one training step, and files that keras_sgt 0.1.0 saved.
"""

import json
import os
import pathlib
import tempfile
import zipfile

import keras
import numpy as np
from keras import layers

import keras_sgt

FOLDER = os.environ.get("KERAS_SGT_GOLDEN")
RANKINGS = {"signed": "signed", "absolute": "abs"}
SAVED = ("images", "words")


class Given(keras_sgt.masking.Replacement):
    """Puts the draws that the authors' run made, and keeps what it saw."""

    def __init__(self, draws):
        super().__init__()
        self.draws = draws.astype("float32")

    def call(self, inputs, mask, saliency):
        self.mask, self.ranked = mask, saliency
        low = keras.ops.min(inputs, axis=(1, 2, 3), keepdims=True)
        high = keras.ops.max(inputs, axis=(1, 2, 3), keepdims=True)
        return low + (high - low) * keras.ops.array(self.draws)


def numbers():
    return dict(np.load(pathlib.Path(FOLDER) / "sgt_step.npz"))


def network(golden, precision):
    """The authors' MNIST network, channels last, with the golden weights."""
    keras.config.set_dtype_policy(precision)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu", name="conv1"),
            layers.Conv2D(64, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", name="fc1"),
            layers.Dense(10, activation="log_softmax", name="fc2"),
        ]
    )
    keras.config.set_dtype_policy("float32")
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(keras_layout(golden, "weight", layer.name))
    return model


def keras_layout(golden, kind, name):
    weight = golden[f"{kind}/{name}.weight"]
    if name.startswith("conv"):
        weight = weight.transpose(2, 3, 1, 0)
    elif name == "fc1":  # flattened as channels, rows, columns
        weight = weight.reshape(-1, 64, 12, 12).transpose(2, 3, 1, 0)
        weight = weight.reshape(9216, -1)
    else:
        weight = weight.T
    return weight, golden[f"{kind}/{name}.bias"]


def deviation(actual, expected):
    """The largest difference, as a share of the largest expected value.

    Single entries may cancel to nearly 0.
    """
    actual = keras.ops.convert_to_numpy(actual)
    return np.abs(actual - expected).max() / np.abs(expected).max()


def step(golden, ranking, precision):
    """Yields what one guided step gives: name, ours, the authors'."""
    group = RANKINGS[ranking]
    expected = {
        key.removeprefix(group + "/"): value
        for key, value in golden.items()
        if key.startswith(group + "/")
    }
    x = golden["x"].astype("float32")[..., None]
    y = golden["y"].astype("int32")
    model = network(golden, precision)
    replacement = Given(golden["replacement_draws"][..., None])
    guided = keras_sgt.SaliencyGuidedModel(
        model,
        mask_fraction=float(golden["mask_fraction"]),
        masking=keras_sgt.masking.FeatureMasking(
            ranking=ranking, replacement=replacement
        ),
    )
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile("sgd", crossentropy, run_eagerly=True)
    guided.mask_on_batch(x, y)
    ranked = expected["saliency"][..., None]
    ranked = np.abs(ranked) if ranking == "absolute" else ranked
    yield "ranking", replacement.ranked, ranked
    mask = keras.ops.convert_to_numpy(replacement.mask)
    yield "mask", mask[..., 0].astype(int), expected["mask"].astype(int)

    guided.compile(keras.optimizers.SGD(1.0), crossentropy)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    masked = guided.mask_on_batch(x, y)
    yield "masked input", masked[..., 0], expected["masked_input"]
    yield "outputs", model(x, training=False), expected["log_probs"]
    masked_outputs = model(masked, training=False)
    yield "masked outputs", masked_outputs, expected["masked_log_probs"]

    logs = guided.train_on_batch(x, y, return_dict=True)
    yield "divergence", logs["divergence"], expected["kl"]
    yield "loss", logs["loss"], expected["loss"]
    supervised = logs["loss"] - logs["divergence"]
    yield "supervised loss", supervised, expected["cross_entropy"]
    for name, old in before.items():
        if old:
            new = model.get_layer(name).get_weights()
            gradients = [a - b for a, b in zip(old, new)]
            yield from _of_layer(golden, f"{group}/grad", name, gradients)


def _of_layer(golden, kind, name, gradients):
    kernel, bias = gradients
    if name != "fc1":
        expected, expected_bias = keras_layout(golden, kind, name)
        yield f"gradient of {name}", kernel, expected
        yield f"gradient of {name}", bias, expected_bias
        return
    # Of its kernel the norm and the first four rows are stored.
    rows = kernel.reshape(12, 12, 64, 128).transpose(3, 2, 0, 1)
    first = golden[f"{kind}/fc1.weight/first_rows"]
    norm = golden[f"{kind}/fc1.weight/norm"]
    yield f"gradient of {name}", rows.reshape(128, -1)[: len(first)], first
    yield f"gradient of {name}", np.linalg.norm(kernel), norm
    yield f"gradient of {name}", bias, golden[f"{kind}/fc1.bias"]


def saved(name):
    """A model that keras_sgt 0.1.0 saved, inputs, labels, its predictions."""
    folder = pathlib.Path(FOLDER) / "saved_0.1.0"
    with tempfile.TemporaryDirectory() as temporary:
        file = folder / f"{name}.keras"
        if _version(keras.__version__) < SAVED_WITH:
            file = _for_older_keras(file, temporary)
        model = keras.models.load_model(file)
    # Saved where Keras compiles by XLA; `torch.compile` would take minutes.
    model.jit_compile = False
    expected = np.load(folder / "expected.npz")
    x, y, predictions = (expected[f"{name}_{k}"] for k in ("x", "y", "pred"))
    return model, x, y, predictions


# Settings of Keras's layers and initializers that 3.12 did not have, all at
# defaults that change nothing: an older Keras refuses its own layers for them.
SAVED_WITH = (3, 15)
_NEWER = {
    *("input_axes", "output_axes", "quantization_config"),
    *("renorm", "renorm_clipping", "renorm_momentum"),
}


def _version(text):
    return tuple(int(part) for part in text.split(".")[:2])


def _for_older_keras(file, folder):
    """A copy of a saved model that names no settings newer than Keras 3.12."""
    copy = pathlib.Path(folder) / file.name
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = json.dumps(_without(_NEWER, json.loads(content)))
            new.writestr(name, content)
    return copy


def _without(names, config):
    if isinstance(config, dict):
        return {
            key: _without(names, value)
            for key, value in config.items()
            if key not in names
        }
    if isinstance(config, list):
        return [_without(names, value) for value in config]
    return config
