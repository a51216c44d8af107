"""Attribution methods: closed forms, axioms, what goes in, what is refused."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny_models import Images, linear, softmax

import keras_sgt
from keras_sgt import attribution
from keras_sgt.attribution import (
    DeepLIFT,
    DeepSHAP,
    FeatureAblation,
    GradCAM,
    Gradient,
    GradientSHAP,
    InputXGradient,
    IntegratedGradients,
    Occlusion,
    PermutedFeatures,
    Random,
    SmoothGrad,
    TemporalRescaling,
)

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(5, 3))
X = RNG.normal(size=(7, 5)).astype("float32")
TARGET = np.arange(7) % 3


def test_of_a_linear_model():
    """Every method says weight, or weight times difference."""
    model, base = linear(WEIGHTS), RNG.normal(size=(4, 5)).astype("float32")
    weight = WEIGHTS.T[TARGET]
    close = {"rtol": 1e-4, "atol": 1e-5}

    def check(method, expected):
        np.testing.assert_allclose(method(X, TARGET), expected, **close)

    check(Gradient(model), weight)
    check(SmoothGrad(model, nt_samples=3), weight)
    check(SmoothGrad(model, "smoothgrad_sq", nt_samples=3), weight**2)
    check(SmoothGrad(model, "vargrad", nt_samples=3), 0 * weight)
    check(InputXGradient(model), weight * X)
    for method in (IntegratedGradients, DeepLIFT, FeatureAblation):
        check(method(model, baselines=base[0]), weight * (X - base[0]))
        check(method(model, baselines=X[::-1]), weight * (X - X[::-1]))
        check(method(model, baselines=lambda x: x + 1), -weight)
    check(DeepSHAP(model, baselines=base), weight * (X - base.mean(0)))
    check(GradientSHAP(model, baselines=2.0), weight * (X - 2))
    check(Occlusion(model, 1), weight * X)
    for method in (IntegratedGradients, DeepLIFT):
        plain = method(model, baselines=2.0, multiply_by_inputs=False)
        check(plain, weight)


@pytest.fixture(scope="module")
def trained():
    """A network trained to tell four quarters, and its images."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 120)
    x = rng.random((120, 8, 8, 1), dtype="float32")
    for image, label in zip(x, y):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 1
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(16, "sigmoid"),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x, y, epochs=25, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.9
    return model, x, y


def logits(model, x):
    """The logits of a softmax, up to their mean."""
    return np.log(model.predict(x, verbose=0).astype("float64"))


class TestCompleteness:
    """Attributions add up to the change of the score."""

    @pytest.mark.parametrize(
        ("method", "options", "tolerance"),
        [
            (IntegratedGradients, {"n_steps": 200}, 1e-2),
            (DeepLIFT, {}, 1e-4),
        ],
    )
    def test_of_a_trained_network(self, trained, method, options, tolerance):
        model, x, _ = trained
        x, base = x[:20], x[20:40]
        found, delta = method(
            model, baselines=base, return_convergence_delta=True, **options
        )(x, 1)
        # Differences of two classes know nothing of the logits' mean.
        other = method(model, baselines=base, **options)(x, 2)
        sums = (found - other).reshape(20, -1).sum(1)
        change = logits(model, x) - logits(model, base)
        change = change[:, 1] - change[:, 2]
        scale = abs(change).max()
        np.testing.assert_allclose(sums, change, atol=tolerance * scale)
        assert abs(delta).max() < tolerance * scale

    def test_of_a_probability(self, trained):
        model, x, _ = trained
        method = IntegratedGradients(model, n_steps=300, score="probability")
        sums = method(x[:5], 1).reshape(5, -1).sum(1)
        change = model.predict(x[:5]) - model.predict(0 * x[:5])
        np.testing.assert_allclose(sums, change[:, 1], atol=0.01)

    def test_deep_shap_and_gradient_shap(self, trained):
        model, x, _ = trained
        for method, tolerance in (
            (DeepSHAP(model, x[:6], return_convergence_delta=True), 1e-4),
            (
                GradientSHAP(
                    model,
                    x[:6],
                    n_samples=3000,
                    return_convergence_delta=True,
                    seed=0,
                ),
                0.1,
            ),
        ):
            found, delta = method(x[6:9], 0, batch_size=300)
            sums = found.reshape(3, -1).sum(1)
            assert abs(delta).max() < tolerance * max(1, abs(sums).max())

    def test_the_delta_is_what_is_missing(self):
        # x² from 0: two steps of the left rule see half of the path.
        model = squares()
        method = IntegratedGradients(
            model,
            n_steps=2,
            method="riemann_left",
            return_convergence_delta=True,
        )
        found, delta = method(np.full((1, 3), 2.0))
        np.testing.assert_allclose(found, [[2, 2, 2]], rtol=1e-5)
        np.testing.assert_allclose(delta, [6 - 12], rtol=1e-5)


@keras.saving.register_keras_serializable("test_attribution")
class Square(layers.Layer):
    def call(self, x):
        return x**2


def squares(shape=(3,)):
    """The sum of squares."""
    inputs = keras.Input(shape)
    outputs = layers.Flatten()(Square()(inputs))
    outputs = layers.Dense(1, use_bias=False)(outputs)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.ones((np.prod(shape), 1))])
    return model


def texts():
    """Two classes of the mean of six tokens' vectors."""
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )


