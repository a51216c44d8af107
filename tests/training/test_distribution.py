"""Two devices, or processes, train as one does."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_sgt

COMMON = """
import sys
import numpy as np
import keras
import keras_sgt
from keras import layers

def train(batch_fraction, normalised=False, step_fraction=1.0, part=None):
    global guided
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
    size = 8
    if part is not None:
        size = 4
        try:
            if not hasattr(guided, "ddp_model"):  # Keras synchronises
                guided.fit(np.zeros((4, 8)), np.zeros(4, "int32"), verbose=0)
                raise AssertionError("has to raise")
        except RuntimeError as error:
            assert "keras_sgt.distribute(model)" in str(error)
        if sys.argv[1] == "1":
            model.set_weights([w + 1 for w in model.get_weights()])
        keras_sgt.distribute(guided)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 8)).astype("float32")
    y = rng.integers(0, 3, 32).astype("int32")
    history = guided.fit(
        x[part or slice(None)], y[part or slice(None)],
        batch_size=size, epochs=2, shuffle=False, verbose=0,
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
# A last batch, and a batch, that the devices cannot share.
for samples, size in ((27, 8), (28, 7)):
    x, y = np.zeros((samples, 8), "float32"), np.zeros(samples, "int32")
    try:
        guided.fit(x, y, batch_size=size, verbose=0)
    except ValueError as error:
        assert "2 devices" in str(error) and "batch_size" in str(error)
    else:
        raise AssertionError("has to raise")
assert int(guided.optimizer.iterations) == 8  # not one step was taken
def batches():
    yield np.zeros((7, 8), "float32"), np.zeros(7, "int32")
try:
    guided.fit(batches(), verbose=0)
except ValueError as error:
    assert any("drop_remainder" in note for note in error.__notes__)
else:
    raise AssertionError("has to raise")
""",
    "torch": """
import torch
alone = train(1.0, step_fraction=0.5)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{sys.argv[2]}/meet",
    rank=int(sys.argv[1]), world_size=2,
)
part = slice(int(sys.argv[1]), None, 2)
together = train(1.0, step_fraction=0.5, part=part)
weights = torch.tensor(together[1])
other = weights.clone()
torch.distributed.broadcast(other, src=0)
assert torch.equal(weights, other)
np.testing.assert_allclose(alone[1], together[1], atol=1e-5)
""",
}


def test_two_replicas(tmp_path):
    """Two devices of one process; on PyTorch two processes."""
    flags = "--xla_force_host_platform_device_count=2"
    script = COMMON + SCRIPTS[keras.backend.backend()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), str(tmp_path)],
            env={**os.environ, "XLA_FLAGS": flags},
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for rank in range(2 if keras.backend.backend() == "torch" else 1)
    ]
    for process in processes:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors[-2000:]


def test_the_example_of_the_docs(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "distribution.md"
    title = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    section = page.read_text().split(f"## {title[keras.backend.backend()]}")[1]
    script = tmp_path / "example.py"
    script.write_text(section.split("```python\n")[1].split("```")[0])
    start = []
    if keras.backend.backend() == "torch":
        start = ["-m", "torch.distributed.run", "--nproc-per-node=2"]
        start += ["--standalone"]
    path = os.pathsep.join(sys.path)
    result = subprocess.run(
        [sys.executable, *start, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "divergence" in result.stdout


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch has no other way"
)
def test_processes_of_other_frameworks():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(RuntimeError, match=r"PyTorch.*(Mirror|DataParallel)"):
        keras_sgt.distribute(model)


def test_what_cannot_be_distributed():
    with pytest.raises(ValueError, match="built"):
        keras_sgt.distribute(keras.Sequential([keras.layers.Dense(1)]))
    if keras.backend.backend() == "torch":
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        with pytest.raises(RuntimeError, match="init_process_group"):
            keras_sgt.distribute(model)
