"""A share of the batch is masked with the statistics of all of it."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt
from keras_sgt.masking import Batch, FeatureMasking, Replacement

CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ROWS, COLUMNS = 16, 6


def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, COLUMNS)) * [0.5, 1, 1.5, 2, 2.5, 3]
    return x.astype("float32"), (x.sum(1) > 0).astype("int32")


def divergence(model, replacement, batch_fraction, rounds, columns=False):
    """The mean over batches that all hold the same rows, each rolled by one.

    So that the share of every batch is every row equally often, and what is
    left to chance is what takes a feature's place.
    """
    guided = keras_sgt.SaliencyGuidedModel(
        model,
        batch_fraction=batch_fraction,
        masking=FeatureMasking(replacement=replacement, seed=1),
    )
    guided.compile(keras.optimizers.SGD(0.0), CROSSENTROPY)
    x, y = table()
    rolls = [i % ROWS for i in range(rounds)]
    x = np.concatenate([np.roll(x, roll, 0) for roll in rolls])
    y = np.concatenate([np.roll(y, roll) for roll in rolls])
    if columns:
        x = {str(i): x[:, i : i + 1] for i in range(COLUMNS)}
    history = guided.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)
    return history.history["divergence"][0]


@pytest.mark.slow
@pytest.mark.parametrize("replacement", ["uniform", "marginal"])
def test_the_divergence_to_five_percent(replacement):
    """Of some 5,000 masked rows, whatever the share."""
    model = keras.Sequential(
        [keras.Input((COLUMNS,)), layers.Dense(8, "tanh"), layers.Dense(2)]
    )
    whole = divergence(model, replacement, 1.0, 20 * ROWS)
    for share in (1 / 4, 1 / 8, 1 / 16):
        rounds = int(20 * ROWS / share)
        mean = divergence(model, replacement, share, rounds)
        print(f"{replacement}, a share of {share}: {mean / whole:.3f}")
        assert mean == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("replacement", ["uniform", "marginal"])
def test_the_divergence_does_not_depend_on_the_share(replacement):
    model = keras.Sequential(
        [keras.Input((COLUMNS,)), layers.Dense(8, "tanh"), layers.Dense(2)]
    )
    whole = divergence(model, replacement, 1.0, 80)
    # A sixteenth has one row in a batch, which alone has no range at all. The
    # mean over 600 rows has a standard error of some 5 %.
    for share, rounds in ((1 / 4, 160), (1 / 16, 600)):
        mean = divergence(model, replacement, share, rounds)
        assert mean == pytest.approx(whole, rel=0.2)


def share(replacement, x, batch):
    """The first sample replaced, of a batch."""
    masking = FeatureMasking(replacement=replacement, seed=0)
    masked = masking.call(
        ops.convert_to_tensor(x[:1]),
        ops.zeros_like(x[:1]),
        1.0,
        batch=Batch(*map(ops.convert_to_tensor, batch)),
    )
    return ops.convert_to_numpy(masked)


def test_closed_forms():
    """And samples that do not count are in no statistic."""
    x, _ = table()
    counted = np.arange(ROWS) % 3 > 0
    counting = x[counted]
    mean = share("mean", x, (x, counted))
    np.testing.assert_allclose(mean, counting.mean(0)[None], rtol=1e-4)
    drawn = np.concatenate([share("uniform", x, (x, counted)) for _ in "abcde"])
    assert (drawn >= counting.min(0)).all()
    assert (drawn <= counting.max(0)).all()
    assert (drawn != x[:1]).all()
    for column, clean in zip(share("marginal", x, (x, counted)).T, counting.T):
        assert column[0] in clean


def test_marginal_of_series_draws_from_the_whole_batch_and_no_padding():
    x = np.arange(1, 25, dtype="float32").reshape(4, 3, 2)
    lengths = np.array([3, 2, 1, 1])
    x[np.arange(3) >= lengths[:, None]] = 0
    masking = FeatureMasking(replacement="marginal", padding=0, seed=0)
    clean = ops.convert_to_tensor(x)
    drawn = np.array(
        [
            ops.convert_to_numpy(
                masking.call(
                    clean[:1],
                    ops.zeros_like(clean[:1]),
                    1.0,
                    batch=Batch(clean),
                )
            )[0]
            for _ in range(40)
        ]
    )
    for step, channel in np.ndindex(3, 2):
        real = x[step < lengths, step, channel]
        assert set(drawn[:, step, channel]) == set(real)


class Three(Replacement):
    """As one was written before there was `batch`."""

    def call(self, inputs, mask, saliency):
        return ops.zeros_like(inputs)


class Four(Replacement):
    def call(self, inputs, mask, saliency, batch=None):
        rows = ROWS if batch is None else ops.shape(batch.inputs)[0]
        return ops.full_like(inputs, rows)


def test_replacements_of_ones_own():
    x, y = table()
    model = keras.Sequential([keras.Input((COLUMNS,)), layers.Dense(2)])
    for replacement in (Three(), Four()):
        guided = keras_sgt.SaliencyGuidedModel(
            model,
            batch_fraction=0.25,
            masking=FeatureMasking(replacement=replacement),
        )
        guided.compile("sgd", CROSSENTROPY)
        logs = guided.train_on_batch(x, y, return_dict=True)
        assert logs["divergence"] > 0
    assert (share(Four(), x, (x, np.ones(ROWS, bool))) == ROWS).all()


def test_columns_that_are_inputs_of_their_own():
    inputs = {str(i): keras.Input((1,), name=str(i)) for i in range(COLUMNS)}
    joined = layers.concatenate(list(inputs.values()))
    model = keras.Model(inputs, layers.Dense(2)(joined))
    # One row a batch: of its own range alone it would be replaced by itself.
    assert divergence(model, "uniform", 1 / ROWS, 4, columns=True) > 0


REPLICAS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 4
)
import keras
from keras import layers
import test_whole_batch

def mean_divergence(replacement, rounds, batch_fraction):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(2)]
    )
    return test_whole_batch.divergence(
        model, replacement, batch_fraction, rounds
    )

strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)])
# Replicas draw the same numbers, so that their rows count as one: a draw of
# another row's value spreads more than one of the range.
for replacement, rounds in (("uniform", 80), ("marginal", 400)):
    alone = mean_divergence(replacement, rounds, 1.0)
    with strategy.scope():
        # One row in each replica.
        together = mean_divergence(replacement, 3 * rounds, 1 / 4)
    print(replacement, together / alone)
    assert abs(together / alone - 1) < 0.2, (replacement, together, alone)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="MirroredStrategy is TensorFlow's",
)
def test_replicas_take_the_statistics_of_all():
    folder = str(pathlib.Path(__file__).parent)
    path = os.pathsep.join([folder, *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]


def test_relevance_is_measured_from_the_mean_of_the_whole_batch():
    x, _ = table()
    masking = FeatureMasking("relevance", "constant", seed=0)
    rows = ops.convert_to_tensor(x[:2])
    gradient = [ops.ones_like(rows)]
    masked = masking.call(
        rows, gradient, 0.34, batch=Batch(ops.convert_to_tensor(x))
    )
    gone = ops.convert_to_numpy(masked) == 0
    far = abs(x[:2] - x.mean(0))
    for row, distances in zip(gone, far):
        assert set(np.flatnonzero(row)) == set(np.argsort(-distances)[:2])


def test_words_are_relevant_from_the_mean_of_the_real_words_of_all_texts():
    """In closed form: a linear model of embedded words."""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, "normal"),
            layers.Flatten(),
            layers.Dense(2, use_bias=False),
        ]
    )
    table, weights = (ops.convert_to_numpy(w) for w in model.weights)
    rng = np.random.default_rng(0)
    x = rng.integers(2, 9, (8, 5)).astype("int32")
    x[:, 4] = 0  # is padding
    y = np.arange(8) % 2
    mean = table[x[:, :4]].mean((0, 1))
    gradient = weights.T[y].reshape(8, 5, 4)
    relevance = abs((gradient * (table[x] - mean)).sum(-1))[:, :4]
    least = np.argsort(relevance, axis=1)[:, 2:]  # the two that go
    masking = keras_sgt.masking.TokenMasking(
        ranking="relevance", padding=0, replacement=1
    )
    seen = []

    class Seen(keras_sgt.guidance.MaskedConsistency):
        def penalty(self, output, clean, perturbed):
            seen.append(len(clean))
            return super().penalty(output, clean, perturbed)

        def perturb(self, batch):
            inputs = super().perturb(batch)
            seen.append(ops.convert_to_numpy(inputs))
            return inputs

    for share in (1.0, 0.25):
        guided = keras_sgt.SaliencyGuidedModel(
            model, guidance=Seen(masking=masking), batch_fraction=share
        )
        guided.compile(
            keras.optimizers.SGD(0.0), CROSSENTROPY, run_eagerly=True
        )
        seen.clear()
        guided.train_on_batch(x, y)
        masked, rows = seen
        assert rows == 8 * share
        gone = [set(row) for row in least[:: int(1 / share)]]
        assert [{*np.flatnonzero(row == 1)} for row in masked] == gone


def test_other_texts_of_the_batch_are_not_at_hand():
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    masking = keras_sgt.masking.TokenMasking(
        replacement=keras_sgt.masking.Marginal()
    )
    x = np.random.default_rng(0).integers(0, 9, (8, 6))
    for share in (1.0, 0.5):
        guided = keras_sgt.SaliencyGuidedModel(
            model, batch_fraction=share, masking=masking
        )
        guided.compile("sgd", CROSSENTROPY)
        if share == 1:
            guided.fit(x, np.arange(8) % 2, verbose=0)
            continue
        with pytest.raises(ValueError, match="batch_fraction=1"):
            guided.fit(x, np.arange(8) % 2, verbose=0)
