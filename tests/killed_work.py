"""Work that tests kill, in processes of its own.

They are forked off a server that has imported this module, and with it Keras:
that takes seconds, which every start would take again.
"""

import json
import multiprocessing

import keras
import numpy as np

import keras_sgt


def start(work, *arguments):
    """A process that does a function of this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def train(folder, save_freq, seed, epochs):
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
        ],
    )
    weights = np.concatenate([w.ravel() for w in guided.get_weights()])
    np.save(folder / "weights.npy", weights)


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
