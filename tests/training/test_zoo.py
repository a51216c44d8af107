"""One training of two steps for every kind of model, input and output."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.datasets import load_digits

import keras_sgt

BATCH = 8
RNG = np.random.default_rng(0)
NAN = float("nan")


def floats(*shape):
    return RNG.normal(size=(BATCH, *shape)).astype("float32")


def classes(n, *shape):
    return RNG.integers(0, n, (BATCH, *shape)).astype("int32")


def mlp():
    model = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(8, "relu", activity_regularizer="l2"),
            layers.Dense(3, kernel_regularizer="l2"),
        ]
    )
    return model, floats(10), classes(3)


def cnn():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    return model, floats(8, 8, 3), classes(3)


def resnet():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    y = layers.BatchNormalization()(x)
    y = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(y))
    x = layers.GlobalAveragePooling2D()(layers.add([x, y]))
    return keras.Model(inputs, layers.Dense(3)(x)), floats(8, 8, 3), classes(3)


def recurrent(layer):
    def build():
        inputs = keras.Input((6, 4))
        x = layers.Masking()(inputs)
        outputs = layers.Dense(3)(layer()(x))
        return keras.Model(inputs, outputs), floats(6, 4), classes(3)

    return build


def tcn():
    inputs = keras.Input((12, 4))
    x = inputs
    for rate in (1, 2):
        x = layers.Conv1D(5, 3, padding="causal", dilation_rate=rate)(x)
        x = layers.ReLU()(x)
    outputs = layers.Dense(3)(layers.GlobalMaxPooling1D()(x))
    return keras.Model(inputs, outputs), floats(12, 4), classes(3)


def transformer():
    inputs = keras.Input((6, 4))
    x = layers.Dense(8)(inputs)
    y = layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)
    x = layers.LayerNormalization()(x + y)
    outputs = layers.Dense(3)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, outputs), floats(6, 4), classes(3)


def segmentation():
    inputs = keras.Input((8, 8, 1))
    down = layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    up = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(down)
    outputs = layers.Conv2D(3, 1)(layers.concatenate([up, inputs]))
    return keras.Model(inputs, outputs), floats(8, 8, 1), classes(3, 8, 8)


def label_for_each_step():
    inputs = keras.Input((6, 4))
    outputs = layers.Dense(3)(layers.LSTM(5, return_sequences=True)(inputs))
    return keras.Model(inputs, outputs), floats(6, 4), classes(3, 6)


@keras.saving.register_keras_serializable(package="tests")
class Blocks(keras.Model):
    """A model of its own class, with a loop in Python."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [layers.Dense(6, "tanh") for _ in range(3)]
        self.head = layers.Dense(3)

    def call(self, x, training=None):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def subclassed():
    return Blocks(), floats(6), classes(3)


def application(make):
    def build():
        model = make(
            input_shape=(32, 32, 3),
            weights=None,
            classes=3,
            classifier_activation=None,
        )
        return model, floats(32, 32, 3), classes(3)

    return build


def preprocessing_inside():
    normalization = layers.Normalization()
    normalization.adapt(floats(8, 8, 1))
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            normalization,
            layers.RandomFlip("horizontal", seed=1),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    return model, floats(8, 8, 1), classes(3)


def trained_before():
    model, x, y = mlp()
    model.compile("adam", CROSSENTROPY)
    model.fit(x, y, verbose=0)
    return model, x, y


CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ZOO = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "lstm": recurrent(lambda: layers.LSTM(5)),
    "gru": recurrent(lambda: layers.GRU(5)),
    "bidirectional": recurrent(lambda: layers.Bidirectional(layers.LSTM(4))),
    "tcn": tcn,
    "transformer": transformer,
    "segmentation": segmentation,
    "label_for_each_step": label_for_each_step,
    "subclassed": subclassed,
    "preprocessing_inside": preprocessing_inside,
    "trained_before": trained_before,
}
LARGE = {  # of which each compiled program takes long
    "mobilenet": application(keras.applications.MobileNetV3Small),
    "resnet50": application(keras.applications.ResNet50),
}


