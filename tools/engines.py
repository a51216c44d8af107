"""How far training on several devices or processes is from one device.

    KERAS_BACKEND=jax python tools/engines.py

trains the same small models on one device and on each engine of the backend,
in processes of their own, puts the greatest differences into
docs/results/engines.csv, and writes the table in docs/distribution.md. With
`--page` it only writes the table.
"""

import argparse
import functools
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
import runs  # noqa: E402

RUNS = ROOT / "docs" / "results" / "engines.csv"
KEY = ("backend", "engine", "keras")
PAGE = ROOT / "docs" / "distribution.md"
MARKS = re.compile("(<!-- engines -->\n).*?(\n<!-- end -->)", re.DOTALL)
TOLERANCE = 1e-5
BATCH, STEPS, EPOCHS = 32, 4, 2
# The name, and with how many devices in how many processes.
ENGINES = {
    "jax": {
        "DataParallel, 8 devices": (8, 1),
        "ModelParallel, 2 × 4 devices": (8, 1),
        "DataParallel, 2 processes": (1, 2),
    },
    "tensorflow": {
        "MirroredStrategy, 2 devices": (2, 1),
        "MirroredStrategy, 4 devices": (4, 1),
    },
    "torch": {"2 processes": (1, 2), "2 processes, jit_compile": (1, 2)},
}
ALONE = "one device"
CASES = (
    *("dense", "shares", "guidances", "normalised", "recurrent"),
    "one backward",
)
KINDS = {
    "weights": "weights",
    "evaluate": "`evaluate`",
    "maps": "SmoothGrad, seeded",
    "comparison": "`compare`",
}


# What one process does.


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 8)).astype("float32")
    return x, rng.integers(0, 3, len(x)).astype("int32")


def cases(parts):
    """Networks and options; `parts` of a batch are normalised apart."""
    from keras import layers

    from keras_sgt import guidance, masking

    def dense(*between):
        return [layers.Dense(8, activation="tanh"), *between, layers.Dense(3)]

    of_sample = masking.FeatureMasking(replacement=masking.Mean("sample"))
    of_batch = masking.FeatureMasking(replacement=masking.Mean())
    several = [
        guidance.MaskedConsistency(masking=of_batch),
        guidance.AdversarialConsistency(),
        guidance.GradientPenalty(),
    ]
    shares = {"batch_fraction": 0.25, "step_fraction": 0.5}
    recurrent = [layers.Reshape((4, 2)), layers.LSTM(4), layers.Dense(3)]
    return {
        "dense": (dense(), {"masking": of_sample}),
        "shares": (dense(), {"masking": of_sample, **shares}),
        "guidances": (dense(), {"guidance": several}),
        "normalised": (
            dense(normalisation(parts)),
            {"masking": of_sample, "batch_fraction": 0.25},
        ),
        "recurrent": (recurrent, {"masking": of_sample}),
        "one backward": (
            dense(normalisation(parts)),
            {"masking": of_sample, "one_backward": True, **shares},
        ),
    }


def normalisation(parts):
    """Batch normalisation of each part of a batch by itself, in one process.

    What replicas do with their parts; its parts are features here.
    """
    import keras
    from keras import layers, ops

    class Apart(layers.Layer):
        def __init__(self):
            super().__init__()
            self.each = layers.BatchNormalization(center=False, scale=False)

        def build(self, shape):
            self.each.build((None, parts * shape[-1]))

        def compute_output_shape(self, shape):
            return shape

        def call(self, x, training=None):
            width = x.shape[-1]
            x = ops.reshape(x, (parts, -1, width))
            x = ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, parts * width))
            x = self.each(x, training=training)
            x = ops.reshape(x, (-1, parts, width))
            return ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, width))

    if parts == 1:
        return keras.layers.BatchNormalization(center=False, scale=False)
    return Apart()


