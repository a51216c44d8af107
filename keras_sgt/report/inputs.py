"""What models take, as one array a sample for measures and pictures, and back.

Models and methods are given the nest that they were trained on; a measure
removes features of one array.
"""

import dataclasses
import typing

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.introspection import embeddings
from keras_sgt.introspection.logits import inner
from keras_sgt.introspection.nests import leaf_paths

# Larger whole numbers are not exact in float32.
_EXACT = 2**24

# What tokenizers call them: KerasHub's, and others'.
_TOKEN_IDS = (embeddings.TOKEN_IDS, "input_ids")


class Inputs:
    """One array, which the model takes as it is.

    Attributes:
        domain: the kind of data that this can only be, or `None`.
        names: list of str, of the features, or `None`.
        fill: function from samples to what a removed feature is replaced by,
            or `None` for what is usual in the domain.
        continuous: bool, or bools `(columns,)`: what was given as floats, so
            that noise on it is another input of the kind.
    """

    domain = names = fill = None
    continuous = True
    key = ()

    def pack(self, array):
        """What a model takes, from an array of some samples."""
        return array

    def relevance(self, maps):
        """Maps like the array, from those of what a model takes."""
        return maps

    def values(self, array):
        """What a reader is shown of the samples."""
        return array

    def seen_by(self, model):
        """A model of the array, for measures."""
        return model


class _Packing(Inputs):
    def seen_by(self, model):
        return _Packed(model, self)


class _Packed:
    """A model that is asked about arrays."""

    def __init__(self, model, inputs):
        self._model, self._inputs = model, inputs
        shape = getattr(model, "output_shape", None)
        if shape is not None:
            self.output_shape = shape

    def predict(self, x, batch_size=None, verbose=0):
        packed = self._inputs.pack(x)
        return self._model.predict(
            packed, batch_size=batch_size, verbose=verbose
        )


class Single(_Packing):
    """A nest with one array in it.

    Args:
        structure: the nest, anything in the array's place.
    """

    def __init__(self, structure):
        self.structure = structure
        self.key = repr(structure)

    def pack(self, array):
        return keras.tree.pack_sequence_as(self.structure, [array])

    def relevance(self, maps):
        return keras.tree.flatten(maps)[0]


class Tokens(_Packing):
    """Token ids, and what goes along with each, such as padding and segments.

    What stands at one position is one number: the place of its combination
    among those that occur, 0 for padding. So a token that a measure deletes
    takes its mask and its segment with it.

    Args:
        structure: the nest, anything in the arrays' places.
        arrays: list of ints `(samples, length)`.
        ids: int, which of them holds the ids of the tokens.
    """

    domain = "text"

    def __init__(self, structure, arrays, ids):
        self.structure, self.ids = structure, ids
        self.dtypes = [a.dtype for a in arrays]
        rows = np.stack([a.ravel().astype("int64") for a in arrays], 1)
        combinations, counts = np.unique(rows, axis=0, return_counts=True)
        padded = np.flatnonzero(combinations[:, ids] == 0)
        first = np.zeros((1, len(arrays)), "int64")
        if padded.size:
            most = padded[counts[padded].argmax()]
            first = combinations[most : most + 1]
            combinations = np.delete(combinations, most, 0)
        self.table = np.concatenate([first, combinations])
        self.key = (repr(structure), ids, self.table.tolist())
        order = {tuple(row): i for i, row in enumerate(self.table.tolist())}
        found = [order[tuple(row)] for row in rows.tolist()]
        self.array = np.array(found, "int32").reshape(arrays[0].shape)

    def pack(self, array):
        found = self.table[array]
        leaves = [found[..., i].astype(t) for i, t in enumerate(self.dtypes)]
        return keras.tree.pack_sequence_as(self.structure, leaves)

    def relevance(self, maps):
        return keras.tree.flatten(maps)[self.ids]

    def values(self, array):
        return self.table[array, self.ids]


@dataclasses.dataclass(frozen=True)
class Column:
    """One of several inputs; it takes some columns of the array.

    Args:
        name: str.
        shape: of one sample.
        dtype: what the model takes.
        categories: array of str that the numbers stand for, or `None`.
    """

    name: str
    shape: tuple
    dtype: np.dtype
    categories: typing.Any = None

    @property
    def width(self):
        return int(np.prod(self.shape))

    @property
    def continuous(self):
        return self.dtype.kind == "f"


