"""Searches from the command line: `python -m keras_sgt search --help`."""

import importlib
import os
import sys

from keras_sgt import command_files
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
    check_paths(options)
    build_model = function(options.build_model)
    train, _ = load("--train", options.train)
    validation, truth = load("--validation", options.validation)
    test = None
    if options.test is not None:
        test, other = load("--test", options.test)
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
    written = [options.out]
    try:
        found.save(options.out)
        if options.model and found.best is not None:
            found.best.model.save(options.model)
            written.append(options.model)
    finally:  # a page that cannot be written takes no result with it
        print(found.verdict)
    print("\n".join(f"wrote {path}" for path in written))


def check_paths(options):
    read = (options.train, options.validation, options.test)
    command_files.check_outputs(
        [path for path in read if path is not None],
        [
            ("--out", options.out, command_files.PAGES),
            ("--model", options.model, (".keras",)),
        ],
    )


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


def load(option, file):
    """`(x, y)` and the truth, or `None`, of an .npz file."""
    arrays = command_files.load_data(option, file, _FILE)
    return (arrays["x"], arrays["y"]), arrays.get("truth")