@pytest.mark.parametrize(
    "name",
    [
        *ZOO,
        *(pytest.param(n, marks=pytest.mark.slow_to_compile) for n in LARGE),
    ],
)
def test_trains(name, tmp_path):
    model, x, y = {**ZOO, **LARGE}[name]()
    guided = keras_sgt.SaliencyGuidedModel(model, mask_fraction=0.25)
    guided.compile("adam", CROSSENTROPY, metrics=["accuracy"])
    valid = None if name in LARGE else (x, y)
    history = guided.fit(
        x, y, batch_size=4, verbose=0, validation_data=valid
    ).history
    assert np.isfinite([*history.values()]).all()
    assert history["divergence"][0] > 0
    marked = keras_sgt.SaliencyGuidedModel(
        model,
        mask_fraction=0.25,
        masking=keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(NAN)
        ),
    )
    marked.compile("sgd", CROSSENTROPY)
    mask = np.isnan(marked.mask_on_batch(x, y))
    assert (mask.reshape(BATCH, -1).sum(1) == mask[0].size // 4).all()
    guided.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(guided.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    if name not in LARGE:
        np.testing.assert_allclose(
            restored.predict(x, verbose=0),
            guided.predict(x, verbose=0),
            rtol=1e-5,
            atol=1e-6,
        )


class TestSeveralInputsAndHeads:
    def model(self, outputs_as=list):
        image = keras.Input((4, 4, 1), name="image")
        age = keras.Input((3,), name="age")
        x = layers.concatenate([layers.Flatten()(image), age])
        kind = layers.Dense(3, name="kind")(x)
        size = layers.Dense(1, name="size")(x)
        outputs = [kind, size]
        if outputs_as is dict:
            outputs = {"kind": kind, "size": size}
        return keras.Model({"image": image, "age": age}, outputs)

    def data(self):
        x = {"image": floats(4, 4, 1), "age": floats(3)}
        return x, {"kind": classes(3), "size": floats(1)}

    @pytest.mark.parametrize("outputs_as", [list, dict])
    def test_heads_by_name(self, outputs_as):
        x, y = self.data()
        guided = keras_sgt.SaliencyGuidedModel(self.model(outputs_as))
        guided.compile(
            "adam",
            loss={"kind": CROSSENTROPY, "size": "mse"},
            loss_weights={"kind": 1.0, "size": 0.1},
            metrics={"kind": ["accuracy"]},
        )
        labels = y if outputs_as is dict else [y["kind"], y["size"]]
        history = guided.fit(x, labels, batch_size=4, verbose=0).history
        assert {"kind_loss", "size_loss", "divergence"} < set(history)
        assert history["divergence"][0] > 0

    @pytest.mark.parametrize("weights_as", [list, dict])
    @pytest.mark.parametrize("losses_as", [list, dict])
    def test_divergences_add_up_with_the_weights_of_their_losses(
        self, losses_as, weights_as
    ):
        """Against the outputs for X and X̃, in NumPy."""
        x, y = self.data()
        names = ("kind", "size")
        losses, weights = [CROSSENTROPY, "mse"], [2.0, 0.5]
        if losses_as is dict:
            losses = dict(zip(names, losses))
        if weights_as is dict:
            weights = dict(zip(names, weights))
        model = self.model()
        guided = keras_sgt.SaliencyGuidedModel(
            model,
            masking=keras_sgt.masking.FeatureMasking(
                replacement=keras_sgt.masking.Constant(0.0)
            ),
        )
        labels = [y["kind"], y["size"]]
        guided.compile("sgd", losses, loss_weights=weights)
        masked = guided.mask_on_batch(x, labels)
        (z, a), (w, b) = (
            [ops.convert_to_numpy(o) for o in model(inputs)]
            for inputs in (x, masked)
        )
        p, q = (np.exp(u) / np.exp(u).sum(1, keepdims=True) for u in (z, w))
        kl = (p * np.log(p / q)).sum(1).mean()
        expected = 2 * kl + 0.5 * ((a - b) ** 2).mean()
        plain = keras.models.clone_model(model)
        plain.set_weights(model.get_weights())
        plain.compile("sgd", losses, loss_weights=weights)
        alone = plain.test_on_batch(x, labels, return_dict=True)["loss"]
        logs = guided.train_on_batch(x, labels, return_dict=True)
        assert logs["divergence"] == pytest.approx(expected, rel=1e-4)
        assert logs["loss"] == pytest.approx(alone + expected, rel=1e-4)

    @pytest.mark.parametrize("losses_as", [list, dict])
    def test_a_list_is_of_named_outputs_in_the_order_of_keras(self, losses_as):
        """By the alphabet, not as the outputs were written."""
        x = floats(3)
        inputs = keras.Input((3,))
        outputs = {
            "z": layers.Dense(3)(inputs),
            "a": layers.Dense(1)(inputs),
        }
        guided = keras_sgt.SaliencyGuidedModel(
            keras.Model(inputs, outputs),
            masking=keras_sgt.masking.FeatureMasking(
                replacement=keras_sgt.masking.Constant(0.0)
            ),
        )
        losses = ["mse", CROSSENTROPY]
        if losses_as is dict:
            losses = {"z": CROSSENTROPY, "a": "mse"}
        guided.compile("sgd", losses, loss_weights=[0.5, 2.0])
        y = {"z": classes(3), "a": floats(1)}
        masked = guided.mask_on_batch(x, y)
        one, other = (
            {k: ops.convert_to_numpy(v) for k, v in guided.model(u).items()}
            for u in (x, masked)
        )
        p, q = (
            np.exp(u) / np.exp(u).sum(1, keepdims=True)
            for u in (one["z"], other["z"])
        )
        kl = (p * np.log(p / q)).sum(1).mean()
        expected = 2 * kl + 0.5 * ((one["a"] - other["a"]) ** 2).mean()
        logs = guided.train_on_batch(x, y, return_dict=True)
        assert logs["divergence"] == pytest.approx(expected, rel=1e-4)

    def test_as_many_weights_as_losses(self):
        guided = keras_sgt.SaliencyGuidedModel(self.model())
        with pytest.raises(ValueError, match="as there are losses, 2"):
            guided.compile(
                "sgd",
                {"kind": CROSSENTROPY, "size": "mse"},
                loss_weights=[1.0],
            )

    @pytest.mark.parametrize("nest", [dict, list])
    def test_a_divergence_for_one_head(self, nest, tmp_path):
        """The others keep the one that goes with their loss."""
        x, y = self.data()
        zeros = keras_sgt.masking.FeatureMasking(replacement="constant")
        own = {"size": keras_sgt.divergences.MeanSquared()}
        losses = {"kind": CROSSENTROPY, "size": "poisson"}
        if nest is list:
            own, losses = [None, own["size"]], list(losses.values())
            y = list(y.values())
        guided = keras_sgt.SaliencyGuidedModel(
            self.model(nest), masking=zeros, divergence=own
        )
        guided.compile("sgd", losses)
        (p, a), (q, b) = (
            [ops.convert_to_numpy(o) for o in keras.tree.flatten(outputs)]
            for outputs in (
                guided.model(inputs)
                for inputs in (x, guided.mask_on_batch(x, y))
            )
        )
        p, q = (np.exp(u) / np.exp(u).sum(1, keepdims=True) for u in (p, q))
        expected = (p * np.log(p / q)).sum(1).mean() + ((a - b) ** 2).mean()
        guided.save(tmp_path / "guided.keras")
        restored = keras.models.load_model(tmp_path / "guided.keras")
        for model in (guided, restored):
            logs = model.train_on_batch(x, y, return_dict=True)
            assert logs["divergence"] == pytest.approx(expected, rel=1e-4)

    def test_only_the_named_input_is_masked(self):
        x, y = self.data()
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(NAN), inputs="image"
        )
        guided = keras_sgt.SaliencyGuidedModel(self.model(), masking=masking)
        guided.compile("sgd", [CROSSENTROPY, "mse"])
        masked = guided.mask_on_batch(x, [y["kind"], y["size"]])
        np.testing.assert_array_equal(masked["age"], x["age"])
        assert np.isnan(masked["image"]).sum() == BATCH * 8

    def test_nested_inputs_and_integers_that_pass_through(self):
        views = [keras.Input((4,)), keras.Input((3,))]
        word = keras.Input((1,), dtype="int32")
        embedded = layers.Flatten()(layers.Embedding(9, 2)(word))
        x = layers.concatenate([*views, embedded])
        inputs = {"views": tuple(views), "words": {"first": word}}
        model = keras.Model(inputs, layers.Dense(3)(x))
        data = {
            "views": (floats(4), floats(3)),
            "words": {"first": classes(9, 1)},
        }
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(NAN), inputs=["views/0"]
        )
        marked = keras_sgt.SaliencyGuidedModel(model, masking=masking)
        marked.compile("sgd", CROSSENTROPY)
        found = marked.mask_on_batch(data, classes(3))
        assert (np.isnan(found["views"][0]).sum(1) == 2).all()
        np.testing.assert_array_equal(found["views"][1], data["views"][1])
        np.testing.assert_array_equal(
            found["words"]["first"], data["words"]["first"]
        )
        masking = keras_sgt.masking.FeatureMasking(
            inputs=["views/0", "views/1"]
        )
        guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
        guided.compile("adam", CROSSENTROPY)
        history = guided.fit(data, classes(3), batch_size=4, verbose=0).history
        assert history["divergence"][0] > 0
        wrong = keras_sgt.SaliencyGuidedModel(model)
        wrong.compile("adam", CROSSENTROPY)
        with pytest.raises(ValueError, match=r"FeatureMasking\(inputs="):
            wrong.train_on_batch(data, classes(3))

    def test_a_head_without_a_loss_takes_no_part(self):
        x, y = self.data()
        guided = keras_sgt.SaliencyGuidedModel(self.model(dict))
        guided.compile("sgd", {"kind": CROSSENTROPY, "size": None})
        assert guided.fit(x, y, verbose=0).history["divergence"][0] > 0

    def test_a_head_without_a_divergence_is_named(self):
        guided = keras_sgt.SaliencyGuidedModel(self.model(dict))
        with pytest.raises(ValueError, match="'poisson'"):
            guided.compile("sgd", {"kind": CROSSENTROPY, "size": "poisson"})
        channels_first = keras.losses.CategoricalCrossentropy(axis=1)
        with pytest.raises(ValueError, match="last axis"):
            guided.compile("sgd", {"kind": channels_first, "size": "mse"})


