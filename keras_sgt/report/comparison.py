"""Several models side by side: how accurate, and how faithful."""

import csv
import dataclasses
import io
import json
import pathlib

import keras
import numpy as np

from keras_sgt import evaluation
from keras_sgt.evaluation import prediction
from keras_sgt.report import data, registry
from keras_sgt.report.cache import Cache

COLUMNS = ("model", "method", "measure", "value", "low", "high", "n")
BINS = 41


def compare(
    models,
    x,
    y,
    methods=("gradient", "integrated_gradients", "random"),
    measures=None,
    truth=None,
    domain="auto",
    seeds=None,
    class_names=None,
    feature_names=None,
    token_names=None,
    from_logits="auto",
    samples=24,
    batch_size=64,
    cache=None,
    verbose=1,
):
    """Compares models by accuracy, and by how faithful their maps are.

    Args:
        models: dict from names to trained classifiers of the same inputs and
            classes; a list of models, for models trained from several seeds.
        x: test inputs, an array: images `(samples, height, width, channels)`,
            time series `(samples, steps, features)`, tables
            `(samples, columns)`, or texts, token ids `(samples, length)`
            padded with 0.
        y: their classes, ints `(samples,)` or one-hot.
        methods: names of attribution methods, or a dict from names to
            functions from a model to a method of `keras_sgt.attribution`.
            Attributed is the class that each model predicts. Defaults to the
            gradient, integrated gradients, and random numbers, the control.
            A cache tells methods apart by their names.
        measures: names of measures. Defaults to all that fit the data.
        truth: bools shaped like `x` (or that broadcast to it): the features
            that matter. Defaults to `None`, unknown.
        domain: `"images"`, `"series"`, `"table"` or `"text"`. Defaults to
            `"auto"`: told by the axes and type of `x`.
        seeds: list of ints, the seeds of each name's models, which the notes
            of the table name. Defaults to none.
        class_names: list of str.
        feature_names: list of str, of the columns of a table.
        token_names: list of str, or dict from ids to str, of texts.
        from_logits: whether outputs are logits. Defaults to `"auto"`: told by
            whether they sum to 1.
        samples: int, how many samples are shown in pictures. Defaults to 24.
        batch_size: int. Defaults to 64.
        cache: path of a folder that keeps what is finished: the same call
            goes on where it was interrupted. Defaults to none.
        verbose: 1 for a progress bar. Defaults to 1.

    Returns:
        `Comparison`.

    Raises:
        ValueError: for models that do not go together, data that is empty or
            does not fit, or names that do not exist.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
    >>> x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [2, 1, 0, 0]])
    >>> result = keras_sgt.compare(
    ...     {"only": model}, x, [0, 1, 1], methods=["gradient"], verbose=0
    ... )
    >>> [row["measure"] for row in result.rows]
    ['accuracy', 'accuracy_drop', 'deletion', 'insertion', 'gini']
    """
    models = data.named_models(models)
    x, y = data.arrays(x, y)
    domain = data.domain_of(domain, x)
    truth = data.true_features(truth, x, domain)
    task = _Task(
        x=x,
        y=y,
        truth=truth,
        domain=domain,
        measures=registry.choose(measures, domain, truth),
        shown=_of_all_classes(y, samples),
        from_logits=from_logits,
        batch_size=batch_size,
    )
    methods = data.named_methods(methods)
    data.check_names(models, seeds, class_names, feature_names, x, y)
    cache = Cache(cache)
    bar = keras.utils.Progbar(
        sum(map(len, models.values())) * (1 + len(methods)),
        verbose=verbose,
        unit_name="part",
    )
    parts = {}
    for name, group in models.items():
        for seed, model in enumerate(group):
            key = task.key(model)
            parts[name, None, seed] = cache.get(
                [key, "model"], lambda model=model: task.of_model(model)
            )
            bar.add(1)
            for method, make in methods.items():
                parts[name, method, seed] = cache.get(
                    [key, method, task.measures],
                    lambda model=model, make=make: task.of_method(model, make),
                )
                bar.add(1)
    return Comparison(
        parts=parts,
        x=x[task.shown],
        y=y[task.shown],
        truth=None if truth is None else truth[task.shown],
        domain=domain,
        shown=task.shown,
        count=len(x),
        seeds=seeds,
        class_names=class_names,
        feature_names=feature_names,
        token_names=token_names,
    )


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is computed of each model, and of each of its methods."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray | None
    domain: str
    measures: list
    shown: np.ndarray
    from_logits: bool | str
    batch_size: int

    def key(self, model):
        """What all results for a model depend on."""
        truth = [] if self.truth is None else self.truth
        names = [weight.path for weight in model.weights]
        given = [self.x, self.y, truth, self.shown, self.domain]
        return [
            *given,
            str(self.from_logits),
            type(model).__name__,
            names,
            [np.asarray(w) for w in model.get_weights()],
        ]

    def logits(self, model):
        return data.gives_logits(
            self.from_logits, model, self.x, self.batch_size
        )

    def of_model(self, model):
        logits = self.logits(model)
        found = registry.accuracy(
            model, self.x, self.y, logits, self.batch_size
        )
        said = prediction.probabilities(
            model, self.x[self.shown], self.batch_size, logits
        )
        return {**_arrays("accuracy", found), "probabilities": said}

    def of_method(self, model, make):
        attributions = make(model)(self.x, batch_size=self.batch_size)
        given = registry.Given(
            model=model,
            x=self.x,
            y=self.y,
            attributions=attributions,
            truth=self.truth,
            domain=self.domain,
            from_logits=self.logits(model),
            batch_size=self.batch_size,
        )
        found = {
            "maps": attributions[self.shown],
            "histogram": _histogram(attributions),
        }
        for name in self.measures:
            measure = registry.MEASURES[name].compute(given)
            found.update(_arrays(name, measure))
        return found


