"""The command line: `python -m keras_sgt --help`."""

import argparse
import os
import pathlib
import sys
import zipfile

import keras
import numpy as np

import keras_sgt
from keras_sgt.report.measures import DOMAINS, MEASURES
from keras_sgt.report.methods import METHODS
from keras_sgt.searching import command as search_command

DATA = (
    "an .npz file with the arrays x (test inputs) and y (their classes), and "
    "optionally truth (which features matter, shaped like x), class_names, "
    "feature_names and token_names (arrays of text)"
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
    compare.add_argument("models", nargs="+", metavar="MODEL.keras")
    compare.add_argument("--data", required=True, metavar="FILE", help=DATA)
    compare.add_argument("--out", required=True, metavar="REPORT.html")
    compare.add_argument("--csv", metavar="FILE", help="the numbers as CSV too")
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
    compare.add_argument(
        "--domain",
        default="auto",
        choices=("auto", *DOMAINS),
        help="the kind of data (default: told by the axes of x)",
    )
    compare.add_argument(
        "--from-logits",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether models give logits (default: told by the last layer)",
    )
    compare.add_argument("--samples", type=int, default=24, help="in pictures")
    compare.add_argument("--batch-size", type=int, default=64)
    compare.add_argument(
        "--cache",
        metavar="FOLDER",
        help="keeps what is finished, to go on after an interruption",
    )
    compare.set_defaults(run=run_compare)
    search_command.add_to(commands)
    return top


def run_compare(options):
    check_paths(options)
    out = pathlib.Path(options.out)
    arrays = load_data(options.data)
    models = load_models(options.models)
    result = keras_sgt.compare(
        models,
        arrays["x"],
        arrays["y"],
        methods=options.methods,
        measures=options.measures,
        truth=arrays.get("truth"),
        domain=options.domain,
        from_logits=FROM_LOGITS[options.from_logits],
        samples=options.samples,
        batch_size=options.batch_size,
        cache=options.cache,
        **{name: texts(arrays, name) for name in NAMES if name in arrays},
    )
    print(result)
    result.save(out)
    if options.csv:
        result.to_csv(options.csv)
    print(f"wrote {out}")


def check_paths(options):
    """Refuses what could not be written, before the work."""
    out = pathlib.Path(options.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out has to end in .html. Received: {out}")
    for name in ("out", "csv"):
        path = getattr(options, name)
        if path is None:
            continue
        path = pathlib.Path(path)
        if path.is_dir():
            raise ValueError(f"--{name} has to be a file; {path} is a folder")
        if not path.parent.is_dir():
            raise ValueError(f"--{name}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"--{name}: cannot write into {path.parent}")
    if options.cache and pathlib.Path(options.cache).is_file():
        raise ValueError(f"--cache has to be a folder; {options.cache} is not")
    for name in ("samples", "batch_size"):
        if getattr(options, name) < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} has to be 1 or more. Received: "
                f"{getattr(options, name)}"
            )


def texts(arrays, name):
    """A list of names, from an array of text."""
    found = arrays[name].tolist()
    if not isinstance(found, list):
        raise ValueError(f"{name} has to be a list of text. Received: {found}")
    return found


def load_data(file):
    """The arrays of an .npz file; it may hold no pickled objects."""
    try:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a single array")
        with archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise ValueError(f"--data: there is no file {file}") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"--data has to be {DATA}. {file}: {error}") from None
    missing = {"x", "y"} - arrays.keys()
    if missing:
        raise ValueError(
            f"--data has to be {DATA}. {file} lacks {sorted(missing)} and "
            f"holds {sorted(arrays)}"
        )
    return arrays


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
            raise ValueError(f"{file} does not load: {error}") from error
    return models


def main(arguments=None):
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
