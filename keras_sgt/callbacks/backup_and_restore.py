"""A backup of training that can be killed at any moment."""

import os
import pathlib
import shutil

import keras

NOW = "writing"  # what Keras writes or reads at this moment
DISCARDED = "discarded"
SAVED = "saved-"


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """Keras's `BackupAndRestore`, safe from being killed amid writing.

    Keras writes its file in place, and a process killed meanwhile leaves one
    that no restart can read. Here each backup is written beside the last, and
    counts once it is complete; the one before is kept as well. Works with any
    `keras.Model`.

    With `save_freq="epoch"`, `shuffle=False` and the guided model's random
    numbers, training that was killed ends with the weights of training that
    was not. With a number of batches, Keras restarts the epoch with the
    weights that it had come to: its first batches are seen twice.

    Args:
        backup_dir: path of a folder on a local disk, for nothing else.
        save_freq: `"epoch"`, or int ≥ 1, batches from one backup to the next.
            Defaults to `"epoch"`.
        delete_checkpoint: bool, whether the folder is removed when training
            has ended. Defaults to `True`.

    Raises:
        ValueError: for a folder that is not local, or a bad `save_freq`.

    Example:

    >>> import tempfile
    >>> import keras
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("adam", "mse")
    >>> x, y = keras.ops.ones((6, 4)), keras.ops.ones((6, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = keras_sgt.callbacks.BackupAndRestore(f"{folder}/backup")
    ...     history = model.fit(x, y, verbose=0, callbacks=[backup])
    """

    def __init__(self, backup_dir, save_freq="epoch", delete_checkpoint=True):
        if "://" in str(backup_dir) or not str(backup_dir):
            raise ValueError(
                "`backup_dir` has to be a folder on a local disk, where a "
                "folder is renamed at once; for others there is "
                "`keras.callbacks.BackupAndRestore`. Received: "
                f"backup_dir={backup_dir!r}"
            )
        if type(save_freq) is int and save_freq < 1:
            raise ValueError(
                "`save_freq` has to be 'epoch', or an int, 1 or more. "
                f"Received: save_freq={save_freq!r}"
            )
        self.folder = pathlib.Path(backup_dir)
        super().__init__(
            str(self.folder / NOW),
            save_freq=save_freq,
            delete_checkpoint=delete_checkpoint,
        )

    def on_train_begin(self, logs=None):
        self._discard()
        backups = self._backups()
        if not backups:
            super().on_train_begin(logs)  # which checks the model
        for backup in reversed(backups):
            shutil.copytree(backup, self.folder / NOW)
            try:
                super().on_train_begin(logs)
                break
            except OSError:  # a file that the disk has damaged
                if backup == backups[0]:
                    raise
                self._discard(backup)
            finally:
                self._discard()

    def on_epoch_begin(self, epoch, logs=None):
        # Keras counts epochs from 0 in each process: a second restart amid an
        # epoch would go back to the first one.
        if self.save_freq != "epoch":
            super().on_epoch_end(epoch - 1)  # which counts, and saves nothing

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._publish()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._publish()

    def on_train_end(self, logs=None):
        self._discard()
        if self.delete_checkpoint:
            for backup in self._backups():  # the newest last
                self._discard(backup)
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def _backups(self):
        """The complete ones, oldest first."""
        found = self.folder.glob(f"{SAVED}*")
        return sorted(found, key=lambda path: int(path.name[len(SAVED) :]))

    def _publish(self):
        """What was just written becomes the newest backup, all at once."""
        written = self.folder / NOW
        if not written.exists():
            return
        for path in [*written.iterdir(), written]:
            _flush(path)
        backups = self._backups()
        newest = int(backups[-1].name[len(SAVED) :]) if backups else 0
        written.rename(self.folder / f"{SAVED}{newest + 1:06d}")
        _flush(self.folder)
        for backup in backups[:-1]:
            self._discard(backup)

    def _discard(self, backup=None):
        """Removes a backup, which counts no more from the first moment."""
        discarded = self.folder / DISCARDED
        for path in (discarded, self.folder / NOW):
            if path.exists():
                shutil.rmtree(path)
        if backup is not None:
            backup.rename(discarded)
            shutil.rmtree(discarded)


def _flush(path):
    """Has the system write a file or folder to the disk."""
    if os.name == "nt" and path.is_dir():  # which Windows cannot open
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
