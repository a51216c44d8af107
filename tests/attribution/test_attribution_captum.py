"""Attributions equal Captum's, on every backend: see captum_reference.py."""

import pathlib
import runpy

import keras
import numpy as np
import pytest
from keras import layers

from keras_sgt import attribution

FOLDER = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def reference():
    with np.load(FOLDER / "captum_reference.npz") as arrays:
        return dict(arrays)


def perceptron():
    return keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(16, "relu"),
            layers.Dense(12, "tanh"),
            layers.Dense(3, "softmax"),
        ]
    )


def pooled():
    inputs = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.ReLU(name="last")(layers.Conv2D(5, 3)(x))
    x = layers.Flatten()(layers.Dropout(0.5)(x))
    x = layers.Activation("sigmoid")(layers.Dense(8)(x))
    return keras.Model(inputs, layers.Dense(3, "softmax")(x))


def residual():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, activation="relu", padding="same")(inputs)
    branch = layers.Conv2D(6, 3, padding="same", name="last")(x)
    x = layers.Add()([x, layers.BatchNormalization()(branch)])
    x = layers.GlobalAveragePooling2D()(layers.Activation("relu")(x))
    return keras.Model(inputs, layers.Dense(3)(x))


def recurrent():
    return keras.Sequential(
        [keras.Input((6, 3)), layers.LSTM(5), layers.Dense(3, "softmax")]
    )


def transformer():
    inputs = keras.Input((6, 4))
    x = layers.Dense(8)(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    x = layers.LayerNormalization(epsilon=1e-3)(x)
    x = layers.Add()([x, layers.Dense(8, "relu")(x)])
    x = layers.LayerNormalization(epsilon=1e-3)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def words():
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(20, 6),
            layers.Conv1D(5, 3, activation="tanh"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, "softmax"),
        ]
    )


NETWORKS = {
    f.__name__: f
    for f in (perceptron, pooled, residual, recurrent, transformer, words)
}


def methods(network, given):
    """Our methods, by Captum's name, with the settings of the reference."""
    sample = given("x").shape[1:]
    one, several = given("baselines"), given("several")
    window = (2,) * len(sample)
    groups = np.arange(np.prod(sample)).reshape(sample) // 3
    a = attribution
    found = {
        "gradient": (a.Gradient, {}),
        "input_x_gradient": (a.InputXGradient, {}),
        "integrated_gradients": (
            a.IntegratedGradients,
            {"baselines": one, "n_steps": 20},
        ),
        "deep_lift": (a.DeepLIFT, {"baselines": one}),
        "deep_shap": (a.DeepSHAP, {"baselines": several}),
        "feature_ablation": (
            a.FeatureAblation,
            {"baselines": one, "feature_mask": groups},
        ),
        "occlusion": (
            a.Occlusion,
            {
                "sliding_window_shapes": window,
                "strides": window,
                "baselines": 0.5,
            },
        ),
        "occlusion_overlapping": (
            a.Occlusion,
            {"sliding_window_shapes": window, "baselines": one},
        ),
    }
    for rule in ("left", "right", "middle", "trapezoid"):
        found[f"riemann_{rule}"] = (
            a.IntegratedGradients,
            {"baselines": one, "n_steps": 7, "method": f"riemann_{rule}"},
        )
    if network in ("pooled", "residual"):
        found["grad_cam"] = (a.GradCAM, {"conv_layer": "last"})
    return found


def with_weights(network, reference):
    model = NETWORKS[network]()
    count = sum(key.startswith(f"{network}/weight") for key in reference)
    model.set_weights(
        [reference[f"{network}/weight_{i}"] for i in range(count)]
    )
    return model


@pytest.mark.filterwarnings("ignore:Deep.* has no rule")
@pytest.mark.parametrize(
    "network", ["perceptron", "pooled", "residual", "recurrent", "transformer"]
)
@pytest.mark.parametrize(
    "batch_size", [4, pytest.param(48, marks=pytest.mark.slow_to_compile)]
)
def test_equals_captum(network, batch_size, reference):
    def given(name):
        return reference[f"{network}/{name}"]

    model = with_weights(network, reference)
    for name, (method, options) in methods(network, given).items():
        found = method(model, **options)(
            given("x"), given("target"), batch_size
        )
        assert found.dtype == "float32"
        assert_equal(found, given(name), name)


def assert_equal(found, expected, name):
    scale = abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale, err_msg=name)


def test_words_equal_captum(reference):
    model = with_weights("words", reference)
    x, target = reference["words/x"], reference["words/target"]
    path = attribution.IntegratedGradients
    for name, method in {
        "gradient": attribution.Gradient(model),
        "gradient_l2": attribution.Gradient(model, pooling="l2"),
        "integrated_gradients": path(model, baselines=3, n_steps=20),
        "feature_ablation": attribution.FeatureAblation(model, baselines=3),
    }.items():
        assert_equal(method(x, target), reference[f"words/{name}"], name)


def test_deep_lift_of_a_probability_equals_captum(reference):
    model = with_weights("perceptron", reference)
    method = attribution.DeepLIFT(
        model, reference["perceptron/baselines"], score="probability"
    )
    found = method(reference["perceptron/x"], reference["perceptron/target"])
    assert_equal(
        found, reference["perceptron/deep_lift_of_probability"], "softmax"
    )


@pytest.mark.parametrize("name", ["smooth_grad", "gradient_shap"])
def test_random_methods_have_captums_mean(name, reference):
    model = with_weights("perceptron", reference)
    options = {"nt_samples": 2000, "stdevs": 0.5}
    method = attribution.SmoothGrad
    if name == "gradient_shap":
        several = reference["perceptron/several"]
        options = {"n_samples": 2000, "stdevs": 0.3, "baselines": several}
        method = attribution.GradientSHAP
    found = method(model, seed=0, **options)(
        reference["perceptron/x"], reference["perceptron/target"], 512
    )
    # Captum's are of 4,000 draws, so ours err √2 as much.
    error = reference[f"perceptron/{name}_error"] * 3**0.5
    off = abs(found - reference[f"perceptron/{name}"]) / error
    assert (off < 3).mean() > 0.95  # 99.7 % of normal errors
    assert off.max() < 4.5


def test_the_reference_is_what_captum_gives(reference, tmp_path):
    pytest.importorskip("captum", reason="Captum runs beside PyTorch only")
    script = runpy.run_path(str(FOLDER / "captum_reference.py"))
    script["main"].__globals__["FILE"] = tmp_path / "again.npz"
    script["main"]()
    with np.load(tmp_path / "again.npz") as again:
        assert set(again) == set(reference)
        for name, values in reference.items():
            scale = abs(values).max()
            np.testing.assert_allclose(
                again[name], values, atol=1e-5 * scale, err_msg=name
            )