class Columns(_Packing):
    """Several inputs of any kind, side by side: each entry is a column.

    A removed number is replaced by the column's mean, a removed category or
    token by the most frequent one.

    Args:
        structure: the nest, anything in the arrays' places.
        names: list of str, of the inputs.
        arrays: list of arrays of numbers or text.
    """

    domain = "table"

    def __init__(self, structure, names, arrays):
        self.structure = structure
        self.columns, found = [], []
        for name, given in zip(names, arrays):
            categories, numbers = None, given
            if given.dtype.kind == "U":
                categories, numbers = np.unique(given, return_inverse=True)
            self.columns.append(
                Column(name, given.shape[1:], given.dtype, categories)
            )
            found.append(numbers.reshape(len(given), -1))
        whole = [f for f in found if f.dtype.kind in "iu" and f.size]
        exact = all(abs(f).max() < _EXACT for f in whole)
        self.array = np.hstack(found).astype("float32" if exact else "float64")
        self.names = [
            c.name if c.width == 1 else f"{c.name}[{i}]"
            for c in self.columns
            for i in range(c.width)
        ]
        self.key = [
            [c.name, str(c.dtype), list(c.shape), _texts(c.categories)]
            for c in self.columns
        ]
        self.continuous = np.repeat(
            [c.continuous for c in self.columns],
            [c.width for c in self.columns],
        )
        typical = np.concatenate([_typical(f) for f in found])[None]
        self.fill = lambda samples: typical

    def _parts(self, array):
        ends = np.cumsum([c.width for c in self.columns])[:-1]
        return zip(self.columns, np.split(array, ends, 1))

    def pack(self, array):
        leaves = []
        for column, part in self._parts(array):
            part = part.reshape((len(part), *column.shape))
            if column.categories is not None:
                text = column.categories[part.astype("int64")].tolist()
                # `predict` takes text as a tensor only (of TensorFlow).
                leaves.append(keras.ops.convert_to_tensor(text, "string"))
                continue
            if column.dtype.kind in "iub":
                part = np.rint(part)
            leaves.append(part.astype(column.dtype))
        return keras.tree.pack_sequence_as(self.structure, leaves)

    def relevance(self, maps):
        flat = keras.tree.flatten(maps)
        return np.hstack([m.reshape(len(m), -1) for m in flat])

    def values(self, array):
        shown = [
            part if c.categories is None else c.categories[part.astype("int64")]
            for c, part in self._parts(array)
        ]
        return np.hstack([part.astype(object) for part in shown])


def _texts(categories):
    return None if categories is None else categories.tolist()


def _typical(rows):
    """The mean of numbers, the most frequent of what is not to be averaged."""
    if rows.dtype.kind == "f":
        return rows.mean(0)
    return np.array([_most_frequent(column) for column in rows.T], "float64")


def _most_frequent(column):
    values, counts = np.unique(column, return_counts=True)
    return values[counts.argmax()]


def read(x, models):
    """Inputs of any kind, as one array.

    Args:
        x: array, nest of arrays, or `DataFrame`.
        models: the models that take it.

    Returns:
        The array and its `Inputs`.

    Raises:
        ValueError: for what is no array of numbers or text.
    """
    if _is_frame(x):
        x = _columns(x)
        if _goes_as_one(x, models):
            return np.stack(list(x.values()), 1), _of_frame(x)
    if not _is_nest(x):
        return x, _of_array(x)
    paths = keras.tree.flatten(leaf_paths(x))
    arrays = [
        _leaf(path, leaf) for path, leaf in zip(paths, keras.tree.flatten(x))
    ]
    lengths = {path: len(a) for path, a in zip(paths, arrays)}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            "The inputs in `x` have to hold as many samples. Received: "
            f"{lengths}"
        )
    structure = keras.tree.map_structure(lambda leaf: 0, x)
    if len(arrays) == 1 and arrays[0].ndim > 1 and arrays[0].dtype.kind != "U":
        inputs = Single(structure)
        inputs.continuous = arrays[0].dtype.kind == "f"
        return arrays[0], inputs
    ids = _token_ids(paths, arrays)
    if ids is not None:
        inputs = Tokens(structure, arrays, ids)
    else:
        inputs = Columns(structure, paths, arrays)
    return inputs.array, inputs


def _is_frame(x):
    """Whether it is a table of pandas, or works like one."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def _is_nest(x):
    if isinstance(x, dict):
        return True
    return (
        isinstance(x, (list, tuple))
        and len(x) > 0
        and all(len(getattr(leaf, "shape", ())) > 0 for leaf in x)
    )


def _columns(frame):
    """A dict of its columns."""
    names = [str(name) for name in frame.columns]
    return {n: np.asarray(frame[c]) for n, c in zip(names, frame.columns)}


def _goes_as_one(columns, models):
    """Whether `fit` takes the columns of a frame as one array."""
    numeric = all(c.dtype.kind in "biuf" for c in columns.values())
    return numeric and not any(_takes_several(model) for model in models)


def _of_frame(columns):
    inputs = Inputs()
    inputs.domain, inputs.names = "table", list(columns)
    kinds = [column.dtype.kind for column in columns.values()]
    inputs.continuous = np.array([kind == "f" for kind in kinds])
    return inputs


def _of_array(x):
    inputs = Inputs()
    inputs.continuous = np.asarray(x).dtype.kind == "f"
    return inputs


def _takes_several(model):
    try:
        taken = inner(model).input
    except (AttributeError, ValueError):  # not functional, or never called
        return False
    return isinstance(taken, (dict, list, tuple)) and len(taken) > 0


def _leaf(path, leaf):
    """An input as an array of numbers or of text."""
    array = np.asarray(leaf)
    if array.dtype.kind in "OUS":
        flat = [t.decode() if isinstance(t, bytes) else t for t in array.flat]
        if all(isinstance(text, str) for text in flat):
            return np.array(flat, str).reshape(array.shape)
    return checks.finite(f"x[{path!r}]", array)


def _token_ids(paths, arrays):
    """Which of the inputs holds token ids that the others go along with."""
    shapes = {a.shape for a in arrays}
    kinds = {a.dtype.kind for a in arrays}
    named = [
        i for i, path in enumerate(paths) if path.split("/")[-1] in _TOKEN_IDS
    ]
    alike = len(shapes) == 1 and len(next(iter(shapes))) == 2
    return named[0] if alike and kinds <= set("biu") and named else None
