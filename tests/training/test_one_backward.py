"""One backward pass for weights and inputs: Keras's own step, and the saliency.

With nothing masked the divergence and its gradient are 0, and what is left has
to be `keras.Model.fit`: whatever Keras adds to a step is kept.
"""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.guidance import (
    AdversarialConsistency,
    Comprehensiveness,
    GradientPenalty,
    Guidance,
    MaskedConsistency,
)

CLASSES, FEATURES, SAMPLES = 3, 6, 8
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EAGER = {"run_eagerly": True}


def numbers(shape=(FEATURES,), samples=32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, *shape)).astype("float32")
    return x, rng.integers(0, CLASSES, samples).astype("int32")


def images():
    return numbers((6, 6, 2))


def texts():
    x, y = numbers()
    return np.argsort(x, axis=1).astype("int32") + 1, y


def network(*middle, **of_last):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            *middle,
            layers.Flatten(),
            layers.Dense(CLASSES, **of_last),
        ]
    )


def text_network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((FEATURES,), dtype="int32"),
            layers.Embedding(FEATURES + 1, 4),
            layers.LSTM(3),
            layers.Dense(CLASSES),
        ]
    )


def regularised():
    return network(kernel_regularizer="l2", activity_regularizer="l2")


def frozen():
    model = network(layers.Conv2D(4, 1, kernel_initializer="ones"))
    model.layers[0].trainable = False
    return model


class OwnCall(keras_sgt.SaliencyGuidedModel):
    """Derived, with a forward pass of its own."""

    def __init__(self, **settings):
        super().__init__(**settings)
        keras.utils.set_random_seed(0)
        self.inner = network()

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)


def guided_by(model, **settings):
    return keras_sgt.SaliencyGuidedModel(
        model, mask_fraction=0.0, one_backward=True, **settings
    )


def of_text(model):
    masking = keras_sgt.masking.TokenMasking()
    return guided_by(model, masking=masking)


# How it is trained, and what `fit` is given beside the data.
CASES = {
    "images": (network, images, {}, {}),
    "statistics": (
        lambda: network(layers.BatchNormalization()),
        *(images, {}, {}),
    ),
    "regularised": (regularised, images, {}, {}),
    "frozen": (frozen, images, {}, {}),
    "texts": (text_network, texts, {}, {}),
    "eager": (network, images, EAGER, {}),
    "average": (network, images, {"use_ema": True, "ema_momentum": 0.5}, {}),
    "accumulation": (
        *(network, images, {"gradient_accumulation_steps": 2}, {}),
    ),
    "clipping": (network, images, {"global_clipnorm": 0.1}, {}),
    "decay": (network, images, {"weight_decay": 0.1}, {}),
    "loss scale": (network, images, {"loss_scale_factor": 256.0}, {}),
    "class weights": (
        *(network, images, {}, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.0}}),
    ),
    "sample weights": (
        *(network, images, {}, {"sample_weight": np.arange(32.0) % 3}),
    ),
}
if keras.backend.backend() != "torch":  # whose Keras takes one at a time
    several = {"steps_per_execution": 2}
    CASES["several steps at once"] = (network, images, several, {})
OF_COMPILE = ("run_eagerly", "steps_per_execution")


def trained(model, data, options, arguments):
    """The weights and the losses of three epochs."""
    of_compile = {k: v for k, v in options.items() if k in OF_COMPILE}
    others = {k: v for k, v in options.items() if k not in OF_COMPILE}
    model.compile(
        keras.optimizers.Adam(0.01, **others),
        LOSS,
        metrics=["accuracy"],
        **of_compile,
    )
    history = model.fit(
        *data,
        batch_size=SAMPLES,
        epochs=3,
        shuffle=False,
        verbose=0,
        **arguments,
    ).history
    return history


