"""The report: one HTML file that needs nothing else."""

import base64
import datetime
import hashlib
import platform

import keras
import numpy as np

from keras_sgt.evaluation import relevance
from keras_sgt.report import figures, verdict
from keras_sgt.report import measures as known_measures
from keras_sgt.report.tasks import CLASSES, LABELS, NUMBERS
from keras_sgt.version import __version__

FILES = "page_files"
PICTURE_BYTES = 2_500_000  # of all together, so that the page stays small
COLUMNS_SHOWN = 30  # of a table, for each sample
WORDS_SHOWN = 1000  # of a text


def render(comparison, title="Saliency compared"):
    """The page of a comparison, as HTML."""
    environment = _environment()
    style, script = (
        environment.loader.get_source(environment, f"page.{kind}")[0]
        for kind in ("css", "js")
    )
    head, lines = comparison.table()
    measured = [comparison.quality, *comparison.measures]
    return environment.get_template("page.html").render(
        title=title,
        verdict=verdict.sentences(comparison),
        about=_about(comparison),
        settings=_settings(comparison),
        head=[
            (text, known_measures.meaning(measure))
            for text, measure in zip(head[2:], measured)
        ],
        lines=[
            (*line[:2], [_split(cell) for cell in line[2:]]) for line in lines
        ],
        note=comparison.note,
        scale=_scale(comparison.task),
        domain=comparison.domain,
        task=comparison.task,
        truth=comparison.truth is not None,
        data=_content(comparison),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        date=_now(),
        version=__version__,
    )


def _now():
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%d %H:%M UTC")


def _settings(comparison):
    """What else has to be known to repeat it, as pairs of name and value."""
    names = comparison.names
    backend = keras.backend.backend()
    return [
        ("task", comparison.task),
        ("kind of data", comparison.domain),
        ("traditional", names.traditional or "not told"),
        ("control", names.control or "none"),
        ("trainings of each", comparison.trainings),
        ("seeds", "not told" if names.seeds is None else names.seeds),
        ("accuracy tolerance", comparison.accuracy_tolerance),
        ("batch size", comparison.batch_size),
        ("keras_sgt", __version__),
        ("Keras", f"{keras.__version__} on {backend}"),
        ("Python", platform.python_version()),
    ]


def _split(cell):
    """A cell of the table: number, interval, and whether it is the best."""
    best = cell.endswith("*")
    value, _, interval = cell.rstrip(" *").partition(" ")
    return value, interval, best


