"""Several models side by side: how accurate, and how faithful."""

import csv
import html
import io
import json
import pathlib

import numpy as np

from keras_sgt import files
from keras_sgt.report import measures as known_measures
from keras_sgt.report import summary
from keras_sgt.report.task import BINS

COLUMNS = ("model", "method", "measure", "value", "low", "high", "n")

# How much less accurate than the best a model may be to be marked as best in
# another measure: who predicts nothing loses nothing as features go.
NEAR = 0.02


class Comparison:
    """Models side by side; what `compare` returns.

    `rows` are dicts with `model`, `method`, `measure`, `value`, `low`, `high`
    and `n`. Of one model a name, `low` and `high` are the 95 % bootstrap
    interval over n samples; of several, that of the mean over n seeds, by
    Student's t. `print` shows them as a table, the best of each measure
    marked; a notebook shows the same.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.eye(4, 2), np.zeros(2)])
    >>> x = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [2, 1, 0, 0]])
    >>> result = keras_sgt.compare(
    ...     {"only": model}, x, [0, 1, 1], ["gradient"], ["gini"], verbose=0
    ... )
    >>> print(str(result).splitlines()[0])
    model  method                 accuracy ↑  sparsity (Gini)
    >>> print(result.to_csv().splitlines()[0])
    model,method,measure,value,low,high,n
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
        """What was found with the first seed of a model.

        Args:
            model: str.
            method: str, or `None` for what depends on no method.

        Returns:
            dict of arrays.
        """
        return self.parts[model, method, 0]

    def curve(self, model, method, measure):
        """Levels and values of a measure's curve, the mean over seeds.

        Args:
            model, method, measure: str.

        Returns:
            A pair of arrays `(points,)`.
        """
        group = self._group(model, method)
        levels = group[0][f"{measure}/levels"]
        return levels, np.mean([p[f"{measure}/curve"] for p in group], axis=0)

    def distribution(self, model, method):
        """How common attributions are, by their share of a map's largest.

        Args:
            model, method: str.

        Returns:
            A pair of arrays `(bins,)`: the middles of the bins, and the share
            of features in each.
        """
        counts = np.mean(
            [part["histogram"] for part in self._group(model, method)], axis=0
        )
        middles = (np.arange(BINS) + 0.5) / BINS
        return middles, counts

    def curves(self):
        """The measures that have a curve.

        Returns:
            list of str.
        """
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
                yield measure, summary.of(measure, group)

    def best(self, measure):
        """The models and methods that are best in a measure.

        Among models whose accuracy is at most 0.02 below the best one's: a
        model that predicts nothing loses nothing as features go. Of the
        methods but `random`, whose numbers are a control. None is best where
        the 95 % interval of the difference between the first two (paired: by
        sample, or by seed) includes 0.

        Args:
            measure: str.

        Returns:
            list of pairs of model and method, mostly of one or none.
        """
        higher = known_measures.higher(measure)
        accuracy = self._values("accuracy")
        top = np.nanmax([*accuracy.values(), -np.inf])
        near = {m for (m, _), v in accuracy.items() if v >= top - NEAR}
        values = {
            pair: value if higher else -value
            for pair, value in self._values(measure).items()
            if (pair[0] in near or measure == "accuracy")
            and pair[1] != "random"
            and np.isfinite(value)
        }
        if higher is None or len(values) < 2:
            return []
        first, second = sorted(values, key=values.get, reverse=True)[:2]
        groups = self._group(*first), self._group(*second)
        if summary.differ(measure, *groups) is False:
            return []
        return [p for p, value in values.items() if value == values[first]]

    def _values(self, measure):
        return {
            (row["model"], row["method"]): row["value"]
            for row in self.rows
            if row["measure"] == measure
        }

    def table(self):
        """Head and rows of the table.

        Returns:
            A pair: list of str, and list of lists of str.
        """
        measured = list(dict.fromkeys(row["measure"] for row in self.rows))
        head = ["model", "method"] + [
            known_measures.heading(m) for m in measured
        ]
        cells = {(r["model"], r["method"], r["measure"]): r for r in self.rows}
        best = {measure: self.best(measure) for measure in measured}
        lines = []
        for model in self.models:
            for method in [None, *self.methods]:
                line = [model, method or ""]
                for measure in measured:
                    row = cells.get((model, method, measure))
                    line.append(_cell(row, (model, method) in best[measure]))
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
        spread = "the 95 % bootstrap interval over the samples"
        if several:
            seeds = "" if self.seeds is None else f" {self.seeds}"
            spread = f"the 95 % interval of the mean over seeds{seeds}, by t"
        return (
            f"In brackets, {spread}. ↑ higher is better, ↓ lower is better. * "
            "the best of a measure: among models whose accuracy is at most "
            f"{NEAR} below the best, where the 95 % interval of the paired "
            "difference to the second best excludes 0; random maps are a "
            "control and take no part. Attributed is the class that each "
            "model predicts."
        )

    def _repr_html_(self):
        head, lines = self.table()

        def row(tag, texts):
            cells = (f"<{tag}>{html.escape(t)}</{tag}>" for t in texts)
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(row("td", line) for line in lines)
        return (
            f"<table><thead>{row('th', head)}</thead><tbody>{body}</tbody>"
            f"</table><p>{html.escape(self.note)}</p>"
        )

    def to_frame(self):
        """The rows as a table of pandas.

        Returns:
            `pandas.DataFrame`, a column for each key of a row.

        Raises:
            ImportError: without pandas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "`to_frame` needs pandas: pip install pandas. `to_csv` and "
                "`to_json` do without."
            ) from error
        return pd.DataFrame(self.rows, columns=COLUMNS)

    def to_csv(self, path=None):
        """The rows as CSV, in a file or as text.

        Args:
            path: path of the file. Defaults to none.

        Returns:
            str without a path, else `None`.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return _written(text.getvalue(), path)

    def to_json(self, path=None):
        """The rows as JSON, in a file or as text.

        Args:
            path: path of the file. Defaults to none.

        Returns:
            str without a path, else `None`.
        """
        rows = [
            {k: _json_number(v) for k, v in row.items()} for row in self.rows
        ]
        return _written(json.dumps(rows, indent=1) + "\n", path)

    def figure(self):
        """The curves, and the maps of a few samples, in Matplotlib.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: without Matplotlib.
        """
        from keras_sgt.report import figures

        return figures.overview(self)

    def save(self, path):
        """Writes the report: one HTML file that needs nothing else.

        Args:
            path: path of the file.

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


def _cell(row, best):
    if row is None:
        return ""
    text = f"{row['value']:.3f}"
    if row["low"] is not None:
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return text + (" *" if best else "  ")


def _json_number(value):
    return None if isinstance(value, float) and np.isnan(value) else value


def _written(text, path):
    """Text, in a file if there is a path for one."""
    if path is None:
        return text
    files.write(path, text)
    return None