class Comparison:
    """Models side by side; what `compare` returns.

    `rows` are dicts with `model`, `method`, `measure`, `value`, `low`, `high`
    and `n`. Of one model a name, `low` and `high` are the 95 % bootstrap
    interval over n samples; of several, the mean over n seeds less and plus
    its standard error. `print` shows them as a table, the best of each
    measure marked.
    """

    def __init__(
        self,
        parts,
        x,
        y,
        truth,
        domain,
        shown,
        count,
        seeds=None,
        class_names=None,
        feature_names=None,
        token_names=None,
    ):
        self.parts = parts
        self.x = x
        self.y = y
        self.truth = truth
        self.domain = domain
        self.shown = shown
        self.count = count
        self.seeds = seeds
        self.class_names = class_names
        self.feature_names = feature_names
        self.token_names = token_names
        if domain == "table" and feature_names is None:
            self.feature_names = [f"column {i}" for i in range(x.shape[1])]
        self.models = list(dict.fromkeys(name for name, _, _ in parts))
        self.methods = [
            m for m in dict.fromkeys(m for _, m, _ in parts) if m is not None
        ]
        self.rows = [
            {"model": model, "method": method, "measure": measure, **values}
            for model in self.models
            for method in [None, *self.methods]
            for measure, values in self._summaries(model, method)
        ]

    def part(self, model, method=None):
        """What was found with the first seed of a model."""
        return self.parts[model, method, 0]

    def curve(self, model, method, measure):
        """Levels and values of a measure's curve, the mean over seeds."""
        group = self._group(model, method)
        levels = group[0][f"{measure}/levels"]
        return levels, np.mean([p[f"{measure}/curve"] for p in group], axis=0)

    def distribution(self, model, method):
        """How common attributions are, by their share of a map's largest."""
        counts = np.mean(
            [part["histogram"] for part in self._group(model, method)], axis=0
        )
        middles = (np.arange(BINS) + 0.5) / BINS
        return middles, np.log10(np.maximum(counts, 1e-6))

    def curves(self):
        """The measures that have a curve."""
        first = self.part(self.models[0], self.methods[0])
        return [k.removesuffix("/curve") for k in first if "/curve" in k]

    def _group(self, model, method):
        return [
            part
            for (a, b, _), part in self.parts.items()
            if (a, b) == (model, method)
        ]

    def _summaries(self, model, method):
        group = self._group(model, method)
        for key in group[0]:
            if key.endswith("/value"):
                measure = key.removesuffix("/value")
                yield measure, _summary(measure, group)

    def best(self, measure):
        """The models and methods that are best in a measure, as pairs.

        Of the methods but `random`, whose numbers are a control.
        """
        higher = registry.higher(measure)
        values = {
            (row["model"], row["method"]): row["value"]
            for row in self.rows
            if row["measure"] == measure and row["method"] != "random"
        }
        values = {k: v for k, v in values.items() if np.isfinite(v)}
        if higher is None or len(values) < 2:
            return []
        top = (max if higher else min)(values.values())
        return [pair for pair, value in values.items() if value == top]

    def table(self):
        """Head and rows of the table, as lists of str."""
        measured = list(dict.fromkeys(row["measure"] for row in self.rows))
        head = ["model", "method"] + [registry.heading(m) for m in measured]
        cells = {(r["model"], r["method"], r["measure"]): r for r in self.rows}
        lines = []
        for model in self.models:
            for method in [None, *self.methods]:
                line = [model, method or ""]
                for measure in measured:
                    row = cells.get((model, method, measure))
                    best = (model, method) in self.best(measure)
                    line.append(_cell(row, best))
                lines.append(line)
        return head, lines

    def __str__(self):
        head, lines = self.table()
        widths = [
            max(len(line[i]) for line in [head, *lines])
            for i in range(len(head))
        ]

        def aligned(line):
            texts = [
                text.ljust(w) if i < 2 else text.rjust(w)
                for i, (text, w) in enumerate(zip(line, widths))
            ]
            return "  ".join(texts).rstrip()

        return "\n".join([aligned(head), *map(aligned, lines), "", self.note])

    __repr__ = __str__

    @property
    def note(self):
        """What the numbers of the table mean."""
        several = max(seed for _, _, seed in self.parts) > 0
        spread = "in brackets, the 95 % bootstrap interval over the samples"
        if several:
            seeds = "" if self.seeds is None else f" {self.seeds}"
            spread = f"in brackets, mean ± standard error over seeds{seeds}"
        return (
            f"* the best of each measure; {spread}. ↑ higher is better, ↓ "
            "lower is better. Attributed is the class that each model "
            "predicts."
        )

    def _repr_html_(self):
        from keras_sgt.report import page

        return page.table(self)

    def to_frame(self):
        """The rows as a `pandas.DataFrame`."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "`to_frame` needs pandas: pip install pandas. `to_csv` and "
                "`to_json` do without."
            ) from error
        return pd.DataFrame(self.rows, columns=COLUMNS)

    def to_csv(self, path=None):
        """Writes the rows as CSV, or returns it as a str."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return _written(text.getvalue(), path)

    def to_json(self, path=None):
        """Writes the rows as JSON, or returns it as a str."""
        rows = [
            {k: _json_number(v) for k, v in row.items()} for row in self.rows
        ]
        return _written(json.dumps(rows, indent=1) + "\n", path)

    def figure(self):
        """The curves and the pictures of a few samples, in Matplotlib."""
        from keras_sgt.report import figures

        return figures.overview(self)

    def save(self, path):
        """Writes the report: one HTML file that needs nothing else.

        Raises:
            ValueError: unless the name ends in `.html`.
            ImportError: without Jinja2.
        """
        from keras_sgt.report import page

        if pathlib.Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(
                f"`path` has to end in '.html'. Received: {str(path)!r}"
            )
        _written(page.render(self), path)


