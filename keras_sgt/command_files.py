"""Files that a command is given, looked at before its work starts."""

import math
import os
import pathlib
import zipfile

import numpy as np

PAGES = (".html", ".htm")


def check_outputs(inputs, outputs):
    """Refuses what could not be written, or would destroy, before the work.

    Args:
        inputs: paths that the command reads.
        outputs: triples of an option, its path or `None`, and the endings
            that the path may have.
    """
    taken = {os.path.realpath(path): f"the input {path}" for path in inputs}
    for option, path, endings in outputs:
        if path is None:
            continue
        check_output(option, pathlib.Path(path), endings)
        real = os.path.realpath(path)
        if real in taken:
            raise ValueError(f"{option} would overwrite {taken[real]}")
        taken[real] = f"what {option} writes"


def check_output(option, path, endings):
    if path.suffix.lower() not in endings:
        raise ValueError(
            f"{option} has to end in {endings[0]}. Received: {path}"
        )
    if path.is_dir():
        raise ValueError(f"{option} has to be a file; {path} is a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{option}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{option}: cannot write into {path.parent}")


def load_data(option, file, asked):
    """The arrays of an .npz file; it may hold no pickled objects.

    Args:
        option: str, which the file was given by.
        file: path.
        asked: str, what the file has to be; `x` and `y` are asked always.
    """
    try:
        check_archive(file)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise ValueError(f"{option}: there is no file {file}") from None
    except Exception as error:  # a file of anyone may fail in any way
        raise ValueError(
            f"{option} has to be {asked}. {file}: {error}"
        ) from None
    missing = {"x", "y"} - arrays.keys()
    if missing:
        raise ValueError(
            f"{option} has to be {asked}. {file} lacks {sorted(missing)} and "
            f"holds {sorted(arrays)}"
        )
    return arrays


def check_archive(file):
    """Looks at the sizes that arrays claim, before any memory is taken."""
    with open(file, "rb") as opened:
        start = opened.read(6)
    if start == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it is a single array; use numpy.savez")
    if not zipfile.is_zipfile(file):
        raise ValueError(
            "it is no such archive; make one in Python with "
            "numpy.savez('test.npz', x=x, y=y)"
        )
    total = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as opened:
                claimed = claimed_bytes(opened)
            if claimed > member.file_size:
                raise ValueError(
                    f"{member.filename} claims {claimed:,} bytes and holds "
                    f"{member.file_size:,}"
                )
            total += member.file_size
    if total > memory():
        raise ValueError(f"its arrays take {total:,} bytes, more than memory")


def claimed_bytes(opened):
    """How large an array is by its header."""
    version = np.lib.format.read_magic(opened)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version, np.lib.format.read_array_header_2_0)
    shape, _, dtype = read(opened)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are not loaded")
    return math.prod(shape) * dtype.itemsize


def memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf
