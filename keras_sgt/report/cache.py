"""Results of finished parts, kept in a folder, so that work can be resumed."""

import hashlib
import json
import pathlib
import zipfile
import zlib

import numpy as np


class Cache:
    """Parts of a comparison, each in a file of its own.

    A part is written under another name and renamed when it is complete, so a
    file that exists is whole, whenever the process is killed.

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
        path = self.folder / f"{digest(key)}.npz"
        found = _read(path)
        if found is not None:
            return found
        found = compute()
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **found)
        part.replace(path)
        return found


def _read(path):
    """The arrays of a file; `None` if it is not there, or damaged."""
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, KeyError):
        return None
    except (zipfile.BadZipFile, zlib.error):
        return None


def digest(key):
    """A short name for what a result depends on."""
    state = hashlib.sha256()

    def add(value):
        if isinstance(value, np.ndarray):
            state.update(str((value.dtype, value.shape)).encode())
            state.update(np.ascontiguousarray(value).data)
        elif isinstance(value, (list, tuple)):
            state.update(b"[")
            for part in value:
                add(part)
            state.update(b"]")
        else:
            state.update(json.dumps(value).encode())

    add(key)
    return state.hexdigest()[:32]