def per_step():
    """A label for each step, which depends on all steps before it."""
    return [
        keras.Input((6, 4)),
        layers.SimpleRNN(5, return_sequences=True),
        layers.Dense(3),
    ]


class AddWhereGiven(layers.Layer):
    def call(self, x, other=None):
        return x if other is None else x + other


class TestOptionalInputs:
    """Which Keras is given `None` for."""

    def model(self):
        keras.utils.set_random_seed(0)
        one = keras.Input((6,), name="one")
        other = keras.Input((6,), name="other", optional=True)
        return keras.Model(
            [one, other], layers.Dense(3)(AddWhereGiven()(one, other))
        )

    @pytest.mark.parametrize("inputs", [None, ["0", "1"]])
    def test_left_out(self, inputs):
        x = np.random.default_rng(0).random((12, 6), dtype="float32")
        y = np.arange(12) % 3
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(0), inputs=inputs
        )
        guided = keras_sgt.SaliencyGuidedModel(self.model(), masking=masking)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        guided.compile(keras.optimizers.SGD(0.0), loss)
        history = guided.fit([x, None], y, batch_size=5, verbose=0).history
        assert history["divergence"][0] > 0
        masked, other = guided.mask_on_batch([x, None], y)
        assert other is None
        kernel = guided.model.layers[-1].get_weights()[0]
        order = np.argsort(kernel.T[y], axis=1)
        expected = x.copy()
        np.put_along_axis(expected, order[:, :3], 0, axis=1)
        np.testing.assert_array_equal(masked, expected)