COMPILED = ("images", "statistics", "texts", "accumulation", "class weights")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            marks=[] if case in COMPILED else pytest.mark.slow_to_compile,
        )
        for case in CASES
    ],
)
def test_without_masking_it_is_plain_training(case):
    build, data, options, arguments = CASES[case]
    plain, inner = build(), build()
    guided = of_text(inner) if case == "texts" else guided_by(inner)
    expected = trained(plain, data(), options, arguments)
    found = trained(guided, data(), options, arguments)
    np.testing.assert_allclose(found["divergence"], 0, atol=1e-6)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6)
    for one, other in zip(inner.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow_to_compile
def test_a_model_with_its_own_call_is_trained_so_too():
    plain = network()
    guided = OwnCall(mask_fraction=0.0, one_backward=True)
    data = images()
    expected = trained(plain, data, {}, {})
    assert trained(guided, data, {}, {})["loss"] == pytest.approx(
        expected["loss"], rel=1e-5
    )


@pytest.mark.slow_to_compile
def test_several_heads():
    def build():
        keras.utils.set_random_seed(0)
        inputs = {
            name: keras.Input((FEATURES,), name=name) for name in ("a", "b")
        }
        joined = layers.Concatenate()(list(inputs.values()))
        outputs = {
            "kind": layers.Dense(CLASSES, name="kind")(joined),
            "size": layers.Dense(1, name="size")(joined),
        }
        return keras.Model(inputs, outputs)

    def fit(model):
        model.compile(
            keras.optimizers.SGD(0.1),
            {"kind": LOSS, "size": "mean_squared_error"},
            loss_weights={"kind": 1.0, "size": 0.5},
        )
        x, y = numbers()
        data = {"a": x, "b": -x}, {"kind": y, "size": x[:, :1]}
        return model.fit(*data, epochs=2, shuffle=False, verbose=0).history

    plain, inner = build(), build()
    expected, found = fit(plain), fit(guided_by(inner))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    for one, other in zip(inner.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


class Linear:
    """A linear model and the step that it has to take, in NumPy."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.kernel = rng.normal(size=(FEATURES, CLASSES))
        self.x, self.y = numbers(samples=SAMPLES)
        self.onehot = np.eye(CLASSES)[self.y]

    def keras(self):
        model = keras.Sequential(
            [keras.Input((FEATURES,)), layers.Dense(CLASSES, use_bias=False)]
        )
        model.set_weights([self.kernel])
        return model

    def guide(self, rate=0.0, **settings):
        model = self.keras()
        guided = keras_sgt.SaliencyGuidedModel(
            model, one_backward=True, **settings
        )
        guided.compile(keras.optimizers.SGD(rate), LOSS)
        return guided, model

    def probabilities(self, x):
        logits = x @ self.kernel
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)

    def loss_gradient(self):
        """Of each sample's loss, with respect to its features."""
        return (self.probabilities(self.x) - self.onehot) @ self.kernel.T

    def step(self, perturbed, share=1, kl_weight=1.0):
        """The loss, the divergence, and the gradient at the kernel."""
        p, q = self.probabilities(self.x), self.probabilities(perturbed)
        entropy = -np.log(p[self.onehot == 1]).mean()
        some = p[::share]
        divergence = (some * np.log(some / q)).sum(1).mean()
        gradient = self.x.T @ (p - self.onehot) / len(p)
        # f(X) is a constant of the divergence.
        gradient += kl_weight * perturbed.T @ (q - some) / len(q)
        return entropy + kl_weight * divergence, divergence, gradient

    def check_step(self, guided, model, perturbed, share=1, kl_weight=1.0):
        """Trains one step of SGD at rate 1, which has to be that of NumPy.

        Returns:
            The logs, and the divergence that they should tell.
        """
        loss, divergence, gradient = self.step(perturbed, share, kl_weight)
        logs = guided.train_on_batch(self.x, self.y, return_dict=True)
        np.testing.assert_allclose(logs["loss"], loss, rtol=1e-5)
        step = self.kernel - model.get_weights()[0]
        np.testing.assert_allclose(step, gradient, rtol=1e-4, atol=1e-6)
        return logs, divergence


@pytest.mark.parametrize("share", [1, 4])
def test_a_step_of_a_linear_model(share):
    linear = Linear()
    masking = keras_sgt.masking.FeatureMasking(replacement="constant")
    guided, model = linear.guide(
        rate=1.0,
        kl_weight=0.7,
        masking=masking,
        batch_fraction=1 / share,
    )
    saliency = -linear.loss_gradient()
    lowest = np.argsort(saliency, axis=1)[:, : FEATURES // 2]
    masked = linear.x.copy()
    np.put_along_axis(masked, lowest, 0.0, axis=1)
    np.testing.assert_allclose(guided.mask_on_batch(linear.x, linear.y), masked)
    logs, divergence = linear.check_step(
        *(guided, model, masked[::share], share, 0.7)
    )
    np.testing.assert_allclose(logs["divergence"], divergence, rtol=1e-5)
    assert divergence > 0.01


def test_an_adversarial_step_of_a_linear_model():
    linear = Linear()
    guidance = AdversarialConsistency(0.3, scale=1.0, bounds=None)
    guided, model = linear.guide(rate=1.0, guidance=guidance)
    moved = linear.x + 0.3 * np.sign(linear.loss_gradient())
    linear.check_step(guided, model, moved)


@contextlib.contextmanager
def counted_calls(guided, linear):
    """The batches that the wrapped model predicts in eager steps."""
    guided.compile(keras.optimizers.SGD(0.1), LOSS, run_eagerly=True)
    guided.train_on_batch(linear.x, linear.y)  # builds
    layer, calls = guided.model.layers[-1], []
    original = layer.call

    def counting(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    layer.call = counting
    yield calls
    del layer.call


def test_several_guidances_share_the_pass():
    linear = Linear()
    one, other = AdversarialConsistency(0.3), Comprehensiveness(0.5)
    guided, _ = linear.guide(guidance=[one, other])
    with counted_calls(guided, linear) as calls:
        guided.train_on_batch(linear.x, linear.y)
    assert len(calls) == 3  # X and two X̃


def test_two_forward_passes_are_all():
    linear = Linear()
    guided, _ = linear.guide()
    with counted_calls(guided, linear) as calls:
        guided.train_on_batch(linear.x, linear.y)
    assert len(calls) == 2


class Seen(keras_sgt.masking.FeatureMasking):
    """Remembers what it masked."""

    def call(self, *args, **kwargs):
        self.seen = ops.convert_to_numpy(super().call(*args, **kwargs))
        return ops.convert_to_tensor(self.seen)


@pytest.mark.parametrize("seed", [None, 1])
def test_mask_on_batch_is_what_the_next_step_sees(seed):
    """With dropout, whose numbers the saliency depends on."""
    masking = Seen(seed=2)
    x, y = images()
    guided = keras_sgt.SaliencyGuidedModel(
        network(layers.Dropout(0.5, seed=seed)),
        masking=masking,
        one_backward=True,
    )
    guided.compile(keras.optimizers.SGD(0.1), LOSS, run_eagerly=True)
    guided.train_on_batch(x, y)
    expected = guided.mask_on_batch(x, y)
    masking.seen = None
    guided.train_on_batch(x, y)
    np.testing.assert_array_equal(masking.seen, expected)


def test_gradients_that_overflow_are_left_out():
    """Keras halves the scale, and the loss that is logged stays a number."""
    keras.utils.set_random_seed(0)
    model = network()
    for layer in model.layers:
        layer.dtype_policy = "mixed_float16"
    guided = guided_by(keras.models.clone_model(model))
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**60
    )
    guided.compile(optimizer, LOSS)
    x, y = images()
    guided.build(x.shape)
    before = guided.model.get_weights()
    losses = guided.fit(x, y, batch_size=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    for one, other in zip(guided.model.get_weights(), before):
        np.testing.assert_array_equal(one, other)
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) < 2.0**60


def test_steps_between_are_plain():
    plain, inner = network(), network()
    guided = guided_by(inner, step_fraction=1 / 2)
    expected = trained(plain, images(), {}, {})["loss"]
    np.testing.assert_allclose(
        trained(guided, images(), {}, {})["loss"], expected, rtol=1e-5
    )


class Elsewhere(keras_sgt.masking.FeatureMasking):
    """Ranks by the gradient at other inputs than the step's."""

    def saliency(self, score, inputs, model=None):
        return super().saliency(score, inputs + 3.0, model)


def test_a_gradient_elsewhere_is_not_the_clean_pass():
    linear = Linear()
    guided, model = linear.guide(
        rate=1.0, masking=Elsewhere(replacement="constant")
    )
    masked = guided.mask_on_batch(linear.x, linear.y)
    linear.check_step(guided, model, masked)


def test_at_random_f_of_x_is_constant_too():
    """As the control of a guidance has to have it."""
    linear = Linear()
    guidance = MaskedConsistency(seed=1).control()
    guided, model = linear.guide(rate=1.0, guidance=guidance)
    masked = guided.mask_on_batch(linear.x, linear.y)
    linear.check_step(guided, model, masked)


def test_it_is_saved(tmp_path):
    linear = Linear()
    guided, _ = linear.guide()
    guided.save(tmp_path / "guided.keras")
    loaded = keras.models.load_model(tmp_path / "guided.keras")
    assert loaded.one_backward is True
    np.testing.assert_allclose(
        loaded.predict(linear.x, verbose=0),
        guided.predict(linear.x, verbose=0),
        rtol=1e-6,
    )


class OwnLoss(keras_sgt.SaliencyGuidedModel):
    def compute_loss(self, *args, **kwargs):
        return 2 * super().compute_loss(*args, **kwargs)


class OwnPenalty(Guidance):
    def perturb(self, batch):
        return batch.inputs

    def penalty(self, output, clean, perturbed):
        return ops.sum(ops.square(clean - perturbed), axis=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"one_backward": 1}, "True or False.*one_backward=1"),
        ({"saliency_target": "prediction"}, "saliency_target='prediction'"),
        ({"guidance": GradientPenalty()}, "holds.*`GradientPenalty`"),
        ({"guidance": OwnPenalty()}, "`OwnPenalty`.*takes_constant_clean"),
    ],
)
def test_what_cannot_be_trained_so(settings, message):
    settings = {"one_backward": True, **settings}
    with pytest.raises(ValueError, match=message):
        keras_sgt.SaliencyGuidedModel(network(), **settings)


def test_a_loss_of_ones_own_cannot():
    with pytest.raises(ValueError, match=r"OwnLoss.*`compute_loss`"):
        OwnLoss(network(), one_backward=True)


def test_guidances_of_different_inputs_cannot():
    inputs = [keras.Input((FEATURES,)), keras.Input((FEATURES,))]
    outputs = layers.Dense(CLASSES)(layers.Concatenate()(inputs))
    guidances = [
        AdversarialConsistency(0.1, inputs=0, name="first"),
        AdversarialConsistency(0.1, inputs=1, name="second"),
    ]
    guided = keras_sgt.SaliencyGuidedModel(
        keras.Model(inputs, outputs), guidance=guidances, one_backward=True
    )
    guided.compile("sgd", LOSS)
    x, y = numbers()
    with pytest.raises(ValueError, match="the same inputs"):
        guided.train_on_batch([x, x], y)


def test_labels_are_needed():
    guided, _ = Linear().guide()
    with pytest.raises(ValueError, match="needs labels"):
        guided.mask_on_batch(Linear().x)
