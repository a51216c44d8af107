"""Each guidance against a direct computation, on a network small enough."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt import guidance, masking

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = (np.arange(8) % 3).astype("int32")
WEIGHTS = {"class": 1.0, "size": 0.1}
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Network:
    """One hidden layer of tanh, 3 classes: in Keras and in NumPy."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.hidden = rng.normal(size=(6, 5)).astype("float32")
        self.out = rng.normal(size=(5, 3)).astype("float32")

    def keras(self):
        model = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(5, "tanh", use_bias=False),
                layers.Dense(3, use_bias=False),
            ]
        )
        model.set_weights([self.hidden, self.out])
        return model

    def logits(self, x, weights=None):
        hidden, out = weights or (self.hidden, self.out)
        return np.tanh(np.asarray(x, "float64") @ hidden) @ out

    def log_p(self, x, weights=None):
        logits = self.logits(x, weights)
        logits = logits - logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def loss(self, x, weights=None):
        return -np.take_along_axis(self.log_p(x, weights), Y[:, None], 1)[:, 0]

    def kl(self, x, moved, weights=None):
        p, q = self.log_p(x, weights), self.log_p(moved, weights)
        return (np.exp(p) * (p - q)).sum(-1)

    def input_gradient(self, x, of_loss):
        """∇ₓℓ, or ∇ₓ of the label's logit."""
        hidden = np.tanh(x.astype("float64") @ self.hidden)
        target = np.eye(3)[Y]
        upper = np.exp(self.log_p(x)) - target if of_loss else target
        return ((upper @ self.out.T) * (1 - hidden**2)) @ self.hidden.T


def trained(terms, kl_weight=1.0, rate=1.0, **options):
    """Loss, logs, X̃, and the parameter gradient of one step of SGD."""
    network = Network()
    model = network.keras()
    guided = keras_sgt.SaliencyGuidedModel(
        model, kl_weight=kl_weight, guidance=terms, **options
    )
    guided.compile(keras.optimizers.SGD(rate), LOGITS)
    moved = guided.mask_on_batch(X, Y)
    logs = guided.train_on_batch(X, Y, return_dict=True)
    gradient = [
        (a - b) / rate
        for a, b in zip([network.hidden, network.out], model.get_weights())
    ]
    return network, logs, moved, gradient


