"""A backup that no kill can break."""

import json
import pathlib
import signal
import time

import keras
import killed_work
import numpy as np
import pytest

import keras_sgt


def backups(folder):
    """The complete ones, the newest last."""
    return sorted(folder.glob("backup/saved-*"))


def start(folder, *arguments):
    """A process that trains."""
    folder.mkdir(exist_ok=True)
    (folder / "began").unlink(missing_ok=True)
    return killed_work.start(killed_work.train, folder, *arguments)


def wait(process, condition):
    while process.is_alive() and not condition():
        time.sleep(0.001)


def undisturbed(folder, *arguments):
    """Seconds until it trains, and seconds of training."""
    killed_work.start(int).join()  # the server is there from now on
    began, process = time.monotonic(), start(folder, *arguments)
    wait(process, (folder / "began").exists)
    trains = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return trains - began, time.monotonic() - trains


def killed_and_restarted(folder, save_freq, kills, epochs, seconds):
    """Kills training at random moments, then lets it end.

    `seconds` are those of a process by itself. Returns the weights at the end,
    what each restart went on from, and how many kills met a process that
    trained, and one that wrote a backup.
    """
    until_it_trains, of_training = seconds
    moments, went_on_from, counts = killed_work.moments(), [], [0, 0]
    for number in range(kills):
        process = start(folder, save_freq, number, epochs)
        share = of_training / (kills + 2)  # so that all together leave some
        if number == 0:  # its weights are those that all others go on from
            wait(process, lambda: backups(folder))
        elif number % 4:
            wait(process, (folder / "began").exists)
        else:
            share += until_it_trains
        time.sleep(moments.uniform(0, share))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "trained too few epochs"
        went_on_from.append(backups(folder)[-1].name)
        counts[0] += (folder / "began").exists()
        counts[1] += (folder / "backup/writing").exists()
        check_epoch(folder, of=backups(folder)[-2:])
    process = start(folder, save_freq, kills, epochs)
    process.join()
    assert process.exitcode == 0
    print(f"{kills} kills: {counts[0]} amid training, {counts[1]} amid writing")
    return np.load(folder / "weights.npy"), went_on_from, counts


def check_epoch(folder, of):
    """No newer backup is of an earlier epoch."""
    epochs = [
        json.loads((backup / "training_metadata.json").read_text())["epoch"]
        for backup in of
    ]
    assert epochs == sorted(epochs)


KILLS = [
    pytest.param(2, 20, marks=pytest.mark.slow_to_compile),
    pytest.param(20, 300, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kills", "epochs"), KILLS)
def test_killed_training_ends_as_if_it_had_not_been(kills, epochs, tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    seconds = undisturbed(alone, "epoch", 0, epochs)
    found, _, counts = killed_and_restarted(
        killed, "epoch", kills, epochs, seconds
    )
    expected = np.load(alone / "weights.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert all(counts) or kills < 20


@pytest.mark.slow
def test_killed_where_steps_are_saved(tmp_path):
    """As if it had been stopped in good order after the same backups."""
    kills, epochs = 20, 300
    alone, killed, stopped = (
        tmp_path / name for name in ("alone", "killed", "stopped")
    )
    seconds = undisturbed(alone, 2, 0, epochs)
    found, went_on_from, counts = killed_and_restarted(
        killed, 2, kills, epochs, seconds
    )
    assert all(counts)
    stopped.mkdir()
    different = list(dict.fromkeys(went_on_from))
    killed_work.start(
        killed_work.train_and_stop, stopped, 2, epochs, different
    ).join()
    expected = np.load(stopped / "weights.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_restart_amid_an_epoch_knows_which_it_is(tmp_path):
    """Keras writes epoch 0 until an epoch has ended in the same process."""
    x, y, epochs = np.ones((4, 3), "float32"), np.ones((4, 1), "float32"), []

    def fit(stop_in):
        def begin(epoch, logs):
            epochs.append(epoch)

        def end(batch, logs):
            if epochs[-1] == stop_in and batch == 1:
                raise killed_work.Stopped

        callbacks = [
            keras_sgt.callbacks.BackupAndRestore(tmp_path / "backup", 1),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=begin, on_train_batch_end=end
            ),
        ]
        model().fit(
            x, y, batch_size=2, epochs=3, verbose=0, callbacks=callbacks
        )

    for stop_in in (1, 1):
        with pytest.raises(killed_work.Stopped):
            fit(stop_in)
    fit(None)
    assert epochs == [0, 1, 1, 1, 2]


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
