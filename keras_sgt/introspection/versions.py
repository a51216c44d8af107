"""The versions of Keras that the tests ran with."""

import warnings

import keras

# The oldest is also pyproject.toml's. Patches of a version count as tested.
OLDEST, NEWEST = (3, 12), (3, 15)


def warn_of_untested_keras():
    """Warns of a Keras newer than the newest that was tested."""
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    if version > NEWEST:
        oldest, newest = (".".join(map(str, v)) for v in (OLDEST, NEWEST))
        warnings.warn(
            f"keras_sgt is tested with Keras {oldest} to {newest}, and this is "
            f"Keras {keras.__version__}. What it cannot read off this version "
            "is an error, not a guess. If something is amiss, install "
            f"'keras=={newest}.*'.",
            stacklevel=2,
        )


def synchronises_processes(model):
    """Whether `fit` synchronises processes of PyTorch by itself.

    Undocumented in Keras: from 3.16 its trainer holds the model in a
    `DistributedDataParallel` of this name.
    """
    return hasattr(model, "ddp_model")