class TestWeightsOfSamples:
    def trained(self, x, y, masking=None, network=None, loss=None, **options):
        keras.utils.set_random_seed(0)
        small = [keras.Input((10,)), layers.Dense(3)]
        model = keras.Sequential(network() if network else small)
        guided = keras_sgt.SaliencyGuidedModel(
            model,
            masking=masking
            or keras_sgt.masking.FeatureMasking(
                replacement=keras_sgt.masking.Mean(per="sample")
            ),
        )
        guided.compile(keras.optimizers.SGD(1.0), loss or CROSSENTROPY)
        logs = guided.train_on_batch(x, y, return_dict=True, **options)
        return logs, model.get_weights()

    def test_weight_0_takes_no_part(self):
        """Half the batch at weight 2 is the half alone."""
        x, y = floats(10), classes(3)
        weight = np.array([2.0] * 4 + [0.0] * 4, "float32")
        other = x.copy()
        other[4:] = 100
        for inputs in (x, other):
            logs, weights = self.trained(inputs, y, sample_weight=weight)
            half_logs, half = self.trained(x[:4], y[:4])
            for name in ("loss", "divergence"):
                assert logs[name] == pytest.approx(half_logs[name], rel=1e-5)
            for a, b in zip(weights, half):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "replacement", ["uniform", "gaussian", "mean", "marginal"]
    )
    def test_weight_0_is_in_no_statistic(self, replacement):
        """Statistics of a table are taken over its rows."""
        x, y = floats(10), classes(3)
        weight = np.array([2.0] * 4 + [0.0] * 4, "float32")
        other = x.copy()
        other[4:] = 100
        found = []
        for inputs in (x, other):
            masking = keras_sgt.masking.FeatureMasking(
                replacement=replacement, seed=0
            )
            found.append(
                self.trained(inputs, y, sample_weight=weight, masking=masking)
            )
        (logs, weights), (other_logs, other_weights) = found
        assert logs["divergence"] > 0
        assert logs["divergence"] == pytest.approx(
            other_logs["divergence"], rel=1e-5
        )
        for a, b in zip(weights, other_weights):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def test_steps_of_weight_0_are_no_reason(self):
        """Their labels change nothing, neither mask nor loss."""
        x, y = floats(6, 4), classes(3, 6)
        weight = np.ones((len(x), 6), "float32")
        weight[:, 4:] = 0
        other = y.copy()
        other[:, 4:] = (y[:, 4:] + 1) % 3
        first, second = (
            self.trained(x, labels, sample_weight=weight, network=per_step)
            for labels in (y, other)
        )
        assert first[0] == pytest.approx(second[0], rel=1e-5)
        for a, b in zip(first[1], second[1]):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_ignored_labels_are_as_weights_of_0(self):
        x, y = floats(6, 4), classes(3, 6)
        ignored, weight = y.copy(), np.ones((len(x), 6), "float32")
        ignored[:, 4:], weight[:, 4:] = 255, 0
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=255
        )
        logs, weights = self.trained(x, ignored, network=per_step, loss=loss)
        # The mean over what is not ignored: Keras divides weights by all.
        expected, expected_weights = self.trained(
            x, y, sample_weight=1.5 * weight, network=per_step
        )
        assert logs == pytest.approx(expected, rel=1e-4)
        for a, b in zip(weights, expected_weights):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

    def test_a_loss_that_sums_has_a_divergence_that_sums(self):
        x, y = floats(10), classes(3)
        mean, _ = self.trained(x, y)
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="sum"
        )
        total, _ = self.trained(x, y, loss=loss)
        for name in ("loss", "divergence"):
            assert total[name] == pytest.approx(len(x) * mean[name], rel=1e-4)

    def test_class_weights_enter_the_supervised_loss_only(self):
        x, y = floats(10), classes(3)
        weights = {0: 0.5, 1: 3.0, 2: 10.0}
        plain, _ = self.trained(x, y)
        weighted, _ = self.trained(x, y, class_weight=weights)
        assert weighted["divergence"] == pytest.approx(plain["divergence"])
        sample_weight = np.array([weights[label] for label in y])
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((10,)), layers.Dense(3)])
        model.compile("sgd", CROSSENTROPY)
        supervised = model.test_on_batch(x, y, sample_weight=sample_weight)
        assert weighted["loss"] == pytest.approx(
            supervised + plain["divergence"], rel=1e-5
        )

    def test_class_weights_come_and_go(self):
        """One `fit` with sample weights, the next with class weights."""
        x, y = floats(10), classes(3)
        weights = {0: 0.5, 1: 3.0, 2: 10.0}
        sample_weight = np.array([weights[label] for label in y])
        model = keras.Sequential([keras.Input((10,)), layers.Dense(3)])
        guided = keras_sgt.SaliencyGuidedModel(
            model, masking=keras_sgt.masking.FeatureMasking(replacement="mean")
        )
        guided.compile(keras.optimizers.SGD(0.0), CROSSENTROPY)

        def divergence(**options):
            history = guided.fit(x, y, epochs=2, verbose=0, **options).history
            return history["divergence"][-1]

        by_sample = divergence(sample_weight=sample_weight)
        by_class = divergence(class_weight=weights)
        assert by_class != pytest.approx(by_sample, rel=0.05)
        assert divergence() == pytest.approx(by_class)
        assert divergence(sample_weight=sample_weight) == pytest.approx(
            by_sample
        )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model, x, y = resnet()
        guided = keras_sgt.SaliencyGuidedModel(model)
        guided.compile("adam", CROSSENTROPY)
        history = guided.fit(x, y, batch_size=4, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite([*history.values()]).all()
    assert history["divergence"][0] > 0
    scaled = isinstance(guided.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


class Marked(keras_sgt.masking.Replacement):
    """Shows which features are masked."""

    def call(self, inputs, mask, saliency):
        return ops.full_like(inputs, NAN)


class TestFloat16:
    def masked(self, policy, network, x, y):
        """Where the features are that one step would mask."""
        keras.config.set_dtype_policy(policy)
        try:
            model = network()
            masking = keras_sgt.masking.FeatureMasking(replacement=Marked())
            guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
            guided.compile("adam", CROSSENTROPY)
            return np.isnan(guided.mask_on_batch(x, y))
        finally:
            keras.config.set_dtype_policy("float32")

    def test_gradients_too_small_for_float16_are_ranked(self):
        """The gradients of a linear model are its weights."""
        weights = np.random.default_rng(0).normal(size=(40, 3))

        def network():
            model = keras.Sequential(
                [
                    keras.Input((40,)),
                    layers.Rescaling(2.0**-13),
                    # Not constant, lest a compiler makes the two one number.
                    layers.Dense(40, use_bias=False),
                    layers.Dense(3, use_bias=False),
                ]
            )
            model.set_weights([2.0**-13 * np.eye(40), weights])
            return model

        x, y = floats(40), classes(3)
        found = self.masked("mixed_float16", network, x, y)
        expected = np.zeros_like(found)
        lowest = np.argsort(weights.T[y], axis=1)[:, :20]
        np.put_along_axis(expected, lowest, True, axis=1)
        assert (found == expected).mean() > 0.9

    def test_the_masks_and_accuracy_of_float32(self):
        """A convolutional network on scikit-learn's digits."""
        x, y = load_digits(return_X_y=True)
        x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")

        def network():
            return keras.Sequential(
                [
                    keras.Input((8, 8, 1)),
                    layers.Conv2D(16, 3, activation="relu"),
                    layers.MaxPooling2D(),
                    layers.Flatten(),
                    layers.Dense(10),
                ]
            )

        def trained(policy):
            keras.utils.set_random_seed(0)
            keras.config.set_dtype_policy(policy)
            try:
                guided = keras_sgt.SaliencyGuidedModel(network(), seed=0)
                guided.compile("adam", CROSSENTROPY)
                guided.fit(x[:1000], y[:1000], epochs=12, verbose=0)
            finally:
                keras.config.set_dtype_policy("float32")
            outputs = guided.predict(x[1000:], verbose=0, batch_size=797)
            return guided.model, (outputs.argmax(1) == y[1000:]).mean()

        full, full_accuracy = trained("float32")
        _, half_accuracy = trained("mixed_float16")
        assert half_accuracy > full_accuracy - 0.01

        def same_weights():
            model = network()
            model.set_weights(full.get_weights())
            return model

        test = x[1000:], y[1000:]
        one = self.masked("float32", same_weights, *test)
        other = self.masked("mixed_float16", same_weights, *test)
        assert (one == other).mean() > 0.99


def test_regularisers_count_once():
    """The loss is that of one clean forward pass, plus the divergence."""
    model, x, y = mlp()
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("sgd", CROSSENTROPY)
    model.compile("sgd", CROSSENTROPY)
    plain = model.test_on_batch(x, y)
    logs = guided.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] - logs["divergence"] == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_accumulation_steps": 2},
        {"clipnorm": 0.1},
        {"use_ema": True},
    ],
)
def test_optimizers(options):
    model, x, y = mlp()
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile(keras.optimizers.Adam(**options), CROSSENTROPY)
    history = guided.fit(x, y, batch_size=2, epochs=2, verbose=0).history
    assert np.isfinite([*history.values()]).all()


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras runs one step an execution on PyTorch",
)
def test_steps_per_execution():
    model, x, y = mlp()
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("adam", CROSSENTROPY, steps_per_execution=2)
    history = guided.fit(x, y, batch_size=2, verbose=0).history
    assert history["divergence"][0] > 0


