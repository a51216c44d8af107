"""A backup that no kill can break."""

import pathlib
import random
import signal
import time

import keras
import killed_work
import numpy as np
import pytest

import keras_sgt


def start(folder, *arguments):
    """A process that trains, once there is a backup to go on from."""
    process = killed_work.start(killed_work.train, folder, *arguments)
    while process.is_alive() and not [*folder.glob("backup/saved-*")]:
        time.sleep(0.01)
    return process


def killed_and_restarted(folder, save_freq, kills, epochs):
    """The weights at the end, and how many kills left half a backup."""
    moments, writing, amid = random.Random(kills), folder / "backup/writing", 0
    for seed in range(kills):
        process = start(folder, save_freq, seed, epochs)
        time.sleep(moments.uniform(0, 0.3))
        # Every second one while a backup is being written.
        while seed % 2 and process.is_alive() and not writing.exists():
            pass
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "trained too few epochs"
        amid += writing.exists()
    process = start(folder, save_freq, kills, epochs)
    process.join()
    assert process.exitcode == 0
    return np.load(folder / "weights.npy"), amid


FEW_AND_MANY = [(2, 60), pytest.param(20, 600, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("kills", "epochs"), FEW_AND_MANY)
def test_killed_training_ends_as_if_it_had_not_been(kills, epochs, tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for folder in (alone, killed):
        folder.mkdir()
    start(alone, "epoch", 0, epochs).join()
    found, amid = killed_and_restarted(killed, "epoch", kills, epochs)
    expected = np.load(alone / "weights.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert amid or kills < 20


@pytest.mark.slow
def test_no_restart_is_refused_where_steps_are_saved(tmp_path):
    found, amid = killed_and_restarted(tmp_path, 2, 20, 600)
    assert np.isfinite(found).all()
    assert amid


def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    return network


class Weights(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.seen = getattr(self, "seen", [])
        self.seen.append((epoch, self.model.get_weights()[0]))


@pytest.mark.parametrize("damage", ["while writing", "on the disk"])
def test_goes_on_from_the_last_good_backup(damage, monkeypatch, tmp_path):
    x, y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    first, folder = model(), tmp_path / "backup"
    save_weights, saved = first.save_weights, []

    def save(filepath, *args, **kwargs):
        save_weights(filepath, *args, **kwargs)
        saved.append(first.get_weights()[0])
        if len(saved) == 3 and damage == "while writing":
            cut_in_half(pathlib.Path(filepath))
            raise KeyboardInterrupt

    monkeypatch.setattr(first, "save_weights", save)
    backup = keras_sgt.callbacks.BackupAndRestore(
        folder, delete_checkpoint=False
    )
    try:
        first.fit(x, y, epochs=3, verbose=0, callbacks=[backup])
    except KeyboardInterrupt:
        assert damage == "while writing"
    if damage == "on the disk":
        newest = max(folder.glob("*/*.h5"))
        cut_in_half(newest)
    second, weights = model(), Weights()
    backup = keras_sgt.callbacks.BackupAndRestore(folder)
    second.fit(x, y, epochs=4, verbose=0, callbacks=[backup, weights])
    epoch, found = weights.seen[0]
    assert epoch == 2
    np.testing.assert_array_equal(found, saved[1])
    assert not folder.exists()


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_bad_input():
    for folder in ("gs://bucket/backup", ""):
        with pytest.raises(ValueError, match="backup_dir"):
            keras_sgt.callbacks.BackupAndRestore(folder)
    for frequency in (0, "step"):
        with pytest.raises(ValueError, match="save_freq"):
            keras_sgt.callbacks.BackupAndRestore("backup", frequency)
