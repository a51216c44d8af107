"""Two devices, or processes, train as one does."""

import os
import pathlib
import runpy
import socket
import subprocess
import sys

import keras
import pytest

import keras_sgt

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "engines.py"
ENGINES = runpy.run_path(TOOL)
# PyTorch compiles nothing, and can take all.
CASES = {"torch": ENGINES["CASES"]}.get(
    keras.backend.backend(), ("guidances", "shares", "one backward")
)
REFUSED = [("DataParallel, 2 processes", "maps")]
REFUSED.append(("DataParallel, 2 processes", "comparison"))


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            engine,
            marks=[pytest.mark.slow] if "jit_compile" in engine else [],
        )
        for engine in ENGINES["ENGINES"][keras.backend.backend()]
        if engine != "MirroredStrategy, 4 devices"  # the tool's table has it
    ],
)
def test_equals_one_device(engine):
    cases = ("dense", "shares") if "jit_compile" in engine else CASES
    line = ENGINES["measured"](keras.backend.backend(), engine, cases)
    for kind in ENGINES["KINDS"]:
        if (engine, kind) in REFUSED:
            assert line[kind] == "refused"
        else:
            assert float(line[kind]) <= 1e-5, line


def test_page_is_what_the_tool_writes():
    assert ENGINES["page"]() == ENGINES["PAGE"].read_text()


COMMON = """
import sys
import warnings
import numpy as np
import keras
import keras_sgt
from keras import layers

def build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    guided = keras_sgt.SaliencyGuidedModel(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile(keras.optimizers.SGD(0.5), loss)
    return guided

x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
y = np.zeros(16, "int32")

def random_masking():
    return keras_sgt.masking.FeatureMasking("random", seed=1)

def check_apart(one, other):
    masked = one != x, other != x
    assert masked[0].sum() == masked[1].sum() == 16 * 4
    assert (masked[0] != masked[1]).any(1).sum() > 8
    assert not {*one[masked[0]]} & {*other[masked[1]]}
"""

SCRIPTS = {
    "tensorflow": """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def mask(masking):
    @tf.function
    def masked(x):
        return masking(x, saliency=[None], mask_fraction=0.5)
    return strategy.run(masked, args=(tf.constant(x),))

# Replicas draw numbers of their own, the first those of one device.
alone = random_masking()(x, saliency=[None], mask_fraction=0.5)
with strategy.scope():
    masked = mask(random_masking())
    one, other = strategy.experimental_local_results(masked)
np.testing.assert_allclose(one, alone, rtol=1e-6)
check_apart(one.numpy(), other.numpy())

# A replica that a small batch leaves without samples.
guided = build()
maps = keras_sgt.attribution.SmoothGrad(guided, seed=1)(x[:1])
with strategy.scope():
    method = keras_sgt.attribution.SmoothGrad(guided, seed=1)
    np.testing.assert_allclose(method(x[:1]), maps, atol=1e-6)
""",
    "jax": """
import jax
assert len(jax.devices()) == 2
keras.distribution.set_distribution(keras.distribution.DataParallel())
guided = build()

def refused(function, *args, **options):
    try:
        function(*args, **options)
    except ValueError as error:
        return "".join([str(error), *getattr(error, "__notes__", ())])
    raise AssertionError("has to raise")

# A last batch, and a batch, that the devices cannot share.
for samples, size in ((13, 8), (14, 7)):
    words = refused(guided.fit, x[:samples], y[:samples], batch_size=size)
    assert "2 devices" in words and "batch_size" in words
assert int(guided.optimizer.iterations) == 0  # not one step was taken
words = refused(guided.fit, (batch for batch in [(x[:7], y[:7])]))
assert "drop_remainder" in words
method = keras_sgt.attribution.Gradient(guided)
assert "batch_size" in refused(method, x[:3])
words = refused(keras_sgt.compare, {"one": guided}, x[:3], y[:3], verbose=0)
assert "batch_size" in words
""",
    "torch": """
import torch
rank = int(sys.argv[1])
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{sys.argv[2]}/meet", rank=rank, world_size=2
)

def of_both(array):
    found = [None, None]
    torch.distributed.all_gather_object(found, np.asarray(array))
    return found

guided = build()
try:
    if not hasattr(guided, "ddp_model"):  # Keras synchronises
        guided.fit(x, y, verbose=0)
        raise AssertionError("has to raise")
except RuntimeError as error:
    assert "keras_sgt.distribute(model)" in str(error)
guided.set_weights([w + rank for w in guided.get_weights()])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    keras_sgt.distribute(guided)
words = [str(w.message) for w in caught if "has done nothing" in str(w.message)]
assert bool(words) == hasattr(guided, "ddp_model")
try:
    guided.fit(x[: 8 + rank], y[: 8 + rank], verbose=0)
    raise AssertionError("has to raise")
except ValueError as error:
    assert "as many samples" in str(error)
guided.fit(x, y, batch_size=4, verbose=0)
one, other = of_both(guided.get_weights()[0])
np.testing.assert_array_equal(one, other)
# Processes draw numbers of their own.
masked = random_masking()(x, saliency=[None], mask_fraction=0.5)
check_apart(*of_both(masked))
# Otherwise threads of gloo may abort Python as it ends.
torch.distributed.destroy_process_group()
""",
}


def test_what_devices_and_processes_do_apart(tmp_path):
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


EXAMPLES = {
    "tensorflow": [("TensorFlow", 1)],
    "jax": [("JAX: `keras.distribution`", 1), ("JAX: several processes", 2)],
    "torch": [("PyTorch", 2)],
}


@pytest.mark.parametrize(
    ("title", "processes"), EXAMPLES[keras.backend.backend()]
)
def test_the_example_of_the_docs(title, processes, tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "distribution.md"
    section = page.read_text().split(f"## {title}")[1]
    script = tmp_path / "example.py"
    script.write_text(section.split("```python\n")[1].split("```")[0])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                **ranked("torch", rank, processes, port),
                **ranked("jax", rank, processes, port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for rank in range(processes)
    ]
    for process in started:
        output, errors = process.communicate()
        assert process.returncode == 0, errors[-2000:]
        assert "divergence" in output


def ranked(backend, rank, processes, port):
    """What tells a process which it is; of PyTorch, what `torchrun` sets."""
    if processes == 1 or keras.backend.backend() != backend:
        return {}
    if backend == "torch":
        return {
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": port,
            "RANK": str(rank),
            "WORLD_SIZE": str(processes),
        }
    return {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{port}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(rank),
    }


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
