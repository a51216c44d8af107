"""Files that several processes may write at the same time."""

import contextlib
import os
import pathlib
import uuid

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


@contextlib.contextmanager
def replacing(path):
    """A file, open to write bytes, that takes the place of `path` at the end.

    Readers see the old file or the whole new one, whenever this process is
    killed. The file is written beside `path`, under a name of its own, so that
    two writers do not meet: the last to finish wins.

    Args:
        path: path of the file.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_sgt import files
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with files.replacing(path) as file:
    ...     _ = file.write(b"1 2 3")
    >>> path.read_text()
    '1 2 3'
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write(path, content):
    """Writes a whole file, which is complete or not there.

    Args:
        path: path of the file.
        content: bytes, or str, which becomes UTF-8.
    """
    if isinstance(content, str):
        content = content.encode()
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def locked(path):
    """One process at a time: read a file, change it, write it again.

    The lock is a file beside `path`. The system lets go of it when its process
    ends, in whatever way, and only those who ask for it wait.

    Args:
        path: path of the file that is going to be changed.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_sgt import files
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with files.locked(path):
    ...     files.write(path, "1 2 3")
    >>> [file.name for file in path.parent.iterdir()]
    ['numbers.txt']
    """
    path = pathlib.Path(path)
    lock = path.with_name(f".{path.name[:100]}.lock")
    file = _held(lock)
    try:
        yield
    finally:
        # Unlinked while it is held: who waits for it sees that it is gone.
        # (Windows keeps a file that others have open.)
        with contextlib.suppress(OSError):
            lock.unlink()
        file.close()


def _held(lock):
    """The open lock file; it is still the one of that name."""
    while True:
        file = lock.open("ab")
        try:
            if fcntl is None:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()