@pytest.mark.parametrize("masked_statistics", [True, False])
def test_moving_statistics(masked_statistics):
    """Those of the clean batch, and after it those of the masked one."""
    normalisation = layers.BatchNormalization(momentum=0.5)
    model = keras.Sequential(
        [keras.Input((6,)), normalisation, layers.Dropout(0.5), layers.Dense(3)]
    )
    x, y = floats(6), classes(3)
    guided = keras_sgt.SaliencyGuidedModel(
        model,
        masking=keras_sgt.masking.FeatureMasking(replacement="mean"),
        masked_statistics=masked_statistics,
    )
    guided.compile("sgd", CROSSENTROPY)
    masked = guided.mask_on_batch(x, y)
    guided.train_on_batch(x, y)
    expected = 0.5 * x.mean(0)
    if masked_statistics:
        expected = 0.5 * expected + 0.5 * masked.mean(0)
    found = ops.convert_to_numpy(normalisation.moving_mean)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_stateful_layers_are_refused():
    """Their state would go on from the clean batch to the masked one."""
    inputs = keras.Input(batch_shape=(BATCH, 6, 4))
    x = layers.LSTM(5, stateful=True, name="memory")(inputs)
    guided = keras_sgt.SaliencyGuidedModel(
        keras.Model(inputs, layers.Dense(3)(x))
    )
    with pytest.raises(ValueError, match=r"stateful.*\['memory'\]"):
        guided.compile("adam", CROSSENTROPY)