class TestTargets:
    def test_none_is_the_predicted_class(self, trained):
        model, x, _ = trained
        method = IntegratedGradients(model, n_steps=5)
        predicted = model.predict(x[:9]).argmax(1)
        np.testing.assert_allclose(
            method(x[:9]), method(x[:9], predicted), rtol=1e-5
        )

    def test_one_hot_rows_and_columns(self):
        method = Gradient(linear(WEIGHTS))
        for target in (np.eye(3)[TARGET], TARGET[:, None], TARGET.astype("f4")):
            np.testing.assert_array_equal(method(X, target), method(X, TARGET))

    def test_a_callable(self):
        found = Gradient(linear(WEIGHTS))(X, lambda y: y[:, 0] - 2 * y[:, 2])
        expected = WEIGHTS[:, 0] - 2 * WEIGHTS[:, 2]
        np.testing.assert_allclose(
            found, np.tile(expected, (7, 1)), rtol=1e-4, atol=1e-6
        )

    def test_logits_by_default_probabilities_on_request(self):
        model = linear(WEIGHTS, "softmax")
        p = softmax(X @ WEIGHTS)
        np.testing.assert_allclose(
            Gradient(model)(X, 1), np.tile(WEIGHTS[:, 1], (7, 1)), rtol=1e-4
        )
        expected = p[:, 1:2] * (WEIGHTS[:, 1] - p @ WEIGHTS.T)
        for explained in (
            Gradient(model, score="probability"),
            Gradient(linear(WEIGHTS), score="probability", from_logits=True),
        ):
            np.testing.assert_allclose(
                explained(X, 1), expected, rtol=1e-3, atol=1e-6
            )

    def test_a_single_sigmoid_is_two_classes(self):
        weight = WEIGHTS[:, :1]
        model = linear(weight, "sigmoid")
        expected = np.tile(weight.T, (7, 1))
        np.testing.assert_allclose(Gradient(model)(X, 1), expected, rtol=1e-5)
        np.testing.assert_allclose(Gradient(model)(X, 0), -expected, rtol=1e-5)
        sign = np.where(X @ weight > 0, 1, -1)
        np.testing.assert_allclose(
            Gradient(model)(X), sign * expected, rtol=1e-5
        )
        logit = Gradient(linear(weight), from_logits=True)
        np.testing.assert_allclose(logit(X), sign * expected, rtol=1e-5)

    def test_a_regression(self):
        found = Gradient(squares())(X[:, :3])
        np.testing.assert_allclose(found, 2 * X[:, :3], rtol=1e-5)

    def test_log_probabilities_stand_in_for_logits(self):
        inputs = keras.Input((5,))
        outputs = layers.Dense(3, use_bias=False)(inputs)
        outputs = layers.Lambda(
            lambda z: ops.exp(z) / ops.sum(ops.exp(z), axis=-1, keepdims=True)
        )(outputs)
        model = keras.Model(inputs, outputs)
        model.set_weights([WEIGHTS])
        expected = WEIGHTS[:, 1] - softmax(X @ WEIGHTS) @ WEIGHTS.T
        np.testing.assert_allclose(
            Gradient(model)(X, 1), expected, rtol=1e-3, atol=1e-5
        )

    def test_numbers_that_happen_to_sum_to_1_are_no_probabilities(self):
        weights = np.abs(WEIGHTS)
        x = np.abs(X)
        x[0] /= (x[0] @ weights).sum()
        np.testing.assert_allclose((x[0] @ weights).sum(), 1, rtol=1e-5)
        # Nor are those that a model of unknown end gives later.
        inputs = keras.Input((5,))
        outputs = layers.Dense(3, use_bias=False)(inputs)
        unknown = keras.Model(inputs, layers.Lambda(lambda z: 1 * z)(outputs))
        unknown.set_weights([weights])
        expected = np.tile(weights[:, 1], (7, 1))
        for model in (linear(weights), unknown):
            np.testing.assert_allclose(
                Gradient(model)(x, 1), expected, rtol=1e-4
            )
        method = Gradient(unknown)
        method(x[:1], 1)
        np.testing.assert_allclose(method(x, 1), expected, rtol=1e-4)
        first = Gradient(linear(weights))(x[:1], 1)
        np.testing.assert_allclose(first, expected[:1], rtol=1e-4)