def check_gradient(network, gradient, loss, h=1e-5):
    """The step's gradient against central differences of a NumPy loss."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        way = [rng.normal(size=g.shape) for g in gradient]
        ends = [
            loss(
                [
                    w.astype("float64") + sign * h * d
                    for w, d in zip([network.hidden, network.out], way)
                ]
            )
            for sign in (1, -1)
        ]
        slope = sum((g * d).sum() for g, d in zip(gradient, way))
        np.testing.assert_allclose(
            slope, (ends[0] - ends[1]) / (2 * h), rtol=2e-4, atol=2e-5
        )


class TestAdversarialConsistency:
    @pytest.mark.parametrize("direction", ["loss", "score"])
    def test_moves_each_feature_by_epsilon_deviations(self, direction):
        term = guidance.AdversarialConsistency(
            0.1, direction=direction, bounds=None
        )
        network, _, moved, _ = trained(term)
        gradient = network.input_gradient(X, of_loss=direction == "loss")
        up = 1 if direction == "loss" else -1
        expected = X + 0.1 * X.std(0) * np.sign(up * gradient)
        np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)

    def test_value_and_parameter_gradient(self):
        """One step of TRADES, X̃ a constant, both sides with gradient."""
        term = guidance.AdversarialConsistency(0.3, weight=0.7, bounds=None)
        network, logs, moved, gradient = trained(term, kl_weight=2.0)

        def loss(weights):
            values = network.loss(X, weights)
            return (values + 1.4 * network.kl(X, moved, weights)).mean()

        weights = (network.hidden, network.out)
        np.testing.assert_allclose(logs["loss"], loss(weights), rtol=1e-5)
        np.testing.assert_allclose(
            logs["divergence"], network.kl(X, moved).mean(), rtol=1e-4
        )
        check_gradient(network, gradient, loss)

    def test_l2_moves_along_the_gradient(self):
        term = guidance.AdversarialConsistency(
            0.1, norm="l2", bounds=None, scale=2.0
        )
        network, _, moved, _ = trained(term)
        gradient = network.input_gradient(X, of_loss=True)
        way = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
        expected = X + 0.1 * 2.0 * np.sqrt(6) * way
        np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5)

    def test_stays_in_bounds(self):
        moved = trained(guidance.AdversarialConsistency(1.0))[2]
        assert (moved <= X.max(0)).all()
        assert (moved >= X.min(0)).all()
        assert (moved == X.max(0)).any()
        term = guidance.AdversarialConsistency(1.0, bounds=(-3, 3))
        assert abs(trained(term)[2]).max() == 3

    def test_masked_then_moved(self):
        blank = masking.FeatureMasking(replacement="constant")
        term = guidance.AdversarialConsistency(
            0.1, masking=blank, mask_fraction=0.5, bounds=None
        )
        network, _, moved, _ = trained(term)
        gradient = network.input_gradient(X, of_loss=False)
        lowest = np.argsort(gradient, axis=1)[:, :3]
        expected = X.copy()
        np.put_along_axis(expected, lowest, 0, axis=1)
        expected -= 0.1 * X.std(0) * np.sign(gradient)
        np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5)

    def test_control_moves_as_far_whatever_the_gradient(self):
        term = guidance.AdversarialConsistency(0.1, bounds=None, seed=1)
        moved = trained(term.control())[2]
        sizes = abs(moved - X) / X.std(0)
        np.testing.assert_allclose(sizes, 0.1, rtol=1e-4)
        signs = np.sign(moved - X)
        gradient = Network().input_gradient(X, of_loss=True)
        assert 0.2 < (signs == np.sign(gradient)).mean() < 0.8

    def test_images_move_in_units_of_their_range(self):
        images = np.random.default_rng(0).random((4, 5, 5, 1)) * 255
        images[0, 0, 0], images[1, 1, 1] = 0, 255
        model = keras.Sequential(
            [keras.Input((5, 5, 1)), layers.Flatten(), layers.Dense(3)]
        )
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=guidance.AdversarialConsistency(0.1)
        )
        guided.compile("sgd", LOGITS)
        images = images.astype("float32")
        moved = guided.mask_on_batch(images, Y[:4])
        sizes = abs(moved - images)
        assert sizes.max() <= 25.5001
        np.testing.assert_allclose(np.median(sizes), 25.5, rtol=1e-4)

    def test_tokens_move_at_the_output_of_their_embedding(self):
        ids = np.array([[1, 2, 3, 0], [4, 5, 0, 0]], "int32")
        model = keras.Sequential(
            [
                keras.Input((4,), dtype="int32"),
                layers.Embedding(9, 5, mask_zero=True),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        )
        for norm in ("inf", "l2"):
            term = guidance.AdversarialConsistency(0.2, norm=norm, scale=1.0)
            guided = keras_sgt.SaliencyGuidedModel(model, guidance=term)
            guided.compile(keras.optimizers.SGD(0.0), LOGITS)
            shift = guided.mask_on_batch(ids, Y[:2])
            assert shift.shape == (2, 4, 5)
            assert not shift[ids == 0].any()
            real = shift[ids > 0]
            if norm == "inf":
                np.testing.assert_allclose(abs(real), 0.2, rtol=1e-5)
            else:
                squares = (shift**2).sum((1, 2)) / (5 * (ids > 0).sum(1))
                np.testing.assert_allclose(squares, 0.04, rtol=1e-4)
            # The divergence is that of the moved embedding.
            logs = guided.train_on_batch(ids, Y[:2], return_dict=True)
            vectors = ops.convert_to_numpy(model.layers[0].embeddings)[ids]
            kernel, bias = (
                np.asarray(w) for w in model.layers[-1].get_weights()
            )
            mask = (ids > 0)[..., None]
            log_p = []
            for v in (vectors, vectors + shift):
                logits = (v * mask).sum(1) / mask.sum(1) @ kernel + bias
                log_p.append(ops.convert_to_numpy(ops.log_softmax(logits)))
            kl = (np.exp(log_p[0]) * (log_p[0] - log_p[1])).sum(-1).mean()
            np.testing.assert_allclose(logs["divergence"], kl, rtol=1e-3)


class TestWhatMoves:
    """Padding stays; statistics are of real steps of samples that weigh."""

    def series(self):
        x = np.random.default_rng(0).normal(size=(8, 6, 3)).astype("float32")
        x[:, 4:] = 0
        return x

    def guided(self, term):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((6, 3)),
                layers.Masking(),
                layers.LSTM(4),
                layers.Dense(3),
            ]
        )
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=term)
        guided.compile(keras.optimizers.SGD(0.0), LOGITS)
        return guided

    @pytest.mark.parametrize("norm", ["inf", "l2"])
    def test_the_control_moves_as_far_and_no_padding(self, norm):
        x = self.series()
        term = guidance.AdversarialConsistency(0.1, norm=norm, bounds=None)
        for each in (term, term.control()):
            moved = self.guided(each).mask_on_batch(x, Y) - x
            assert not moved[:, 4:].any()
            steps = moved[:, :4] / (0.1 * x[:, :4].std((0, 1)))
            if norm == "inf":
                np.testing.assert_allclose(abs(steps), 1, rtol=1e-3)
            mean_square = (steps**2).mean((1, 2))
            np.testing.assert_allclose(mean_square, 1, rtol=1e-3)

    def test_the_controls_step_of_a_penalty_spares_padding(self):
        x = self.series()
        term = guidance.GradientPenalty(h=0.5).control()
        moved = self.guided(term).mask_on_batch(x, Y) - x
        assert not moved[:, 4:].any()
        lengths = np.sqrt((moved**2).sum((1, 2)))
        np.testing.assert_allclose(lengths, 0.5, rtol=1e-3)

    def test_samples_of_weight_0_are_in_no_statistic(self):
        x, weight = X.copy(), np.array([1, 1, 1, 1, 0, 1, 1, 1], "float32")
        x[4] = 1e3
        model = keras.Sequential([keras.Input((6,)), layers.Dense(6)])
        model.set_weights([np.eye(6), np.zeros(6)])  # shows its input
        term = guidance.AdversarialConsistency(
            0.1, direction="random", bounds=None
        )
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=term)
        guided.compile(keras.optimizers.SGD(0.0), "mse")
        logs = guided.train_on_batch(
            x, x, sample_weight=weight, return_dict=True
        )
        steps = 0.1 * x[weight > 0].std(0)
        np.testing.assert_allclose(
            logs["divergence"], 7 / 8 * (steps**2).mean(), rtol=1e-4
        )

    @pytest.mark.parametrize("shape", [(6,), (4, 3), (4, 4, 1)])
    def test_a_batch_that_weighs_nothing(self, shape):
        x = np.random.default_rng(0).random((4, *shape), dtype="float32")
        model = keras.Sequential(
            [keras.Input(shape), layers.Flatten(), layers.Dense(3)]
        )
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=guidance.AdversarialConsistency(0.1)
        )
        guided.compile(keras.optimizers.SGD(0.1), LOGITS)
        guided.train_on_batch(x, Y[:4], sample_weight=np.zeros(4, "float32"))
        assert np.isfinite(model.layers[-1].get_weights()[0]).all()

    def test_padding_stays_and_the_rest_is_in_bounds(self):
        """Whatever the bounds are: padding of −1, and by a `padding_mask`."""
        x = 0.5 + 0.5 * np.random.default_rng(0).random((4, 6, 2))
        x = x.astype("float32")
        real = np.arange(6) < np.array([[6], [4], [3], [1]])
        for by_mask in (False, True):
            x[~real] = 0 if by_mask else -1
            for bounds in ("auto", (0.4, 1.1)):
                term = guidance.AdversarialConsistency(5.0, bounds=bounds)
                moved = self.moved_series(term, x, by_mask and real)
                np.testing.assert_array_equal(moved[~real], x[~real])
                low, high = (
                    (x[real].min(0), x[real].max(0))
                    if bounds == "auto"
                    else np.float32(bounds)
                )
                at_ends = (moved[real] == low) | (moved[real] == high)
                assert at_ends.all()
            term = guidance.AdversarialConsistency(bounds=(0.6, 1.1))
            with pytest.raises(ValueError, match=r"inputs from 0\.5"):
                self.moved_series(term, x, by_mask and real)

    def moved_series(self, term, x, real):
        series = keras.Input(x.shape[1:], name="x")
        if real is False:
            hidden = layers.LSTM(4)(layers.Masking(-1.0)(series))
            model = keras.Model(series, layers.Dense(3)(hidden))
        else:
            mask = keras.Input(x.shape[1:2], name="padding_mask")
            kept = layers.Flatten()(series * ops.expand_dims(mask, -1))
            model = keras.Model(
                {"x": series, "padding_mask": mask}, layers.Dense(3)(kept)
            )
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=term)
        guided.compile("sgd", LOGITS)
        if real is False:
            return guided.mask_on_batch(x, Y[:4])
        nest = {"x": x, "padding_mask": real.astype("float32")}
        return guided.mask_on_batch(nest, Y[:4])["x"]

    @pytest.mark.parametrize(
        "term",
        [
            lambda: guidance.AdversarialConsistency(0.3),
            lambda: guidance.AdversarialConsistency(0.3, scale=1.0, norm="l2"),
            lambda: guidance.GradientPenalty(),
        ],
    )
    def test_columns_without_an_axis_of_their_own(self, term):
        found = []
        for of in (np.s_[:], np.s_[:, None]):
            keras.utils.set_random_seed(0)
            inputs = {name: keras.Input((1,), name=name) for name in "abc"}
            joined = layers.Concatenate()(list(inputs.values()))
            hidden = layers.Dense(4, "tanh")(joined)
            model = keras.Model(inputs, layers.Dense(3)(hidden))
            guided = keras_sgt.SaliencyGuidedModel(model, guidance=term())
            guided.compile("sgd", LOGITS)
            x = {name: X[:, i][of] for i, name in enumerate("abc")}
            moved = guided.mask_on_batch(x, Y)
            assert all(moved[name].shape == x[name].shape for name in x)
            history = guided.fit(x, Y, verbose=0, shuffle=False).history
            found.append((np.stack([moved[n].ravel() for n in x]), history))
        (flat, flat_history), (moved, history) = found
        assert abs(moved - X[:, :3].T).max() > 1e-3
        np.testing.assert_allclose(flat, moved, rtol=1e-6)
        for name in history:
            np.testing.assert_allclose(
                flat_history[name], history[name], rtol=1e-5
            )

    @pytest.mark.parametrize(
        "kind", [guidance.AdversarialConsistency, guidance.GradientPenalty]
    )
    def test_ids_given_as_floats_are_told_of(self, kind):
        ids, x = np.arange(24).reshape(8, 3) % 9, X[:, :2]

        def fitted(ids, with_numbers, **options):
            text = keras.Input((3,), name="ids")
            hidden = layers.Flatten()(layers.Embedding(9, 4)(text))
            inputs = {"ids": text}
            if with_numbers:
                inputs["numbers"] = keras.Input((2,), name="numbers")
                hidden = layers.Concatenate()([hidden, inputs["numbers"]])
            model = keras.Model(inputs, layers.Dense(3)(hidden))
            guided = keras_sgt.SaliencyGuidedModel(model, guidance=kind())
            guided.compile("sgd", LOGITS, **options)
            given = {"ids": ids, "numbers": x} if with_numbers else {"ids": ids}
            history = guided.fit(given, Y, verbose=0).history
            return history["divergence"][0]

        floats = ids.astype("float64")
        for eager in (False, True):
            with pytest.warns(UserWarning, match="to the inputs is 0"):
                assert fitted(floats, False, run_eagerly=eager) == 0
        with pytest.warns(UserWarning, match=r"inputs \['ids'\] is 0"):
            assert fitted(floats, True) > 0
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "The gradient")
            assert fitted(ids.astype("int32"), False) > 0
            assert fitted(ids.astype("int32"), True) > 0

    def test_embedded_tokens_have_one_deviation(self):
        vectors = np.random.default_rng(0).normal(size=(9, 2)) * [1, 10]
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                layers.Embedding(9, 2, mask_zero=True),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            ]
        )
        model.layers[0].set_weights([vectors])
        ids = np.array([[1, 2, 0], [3, 4, 5]], "int32")
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=guidance.AdversarialConsistency(0.1)
        )
        guided.compile("sgd", LOGITS)
        shift = guided.mask_on_batch(ids, Y[:2])
        expected = 0.1 * vectors[[1, 2, 3, 4, 5]].std()
        np.testing.assert_allclose(abs(shift[ids > 0]), expected, rtol=1e-4)

    def test_a_masking_by_its_name(self):
        term = guidance.AdversarialConsistency(0.1, masking="absolute", seed=1)
        assert term.masking.ranking == "absolute"
        assert trained(term)[1]["divergence"] > 0


class TestGradientPenalty:
    def test_value_and_parameter_gradient(self):
        term = guidance.GradientPenalty(h=0.1, weight=0.5)
        network, logs, moved, gradient = trained(term)
        way = network.input_gradient(X, of_loss=True)
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        np.testing.assert_allclose(moved, X + 0.1 * way, rtol=1e-4, atol=1e-5)

        def penalty(weights=None):
            change = network.loss(moved, weights) - network.loss(X, weights)
            return ((change / 0.1) ** 2).mean()

        np.testing.assert_allclose(logs["divergence"], penalty(), rtol=1e-3)
        check_gradient(
            network,
            gradient,
            lambda w: network.loss(X, w).mean() + 0.5 * penalty(w),
        )

    def test_is_the_squared_gradient_for_small_h(self):
        exact = (Network().input_gradient(X, of_loss=True) ** 2).sum(1).mean()
        errors = [
            abs(trained(guidance.GradientPenalty(h=h))[1]["divergence"] - exact)
            for h in (0.2, 0.02)
        ]
        assert errors[1] < 0.01 * exact
        assert errors[1] < errors[0] / 5


class TestComprehensiveness:
    def test_removes_what_did_most(self):
        mean = masking.FeatureMasking("relevance", "mean")
        term = guidance.Comprehensiveness(top=0.34, margin=1.0, masking=mean)
        network, logs, removed, gradient = trained(term)
        slope = network.input_gradient(X, of_loss=False)
        relevance = abs(slope * (X - X.mean(0)))
        top = np.argsort(-relevance, axis=1)[:, :2]
        expected = X.copy()
        np.put_along_axis(
            expected, top, np.broadcast_to(X.mean(0), X.shape)[:, :2] * 0, 1
        )
        for row, columns in zip(expected, top):
            row[columns] = X.mean(0)[columns]
        np.testing.assert_allclose(removed, expected, rtol=1e-4, atol=1e-5)
        clean = network.loss(X)

        def hinge(weights=None):
            return np.maximum(0, 1 + clean - network.loss(removed, weights))

        np.testing.assert_allclose(
            logs["divergence"], hinge().mean(), rtol=1e-4
        )
        check_gradient(
            network,
            gradient,
            lambda w: (network.loss(X, w) + 0.5 * hinge(w)).mean(),
        )

    def test_default_fill_is_between_the_mean_and_the_range(self):
        removed = trained(guidance.Comprehensiveness(top=0.5, seed=3))[2]
        changed = removed != X
        assert (changed.sum(1) == 3).all()
        low, high = X.min(0) - 1e-5, X.max(0) + 1e-5
        assert ((removed >= low) & (removed <= high)).all()


class TestRandomMasking:
    def test_every_second_sample_loses_features(self):
        network, logs, moved, gradient = trained(
            guidance.RandomMasking(rate=0.5, seed=1, weight=0.8)
        )
        changed = (moved != X).sum(1)
        assert changed.tolist() == [0, 3] * 4

        def loss(weights=None):
            halves = network.loss(moved, weights) * (np.arange(8) % 2)
            return (network.loss(X, weights) + 0.8 * halves).mean()

        np.testing.assert_allclose(logs["loss"], loss(), rtol=1e-5)
        check_gradient(network, gradient, loss)

    def test_uniform_rates_differ_by_sample(self):
        x = np.random.default_rng(0).normal(size=(400, 20)).astype("float32")
        model = keras.Sequential([keras.Input((20,)), layers.Dense(3)])
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=guidance.RandomMasking(seed=2)
        )
        guided.compile("sgd", LOGITS)
        moved = guided.mask_on_batch(x, np.zeros(400, "int32"))
        counts = (moved != x).sum(1)
        assert not counts[::2].any()
        assert abs(counts[1::2].mean() - 9.5) < 1.3
        assert set(range(20)) == set(counts[1::2].tolist())


@pytest.mark.parametrize(
    "kind", [guidance.Comprehensiveness, guidance.RandomMasking]
)
@pytest.mark.parametrize("ranking", ["absolute", "random"])
def test_a_ranking_stands_for_a_feature_masking(kind, ranking):
    by_name, by_object = (
        trained(kind(masking=given, seed=1))[1:3]
        for given in (ranking, masking.FeatureMasking(ranking, seed=1))
    )
    assert by_name[0] == by_object[0]
    np.testing.assert_array_equal(by_name[1], by_object[1])
    with pytest.raises(ValueError, match="masking='largest'"):
        kind(masking="largest")


class TestSeveral:
    def terms(self):
        return [
            guidance.AdversarialConsistency(0.2, weight=0.5, bounds=None),
            guidance.Comprehensiveness(
                masking=masking.FeatureMasking("relevance", "mean")
            ),
        ]

    def test_they_add_up_and_are_logged_by_name(self):
        network, logs, moved, gradient = trained(self.terms())
        near = moved["adversarial_consistency"]
        removed = moved["comprehensiveness"]
        clean = network.loss(X)
        hinge = np.maximum(0, 1 + clean - network.loss(removed)).mean()
        kl = network.kl(X, near).mean()
        np.testing.assert_allclose(
            logs["adversarial_consistency"], kl, rtol=1e-4
        )
        np.testing.assert_allclose(logs["comprehensiveness"], hinge, rtol=1e-4)
        np.testing.assert_allclose(
            logs["loss"], clean.mean() + 0.5 * kl + 0.5 * hinge, rtol=1e-5
        )

        def loss(weights):
            terms = np.maximum(0, 1 + clean - network.loss(removed, weights))
            values = network.loss(X, weights) + 0.5 * terms
            return (values + 0.5 * network.kl(X, near, weights)).mean()

        check_gradient(network, gradient, loss)

    def test_a_weight_of_0_costs_and_logs_nothing(self):
        model = Network().keras()
        terms = self.terms()
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=terms)
        guided.compile(keras.optimizers.SGD(0.0), LOGITS)
        fit = dict(batch_size=8, epochs=1, verbose=0)
        assert "comprehensiveness" in guided.fit(X, Y, **fit).history
        terms[1].weight = 0.0
        logs = guided.fit(X, Y, **fit).history
        assert "comprehensiveness" not in logs
        assert "adversarial_consistency" in logs
        terms[1].weight = 0.25
        assert "comprehensiveness" in guided.fit(X, Y, **fit).history

    @pytest.mark.parametrize("first", [1.0, 0.5])
    def test_a_weight_may_change_without_a_new_trace(self, first):
        term = guidance.AdversarialConsistency(0.5, weight=first, bounds=None)
        guided = keras_sgt.SaliencyGuidedModel(Network().keras(), guidance=term)
        guided.compile(keras.optimizers.SGD(0.0), LOGITS)
        for weight in (first, 0.25, 1.0, 3.0):
            term.weight = weight
            logs = guided.fit(X, Y, batch_size=8, verbose=0).history
            entropy = Network().loss(X).mean()
            expected = entropy + weight * logs["divergence"][0]
            np.testing.assert_allclose(logs["loss"][0], expected, rtol=1e-5)

    def test_every_weight_0_is_training_by_keras(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(40, 6)).astype("float32")
        y = rng.integers(0, 3, 40)
        weights = []
        for guides in (False, True):
            keras.utils.set_random_seed(1)
            model = Network().keras()
            if guides:
                terms = self.terms()
                for term in terms:
                    term.weight = 0.0
                trainer = keras_sgt.SaliencyGuidedModel(model, guidance=terms)
            else:
                trainer = model
            trainer.compile(keras.optimizers.Adam(0.01), LOGITS)
            trainer.fit(x, y, epochs=2, batch_size=8, verbose=0)
            weights.append(model.get_weights())
        for one, other in zip(*weights):
            np.testing.assert_array_equal(one, other)

    def test_one_pass_for_recurrent_networks(self):
        """Three batches through the network at once: the same loss."""
        keras.utils.set_random_seed(0)
        x = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
        logs = []
        inputs = keras.Input((5, 4))
        plain = layers.GRU(3)(inputs)
        for last in (plain, layers.BatchNormalization(trainable=False)(plain)):
            model = keras.Model(inputs, layers.Dense(3)(last))
            model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
            if len(logs):  # normalising by 0 and 1: the same network
                model.layers[-2].epsilon = 0.0
            guided = keras_sgt.SaliencyGuidedModel(model, guidance=self.terms())
            guided.compile(keras.optimizers.SGD(0.0), LOGITS)
            logs.append(guided.train_on_batch(x, Y, return_dict=True))
        for key, value in logs[0].items():
            np.testing.assert_allclose(value, logs[1][key], rtol=2e-3)

    def test_saved_and_loaded(self, tmp_path):
        model = Network().keras()
        guided = keras_sgt.SaliencyGuidedModel(model, guidance=self.terms())
        guided.compile("sgd", LOGITS)
        guided.guidance[0].epsilon = 0.4
        before = guided.mask_on_batch(X, Y)
        guided.save(tmp_path / "guided.keras")
        loaded = keras.models.load_model(tmp_path / "guided.keras")
        after = loaded.mask_on_batch(X, Y)
        for name, values in before.items():
            np.testing.assert_allclose(values, after[name], rtol=1e-5)
        loaded.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    "term",
    [
        guidance.MaskedConsistency,
        guidance.AdversarialConsistency,
        guidance.Comprehensiveness,
        guidance.GradientPenalty,
        guidance.RandomMasking,
    ],
)
class TestAllOfThem:
    @pytest.mark.parametrize(
        "options", [{"batch_fraction": 0.5}, {"step_fraction": 0.5}]
    )
    def test_shares_nests_and_mixed_precision(self, term, options):
        inputs = {
            "series": keras.Input((6, 3), name="series"),
            "kind": keras.Input((1,), name="kind", dtype="int32"),
            "age": keras.Input((1,), name="age"),
        }
        x = layers.Concatenate()(
            [
                layers.GlobalMaxPooling1D()(
                    layers.Conv1D(4, 3)(layers.Masking()(inputs["series"]))
                ),
                layers.Flatten()(layers.Embedding(5, 2)(inputs["kind"])),
                inputs["age"],
            ]
        )
        x = layers.Dropout(0.2)(layers.BatchNormalization()(x))
        model = keras.Model(
            inputs,
            {
                "class": layers.Dense(3, name="class")(x),
                "size": layers.Dense(1, name="size")(x),
            },
        )
        where = {}
        if term is not guidance.GradientPenalty and (
            term is not guidance.AdversarialConsistency
        ):
            where["masking"] = masking.FeatureMasking(
                "random" if term is guidance.RandomMasking else "relevance",
                inputs=["series", "age"],
            )
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=term(seed=0, **where), **options
        )
        guided.compile(
            keras.optimizers.SGD(1e-4),
            {"class": LOGITS, "size": "mse"},
            loss_weights=WEIGHTS,
        )
        rng = np.random.default_rng(0)
        data = {
            "series": rng.normal(size=(8, 6, 3)).astype("float32"),
            "kind": rng.integers(0, 5, (8, 1)),
            "age": rng.normal(size=(8, 1)).astype("float32"),
        }
        data["series"][:, -2:] = 0
        y = {"class": Y, "size": np.ones((8, 1), "float32")}
        weight = np.array([0, 1, 1, 2, 1, 0, 1, 1], "float32")
        logs = guided.fit(
            data, y, sample_weight=weight, batch_size=4, verbose=0
        )
        assert np.isfinite(logs.history["loss"][0])
        assert logs.history["divergence"][0] != 0
        moved = guided.mask_on_batch(data, y)
        np.testing.assert_array_equal(moved["kind"], data["kind"])
        np.testing.assert_array_equal(moved["series"][:, -2:], 0)
        assert (moved["series"] != data["series"]).any()

    def test_control_is_blind_and_of_its_kind(self, term):
        one = term(weight=0.3, seed=4)
        control = one.control()
        assert type(control) is term
        assert control.weight == 0.3
        trained(control)


BAD = [
    (lambda: guidance.AdversarialConsistency(0.0), "epsilon"),
    (lambda: guidance.AdversarialConsistency(float("nan")), "epsilon"),
    (lambda: guidance.AdversarialConsistency(bounds=(1, 0)), "bounds"),
    (lambda: guidance.AdversarialConsistency(norm="l1"), "norm"),
    (lambda: guidance.AdversarialConsistency(direction="up"), "direction"),
    (lambda: guidance.AdversarialConsistency(scale=-1), "scale"),
    (lambda: guidance.AdversarialConsistency(weight=-1), "weight"),
    (
        lambda: guidance.AdversarialConsistency(
            masking=masking.FeatureMasking(), inputs="a"
        ),
        "With a masking",
    ),
    (
        lambda: guidance.AdversarialConsistency(masking=masking.Masking()),
        "FeatureMasking",
    ),
    (lambda: guidance.Comprehensiveness(top=0), "top"),
    (lambda: guidance.Comprehensiveness(margin=0), "margin"),
    (lambda: guidance.GradientPenalty(h=0), "h"),
    (lambda: guidance.RandomMasking(rate=2), "rate"),
    (lambda: guidance.MaskedConsistency(mask_fraction=2), "mask_fraction"),
    (lambda: trained([]), "guidance"),
    (lambda: trained(["adversarial"]), "guidance"),
    (lambda: trained([guidance.RandomMasking()] * 2), "name"),
    (lambda: trained(guidance.GradientPenalty(h=1e-6)), "too small"),
    (
        lambda: trained(guidance.RandomMasking(), mask_fraction=0.3),
        "mask_fraction",
    ),
    (
        lambda: trained(guidance.AdversarialConsistency(bounds=(0, 1))),
        "exclude the data",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_two_of_one_kind_with_names():
    terms = [
        guidance.AdversarialConsistency(0.1, name="near"),
        guidance.AdversarialConsistency(0.5, name="far"),
    ]
    logs = trained(terms)[1]
    assert logs["far"] > logs["near"] > 0


def test_a_loss_is_needed_where_it_is_used():
    model = Network().keras()
    guided = keras_sgt.SaliencyGuidedModel(
        model, guidance=guidance.GradientPenalty()
    )
    guided.compile("sgd", LOGITS)
    with pytest.raises(ValueError, match="labels"):
        guided.mask_on_batch(X)


def test_a_weight_that_the_loss_does_not_allow_is_not_taken():
    term = guidance.AdversarialConsistency(0.1, weight=0.0)
    guided = keras_sgt.SaliencyGuidedModel(Network().keras(), guidance=term)
    guided.compile("sgd", keras.losses.CategoricalHinge())
    with pytest.raises(ValueError, match="divergence="):
        term.weight = 1.0
    assert term.weight == 0


def test_a_guidance_that_masks_nothing_has_no_fraction(tmp_path):
    guided = keras_sgt.SaliencyGuidedModel(
        Network().keras(), guidance=guidance.GradientPenalty()
    )
    guided.compile("sgd", LOGITS)
    with pytest.raises(ValueError, match="gradient_penalty"):
        guided.mask_fraction = 0.3
    schedule = keras_sgt.callbacks.MaskFractionSchedule(lambda e, f: 0.3)
    with pytest.raises(ValueError, match="gradient_penalty"):
        guided.fit(X, Y, callbacks=[schedule], verbose=0)
    guided.save(tmp_path / "guided.keras")
    keras.models.load_model(tmp_path / "guided.keras").fit(X, Y, verbose=0)


def test_the_papers_term_by_either_name_is_one():
    weights = []
    for options in (
        {"seed": 3, "mask_fraction": 0.3, "kl_weight": 0.7},
        {
            "kl_weight": 0.7,
            "guidance": guidance.MaskedConsistency(0.3, seed=3),
        },
    ):
        keras.utils.set_random_seed(0)
        model = Network().keras()
        guided = keras_sgt.SaliencyGuidedModel(model, **options)
        guided.compile(keras.optimizers.Adam(0.01), LOGITS)
        guided.fit(X, Y, epochs=3, batch_size=4, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights):
        np.testing.assert_array_equal(one, other)


def after_a_step(inner, rate, weight):
    """Weights after a step with dropout and a gradient penalty; the penalty."""
    keras.utils.set_random_seed(0)
    ends = [layers.Dropout(rate, seed=0), layers.Dense(3)]
    model = keras.Sequential([keras.Input((6,)), *inner(), *ends])
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    term = guidance.GradientPenalty(h=0.1, weight=weight)
    guided = keras_sgt.SaliencyGuidedModel(model, guidance=term)
    guided.compile(keras.optimizers.SGD(0.1), LOGITS)
    logs = guided.train_on_batch(X, Y, return_dict=True)
    return model.get_weights(), logs.get("divergence")


@pytest.mark.parametrize(
    "inner",
    [
        lambda: [layers.Dense(5, "tanh")],
        lambda: [layers.Reshape((3, 2)), layers.LSTM(5)],  # in one pass
    ],
)
def test_a_gradient_penalty_knows_no_dropout(inner):
    """What it adds to a step is what it adds without dropout."""
    added = []
    for rate in (0.0, 0.5):
        plain, _ = after_a_step(inner, rate, 0.0)
        guided, penalty = after_a_step(inner, rate, 1.0)
        added.append([*(b - a for a, b in zip(plain, guided)), penalty])
    for expected, ours in zip(*added):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)