def _arrays(name, measure):
    """The fields of a measure that are kept."""
    found = {f"{name}/value": np.float64(measure.value)}
    for field in ("per_sample", "curve", "levels"):
        value = getattr(measure, field)
        if value is not None:
            found[f"{name}/{field}"] = np.asarray(value)
    return found


def _summary(measure, group):
    values = [float(part[f"{measure}/value"]) for part in group]
    if len(values) > 1:
        mean = evaluation.across_seeds(values)
        low, high = mean.value - mean.spread, mean.value + mean.spread
        return {"value": mean.value, "low": low, "high": high, "n": len(values)}
    per_sample = group[0].get(f"{measure}/per_sample")
    if per_sample is None:
        return {"value": values[0], "low": None, "high": None, "n": None}
    valid = int((~np.isnan(per_sample)).sum())
    if valid < 2:
        return {"value": values[0], "low": None, "high": None, "n": valid}
    found = evaluation.bootstrap_interval(per_sample, draws=2000)
    return {
        "value": values[0],
        "low": found.low,
        "high": found.high,
        "n": valid,
    }


def _cell(row, best):
    if row is None:
        return ""
    text = f"{row['value']:.3f}"
    if row["low"] is not None:
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return text + (" *" if best else "  ")


def _histogram(attributions):
    """How many features have which share of their map's largest magnitude."""
    rows = abs(attributions.reshape(len(attributions), -1))
    largest = rows.max(1, keepdims=True)
    shares = rows / np.where(largest > 0, largest, 1)
    return np.histogram(shares, BINS, (0, 1))[0] / shares.size


def _of_all_classes(y, samples):
    """The first samples of every class, in turn."""
    turn = np.empty(len(y), int)
    for label in np.unique(y):
        turn[y == label] = np.arange((y == label).sum())
    order = np.lexsort((np.arange(len(y)), y, turn))
    return np.sort(order[:samples])


def _json_number(value):
    return None if isinstance(value, float) and np.isnan(value) else value


def _written(text, path):
    """Text, in a file that is complete or not there."""
    if path is None:
        return text
    path = pathlib.Path(path)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return None