def test_jit_compile():
    """The same step, compiled by XLA or by torch.compile."""

    def trained(jit_compile):
        keras.utils.set_random_seed(0)
        model, _, _ = resnet()
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(0)
        )
        guided = keras_sgt.SaliencyGuidedModel(model, masking=masking)
        optimizer = keras.optimizers.SGD(0.1)
        guided.compile(optimizer, CROSSENTROPY, jit_compile=jit_compile)
        history = guided.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        return model.get_weights(), history.history["divergence"]

    _, x, y = resnet()
    (weights, divergence), (expected, _) = trained(True), trained(False)
    assert divergence[0] > 0
    for one, other in zip(weights, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_run_eagerly():
    model, x, y = resnet()
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("adam", CROSSENTROPY, run_eagerly=True)
    assert guided.fit(x, y, verbose=0).history["divergence"][0] > 0


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="Keras's rematerialised models train on TensorFlow eagerly only",
)
@pytest.mark.parametrize("network", ["tcn", "lstm"])
def test_rematerialisation(network):
    """The same step, whatever is kept for the backward pass."""

    def trained(mode):
        keras.utils.set_random_seed(0)
        with keras.RematScope(mode=mode):
            model, _, _ = ZOO[network]()
            guided = keras_sgt.SaliencyGuidedModel(model, seed=0)
            guided.compile(keras.optimizers.SGD(0.5), CROSSENTROPY)
            guided.train_on_batch(x, y)
        return model.get_weights()

    if network == "lstm" and keras.backend.backend() == "jax":
        pytest.skip("Keras cannot rematerialise a recurrent layer on JAX")
    _, x, y = ZOO[network]()
    for one, other in zip(trained(None), trained("full")):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_lora():
    """Only the low-rank factors move."""
    model, x, y = mlp()
    model.layers[0].enable_lora(2)
    model.layers[1].trainable = False
    kernel = ops.convert_to_numpy(model.layers[0]._kernel)
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("adam", CROSSENTROPY)
    guided.fit(x, y, verbose=0)
    assert np.abs(model.layers[0].lora_kernel_b).max() > 0
    np.testing.assert_array_equal(kernel, model.layers[0]._kernel)


