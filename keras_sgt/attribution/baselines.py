"""Baselines: what features are compared with."""

import keras
import numpy as np

from keras_sgt.checks import finite


def resolve(baselines, kind, x, positions):
    """Baselines as arrays, for each feature.

    Args:
        baselines: a number; an array, or a nest like `x` of numbers or arrays;
            or a callable from `x` to that. Token ids for token ids.
        kind: `"one"`, where arrays are a baseline for all samples or one for
            each; `"several"`, where they are several for all samples.
        x: the inputs, a nest of arrays.
        positions: which of the flat inputs have a baseline.

    Returns:
        A dict of arrays `(baselines, ...)`, the same for all samples, and a
        dict of arrays `(samples, ...)`, each by the position of their input.

    Raises:
        ValueError: for baselines that do not fit.
    """
    if callable(baselines):
        baselines = baselines(x)
    flat = keras.tree.flatten(x)
    values = for_each_input("baselines", baselines, x)
    shared, by_sample = {}, {}
    for i in positions:
        array = _fitting(values[i], flat[i], kind)
        same = kind == "several" or len(array) == 1
        (shared if same else by_sample)[i] = array
    counts = {len(array) for array in shared.values()}
    if kind == "several" and len(counts - {1}) > 1:
        raise ValueError(
            "`baselines` has to hold as many baselines for each input. "
            f"Received: {sorted(counts)}"
        )
    if kind == "several":  # one for all of an input goes with each of others
        shared = {
            i: np.repeat(array, max(counts), 0) if len(array) == 1 else array
            for i, array in shared.items()
        }
    return shared, by_sample


def for_each_input(name, values, x):
    """A setting for each input: the same for all, or a nest like them.

    Args:
        name: str, the argument that holds it.
        values: the setting.
        x: the inputs, a nest of arrays.

    Returns:
        List, of the flat inputs.
    """
    flat = keras.tree.flatten(x)
    nested = isinstance(x, (dict, list, tuple))
    if not nested or not isinstance(values, (dict, list, tuple)):
        return [values] * len(flat)
    with_paths = keras.tree.flatten_with_path(values)
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    if [path for path, _ in with_paths] != paths:
        raise ValueError(
            f"`{name}` has to be the same for all inputs or have the structure "
            f"of `x`. Received: {name} for {[path for path, _ in with_paths]}, "
            f"with inputs {paths}"
        )
    return [value for _, value in with_paths]


def check(baselines, multiply_by_inputs=True, return_convergence_delta=False):
    """Raises for settings that fit no inputs, before there are any."""
    if return_convergence_delta and not multiply_by_inputs:
        raise ValueError(
            "Attributions add up only if they are multiplied by the "
            "difference from the baseline. Received: multiply_by_inputs=False "
            "with return_convergence_delta=True"
        )
    if baselines is None or isinstance(baselines, (str, bool)):
        raise ValueError(
            "`baselines` has to be a number, arrays, or a callable from the "
            f"inputs to them. Received: baselines={baselines!r}"
        )


def _fitting(values, like, kind):
    """Baselines of one input, `(baselines, ...)`."""
    array = _array(values, like)
    if array.shape == like.shape[1:]:
        array = array[None]
    fits = array.shape[1:] == like.shape[1:] and len(array)
    if not fits or (kind == "one" and len(array) not in (1, len(like))):
        many = "at least one" if kind == "several" else "1 or all"
        raise ValueError(
            "`baselines` has to be a number, an array of the shape of a "
            f"sample, {like.shape[1:]}, or {many} such along a first axis. "
            f"Received: baselines of shape {np.shape(values)}"
        )
    return array


def _array(values, like):
    array = finite("baselines", values)
    if like.dtype.kind != "f" and (array != np.floor(array)).any():
        raise ValueError(
            "`baselines` of ids and other integers have to be integers. "
            f"Received: dtype {array.dtype}"
        )
    array = array.astype(like.dtype)
    if array.ndim == 0:
        array = np.full(like.shape[1:], array, like.dtype)
    return array