class TestModels:
    def test_all_methods_leave_the_model_as_it_was(self, trained):
        model, x, _ = trained
        before = [np.array(v) for v in model.get_weights()]
        state = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
        for method in (
            Gradient(model),
            SmoothGrad(model, nt_samples=2),
            DeepLIFT(model),
            Occlusion(model, (4, 4, 1), strides=4),
            GradCAM(model),
        ):
            assert method(x[:3]).shape == x[:3].shape
        for old, new in zip(before, model.get_weights()):
            np.testing.assert_array_equal(old, new)
        for old, new in zip(state, model.variables):
            np.testing.assert_array_equal(old, ops.convert_to_numpy(new))

    @pytest.mark.parametrize("method", [Gradient, DeepLIFT])
    def test_an_attribute_model_is_a_part_like_any_other(self, method):
        """A head behind it belongs to the network, whatever it is called."""

        class Net(keras.Model):
            def __init__(self, name_of_part):
                super().__init__()
                self.name_of_part = name_of_part
                backbone = keras.Sequential(
                    [keras.Input((5,)), layers.Dense(4, "tanh")]
                )
                setattr(self, name_of_part, backbone)
                self.head = layers.Dense(3, "softmax")

            def call(self, inputs):
                return self.head(getattr(self, self.name_of_part)(inputs))

        maps = []
        for name in ("backbone", "model"):
            keras.utils.set_random_seed(0)
            net = Net(name)
            net(X)
            maps.append(method(net)(X, 2))
        np.testing.assert_allclose(*maps, rtol=1e-5)

    def test_the_same_inputs_in_another_nest(self):
        a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
        weights = RNG.normal(size=(2, 5, 1))
        # As a list they come in the order b, a.
        parts = [layers.Dense(1, use_bias=False)(t) for t in (b, a)]
        model = keras.Model([b, a], layers.Add()(parts))
        model.set_weights(weights)
        method = InputXGradient(model)
        for _ in range(2):
            named = method({"a": X, "b": 2 * X}, 0)
            listed = method([2 * X, X], 0)
            expected = 2 * X * weights[0, :, 0], X * weights[1, :, 0]
            for found in (listed, (named["b"], named["a"])):
                for maps, own in zip(found, expected):
                    np.testing.assert_allclose(maps, own, rtol=1e-4)

    def test_weights_that_change_are_followed(self):
        model = linear(WEIGHTS)
        method = Gradient(model)
        method(X, 0)
        model.set_weights([2 * WEIGHTS])
        np.testing.assert_allclose(
            method(X, 0), np.tile(2 * WEIGHTS[:, 0], (7, 1)), rtol=1e-5
        )

    def test_a_guided_model(self, images):
        x, y = images
        inputs = keras.Input((8, 8, 1))
        outputs = layers.Dense(4, "softmax")(layers.Flatten()(inputs))
        guided = keras_sgt.SaliencyGuidedModel(keras.Model(inputs, outputs))
        guided.compile("adam", "sparse_categorical_crossentropy")
        guided.fit(x, y, verbose=0)
        kernel = guided.model.get_weights()[0]
        np.testing.assert_allclose(
            Gradient(guided)(x, 2).reshape(60, -1),
            np.tile(kernel[:, 2], (60, 1)),
            rtol=1e-4,
        )

    def test_a_subclassed_model(self):
        class Sum(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = layers.Dense(3)

            def call(self, x):
                return self.dense(x * x)

        model = Sum()
        model(X)
        kernel = model.get_weights()[0]
        np.testing.assert_allclose(
            Gradient(model)(X, 0), 2 * X * kernel[:, 0], rtol=1e-4, atol=1e-6
        )

    def test_a_dict_of_inputs_and_outputs(self):
        inputs = {
            "a": keras.Input((2,)),
            "kind": keras.Input((1,), dtype="int32"),
            "b": keras.Input((3,)),
        }
        joined = layers.Concatenate()([inputs["a"], inputs["b"]])
        kind = ops.cast(inputs["kind"], "float32")
        outputs = {
            "class": layers.Dense(3, use_bias=False)(joined * kind),
            "size": layers.Dense(1, use_bias=False)(joined),
        }
        model = keras.Model(inputs, outputs)
        model.set_weights([WEIGHTS, WEIGHTS[:, :1]])
        x = {"a": X[:, :2], "kind": np.full((7, 1), 2), "b": X[:, 2:]}
        method = InputXGradient(model, output="class")
        found = method(x, 1)
        assert set(found) == {"a", "kind", "b"}
        np.testing.assert_allclose(
            found["b"], 2 * X[:, 2:] * WEIGHTS[2:, 1], rtol=1e-4
        )
        assert not found["kind"].any()
        base = {"a": 1.0, "kind": 0, "b": np.ones(3)}
        path = IntegratedGradients(model, baselines=base, output="size")
        np.testing.assert_allclose(
            path(x)["a"], (X[:, :2] - 1) * WEIGHTS[:2, 0], rtol=1e-3, atol=1e-6
        )
        of_function = Gradient(model)(x, lambda y: y["size"][:, 0])
        np.testing.assert_allclose(
            of_function["a"], np.tile(WEIGHTS[:2, 0], (7, 1)), rtol=1e-5
        )
        with pytest.raises(ValueError, match=r"pass `output=`.*class.*size"):
            Gradient(model)(x)

    def test_a_list_of_inputs_and_outputs(self):
        a, b = keras.Input((2,)), keras.Input((3,))
        joined = layers.Concatenate()([a, b])
        model = keras.Model(
            [a, b],
            [layers.Dense(2)(a), layers.Dense(3, use_bias=False)(joined)],
        )
        kernel = model.get_weights()[-1]
        method = InputXGradient(model, output=1)
        found = method([X[:, :2], X[:, 2:]], 2)
        assert isinstance(found, list)
        np.testing.assert_allclose(
            np.concatenate(found, 1), X * kernel[:, 2], rtol=1e-4, atol=1e-6
        )
        first, unused = Gradient(model, output=0)([X[:, :2], X[:, 2:]], 0)
        np.testing.assert_allclose(first[0], model.get_weights()[0][:, 0])
        assert not unused.any()

    def test_the_inputs_are_not_kept(self):
        method = Gradient(linear(WEIGHTS))
        x = X.copy()
        method(x, 0)
        held = weakref.ref(x)
        del x
        gc.collect()
        assert held() is None

    def test_low_precision(self):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((5,)), layers.Dense(3, dtype="mixed_bfloat16")]
        )
        expected = model.get_weights()[0][:, 0]
        found = Gradient(model)(X, 0)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found[0], expected, rtol=1e-2)


