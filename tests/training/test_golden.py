"""One training step against numbers read off the original authors' code."""

import os

import keras
import numpy as np
import pytest
from keras import layers

import keras_sgt

FOLDER = os.environ.get("KERAS_SGT_GOLDEN")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="KERAS_SGT_GOLDEN, the folder of sgt_step.npz, not set"
)


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


@pytest.fixture(scope="module")
def golden():
    path = os.path.join(FOLDER, "sgt_step.npz")
    return dict(np.load(path))


def network(golden):
    """The authors' MNIST network, channels last, with the golden weights."""
    # The golden numbers are float64. In float32 it depends on the processor
    # which of two nearly equal values a pooling takes, and with it a patch of
    # the saliency. JAX has no float64 unless the whole process has.
    precision = "float32" if keras.backend.backend() == "jax" else "float64"
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


def close(actual, expected, relative=1e-4):
    """To 1e-4 of the largest value: single entries may cancel to nearly 0."""
    actual = keras.ops.convert_to_numpy(actual)
    limit = relative * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize(
    ("ranking", "group"), [("signed", "signed"), ("absolute", "abs")]
)
def test_step_of_the_authors(golden, ranking, group):
    expected = {
        key.removeprefix(group + "/"): value
        for key, value in golden.items()
        if key.startswith(group + "/")
    }
    x = golden["x"].astype("float32")[..., None]
    y = golden["y"].astype("int32")
    model = network(golden)
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
    close(replacement.ranked, np.abs(ranked) if group == "abs" else ranked)
    mask = keras.ops.convert_to_numpy(replacement.mask)
    np.testing.assert_array_equal(mask[..., 0], expected["mask"])

    guided.compile(keras.optimizers.SGD(1.0), crossentropy)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    masked = guided.mask_on_batch(x, y)
    close(masked[..., 0], expected["masked_input"])
    close(model(x, training=False), expected["log_probs"])
    close(model(masked, training=False), expected["masked_log_probs"])

    logs = guided.train_on_batch(x, y, return_dict=True)
    close(logs["divergence"], expected["kl"])
    close(logs["loss"], expected["loss"])
    close(logs["loss"] - logs["divergence"], expected["cross_entropy"])
    for name, old in before.items():
        if not old:
            continue
        gradients = [
            a - b for a, b in zip(old, model.get_layer(name).get_weights())
        ]
        if name == "fc1":
            check_fc1(golden, group, gradients)
        else:
            kernel, bias = keras_layout(golden, f"{group}/grad", name)
            close(gradients[0], kernel)
            close(gradients[1], bias)


def check_fc1(golden, group, gradients):
    """Its kernel is stored as a norm and the first four rows."""
    kernel, bias = gradients
    rows = kernel.reshape(12, 12, 64, 128).transpose(3, 2, 0, 1)
    stored = {k: v for k, v in golden.items() if f"{group}/grad/fc1.w" in k}
    for _key, value in stored.items():
        if value.ndim == 0:
            close(np.linalg.norm(kernel), value)
        else:
            close(rows.reshape(128, -1)[: len(value)], value)
    assert stored
    close(bias, golden[f"{group}/grad/fc1.bias"])
