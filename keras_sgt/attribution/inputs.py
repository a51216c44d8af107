"""What a method is called on, as NumPy arrays, and its maps in that form."""

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.introspection.logits import inner


def read(x, model):
    """The inputs as arrays.

    Args:
        x: array, nest of arrays, or DataFrame.
        model: `keras.Model`.

    Returns:
        A nest of arrays as the model takes it; a function from a nest of maps
        like it to the form of `x`.

    Raises:
        ValueError: for what is not numbers, bools or strings, for NaN and
            infinity, and for numbers of samples that differ.
    """
    if _is_frame(x):
        nest, restored = _of_frame(x, model)
    else:
        nest, restored = _of_nest(x, model)
    shapes = [array.shape for array in keras.tree.flatten(nest)]
    lengths = {shape[0] if shape else 0 for shape in shapes}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`x` has to hold arrays `(samples, ...)` of one number of samples "
            f"above 0. Received: shapes {shapes}"
        )
    return nest, restored


def _of_nest(x, model):
    if isinstance(x, list) and x and all(isinstance(v, str) for v in x):
        x = np.array(x)  # texts, not inputs
    if not isinstance(x, dict):
        return keras.tree.map_structure(_array, x), lambda maps: maps
    names = _names(model) or set(x)
    nest = {
        key: keras.tree.map_structure(_array, value)
        for key, value in x.items()
        if key in names
    }
    if not nest:
        raise ValueError(
            f"`x` holds none of the model's inputs, {sorted(names)}. "
            f"Received: {list(x)}"
        )

    def restored(maps):
        """What the model does not take is not explained."""
        return {
            key: maps[key] if key in maps else np.zeros(np.shape(x[key]), "f4")
            for key in x
        }

    return nest, restored


def _of_frame(frame, model):
    """A DataFrame: one input of all columns, or each its own."""
    columns = list(frame.columns)
    if len(set(columns)) < len(columns):
        raise ValueError(
            "The columns of `x` have to differ by name. Received: columns "
            f"{columns}"
        )
    arrays = {name: frame[name].to_numpy() for name in columns}
    names = _names(model)
    if names and len(names) > 1 and names <= set(columns):
        nest = {name: _array(arrays[name]) for name in sorted(names)}
        return nest, lambda maps: _framed(frame, maps)
    other = [n for n, a in arrays.items() if _array(a).dtype.kind not in "biuf"]
    if other:
        raise ValueError(
            "The model takes all columns of the DataFrame as one array, so "
            f"they have to hold numbers or bools. Received: columns {other}"
        )
    whole = [a for a in arrays.values() if a.dtype.kind in "iu"]
    dtype = "float32" if len(whole) < len(arrays) else None
    array = np.stack([_array(a).astype(dtype) for a in arrays.values()], 1)
    return array, lambda maps: _framed(
        frame, {name: maps[:, j] for j, name in enumerate(columns)}
    )


def _framed(frame, maps):
    """A DataFrame of the same kind, with zeros where there is no map."""
    zeros = np.zeros(len(frame), "float32")
    result = type(frame)(
        {name: np.ravel(maps.get(name, zeros)) for name in frame.columns}
    )
    if hasattr(frame, "index"):
        result.index = frame.index
    return result


def _is_frame(x):
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def _array(values):
    array = np.asarray(values)
    strings = array.dtype.kind in "SU" or (
        array.dtype == object
        and array.size
        and all(isinstance(value, (str, bytes)) for value in array.flat)
    )
    return array.astype(object) if strings else checks.finite("x", array)


def _names(model):
    """The names of a functional model's inputs, `None` where they have none."""
    model = inner(model)
    try:
        inputs = model.input
    except (AttributeError, ValueError):  # subclassed
        return None
    if isinstance(inputs, dict):
        return set(inputs)
    return {x.name for x in keras.tree.flatten(inputs)}
