"""Baselines: what features are compared with."""

import keras
import numpy as np

from keras_sgt.checks import finite


def resolve(given, kind, x, positions):
    """Baselines as arrays, for each feature.

    Args:
        given: a number; an array, or a nest like `x` of numbers or arrays; or
            a callable from `x` to that. Token ids for token ids.
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
    if callable(given):
        given = given(x)
    flat = keras.tree.flatten(x)
    parts = of_each("baselines", given, x)
    shared, own = {}, {}
    for i in positions:
        part = _array(parts[i], flat[i])
        if part.shape == flat[i].shape[1:]:
            part = part[None]
        fits = part.shape[1:] == flat[i].shape[1:]
        if not fits or (kind == "one" and len(part) not in (1, len(flat[i]))):
            raise ValueError(
                _WRONG_SHAPE.format(
                    many="any number of" if kind == "several" else "1 or all",
                    wanted=flat[i].shape[1:],
                    given=np.shape(parts[i]),
                )
            )
        same = kind == "several" or len(part) == 1
        (shared if same else own)[i] = part
    counts = {len(part) for part in shared.values()}
    if kind == "several" and len(counts) > 1:
        raise ValueError(
            "`baselines` has to hold as many baselines for each input. "
            f"Received: {sorted(counts)}"
        )
    return shared, own


def of_each(name, given, x):
    """A setting for each input: the same for all, or a nest like them."""
    flat = keras.tree.flatten(x)
    nested = isinstance(x, (dict, list, tuple))
    if not nested or not isinstance(given, (dict, list, tuple)):
        return [given] * len(flat)
    parts = keras.tree.flatten_with_path(given)
    paths = [path for path, _ in keras.tree.flatten_with_path(x)]
    if [path for path, _ in parts] != paths:
        raise ValueError(
            f"`{name}` has to be the same for all inputs or have the structure "
            f"of `x`. Received: {name} for {[path for path, _ in parts]}, with "
            f"inputs {paths}"
        )
    return [part for _, part in parts]


def check(given, multiply_by_inputs=True, return_convergence_delta=False):
    """Raises for baselines that no inputs could have: a method calls it."""
    if return_convergence_delta and not multiply_by_inputs:
        raise ValueError(
            "Attributions add up only if they are multiplied by the "
            "difference from the baseline. Received: multiply_by_inputs=False "
            "with return_convergence_delta=True"
        )
    if given is None or isinstance(given, (str, bool)):
        raise ValueError(
            "`baselines` has to be a number, arrays, or a callable from the "
            f"inputs to them. Received: baselines={given!r}"
        )


def _array(part, like):
    array = finite("baselines", part)
    if like.dtype.kind != "f" and (array != np.floor(array)).any():
        raise ValueError(
            "`baselines` of token ids have to be token ids. Received: dtype "
            f"{array.dtype}"
        )
    array = array.astype(like.dtype)
    if array.ndim == 0:
        array = np.full(like.shape[1:], array, like.dtype)
    return array


_WRONG_SHAPE = (
    "`baselines` has to be a number, an array of the shape of a sample, "
    "{wanted}, or {many} such along a first axis. Received: baselines of shape "
    "{given}"
)