class TestText:
    @pytest.fixture
    def model(self):
        model = keras.Sequential(
            [
                layers.Embedding(9, 4, mask_zero=True),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3, "softmax", use_bias=False),
            ]
        )
        model(np.ones((1, 3), "int32"))
        return model

    def test_tokens_of_a_mean(self, model):
        """Each real token has its share of the mean; padding has nothing."""
        vectors, kernel = model.get_weights()
        ids = np.array([[3, 4, 5, 0], [1, 2, 0, 0]], "int64")
        share = (ids > 0) / (ids > 0).sum(1, keepdims=True)
        np.testing.assert_allclose(
            Gradient(model)(ids, 1), share * kernel[:, 1].sum(), rtol=1e-4
        )
        difference = vectors[ids] - vectors[7]
        expected = share * (difference @ kernel[:, 1])
        for method in (IntegratedGradients, DeepLIFT):
            np.testing.assert_allclose(
                method(model, baselines=7)(ids, 1),
                expected,
                rtol=1e-3,
                atol=1e-6,
            )
        np.testing.assert_allclose(
            Occlusion(model, 1, baselines=7)(ids, 1),
            expected,
            rtol=1e-3,
            atol=1e-6,
        )

    def test_a_padding_mask_beside_the_ids(self):
        inputs = {
            "padding_mask": keras.Input((3,), dtype="bool"),
            "token_ids": keras.Input((3,), dtype="int32"),
            "segment_ids": keras.Input((3,), dtype="int32"),
        }
        vectors = layers.Embedding(9, 4)(inputs["token_ids"])
        vectors += layers.Embedding(2, 4, name="kinds")(inputs["segment_ids"])
        real = ops.cast(inputs["padding_mask"], "float32")[..., None]
        outputs = layers.Dense(2)(ops.sum(vectors * real, axis=1))
        model = keras.Model(inputs, outputs)
        x = {
            "padding_mask": np.array([[True, True, False]]),
            "token_ids": np.array([[4, 5, 0]]),
            "segment_ids": np.array([[0, 1, 1]]),
        }
        name = next(
            x.name for x in model.layers if x.name.startswith("embedding")
        )
        kernel = model.get_weights()[-2][:, 0].sum()
        for layer, explained in (
            (None, {"token_ids", "segment_ids"}),
            (name, {"token_ids"}),
            ("kinds", {"segment_ids"}),
        ):
            found = Gradient(model, layer=layer)(x, 0)
            for key, values in found.items():
                share = kernel if key in explained else 0
                np.testing.assert_allclose(
                    values, [[share, share, 0]], rtol=1e-4, err_msg=key
                )


