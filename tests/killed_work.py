"""Work that tests kill, in processes of its own.

They are forked off a server that has imported this module, and with it Keras:
that takes seconds, which every start would take again. Nothing is initialised
in the server, so that no thread is lost in a fork.
"""

import contextlib
import functools
import json
import multiprocessing
import os
import random
import sys
import tempfile
from unittest import mock

import keras
import numpy as np

import keras_sgt


def start(work, *arguments):
    """A process that does a function of this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=arguments, daemon=True)
    with mock.patch.dict(os.environ, environment()):
        process.start()  # the first one starts the server as well
    return process


@functools.cache
def environment():
    """What the server is started with."""
    folder = tempfile.TemporaryDirectory()
    environment.folder = folder  # is removed with this process
    return {
        # The server is not told `sys.path`, and ignores what it cannot import.
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_COMPILATION_CACHE_DIR": folder.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def moments():
    """Random numbers, others each time; a test that fails tells the seed."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"kills of seed {seed}")
    return random.Random(seed)


class Began(keras.callbacks.Callback):
    """Leaves a file once this process has trained on a batch."""

    def __init__(self, folder):
        super().__init__()
        self.path = folder / "began"

    def on_train_batch_end(self, batch, logs=None):
        self.path.touch()


class Stopped(Exception):
    pass


class StopAt(keras.callbacks.Callback):
    """Raises `Stopped` as soon as there is the backup of that name."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch, logs=None):
        if self.path.exists():
            raise Stopped

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(epoch)


def train(folder, save_freq, seed, epochs, stop_at=None):
    """Trains with backups, and writes `weights.npy` at the end."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [keras.Input((9,)), keras.layers.Dense(3, activation="softmax")]
    )
    masking = keras_sgt.masking.FeatureMasking(
        replacement=keras_sgt.masking.Uniform()
    )
    guided = keras_sgt.SaliencyGuidedModel(
        network, masking=masking, step_fraction=0.25
    )
    guided.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 9)).astype("float32"), rng.integers(0, 3, 20)
    stop = [] if stop_at is None else [StopAt(folder / "backup" / stop_at)]
    guided.fit(
        x,
        y,
        batch_size=4,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[
            keras_sgt.callbacks.KLWeightWarmup(30, start=0.1),
            keras_sgt.callbacks.MaskFractionSchedule(lambda _, f: 0.999 * f),
            # A kill between its removal and the work's end loses all.
            keras_sgt.callbacks.BackupAndRestore(
                folder / "backup", save_freq, delete_checkpoint=False
            ),
            Began(folder),
            *stop,
        ],
    )
    weights = np.concatenate([w.ravel() for w in guided.get_weights()])
    np.save(folder / "weights.npy", weights)


def train_and_stop(folder, save_freq, epochs, backups):
    """`train`, stopped in good order after each of these backups."""
    for seed, backup in enumerate(backups):
        with contextlib.suppress(Stopped):
            train(folder, save_freq, seed, epochs, stop_at=backup)
    train(folder, save_freq, len(backups), epochs)


def compare(folder):
    """Compares and saves the report several times, then writes `rows.json`."""
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, "softmax")]
    )
    model.set_weights([rng.normal(size=(6, 3)), np.zeros(3)])
    x, y = rng.normal(size=(40, 6)).astype("float32"), rng.integers(0, 3, 40)
    for _ in range(3):  # from the second on it reads what the first has kept
        result = keras_sgt.compare(
            {"only": model},
            x,
            y,
            methods=["gradient", "smooth_grad"],
            cache=folder / "cache",
            verbose=0,
        )
        result.save(folder / "report.html")
    (folder / "rows.json").write_text(json.dumps(result.rows))