def build(network, options, jit_compile):
    import keras

    import keras_sgt

    model = keras.Sequential([keras.Input((8,)), *network])
    guided = keras_sgt.SaliencyGuidedModel(model, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    guided.compile(
        keras.optimizers.SGD(0.3),
        loss,
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return guided


def of_process(array, rank, count):
    """The part of each batch that is a process's own."""
    batches = array.reshape(STEPS, count, BATCH // count, *array.shape[1:])
    return batches[:, rank].reshape(-1, *array.shape[1:])


def trained(
    only,
    parts=1,
    rank=0,
    processes=1,
    prepare=lambda guided: None,
    jit_compile="auto",
):
    """The weights of the cases, and what the first one's model explains."""
    import keras

    keras.utils.set_random_seed(0)
    found = {}
    x, y = (of_process(array, rank, processes) for array in data())
    networks = cases(parts)
    for name in only:
        guided = build(*networks[name], jit_compile)
        prepare(guided)
        history = guided.fit(
            x,
            y,
            batch_size=BATCH // processes,
            epochs=EPOCHS,
            shuffle=False,
            verbose=0,
        ).history
        assert np.isfinite(history["loss"]).all()
        for i, weight in enumerate(guided.trainable_weights):
            value = keras.ops.convert_to_numpy(weight)
            found[f"weights/{name}/{i}"] = value
        if name == only[0]:
            found.update(explained(guided))
    return found


def explained(guided):
    """`evaluate`, maps with random numbers and a comparison.

    Or "refused", where an error says what to do instead.
    """
    import keras_sgt

    x, y = (array[: BATCH + BATCH // 2] for array in data())

    def maps():
        method = keras_sgt.attribution.SmoothGrad(guided, nt_samples=4, seed=1)
        return method(x, y)

    def comparison():
        result = keras_sgt.compare({"one": guided}, x, y, verbose=0)
        return [row["value"] for row in result.rows]

    found = {"evaluate": np.array(guided.evaluate(x, y, verbose=0))}
    for compute in (maps, comparison):
        try:
            value = compute()
        except (RuntimeError, ValueError) as error:
            advice = "".join(getattr(error, "__notes__", ()))
            if "load_model" not in advice:
                raise
            value = "refused"
        found[compute.__name__] = np.array(value)
    return found


def on_jax(only, engine, rank, meeting):
    import jax
    import keras

    jax.config.update("jax_num_cpu_devices", ENGINES["jax"][engine][0])
    distribution = keras.distribution
    if "processes" in engine:
        distribution.initialize(meeting, 2, rank)
    if "Model" in engine:
        mesh = distribution.DeviceMesh((2, 4), ["batch", "model"])
        layout = distribution.LayoutMap(mesh)
        layout["dense.*kernel"] = (None, "model")
        layout["lstm.*kernel"] = (None, "model")
        chosen = distribution.ModelParallel(layout_map=layout)
    else:
        # Each process brings its own part of the data.
        chosen = distribution.DataParallel(auto_shard_dataset=False)
    distribution.set_distribution(chosen)
    return trained(only, rank=rank, processes=jax.process_count())


def on_tensorflow(only, engine, rank, meeting):
    import tensorflow as tf

    count = ENGINES["tensorflow"][engine][0]
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    devices = [f"CPU:{i}" for i in range(count)]
    with tf.distribute.MirroredStrategy(devices).scope():
        return trained(only)


def on_torch(only, engine, rank, meeting):
    import torch

    import keras_sgt

    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://{meeting}", rank=rank, world_size=2
    )
    jit_compile = "jit_compile" in engine  # for Keras by itself: no
    found = trained(only, 1, rank, 2, keras_sgt.distribute, jit_compile)
    # Otherwise threads of gloo may abort Python as it ends.
    torch.distributed.destroy_process_group()
    return found


def work(engine, rank, meeting, path, parts, *only):
    """One process of an engine; `parts` for one device in its place."""
    import keras

    if engine == ALONE:
        found = trained(only, int(parts))
    else:
        on = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}
        on = on[keras.backend.backend()]
        found = on(only, engine, int(rank), meeting)
    found["versions"] = np.array([keras.__version__, framework().__version__])
    np.savez(path, **found)


def framework():
    import keras

    return __import__(keras.backend.backend())


# What all processes found.


@functools.cache
def run(only, engine, processes=1, parts=1):
    """What each process found, dicts of arrays."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting = f"localhost:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{rank}.npz" for rank in range(processes)]
        started = [
            subprocess.Popen(
                [
                    *(sys.executable, __file__, "--work"),
                    *(engine, str(rank), meeting, path, str(parts), *only),
                ],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, path in enumerate(paths)
        ]
        errors = [process.communicate()[1] for process in started]
        for process, error in zip(started, errors):
            if process.returncode:
                raise RuntimeError(f"{engine} failed:\n{error[-3000:]}")
        return [dict(np.load(path)) for path in paths]


def measured(backend, engine, only=CASES):
    """The line of an engine: its greatest differences from one device."""
    devices, processes = ENGINES[backend][engine]
    parts = 1 if backend == "jax" else devices * processes
    [alone] = run(only, ALONE, parts=parts)
    found = run(only, engine, processes)
    line = {
        "backend": backend,
        "engine": engine,
        "keras": str(alone["versions"][0]),
        "backend_version": str(alone["versions"][1]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU",
    }
    for kind in KINDS:
        keys = [key for key in alone if key.split("/")[0] == kind]
        pairs = [(alone[key], one[key]) for one in found for key in keys]
        line[kind] = difference(pairs)
    return line


def difference(pairs):
    if any(found.dtype.kind == "U" for _, found in pairs):
        return "refused"
    off = max(np.nanmax(np.abs(a - b)) for a, b in pairs)
    return f"{off:.1e}"


def page():
    """docs/distribution.md with the table of all lines."""
    head = ["", "Keras", *KINDS.values()]
    rows = [
        [
            f"{line['backend']} {line['backend_version']}, {line['engine']}",
            line["keras"],
            *(cell(line[kind]) for kind in KINDS),
        ]
        for line in runs.lines(RUNS)
    ]
    text = runs.table(head, rows)
    return MARKS.sub(lambda m: m[1] + text + m[2], PAGE.read_text())


def cell(difference):
    is_far = difference != "refused" and float(difference) > TOLERANCE
    return f"**{difference}**" if is_far else difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("engines", nargs="*", help="defaults to all")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if not args.page:
        import keras

        backend = keras.backend.backend()
        for engine in args.engines or ENGINES[backend]:
            line = measured(backend, engine)
            print(*line.values(), sep="  ")
            runs.put(RUNS, line, KEY, lambda line: [line[k] for k in KEY])
    PAGE.write_text(page())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
    else:
        main()
