"""How far training has come: kept in the model's files beside its weights.

Weights, optimizer and metrics are kept by Keras. Beside them a guided step
depends on numbers that callbacks change, on the states of random generators,
and on how many steps were taken.
"""

import keras
import numpy as np

PREFIX = "training_state."
SAVERS = (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)


def savers_last(callbacks):
    """What saves comes after what changes: a file holds the whole epoch.

    Args:
        callbacks: what `fit` takes.

    Returns:
        A list, otherwise in the order given; a `CallbackList` as it is.
    """
    if callbacks is None or isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    callbacks = keras.tree.flatten(callbacks)
    return sorted(callbacks, key=lambda each: isinstance(each, SAVERS))


def save(store, model, step, scheduled):
    """Writes into a file's part of the model.

    Args:
        store: what `save_own_variables` is given.
        model: `SaliencyGuidedModel`.
        step: int, the count of its steps.
        scheduled: `(epoch, before, fraction)`, the last epoch that a schedule
            set the fraction for, and the fraction before; or `None`.
    """
    state = {"step": [step, *(scheduled or (-1, 0.0, 0.0))]}
    for name, (settings, seeds) in _owners(model).items():
        state[f"numbers.{name}"] = [[s.first, s.lasting] for s in settings]
        if seeds:
            state[f"seeds.{name}"] = [
                keras.ops.convert_to_numpy(seed) for seed in seeds
            ]
    for key, value in state.items():
        kind = "int64" if key.startswith("seeds") else "float64"
        store[PREFIX + key] = np.array(value, kind)


def without(store):
    """The store as it was before there was anything here."""
    keys = list(store.keys())
    return {k: store[k] for k in keys if not k.startswith(PREFIX)}


def load(store, model):
    """Reads what `save` wrote, into a model of the same kind.

    A file of another guidance, or from before there was anything here, changes
    nothing; nor does a number change that the model was built differently with.

    Returns:
        `(step, scheduled)`, or `None` if the file has none.
    """
    keys = list(store.keys())
    found = {
        key.removeprefix(PREFIX): np.asarray(store[key])
        for key in keys
        if key.startswith(PREFIX)
    }
    if not found:
        return None
    model.sync()
    for name, (settings, seeds) in _owners(model).items():
        numbers = found.get(f"numbers.{name}", np.zeros(0))
        if numbers.shape == (len(settings), 2):
            for setting, state in zip(settings, numbers):
                setting.restore(*map(float, state))
        states = found.get(f"seeds.{name}", np.zeros(0))
        if states.shape == (len(seeds), 2):
            for seed, state in zip(seeds, states):
                seed.assign(state)
    step, epoch, *fractions = found["step"].tolist()
    if epoch < 0 or len(fractions) != 2:  # of another version
        return int(step), None
    return int(step), (int(epoch), *fractions)


def _owners(model):
    """The settings and seeds of the model, and of each of its guidances."""
    owners = {
        f"guidance.{term.name}": (term.settings(), _seeds(term))
        for term in model.guidance
    }
    of_terms = {id(seed) for _, seeds in owners.values() for seed in seeds}
    numbers = {id(setting.variable) for setting in model.settings()}
    others = of_terms | numbers
    seeds = [seed for seed in _seeds(model) if id(seed) not in others]
    return {"model": (model.settings()[:1], seeds), **owners}


def _seeds(layer):
    weights = {id(weight) for weight in layer.weights}
    return [v for v in layer.variables if id(v) not in weights]