class TestDeepLIFT:
    def test_names_the_layers_without_a_rule(self):
        model = keras.Sequential(
            [
                keras.Input((4, 3)),
                layers.LSTM(2, name="memory"),
                layers.Dense(2),
            ]
        )
        with pytest.warns(
            UserWarning, match=r"memory \(LSTM\).*may not add up"
        ):
            DeepLIFT(model)

    def test_names_what_is_the_users_own(self):
        class Cube(layers.Layer):
            def call(self, x):
                return x**3

        inputs = keras.Input((4,))
        x = ops.reshape(layers.Dense(4)(inputs), (-1, 2, 2))
        x = layers.Flatten()(Cube(name="cube")(x))
        outputs = layers.Dense(2)(x * layers.Lambda(ops.square)(x))
        with pytest.warns(UserWarning, match="no rule") as told:
            DeepLIFT(keras.Model(inputs, outputs))
        (warning,) = told
        for name in ("cube (Cube)", "(Lambda)", "(Multiply)"):
            assert name in str(warning.message)
        assert "Reshape" not in str(warning.message)

    def test_names_what_takes_the_larger_of_two(self):
        inputs = keras.Input((4,))
        larger = layers.Maximum(name="larger")(
            [layers.Dense(3)(inputs), layers.Dense(3)(inputs)]
        )
        with pytest.warns(UserWarning, match=r"larger \(Maximum\)"):
            DeepLIFT(keras.Model(inputs, layers.Dense(2)(larger)))

    def test_softmax_over_another_axis(self):
        """As over the last one, with the axes exchanged before and after."""
        exchange = layers.Permute((2, 1))
        found = []
        for stack in (
            [layers.Softmax(axis=1)],
            [exchange, layers.Softmax(), exchange],
        ):
            model = keras.Sequential(
                [keras.Input((4, 3)), *stack, layers.Flatten(), layers.Dense(2)]
            )
            model.set_weights([np.arange(24.0).reshape(12, 2), np.zeros(2)])
            found.append(
                DeepLIFT(model)(X.reshape(-1, 1)[:24].reshape(2, 4, 3))
            )
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
        assert abs(found[0]).max() > 0.1

    def test_a_layer_that_runs_twice(self):
        """Its two places have a multiplier each; Captum refuses it."""
        relu, dense = layers.ReLU(), layers.Dense(4)
        inputs = keras.Input((4,))
        outputs = layers.Dense(1)(relu(dense(relu(dense(inputs)))))
        model = keras.Model(inputs, outputs)
        _, delta = DeepLIFT(
            model, baselines=1.0, return_convergence_delta=True
        )(X[:, :4])
        assert abs(delta).max() < 1e-5

    @pytest.mark.parametrize("pool", ["overlapping", "global", "adaptive"])
    def test_all_max_pooling_adds_up(self, pool):
        """Also right after a ReLU and where windows overlap."""
        pooling = layers.MaxPooling1D(3, strides=1)
        if pool == "global":
            pooling = layers.GlobalMaxPooling1D()
        if pool == "adaptive":
            if not hasattr(layers, "AdaptiveMaxPooling1D"):
                pytest.skip("this Keras does not have it")
            pooling = layers.AdaptiveMaxPooling1D(3)
        model = keras.Sequential(
            [
                keras.Input((9, 2)),
                layers.Conv1D(4, 2, activation="relu"),
                pooling,
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
        x, base = RNG.normal(size=(2, 6, 9, 2))
        found, delta = DeepLIFT(
            model, baselines=base, return_convergence_delta=True
        )(x, 0)
        assert abs(delta).max() < 1e-5 < abs(found).max()

    def test_a_saturated_unit_counts(self):
        """1 − relu(1 − x₁ − x₂), the example of the paper: 1 at (1, 1)."""
        model = keras.Sequential(
            [keras.Input((2,)), layers.Dense(1, "relu"), layers.Dense(1)]
        )
        model.set_weights(
            [-np.ones((2, 1)), np.ones(1), -np.ones((1, 1)), np.ones(1)]
        )
        x = np.ones((1, 2))
        assert not Gradient(model)(x).any()
        np.testing.assert_allclose(DeepLIFT(model)(x), [[0.5, 0.5]], rtol=1e-5)


class TestAblation:
    def test_an_unused_feature_has_none(self):
        weights = WEIGHTS.copy()
        weights[2] = 0
        model = linear(weights, "softmax")
        for method in (FeatureAblation(model), Occlusion(model, 1)):
            found = abs(method(X, 0))
            used = found[:, [0, 1, 3, 4]]
            assert used.all()
            assert found[:, 2].max() < 1e-6 * used.max()  # but for rounding

    def test_a_method_around_it_pools_texts_as_it_does(self):
        inside = FeatureAblation(texts())
        ids = np.arange(12).reshape(2, 6) % 9
        around = SmoothGrad(inside, nt_samples=2, stdevs=0.0)
        np.testing.assert_allclose(
            around(ids, 0), inside(ids, 0), rtol=1e-4, atol=1e-6
        )

    def test_windows_that_overlap_and_end_early(self):
        # Windows 0-1, 2-3 and 4 of the squares 1, 4, 9, 16, 25.
        x = np.arange(1.0, 6)[None]
        found = Occlusion(squares((5,)), 2, strides=2)(x)
        np.testing.assert_allclose(found, [[5, 5, 25, 25, 25]], rtol=1e-5)
        found = Occlusion(squares((5,)), 3, strides=1)(x)
        expected = [[14, (14 + 29) / 2, (14 + 29 + 50) / 3, 39.5, 50]]
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_windows_of_numpy_integers(self):
        x = np.arange(1.0, 6)[None]
        for size in (np.int64(2), np.array([2])):
            found = Occlusion(squares((5,)), size, strides=np.int32(2))(x)
            np.testing.assert_allclose(found, [[5, 5, 25, 25, 25]], rtol=1e-5)

    def test_groups(self):
        x = np.arange(1.0, 6)[None]
        groups = [7, 7, 3, 3, 3]
        found = FeatureAblation(squares((5,)), feature_mask=groups)(x)
        np.testing.assert_allclose(found, [[5, 5, 50, 50, 50]], rtol=1e-5)


def test_grad_cam_of_a_known_network():
    """One channel for the target: its activations, enlarged from 3 × 3."""
    kernel = np.eye(2)[None, None]
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.AveragePooling2D(2),
            layers.Conv2D(2, 1, use_bias=False, name="places"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, use_bias=False),
        ]
    )
    model.set_weights([kernel, np.diag([9.0, -9.0])])
    x = Images().x[:4]
    pooled = x.reshape(4, 3, 2, 3, 2, 2).mean((2, 4))
    # Bilinear: the middles of the pixels, in units of places.
    middles = (np.arange(6) + 0.5) / 2 - 0.5
    enlarge = np.array([np.interp(middles, range(3), e) for e in np.eye(3)])
    for relu, layer in ((False, None), (True, "places")):
        found = GradCAM(model, layer, relu)(x, 1)
        assert found.shape == x.shape
        np.testing.assert_array_equal(found[..., 0], found[..., 1])
        places = np.maximum(-pooled, 0) if relu else -pooled
        expected = np.einsum("nij,ia,jb->nab", places[..., 1], enlarge, enlarge)
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


@pytest.fixture
def format_of_images():
    """Sets the format of images for a test."""
    usual = keras.config.image_data_format()
    yield keras.config.set_image_data_format
    keras.config.set_image_data_format(usual)


