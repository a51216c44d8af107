"""What counts in the outputs: padding, axes, weights, shares of a batch."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt import guidance
from keras_sgt.masking import FeatureMasking

BATCH, STEPS, REAL = 8, 6, 4
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def tagged():
    """Series whose last steps are padding, and a class for each step."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 1, (BATCH, STEPS, 2)).astype("float32")
    x[:, REAL:] = 0
    return x, rng.integers(0, 3, (BATCH, STEPS))


def tagger(**options):
    """A guided model that marks padding, and takes masked steps for it."""
    model = keras.Sequential(
        [
            keras.Input((STEPS, 2)),
            layers.Masking(0.0),
            layers.LSTM(4, return_sequences=True),
            layers.Dense(3),
        ]
    )
    masking = FeatureMasking(replacement="constant", channel_axis=-1, seed=0)
    guided = keras_sgt.SaliencyGuidedModel(model, masking=masking, **options)
    guided.compile("sgd", CROSSENTROPY)
    return guided


class TestPadding:
    @pytest.mark.parametrize(
        "options", [{}, {"batch_fraction": 1 / 2}, {"one_backward": True}]
    )
    def test_positions_count_as_in_the_clean_batch(self, options):
        """Masked steps too, which the model takes for padding in X̃."""
        x, y = tagged()
        guided = tagger(**options)
        masked = guided.mask_on_batch(x, y)
        stride = 2 if "batch_fraction" in options else 1
        p, q = (
            ops.convert_to_numpy(ops.softmax(guided.model(u)))[::stride, :REAL]
            for u in (x, masked)
        )
        expected = (p * np.log(p / q)).sum(-1).mean()
        logs = guided.train_on_batch(x, y, return_dict=True)
        assert logs["divergence"] == pytest.approx(expected, rel=1e-3)

    def test_labels_of_padding_rank_nothing(self):
        x, y = tagged()
        other = y.copy()
        other[:, REAL:] = (y[:, REAL:] + 1) % 3
        guided = tagger()
        guided.model.compile("sgd", CROSSENTROPY)
        found = [
            (
                guided.model.evaluate(x, labels, verbose=0),
                guided.mask_on_batch(x, labels),
            )
            for labels in (y, other)
        ]
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
        np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    "term",
    [
        guidance.MaskedConsistency(masking=FeatureMasking(seed=0)),
        guidance.AdversarialConsistency(0.1, seed=0),
        guidance.Comprehensiveness(0.3, seed=0),
        guidance.GradientPenalty(seed=0),
    ],
)
def test_a_unit_without_its_axis(term):
    """What a model without the axis of its only unit is trained to."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    found = []
    for squeezed in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((5,))
        outputs = layers.Dense(1, "sigmoid")(inputs)
        if squeezed:
            outputs = ops.squeeze(outputs, -1)
        guided = keras_sgt.SaliencyGuidedModel(
            keras.Model(inputs, outputs),
            guidance=type(term).from_config(term.get_config()),
        )
        guided.compile("sgd", "binary_crossentropy")
        found.append(guided.train_on_batch(x, y, return_dict=True))
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_a_share_of_the_batch_weighs_as_the_whole(reduction):
    """Of a batch of equal samples any share says the same."""
    x = np.tile(np.random.default_rng(0).normal(size=(1, 6)), (20, 1))
    y = np.ones(20, "int32")
    found = []
    for fraction in (1, 1 / 2, 1 / 4, 1 / 3):
        keras.utils.set_random_seed(0)
        guided = keras_sgt.SaliencyGuidedModel(
            keras.Sequential([keras.Input((6,)), layers.Dense(3)]),
            masking=FeatureMasking(replacement="constant"),
            batch_fraction=fraction,
        )
        guided.compile(
            "sgd",
            keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction=reduction
            ),
        )
        logs = guided.train_on_batch(x, y, return_dict=True)
        found.append(float(logs["divergence"]))
    assert found == pytest.approx([found[0]] * 4, rel=1e-4)


@pytest.mark.parametrize("weights", [0.5, [0.5], {"out": 0.5}])
def test_one_loss_with_its_weight_in_a_container(weights):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 4)).astype("float32")
    logs = {}
    for kl_weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        network = keras.Sequential(
            [keras.Input((4,)), layers.Dense(4, name="out")]
        )
        guided = keras_sgt.SaliencyGuidedModel(
            network,
            kl_weight=kl_weight,
            masking=FeatureMasking(replacement="constant"),
        )
        guided.compile("sgd", "mse", loss_weights=weights)
        masked = guided.mask_on_batch(x, y)
        outputs = [ops.convert_to_numpy(network(u)) for u in (x, masked)]
        logs[kl_weight] = guided.train_on_batch(x, y, return_dict=True)
    moved = np.square(outputs[0] - outputs[1]).mean()
    assert logs[1.0]["divergence"] == pytest.approx(0.5 * moved, rel=1e-4)
    assert logs[0.0]["loss"] == pytest.approx(
        0.5 * np.square(outputs[0] - y).mean(), rel=1e-4
    )


def test_outputs_nested_more_deeply():
    inputs = keras.Input((4,))
    one, two, three = (layers.Dense(1)(inputs) for _ in range(3))
    model = keras.Model(inputs, {"a": [one, two], "b": three})
    losses = {"a": ["mse", "mse"], "b": "mse"}
    x = np.ones((4, 4), "float32")
    y = {"a": [x[:, :1], x[:, :1]], "b": x[:, :1]}
    guided = keras_sgt.SaliencyGuidedModel(model)
    with pytest.raises(ValueError, match="nested more deeply"):
        guided.compile("sgd", losses)
    plain = keras_sgt.SaliencyGuidedModel(model, kl_weight=0.0)
    plain.compile("sgd", losses)
    expected = keras.models.clone_model(model)
    expected.set_weights(model.get_weights())
    expected.compile("sgd", losses)
    for one in (plain, expected):
        one.fit(x, y, verbose=0)
    for own, other in zip(model.get_weights(), expected.get_weights()):
        np.testing.assert_array_equal(own, other)