def _environment():
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "The report needs Jinja2: pip install jinja2. `print`, `to_csv` "
            "and `to_json` do without."
        ) from error
    return jinja2.Environment(
        loader=jinja2.PackageLoader("keras_sgt.report", FILES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def _hash(text):
    """What a content security policy knows an inline text by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _about(comparison):
    return (
        f"{len(comparison.models)} models, {len(comparison.methods)} "
        f"attribution methods, {comparison.count:,} test samples, of which "
        f"{len(comparison.shown)} are shown."
    )


def _content(comparison):
    """What the page's script draws."""
    side = _side(comparison)
    maps = {
        (model, method): _reduced(
            comparison.part(model, method)["maps"], comparison.domain, side
        )
        for model in comparison.models
        for method in comparison.methods
    }
    inputs = _inputs(comparison, side)
    names = comparison.names.classes
    classes = max(
        comparison.part(m)["outputs"].shape[1] for m in comparison.models
    )
    return {
        "domain": comparison.domain,
        "task": comparison.task,
        "models": comparison.models,
        "methods": comparison.methods,
        "signed": {
            method: any(
                bool((maps[m, method] < 0).any()) for m in comparison.models
            )
            for method in comparison.methods
        },
        "shape": next(iter(maps.values())).shape[1:],
        "steps": comparison.x.shape[1],
        "classNames": list(map(str, names or range(classes))),
        "featureNames": _feature_names(comparison, side),
        "curves": list(_curves(comparison)),
        "sorts": list(_sorts(comparison)),
        "samples": [
            _sample(comparison, i, inputs[i], maps)
            for i in range(len(comparison.shown))
        ],
    }


def _sample(comparison, i, given, maps):
    own = {pair: values[i] for pair, values in maps.items()}
    if comparison.domain == "table":
        given, own = _top_columns(comparison, i, own)
    elif comparison.domain == "text":
        own = {k: v[: len(given["tokens"])] for k, v in own.items()}
    return {
        **given,
        "index": int(comparison.shown[i]),
        **_said(comparison, i),
        "maps": {
            model: {
                method: _quantised(own[model, method])
                for method in comparison.methods
            }
            for model in comparison.models
        },
    }


def _said(comparison, i):
    """The truth of a sample, and what each model says of it."""
    y = comparison.y[i]
    said = {m: comparison.part(m)["outputs"][i] for m in comparison.models}
    if comparison.task == CLASSES:
        return {
            "label": int(y),
            "predicted": {m: int(p.argmax()) for m, p in said.items()},
            "probability": {
                m: round(float(p.max()), 4) for m, p in said.items()
            },
        }
    if comparison.task == NUMBERS:
        return {
            "true": _numbers(y),
            "said": {m: _numbers(values) for m, values in said.items()},
        }
    names = comparison.names.classes or range(len(y))
    return {
        "true": _labels(names, y > 0.5),
        "said": {m: _labels(names, p > 0.5) for m, p in said.items()},
        "right": {
            m: bool(((p > 0.5) == (y > 0.5)).all()) for m, p in said.items()
        },
    }


def _numbers(values):
    return ", ".join(f"{value:.4g}" for value in values)


def _labels(names, chosen):
    found = [str(name) for name, one in zip(names, chosen) if one]
    return ", ".join(found) or "none"


def _top_columns(comparison, i, maps):
    """The columns of a row that are most relevant, for all its maps alike."""
    counted = [k for k in maps if k[1] != "random"] or list(maps)
    shares = sum(
        abs(maps[k]) / (abs(maps[k]).max(initial=0) or 1) for k in counted
    )
    top = np.sort(np.argsort(-shares, kind="stable")[:COLUMNS_SHOWN])
    names, row = comparison.feature_names, comparison.x[i]
    given = {
        "names": [_short(names[c]) for c in top],
        "values": [v if isinstance(v, str) else f"{v:.4g}" for v in row[top]],
        "more": len(row) - len(top),
    }
    return given, {k: values[top] for k, values in maps.items()}


def _short(text, most=60):
    text = str(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _feature_names(comparison, side):
    """Names of the rows of a series' maps; of blocks of them, if reduced."""
    if comparison.domain != "series":
        return None
    count = comparison.x.shape[2]
    names = comparison.feature_names or range(count)
    block = -(-count // side)
    ends = [(i, min(i + block, count) - 1) for i in range(0, count, block)]
    if block == 1:
        return [_short(name) for name in names]
    return [f"{_short(names[a], 20)} – {_short(names[b], 20)}" for a, b in ends]


def _inputs(comparison, side):
    """What is drawn of each sample but its maps."""
    x, truth = comparison.x, comparison.truth
    if comparison.domain == "text":
        return [_words(comparison, i) for i in range(len(x))]
    if comparison.domain == "table":
        return [{}] * len(x)
    if comparison.domain == "images":
        x = np.moveaxis(x, relevance.channels(x.ndim), -1)
        if x.shape[-1] not in (1, 3):
            x = x.mean(-1, keepdims=True)  # more channels than colours
    x = _reduced(x, comparison.domain, side, channels=True)
    low, high = x.min(), x.max()
    if comparison.domain == "series":
        middle, half = (low + high) / 2, max((high - low) / 2, 1e-12)
        found = [{"input": _base64((a - middle) / half * 127)} for a in x]
    else:
        scaled = (x - low) / max(high - low, 1e-12) * 255 - 128
        found = [{"input": _base64(a)} for a in scaled]
    if truth is not None:
        for one, mask in zip(found, truth):
            reduced = _reduced(
                mask[None].astype("float32"), comparison.domain, side
            )
            one["truth"] = _base64(reduced[0] > 0)
    return found


def _words(comparison, i):
    words = figures.words(comparison.x[i], comparison.names.tokens)
    maps = len(comparison.models) * len(comparison.methods)
    bytes_each = 1.4 * maps + 20
    most = int(PICTURE_BYTES / len(comparison.shown) / bytes_each)
    most = min(WORDS_SHOWN, max(most, 20))
    tokens = [_short(word) for word in words[:most]]
    found = {"tokens": tokens, "more": len(words) - len(tokens)}
    if comparison.truth is not None:
        found["truth"] = comparison.truth[i, : len(tokens)].tolist()
    return found


def _side(comparison):
    """The most pixels that a side of a picture may have."""
    maps = len(comparison.models) * len(comparison.methods)
    # The input has 3 colours; there may be a truth.
    pictures = len(comparison.shown) * (maps + 4)
    return max(8, int((PICTURE_BYTES / pictures) ** 0.5))


def _reduced(values, domain, side, channels=False):
    """Images and series by whole blocks, so that no side is longer."""
    if domain not in ("images", "series"):
        return values
    if domain == "images" and values.ndim == 4 and not channels:
        values = values.mean(relevance.channels(4))
    for axis in (1, 2):
        block = -(-values.shape[axis] // side)
        starts = np.arange(0, values.shape[axis], block)
        sizes = np.diff([*starts, values.shape[axis]])
        shape = [1] * values.ndim
        shape[axis] = -1
        values = np.add.reduceat(values, starts, axis) / sizes.reshape(shape)
    return values


def _quantised(values):
    """A map as bytes, and the magnitude that the largest stands for."""
    scale = float(abs(values).max(initial=0))
    return {
        "values": _base64(values / (scale or 1) * 127),
        "scale": scale,
    }


def _base64(values):
    return base64.b64encode(np.rint(values).astype("int8").tobytes()).decode()


def _curves(comparison):
    for method in comparison.methods:
        for measure in comparison.curves():
            yield {
                "method": method,
                "title": known_measures.heading(measure),
                "up": known_measures.MEASURES[measure].axes[0],
                "along": known_measures.MEASURES[measure].axes[1],
                "series": [
                    _line(model, *comparison.curve(model, method, measure))
                    for model in comparison.models
                ],
            }
        yield {
            "method": method,
            "title": "how large attributions are",
            "up": "share of features",
            "along": "share of the map's largest magnitude",
            "log": True,
            "series": [
                _line(model, *_logs(comparison.distribution(model, method)))
                for model in comparison.models
            ],
        }


def _logs(curve):
    return curve[0], np.log10(np.maximum(curve[1], 1e-5))


def _line(name, x, y):
    return {
        "name": name,
        "x": np.round(np.asarray(x, "float64"), 4).tolist(),
        "y": np.round(np.asarray(y, "float64"), 5).tolist(),
    }


def _sorts(comparison):
    """For each measure, its value for every sample by model and method."""
    found = {}
    for model in comparison.models:
        for method in comparison.methods:
            part = comparison.part(model, method)
            for measure in comparison.measures:
                values = part[f"{measure}/per_sample"][comparison.shown]
                of = found.setdefault(known_measures.heading(measure), {})
                of[f"{model}, {method}"] = [
                    None if np.isnan(v) else round(float(v), 5) for v in values
                ]
    return [{"title": title, "of": of} for title, of in found.items()]


def _scale(task):
    """What colours mean."""
    attributed = {
        CLASSES: "the class that the model predicts",
        LABELS: "the label that the model finds most likely",
        NUMBERS: "a larger output",
    }[task]
    wrong = " A wavy underline marks a wrong prediction."
    return (
        f"White is zero, orange speaks for {attributed}, blue against it. The "
        "maps of a sample by one method have one scale, that of the largest "
        "of them, unless each is to have its own. Methods that tell "
        "magnitudes only run from white to orange, which then says neither "
        f"for nor against.{'' if task == NUMBERS else wrong}"
    )