def smaller_inside(data_format, layer, *settings):
    """Images of 8 × 10 to 3 classes by way of a layer with fewer places."""
    first = data_format == "channels_first"
    return keras.Sequential(
        [
            keras.Input((3, 8, 10) if first else (8, 10, 3)),
            layer(*settings, data_format=data_format, name="places"),
            layers.GlobalAveragePooling2D(data_format),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize(
    "layer", [(layers.Cropping2D, 1), (layers.Conv2D, 4, 3)]
)
def test_grad_cam_of_channels_first(layer, format_of_images):
    """As an equal model of channels last, and an error where that is mixed."""
    last, first = (
        smaller_inside(f"channels_{side}", *layer) for side in ("last", "first")
    )
    first.set_weights(last.get_weights())
    x = RNG.normal(size=(4, 8, 10, 3)).astype("float32")
    moved = np.moveaxis(x, -1, 1)
    expected = GradCAM(last, "places", relu=False)(x, 1)
    with pytest.raises(ValueError, match=r"'places'.*channels_first"):
        GradCAM(first, "places")(moved, 1)
    format_of_images("channels_first")
    with pytest.raises(ValueError, match=r"'places'.*channels_last"):
        GradCAM(last, "places")(x, 1)
    if layer[0] is layers.Conv2D and keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow convolves channels first on GPUs only")
    found = GradCAM(first, "places", relu=False)(moved, 1)
    assert abs(expected).max() > 0.01
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 1), atol=1e-5)


def test_temporal_rescaling_is_the_papers():
    """Of the gradient of a sum of cubes, 3x², in plain NumPy."""
    inputs = keras.Input((6, 3))
    cubes = layers.Lambda(lambda x: x**3)(inputs)
    outputs = layers.Dense(1, use_bias=False)(layers.Flatten()(cubes))
    model = keras.Model(inputs, outputs)
    weights = RNG.normal(size=(18, 1))
    model.set_weights([weights])
    x = RNG.normal(size=(4, 6, 3)).astype("float32")
    method = TemporalRescaling(Gradient(model), mask_value=0.5)
    found = method(x)

    def relevance(x):
        return 3 * x.astype("float64") ** 2 * weights.reshape(6, 3)

    def scaled(values):
        return (values - values.min()) / (values.max() - values.min())

    for sample, ours in zip(x, found):
        change = abs(relevance(sample) - relevance(np.full((6, 3), 0.5)))
        time = scaled(change.sum(1))
        expected = np.empty((6, 3))
        for t in range(6):
            feature = np.full(3, 0.1)
            if time[t] > np.quantile(time, 0.55):
                feature = scaled(change[t])
            expected[t] = time[t] * feature
        np.testing.assert_allclose(ours, expected, atol=1e-4)
    np.testing.assert_allclose(method(x, batch_size=1), found, atol=1e-5)


def test_steps_that_tie_at_the_quantile_are_not_above_it():
    inputs = keras.Input((5, 2))
    squares = layers.Lambda(ops.square)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(squares)))
    model.set_weights([np.tile([[1.0], [2.0]], (5, 1)), np.zeros(1)])
    x = np.ones((1, 5, 2))
    x[:, 0] = 0.5
    found = TemporalRescaling(Gradient(model))(x)
    np.testing.assert_allclose(found[0, 1:], 0.1, atol=1e-6)


class TestInterrupted:
    """The model is the user's, whatever ends a call."""

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_the_model_keeps_its_weights(self, error):
        model = linear(WEIGHTS)
        before = model.get_weights()
        method = Gradient(model)

        def target(outputs):
            raise error

        with pytest.raises(error):
            method(X, target)
        for a, b in zip(before, model.get_weights()):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(method(X, 0), np.tile(WEIGHTS[:, 0], (7, 1)))

    def test_after_some_batches(self):
        """By then JAX has given the memory of the weights to the step."""
        model = linear(WEIGHTS)
        before = model.get_weights()
        method = Gradient(model)
        expected = method(X, 0, batch_size=1)
        (step,) = method._steps.values()
        whole, calls = step.predict_function, []

        def interrupted(*args):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return whole(*args)

        step.predict_function = interrupted
        with pytest.raises(KeyboardInterrupt):
            method(X, 0, batch_size=1)
        for a, b in zip(before, model.get_weights()):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(method(X, 0, batch_size=1), expected)


def test_inputs_of_several_lengths():
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Conv1D(4, 2, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    for method in (
        SmoothGrad(model, nt_samples=3, seed=0),
        GradCAM(model),
        TemporalRescaling(Gradient(model)),
    ):
        found = [method(np.ones((4, n, 3)), 0) for n in (5, 6, 5)]
        assert [f.shape[1] for f in found] == [5, 6, 5]
        np.testing.assert_allclose(found[0], found[2], atol=1e-6)


def test_texts_of_several_lengths():
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    kernel = model.get_weights()[1]
    method = SmoothGrad(model, nt_samples=3, seed=0)
    for length in (5, 6, 5):
        expected = np.full((4, length), kernel[:, 0].sum() / length)
        np.testing.assert_allclose(
            method(np.ones((4, length), int), 0), expected, rtol=1e-3
        )


def test_several_baselines_are_not_repeated():
    """A method around DeepSHAP looks at its baselines once a copy."""
    seen = []

    class Counted(DeepSHAP):
        def attribute(self, rows):
            seen.append(rows.baselines[0].shape[0])
            return super().attribute(rows)

    base = RNG.normal(size=(3, 5)).astype("float32")
    method = SmoothGrad(
        Counted(linear(WEIGHTS), base), nt_samples=4, stdevs=0.1, seed=0
    )
    assert np.isfinite(method(X[:1], 0, batch_size=8)).all()
    assert set(seen) == {3}


def test_compiles_once_for_a_shape():
    traced = []

    class Counted(Gradient):
        def attribute(self, rows):
            traced.append(rows.features[0].shape[1:])
            return super().attribute(rows)

    model = keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])
    method = Counted(model)
    target = ops.sum

    def total(outputs):
        return target(outputs, axis=(1, 2))

    for _ in range(2):
        for length in (4, 5):
            method(np.ones((6, length, 3)), total, batch_size=3)
    if keras.backend.backend() == "torch":
        assert len(traced) >= 8  # which does not trace
    else:
        assert [tuple(shape) for shape in traced] == [(4, 3), (5, 3)]


