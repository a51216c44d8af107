"""The command line: `python -m keras_sgt --help`."""

import argparse
import importlib
import io
import pathlib
import re
import sys

import keras

import keras_sgt
from keras_sgt import command_files
from keras_sgt.report.measures import DOMAINS, MEASURES
from keras_sgt.report.methods import METHODS
from keras_sgt.report.tasks import TASKS
from keras_sgt.searching import command as search_command

DATA = (
    "an .npz file with the arrays x (test inputs) and y (their classes or "
    "numbers), and optionally truth (which features matter, shaped like x), "
    "class_names, feature_names and token_names (arrays of text)"
)
WORKFLOW = """\
example, from Python to a page:
  plain.save("plain.keras")          # trained by model.fit
  model.save("guided.keras")         # trained by SaliencyGuidedModel(model)
  numpy.savez("test.npz", x=x_test, y=y_test)

  python -m keras_sgt compare plain.keras guided.keras \\
      --data test.npz --out report.html

Then open report.html in a browser. All options:
  python -m keras_sgt compare --help
"""
FROM_LOGITS = {"auto": "auto", "yes": True, "no": False}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # which Keras puts into messages
NAMES = ("class_names", "feature_names", "token_names")


def parser():
    top = argparse.ArgumentParser(
        prog="python -m keras_sgt",
        description=(
            "Saliency guided training for Keras 3: models whose gradients "
            "show their reasons. Compares models that are on disk, and "
            "searches for the guidance that works on your data."
        ),
        epilog=WORKFLOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--version", action="version", version=keras_sgt.__version__
    )
    commands = top.add_subparsers(title="commands", required=True)
    compare = commands.add_parser(
        "compare",
        help="compare trained models: accuracy, faithfulness, pictures",
        description=(
            "Compares models that were saved with model.save, and writes one "
            "HTML page. Models load in Keras's safe mode."
        ),
        epilog=(
            "Example: python -m keras_sgt compare plain.keras guided.keras "
            "--data test.npz --out report.html"
        ),
    )
    add_files(compare)
    add_settings(compare)
    compare.set_defaults(run=run_compare)
    search_command.add_to(commands)
    return top


def add_files(compare):
    compare.add_argument("models", nargs="+", metavar="MODEL.keras")
    compare.add_argument("--data", required=True, metavar="FILE", help=DATA)
    compare.add_argument("--out", required=True, metavar="REPORT.html")
    compare.add_argument(
        "--csv", metavar="FILE.csv", help="the numbers as CSV too"
    )
    compare.add_argument(
        "--cache",
        metavar="FOLDER",
        help="keeps what is finished, to go on after an interruption",
    )
    compare.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a Python module of yours that registers own layers; it is run",
    )


def add_settings(compare):
    compare.add_argument(
        "--methods",
        nargs="+",
        default=["gradient", "integrated_gradients", "random"],
        help=f"out of {', '.join(METHODS)} (default: %(default)s)",
    )
    compare.add_argument(
        "--measures",
        nargs="+",
        help=f"out of {', '.join(MEASURES)} (default: all that fit)",
    )
    for option, choices, text in (
        ("--domain", DOMAINS, "the kind of data (default: told by x)"),
        ("--task", TASKS, "what is predicted (default: told by y)"),
    ):
        compare.add_argument(
            option, default="auto", choices=("auto", *choices), help=text
        )
    compare.add_argument(
        "--from-logits",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether models give logits (default: told by the last layer)",
    )
    for option, text in (
        ("--traditional", "that was trained traditionally"),
        ("--control", "whose guidance was blind"),
    ):
        compare.add_argument(
            option,
            metavar="NAME",
            help=f"the model {text} (default: told by its name)",
        )
    compare.add_argument("--samples", type=int, default=24, help="in pictures")
    compare.add_argument("--batch-size", type=int)


def run_compare(options):
    check_paths(options)
    for module in options.modules:
        load_module(module)
    arrays = command_files.load_data("--data", options.data, DATA)
    models = load_models(options.models)
    result = keras_sgt.compare(
        models,
        arrays["x"],
        arrays["y"],
        methods=options.methods,
        measures=options.measures,
        truth=arrays.get("truth"),
        domain=options.domain,
        task=options.task,
        traditional=options.traditional,
        control=options.control,
        from_logits=FROM_LOGITS[options.from_logits],
        samples=options.samples,
        batch_size=options.batch_size,
        cache=options.cache,
        **{name: texts(arrays, name) for name in NAMES if name in arrays},
    )
    try:
        result.save(options.out)
        if options.csv:
            result.to_csv(options.csv)
    finally:  # a page that cannot be written takes no result with it
        print(result)
    print(f"wrote {options.out}")


def check_paths(options):
    """Refuses what could not be done, or would destroy, before the work."""
    command_files.check_outputs(
        (*options.models, options.data),
        [
            ("--out", options.out, command_files.PAGES),
            ("--csv", options.csv, (".csv",)),
        ],
    )
    if options.cache and pathlib.Path(options.cache).is_file():
        raise ValueError(f"--cache has to be a folder; {options.cache} is not")
    for name in ("samples", "batch_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} has to be 1 or more. Received: "
                f"{value}"
            )


def load_module(name):
    try:
        importlib.import_module(name)
    except Exception as error:  # a module of anyone may fail in any way
        raise ValueError(
            f"--import: the module {name!r} does not load: "
            f"{type(error).__name__}: {error}. It has to be a name that "
            "`import` knows, such as that of a file in this folder, without "
            "'.py'"
        ) from error


def texts(arrays, name):
    """A list of names, from an array of text."""
    found = arrays[name].tolist()
    if not isinstance(found, list):
        raise ValueError(f"{name} has to be a list of text. Received: {found}")
    return found


def load_models(files):
    """Models by the name of their file, or by its path where names repeat."""
    names = [pathlib.Path(file).stem for file in files]
    if len(set(names)) < len(names):
        names = list(files)
    if len(set(names)) < len(names):
        raise ValueError(f"A model is given twice: {files}")
    models = {}
    for name, file in zip(names, files):
        if not pathlib.Path(file).is_file():
            raise ValueError(f"There is no model {file}")
        try:
            models[name] = keras.models.load_model(file, safe_mode=True)
        except Exception as error:  # a file of anyone may fail in any way
            raise ValueError(
                f"{file} does not load: {error}\n(A layer of your own: "
                "--import the module that registers it.)"
            ) from error
    return models


def main(arguments=None):
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may not know all characters; what it knows is shown.
        sys.stdout.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {_COLOURS.sub('', str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
