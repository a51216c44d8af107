"""Where data sets lie, and how their files are read."""

import dataclasses
import os
import pathlib
import tarfile

import numpy as np

FOLDER = "KERAS_SGT_DATA"


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Inputs, labels, and where the truth is, if that is known.

    Args:
        x: array `(samples, ...)`, for language a list of lists of tokens.
        y: ints `(samples,)`.
        truth: bools, what of `x` is relevant: shaped like `x` without its
            channels, or a list of arrays, one for each text. `None` if the
            data do not tell.
    """

    x: object
    y: np.ndarray
    truth: object = None

    def __len__(self):
        return len(self.y)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of a data set, as its authors made them.

    Args:
        train, test: `Split`.
        valid: `Split`, or `None` if the authors made none.
        classes: names of the classes.
        features: names of the columns or channels of `x`, or `None`.
    """

    train: Split
    test: Split
    classes: tuple
    valid: Split | None = None
    features: tuple | None = None


def file(data_dir, *path):
    """A file of the data folder, which has to be there."""
    folder = data_dir or os.environ.get(FOLDER)
    if folder is not None and pathlib.Path(folder, *path).exists():
        return pathlib.Path(folder, *path)
    where = f"`data_dir` {folder!r}" if folder else "`data_dir`: none was given"
    raise FileNotFoundError(
        f"No {'/'.join(path)} in {where}. Give the folder that holds it as "
        f"`data_dir`, or in the environment variable {FOLDER}."
    )


def members(path):
    """Name and content of each file of an archive, in its order."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()


def from_tfds(name, split, data_dir=None):
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise ImportError(
            f"{name!r} is read by tensorflow_datasets: "
            '`pip install "keras-sgt[data]"`'
        ) from e
    return tfds.load(name, split=split, data_dir=data_dir, with_info=True)


def stacked(rows):
    x, y, truth = zip(*rows)
    return Split(np.stack(x), np.array(y, "int32"), np.stack(truth))