def test_a_variance_is_not_below_0():
    model = linear(1000 * WEIGHTS)
    method = SmoothGrad(model, nt_type="vargrad", nt_samples=20, seed=0)
    found = method(X, 0)
    assert found.min() >= 0
    assert found.max() < 1e-6
    cubes = keras.Sequential(
        [keras.Input((3,)), layers.Lambda(lambda x: x**2), layers.Dense(1)]
    )
    cubes.set_weights([np.full((3, 1), 500.0), np.zeros(1)])
    # The gradient 1000 x varies by (1000 · 0.1)².
    method = SmoothGrad(cubes, "vargrad", nt_samples=4000, stdevs=0.1, seed=0)
    np.testing.assert_allclose(
        method(np.full((1, 3), 50.0), batch_size=500), 1e4, rtol=0.1
    )


class TestRandomness:
    def test_a_seed_repeats_and_batches_differ(self, trained):
        model, x, _ = trained
        same = np.repeat(x[:1], 6, axis=0)
        for make in (
            lambda seed: Random(model, seed=seed),
            lambda seed: SmoothGrad(model, nt_samples=3, seed=seed),
            lambda seed: GradientSHAP(model, x[:5], n_samples=3, seed=seed),
        ):
            found = make(1)(same, 0, batch_size=2)
            np.testing.assert_array_equal(found, make(1)(same, 0, batch_size=2))
            assert (found != make(2)(same, 0, batch_size=2)).any()
            maps = found.reshape(6, -1)
            assert len(np.unique(maps.round(6), axis=0)) == 6

    def test_noise_has_the_given_deviation(self):
        # The gradient of x² is 2x, so that of noisy copies varies by 4σ².
        x = np.ones((1, 3))
        options = {"nt_type": "vargrad", "nt_samples": 20000, "seed": 0}
        found = SmoothGrad(squares(), stdevs=0.5, **options)(x, batch_size=1000)
        np.testing.assert_allclose(found, 4 * 0.25, rtol=0.05)
        x = np.array([[0.0, 2.0, 4.0]])
        found = SmoothGrad(squares(), **options)(x, batch_size=1000)
        np.testing.assert_allclose(found, 4 * (0.15 * 4) ** 2, rtol=0.05)

    def test_random_is_uniform(self):
        found = Random(linear(WEIGHTS), seed=0)(np.zeros((4000, 5)))
        assert 0 <= found.min() < 0.01
        assert 0.99 < found.max() < 1
        assert abs(found.mean(0) - 0.5).max() < 0.02

    def test_random_is_uniform_over_tokens(self):
        found = Random(texts(), seed=0)(np.ones((1000, 6), int))
        assert 0 <= found.min() < 0.01
        assert 0.99 < found.max() < 1

    def test_permuted_features_keep_their_course(self):
        model = keras.Sequential(
            [keras.Input((6, 5)), layers.Flatten(), layers.Dense(1)]
        )
        x = RNG.normal(size=(3, 6, 5))
        plain = InputXGradient(model)(x)
        permuted = PermutedFeatures(InputXGradient(model), seed=3)(x)
        order = [
            int(abs(plain[0] - permuted[0, :, [i]].T).sum(0).argmin())
            for i in range(5)
        ]
        assert sorted(order) == [0, 1, 2, 3, 4] != order
        np.testing.assert_array_equal(permuted, plain[:, :, order])

    def test_a_method_inside_a_method(self):
        path = IntegratedGradients(squares(), baselines=1.0, n_steps=4)
        method = SmoothGrad(path, nt_samples=4000, stdevs=0.1, seed=0)
        found = method(np.full((1, 3), 2.0), batch_size=500)
        # (x − 1) · ∫ 2(1 + α(x − 1)) dα = x² − 1, plus the noise's variance.
        np.testing.assert_allclose(found, 3.01, rtol=0.01)


def test_batches_and_passes_change_nothing(trained):
    model, x, y = trained
    keras.utils.set_random_seed(0)
    # No sigmoid: DeepSHAP divides what a sigmoid changes, rounded, by what may
    # be a small change, and the last digits depend on the batch.
    piecewise_linear = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    for method in (
        IntegratedGradients(model, n_steps=7, baselines=x[::-1][:9]),
        DeepSHAP(piecewise_linear, x[:5]),
        FeatureAblation(model, feature_mask=np.arange(8)[:, None, None]),
    ):
        whole = method(x[:9], y[:9])
        for batch_size in (1, 4, 30):
            np.testing.assert_allclose(
                method(x[:9], y[:9], batch_size=batch_size),
                whole,
                atol=1e-5 * abs(whole).max(),
            )


def test_progress_is_keras_own(capsys):
    method = Gradient(linear(WEIGHTS))
    method(X, batch_size=2)
    assert capsys.readouterr().out == ""
    method(X, batch_size=2, verbose=1)
    assert "4/4" in capsys.readouterr().out


