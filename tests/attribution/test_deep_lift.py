"""DeepLIFT's rescale rule against NumPy, and what is said where it has none."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.attribution import DeepLIFT, DeepSHAP, Gradient, SmoothGrad

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4))
BASE = RNG.normal(size=(8, 4))
KERNEL, OUT = RNG.normal(size=(4, 5)), RNG.normal(size=(5, 1))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# A function of Keras and the same one in NumPy.
FUNCTIONS = {
    "relu": (ops.relu, lambda z: np.maximum(z, 0)),
    "activations.relu": (
        lambda z: keras.activations.relu(z, negative_slope=0.1, max_value=1),
        lambda z: np.minimum(np.where(z > 0, z, 0.1 * z), 1),
    ),
    "sigmoid": (ops.sigmoid, sigmoid),
    "tanh": (ops.tanh, np.tanh),
    "elu": (ops.elu, lambda z: np.where(z > 0, z, np.expm1(z))),
    "gelu": (
        lambda z: ops.gelu(z, approximate=True),
        lambda z: (
            z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        ),
    ),
    "silu": (keras.activations.silu, lambda z: z * sigmoid(z)),
    "softplus": (ops.softplus, lambda z: np.log1p(np.exp(z))),
    "maximum": (lambda z: ops.maximum(z, 0.3), lambda z: np.maximum(z, 0.3)),
    "minimum": (
        lambda z: ops.minimum(np.float32(0.3), z),
        lambda z: np.minimum(z, 0.3),
    ),
    "clip": (lambda z: ops.clip(z, -0.5, 0.5), lambda z: np.clip(z, -0.5, 0.5)),
    "square": (lambda z: z**2, lambda z: z**2),
    "reciprocal": (lambda z: 1 / (9 + z), lambda z: 1 / (9 + z)),
}


def functional(function):
    inputs = keras.Input((4,))
    hidden = function(layers.Dense(5, use_bias=False)(inputs))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(hidden))
    model.set_weights([KERNEL, OUT])
    return model


def rescaled(function, x=X, base=BASE):
    """The rule in NumPy: weights times Δoutput / Δinput of each unit."""
    z, z0 = x @ KERNEL, base @ KERNEL
    multipliers = (function(z) - function(z0)) / (z - z0) * OUT[:, 0]
    return (x - base) * (multipliers @ KERNEL.T)


class OfOneFunction(keras.Model):
    """The same network, with the function hidden inside of `call`."""

    def __init__(self, function):
        super().__init__()
        self.first = layers.Dense(5, use_bias=False)
        self.last = layers.Dense(1, use_bias=False)
        self.function = function

    def call(self, x):
        return self.last(self.function(self.first(x)))


def subclassed(function):
    model = OfOneFunction(function)
    model(X.astype("float32"))
    model.set_weights([KERNEL, OUT])
    return model


class TestOperations:
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_the_rule_of_an_operation(self, name):
        function, in_numpy = FUNCTIONS[name]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = DeepLIFT(functional(function), baselines=BASE)(X)
        np.testing.assert_allclose(
            found, rescaled(in_numpy), rtol=1e-3, atol=1e-4
        )

    def test_a_layer_has_the_same_rule(self):
        by_layer = functional(layers.ReLU())
        np.testing.assert_allclose(
            DeepLIFT(functional(ops.relu), baselines=BASE)(X),
            DeepLIFT(by_layer, baselines=BASE)(X),
            rtol=1e-5,
        )

    def test_several_baselines(self):
        found = DeepSHAP(functional(ops.tanh), baselines=BASE)(X[:2])
        expected = [rescaled(np.tanh, x, BASE).mean(0) for x in X[:2]]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    def test_in_a_model_inside_a_model(self):
        inside = functional(ops.relu)
        inputs = keras.Input((4,))
        found = DeepLIFT(
            keras.Model(inputs, 2 * inside(inputs)), baselines=BASE
        )(X)
        expected = 2 * rescaled(lambda z: np.maximum(z, 0))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("operation", [ops.max_pool, ops.max])
    def test_maxima(self, operation):
        inputs = keras.Input((6, 2))
        hidden = layers.Conv1D(3, 2, padding="same")(inputs)
        if operation is ops.max:
            hidden = ops.max(hidden, axis=1)
        else:
            hidden = layers.Flatten()(ops.max_pool(hidden, (2,), (2,)))
        model = keras.Model(inputs, layers.Dense(1)(hidden))
        x, base = RNG.normal(size=(2, 5, 6, 2))
        found, delta = DeepLIFT(
            model, baselines=base, return_convergence_delta=True
        )(x)
        assert abs(delta).max() < 1e-4 < abs(found).max()

    def test_a_softmax(self):
        """As the layer's."""
        maps = [
            DeepLIFT(functional(softmax), baselines=BASE)(X)
            for softmax in (ops.softmax, layers.Softmax())
        ]
        np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-6)

    def test_what_takes_two_values_is_named(self):
        def function(z):
            return ops.where(z > 0, z, z * z)

        with pytest.warns(UserWarning, match=r"no rule.*\(Multiply\)") as told:
            DeepLIFT(functional(function))
        assert any("(Where)" in str(warning.message) for warning in told)


class TestGap:
    """Attributions that do not add up are a warning with the number."""

    @pytest.mark.parametrize("function", [ops.relu, keras.activations.relu])
    def test_a_function_inside_of_call(self, function):
        model = subclassed(function)
        method = DeepLIFT(model, baselines=BASE)
        with pytest.warns(UserWarning, match="do not add up") as told:
            found = method(X)
        # It is the gradient, so that the gap is known.
        by_gradient = (X - BASE) * Gradient(model)(X)
        np.testing.assert_allclose(found, by_gradient, rtol=1e-4, atol=1e-5)
        relu = [np.maximum(v @ KERNEL, 0) @ OUT[:, 0] for v in (X, BASE)]
        change = relu[0] - relu[1]
        gap = abs(by_gradient.sum(1) - change).sum() / abs(change).sum()
        assert gap > 0.02
        messages = " ".join(str(warning.message) for warning in told)
        assert f"miss {gap:.2g} of the change" in messages

    def test_also_inside_of_another_method(self):
        method = SmoothGrad(
            DeepLIFT(subclassed(ops.relu), baselines=BASE), nt_samples=2
        )
        with pytest.warns(UserWarning, match="DeepLIFT do not add up"):
            method(X)
        with pytest.warns(UserWarning, match="DeepSHAP do not add up"):
            DeepSHAP(subclassed(ops.relu), BASE)(X)

    def test_none_where_all_is_treated(self):
        model = subclassed(layers.ReLU())
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = DeepLIFT(model, baselines=BASE)(X)
            DeepSHAP(model, BASE, multiply_by_inputs=False)(X)
        expected = rescaled(lambda z: np.maximum(z, 0))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    def test_a_low_precision_is_none(self):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8, "relu", dtype="mixed_bfloat16"),
                layers.Dense(3, dtype="mixed_bfloat16"),
            ]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            DeepLIFT(model, baselines=BASE)(X)


class TestNamed:
    @pytest.mark.parametrize("masking", ["features", "subclass"])
    def test_a_guided_models_masking_is_not(self, masking):
        class Guided(keras_sgt.SaliencyGuidedModel):
            def __init__(self):
                super().__init__()
                self.first = layers.Dense(5, "relu", use_bias=False)
                self.last = layers.Dense(1, use_bias=False)

            def call(self, x, training=None):
                return self.last(self.first(x))

        if masking == "subclass":
            guided = Guided()
            guided(X.astype("float32"))
            guided.set_weights([KERNEL, OUT, *guided.get_weights()[2:]])
        else:
            guided = keras_sgt.SaliencyGuidedModel(functional(ops.relu))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = DeepLIFT(guided, baselines=BASE)(X)
        expected = rescaled(lambda z: np.maximum(z, 0))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(
        "layer",
        [
            layers.LayerNormalization(),
            layers.UnitNormalization(),
            layers.Lambda(ops.square),
            layers.Dense(4, "log_softmax", name="log"),
            layers.Masking(),
        ],
    )
    def test_every_layer_that_has_no_rule(self, layer):
        model = keras.Sequential(
            [keras.Input((4, 4)), layer, layers.Flatten(), layers.Dense(2)]
        )
        with pytest.warns(UserWarning, match=rf"{layer.name} \("):
            DeepLIFT(model)

    def test_linear_layers_are_not(self):
        model = keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                layers.Rescaling(0.5),
                layers.RandomFlip(),
                layers.ZeroPadding2D(1),
                layers.Conv2D(3, 3),
                layers.BatchNormalization(),
                layers.SpatialDropout2D(0.1),
                layers.UpSampling2D(),
                layers.AveragePooling2D(2),
                layers.Cropping2D(1),
                layers.Permute((2, 1, 3)),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
        x = RNG.normal(size=(3, 8, 8, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = DeepLIFT(model)(x, 0)
        np.testing.assert_allclose(
            found, x * Gradient(model)(x, 0), rtol=1e-3, atol=1e-5
        )
