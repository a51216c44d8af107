"""Results of finished parts, kept in a folder, so that work can be resumed."""

import hashlib
import json
import pathlib
import zipfile
import zlib

import numpy as np

from keras_sgt import files


class Cache:
    """Parts of a comparison, each in a file of its own.

    A file that exists is whole, whenever a process is killed, and several
    processes may share a folder.

    Args:
        folder: path, or `None` to keep nothing.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else pathlib.Path(folder)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, key, compute):
        """A part: dict of arrays, read if it is there, else computed.

        Args:
            key: what it depends on: arrays, strings, numbers, nested.
            compute: function without arguments to a dict of arrays.
        """
        if self.folder is None:
            return compute()
        name = digest(key)
        path = self.folder / f"{name}.npz"
        found = _read(path, name)
        if found is not None:
            return found
        found = compute()
        with files.replacing(path) as file:
            np.savez(file, **found, **{_NAME: name})
        return found


_NAME = "cached as"  # the entry that tells a file of ours from any other


def _read(path, name):
    """The arrays of a file; `None` if it is not there, damaged or foreign."""
    try:
        with np.load(path) as arrays:
            found = dict(arrays)
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    except (zipfile.BadZipFile, zlib.error, MemoryError):
        return None
    if str(found.pop(_NAME, "")) != name:
        return None
    return found


def digest(key):
    """A short name for what a result depends on."""
    state = hashlib.sha256()

    def add(value):
        if isinstance(value, np.ndarray):
            state.update(str((value.dtype, value.shape)).encode())
            # As bytes: the buffer of bfloat16 is none to Python.
            state.update(np.ascontiguousarray(value).view("uint8"))
        elif isinstance(value, (list, tuple)):
            state.update(b"[")
            for part in value:
                add(part)
            state.update(b"]")
        else:
            state.update(json.dumps(value).encode())

    add(key)
    return state.hexdigest()[:32]