class TestBadInput:
    @pytest.mark.parametrize(
        ("target", "told"),
        [
            (3, "from 0 to 2"),
            (-1, "from 0 to 2"),
            ([0, 1], "each of the 7 samples"),
            (np.eye(3)[TARGET] / 2, "one-hot row"),
            (1.5, "integers"),
        ],
    )
    def test_targets(self, target, told):
        with pytest.raises(ValueError, match=told):
            Gradient(linear(WEIGHTS))(X, target)

    @pytest.mark.parametrize(
        ("baselines", "told"),
        [
            (np.zeros(4), r"shape of a sample, \(5,\).*Received.*\(4,\)"),
            (np.zeros((3, 5)), "1 or all"),
            (np.full(5, np.nan), "finite"),
            (lambda x: x[:, :2], r"\(7, 2\)"),
        ],
    )
    def test_baselines(self, baselines, told):
        with pytest.raises(ValueError, match=told):
            IntegratedGradients(linear(WEIGHTS), baselines)(X)

    def test_inputs(self):
        method = Gradient(linear(WEIGHTS))
        bad = X.copy()
        bad[2, 3] = np.nan
        with pytest.raises(ValueError, match="NaN or infinity in 1 of its 35"):
            method(bad)
        with pytest.raises(ValueError, match=r"astype\('float32'\)"):
            method(np.ones((2, 5), "uint8"))
        with pytest.raises(ValueError, match="number of samples above 0"):
            method(X[:0])

    def test_models(self):
        unbuilt = keras.Sequential([layers.Dense(3)])
        with pytest.raises(ValueError, match="not built"):
            Gradient(unbuilt)
        with pytest.raises(ValueError, match=r"keras\.Model"):
            Gradient(lambda x: x)
        positions = keras.Sequential([keras.Input((4, 5)), layers.Dense(3)])
        with pytest.raises(ValueError, match="several positions"):
            Gradient(positions)(np.ones((2, 4, 5)))
        with pytest.raises(ValueError, match="from_logits=True"):
            Gradient(linear(WEIGHTS), score="probability")(X)

    @pytest.mark.parametrize(
        ("make", "told"),
        [
            (lambda m: Gradient(m, score="loss"), "logit.*probability"),
            (lambda m: Gradient(m, pooling="max"), "sum.*mean.*l2"),
            (lambda m: IntegratedGradients(m, n_steps=0), "at least 1"),
            (
                lambda m: IntegratedGradients(m, method="simpson"),
                "gausslegendre",
            ),
            (lambda m: IntegratedGradients(m, baselines=None), "a number"),
            (
                lambda m: DeepLIFT(
                    m, multiply_by_inputs=False, return_convergence_delta=True
                ),
                "add up only",
            ),
            (lambda m: SmoothGrad(m, "median"), "vargrad"),
            (lambda m: SmoothGrad(m, stdevs=-1), "at least 0"),
            (lambda m: SmoothGrad(m, stdevs="a"), "stdevs='a'"),
            (lambda m: SmoothGrad(Gradient(m), pooling="l2"), "method inside"),
            (lambda m: SmoothGrad("gradient"), "goes around a method"),
            (lambda m: GradientSHAP(m, n_samples=0), "at least 1"),
            (lambda m: GradientSHAP(m, stdevs="a"), "stdevs='a'"),
            (lambda m: GradCAM(m), "last convolution"),
            (lambda m: TemporalRescaling(Gradient(m), quantile=1), r"\[0, 1\)"),
        ],
    )
    def test_settings(self, make, told):
        with pytest.raises(ValueError, match=told):
            make(linear(WEIGHTS))

    def test_settings_that_do_not_fit_the_inputs(self):
        model = linear(WEIGHTS)
        for method, told in (
            (Occlusion(model, 6), "to its length"),
            (Occlusion(model, (2, 2)), "to its length"),
            (FeatureAblation(model, feature_mask=[0, 1]), "broadcast"),
            (TemporalRescaling(Gradient(model)), "samples, steps, features"),
            (GradCAM(model, model.layers[-1]), "height, width"),
        ):
            with pytest.raises(ValueError, match=told):
                method(X)

    @pytest.mark.parametrize(
        "target",
        [
            lambda o: o[:, :1],
            lambda o: ops.sum(o),
            lambda o: o,
            lambda o: o[0],
        ],
    )
    def test_a_callable_that_returns_another_shape(self, target):
        with pytest.raises(ValueError, match="one number for each sample"):
            Gradient(linear(WEIGHTS))(X, target)

    def test_features_that_have_no_order(self):
        images = keras.Sequential(
            [keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)]
        )
        with pytest.raises(ValueError, match="length 1"):
            PermutedFeatures(Gradient(images))(np.ones((2, 4, 4, 1)))
        with pytest.raises(ValueError, match="token ids"):
            PermutedFeatures(Gradient(texts()))(np.ones((2, 6), int))

    def test_a_layer_without_places(self):
        model = keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                layers.Conv2D(2, 2),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
        with pytest.raises(ValueError, match="each place"):
            GradCAM(model, model.layers[-1])(np.ones((2, 4, 4, 1)))

    def test_a_custom_method(self):
        class Sign(attribution.Attribution):
            def attribute(self, rows):
                return [ops.sign(g) for g in self.gradient(rows)]

        np.testing.assert_array_equal(
            Sign(linear(WEIGHTS))(X, 0), np.tile(np.sign(WEIGHTS[:, 0]), (7, 1))
        )
