"""Two replicas train as one: the same loss, the same weights."""

import os
import subprocess
import sys

import keras
import pytest

COMMON = """
import sys
import numpy as np
import keras
import keras_sgt
from keras import layers

def train(batch_fraction, normalised=False, step_fraction=1.0):
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(5, activation="tanh")]
    if normalised:
        hidden.append(layers.BatchNormalization())
    model = keras.Sequential([keras.Input((8,)), *hidden, layers.Dense(3)])
    guided = keras_sgt.SaliencyGuidedModel(
        model, batch_fraction=batch_fraction, step_fraction=step_fraction,
        masking=keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Mean(per="sample")
        ),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile(keras.optimizers.SGD(0.5), loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 8)).astype("float32")
    y = rng.integers(0, 3, 32).astype("int32")
    history = guided.fit(
        x, y, batch_size=8, epochs=2, shuffle=False, verbose=0
    ).history
    return np.array(history["loss"] + history["divergence"]), np.concatenate(
        [w.ravel() for w in model.get_weights()]
    )

def compare(alone, together):
    for a, b in zip(alone, together):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
"""

SCRIPTS = {
    "tensorflow": """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
alone = train(1.0)
with strategy.scope():
    together = train(1.0)
    every_second = train(1.0, step_fraction=0.5)
    normalised = train(1.0, normalised=True)
compare(alone, together)
compare(train(1.0, step_fraction=0.5), every_second)
# Each replica normalises its own part of the batch.
assert all(np.isfinite(values).all() for values in normalised)
""",
    "jax": """
import jax
assert len(jax.devices()) == 2
runs = [(1.0, False), (0.25, False), (1.0, True), (1.0, False, 0.5)]
alone = [train(*run) for run in runs]
keras.distribution.set_distribution(
    keras.distribution.DataParallel(devices=keras.distribution.list_devices())
)
for run, expected in zip(runs, alone):
    compare(expected, train(*run))
""",
}


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras 3.15 does not distribute training on PyTorch",
)
def test_two_replicas(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    result = subprocess.run(
        [sys.executable, "-c", COMMON + SCRIPTS[keras.backend.backend()]],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
