"""Searches from the command line: `python -m keras_sgt search --help`."""

import importlib
import os
import pathlib
import sys
import zipfile

import numpy as np

from keras_sgt.searching.candidates import CANDIDATES
from keras_sgt.searching.measures import MEASURES
from keras_sgt.searching.search import search

_FILE = "an .npz file with the arrays x (inputs) and y (classes)"
_TRUTH = "and optionally truth (which features matter, shaped like x)"


def add_to(commands):
    """Adds the command to those of `python -m keras_sgt`."""
    parser = commands.add_parser(
        "search",
        help="train with several guidances: which works on your data?",
        description=(
            "Tries guidances within an accuracy tolerance, and confirms the "
            "best one on fresh seeds beside its control."
        ),
        epilog=(
            "Example: python -m keras_sgt search my_models:build_model "
            "--train train.npz --validation valid.npz --out search.html"
        ),
    )
    _add_files(parser)
    _add_settings(parser)
    parser.set_defaults(run=run)


def _add_files(parser):
    parser.add_argument(
        "build_model",
        metavar="MODULE:FUNCTION",
        help="a function that returns a new, compiled model",
    )
    parser.add_argument("--train", required=True, metavar="FILE", help=_FILE)
    parser.add_argument(
        "--validation",
        required=True,
        metavar="FILE",
        help=f"the same, {_TRUTH}",
    )
    parser.add_argument(
        "--test",
        metavar="FILE",
        help="to confirm with (default: half of the validation file)",
    )
    parser.add_argument("--out", required=True, metavar="SEARCH.html")
    parser.add_argument(
        "--model", metavar="BEST.keras", help="where to save the best model"
    )


def _add_settings(parser):
    parser.add_argument(
        "--candidates",
        nargs="+",
        default="default",
        help=f"out of {', '.join(CANDIDATES)} (default: all that fit)",
    )
    parser.add_argument(
        "--measures",
        nargs="+",
        default="default",
        help=f"out of {', '.join(MEASURES)} (default: by the data)",
    )
    parser.add_argument("--tolerance", type=float, default=0.005)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database that several processes share, sqlite:///search.db",
    )
    parser.add_argument("--name", help="of the search in the storage")


def run(options):
    for path in (options.out, options.model):
        if path and not pathlib.Path(path).absolute().parent.is_dir():
            raise ValueError(f"There is no folder to write {path} into")
    build_model = function(options.build_model)
    train, _ = arrays("--train", options.train)
    validation, truth = arrays("--validation", options.validation)
    test = None
    if options.test:
        test, other = arrays("--test", options.test)
        truth = (truth, other)
    found = search(
        build_model,
        train,
        validation,
        candidates=options.candidates,
        tolerance=options.tolerance,
        measures=options.measures,
        trials=options.trials,
        epochs=options.epochs,
        seeds=options.seeds,
        truth=truth,
        test=test,
        storage=options.storage,
        name=options.name,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    print(found.verdict)
    found.save(options.out)
    print(f"wrote {options.out}")
    if options.model and found.best is not None:
        found.best.model.save(options.model)
        print(f"wrote {options.model}")


def function(text):
    """The function of `module:function`, found from the current folder too."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError(
            "The model has to be given as MODULE:FUNCTION, such as "
            f"my_models:build_model. Received: {text}"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{text} cannot be imported: {error}") from error


def arrays(option, file):
    """`(x, y)` and the truth, or `None`, of an .npz file."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            found = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{option} has to be {_FILE}. {error}") from None
    if not {"x", "y"} <= found.keys():
        raise ValueError(
            f"{option} has to be {_FILE}. {file} holds {sorted(found)}"
        )
    return (found["x"], found["y"]), found.get("truth")