def test_stateful_metrics():
    """Those of a `fit` are those of `evaluate`, with nothing learned."""
    model, x, _ = mlp()
    model = keras.Sequential([model, layers.Dense(1, "sigmoid")])
    y = classes(2)
    guided = keras_sgt.SaliencyGuidedModel(model)
    metrics = [keras.metrics.AUC(name="auc"), keras.metrics.Recall(name="r")]
    guided.compile(
        keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=metrics
    )
    history = guided.fit(x, y, batch_size=4, verbose=0).history
    expected = guided.evaluate(x, y, return_dict=True, verbose=0)
    for name in ("auc", "r"):
        assert history[name][0] == pytest.approx(expected[name])


def test_frozen_layers_stay():
    model, x, y = mlp()
    model.layers[0].trainable = False
    frozen, moving = (layer.get_weights()[0] for layer in model.layers)
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("adam", CROSSENTROPY)
    guided.fit(x, y, verbose=0)
    np.testing.assert_array_equal(frozen, model.layers[0].get_weights()[0])
    assert (moving != model.layers[1].get_weights()[0]).any()


class TestSpectralNormalization:
    """It writes to its kernel in each call in training."""

    @pytest.mark.parametrize(
        ("one_backward", "frozen"),
        [(False, False), (True, False), (False, True)],
    )
    def test_without_masking_it_is_plain_training(self, one_backward, frozen):
        x, y = floats(4), classes(3)

        def trained(wrap):
            keras.utils.set_random_seed(0)
            model = keras.Sequential(
                [
                    keras.Input((4,)),
                    layers.SpectralNormalization(layers.Dense(5, "tanh")),
                    layers.BatchNormalization(),
                    layers.SpectralNormalization(layers.Dense(5, "tanh")),
                    layers.Dense(3),
                ]
            )
            model.layers[0].trainable = not frozen
            trainer = wrap(model)
            trainer.compile(keras.optimizers.SGD(0.1), CROSSENTROPY)
            trainer.fit(x, y, 4, shuffle=False, verbose=0)
            return model.get_weights()

        def guided(model):
            terms = [
                keras_sgt.guidance.MaskedConsistency(0.0, name=name)
                for name in ("one", "other")
            ]
            return keras_sgt.SaliencyGuidedModel(
                model, guidance=terms, one_backward=one_backward
            )

        plain = trained(lambda model: model)
        for a, b in zip(plain, trained(guided), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("statistics", [False, True])
    def test_both_predictions_are_of_one_kernel(self, statistics):
        """In NumPy: the kernel by its norm, from one power iteration."""
        x, y = floats(4), classes(3)
        layer = layers.SpectralNormalization(layers.Dense(3))
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(1.0)
        )
        guided = keras_sgt.SaliencyGuidedModel(
            keras.Sequential([keras.Input((4,)), layer]),
            masking=masking,
            masked_statistics=statistics,
        )
        guided.compile(keras.optimizers.SGD(0.0), CROSSENTROPY)
        kernel, u = map(ops.convert_to_numpy, (layer.kernel, layer.vector_u))
        kernel, u = kernel.copy(), u.copy()
        masked = guided.mask_on_batch(x, y)
        logs = guided.train_on_batch(x, y, return_dict=True)
        v = u @ kernel.T / np.linalg.norm(u @ kernel.T)
        u = v @ kernel / np.linalg.norm(v @ kernel)
        z, w = (a @ kernel / (v @ kernel @ u.T) for a in (x, masked))
        p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (z, w))
        kl = (p * np.log(p / q)).sum(1).mean()
        assert logs["divergence"] == pytest.approx(kl, rel=1e-4)
        found = ops.convert_to_numpy(layer.vector_u)
        np.testing.assert_allclose(found, u, rtol=1e-4, atol=1e-6)
