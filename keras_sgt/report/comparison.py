"""Several models side by side: how accurate, and how faithful."""

import csv
import html
import io
import json
import pathlib
import textwrap

import numpy as np

from keras_sgt import files
from keras_sgt.report import measures as known_measures
from keras_sgt.report import summary, verdict
from keras_sgt.report.tasks import CLASSES, LABELS, NUMBERS
from keras_sgt.report.work import BINS

COLUMNS = ("model", "method", "measure", "value", "low", "high", "n")
WIDTH = 100  # of what `print` shows
LONGEST = 24  # characters of a name in a table


class Comparison:
    """Models side by side; what `compare` returns.

    `verdict` says in sentences what was found against traditional training,
    whether the control did as well, and what has to be known to believe it.

    `rows` are dicts with `model`, `method`, `measure`, `value`, `low`, `high`
    and `n`. Of one model a name, `low` and `high` are the 95 % bootstrap
    interval over n samples; of several, that of the mean over n seeds, by
    Student's t. `print` shows the verdict and the rows as tables, the best of
    each measure marked; a notebook shows the same.

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
    >>> print(result.verdict.splitlines()[0])
    One model alone: there is nothing to compare it with.
    >>> print(result.to_csv().splitlines()[0])
    model,method,measure,value,low,high,n
    """

    def __init__(
        self,
        parts,
        data,
        names,
        shown,
        count,
        chance,
        accuracy_tolerance,
        batch_size,
    ):
        self.parts = parts
        self.x = data.inputs.values(data.x)
        self.y = data.y
        self.truth = data.truth
        self.domain = data.domain
        self.floats = bool(data.continuous.any())
        self.names = names
        self.shown = shown
        self.count = count
        self.chance = chance
        self.accuracy_tolerance = accuracy_tolerance
        self.batch_size = batch_size
        self.task = data.task
        self.quality = known_measures.QUALITIES[data.task]
        self.feature_names = names.features
        if self.domain == "table" and names.features is None:
            count = self.x.shape[1]
            self.feature_names = [f"column {i}" for i in range(count)]
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
        group = self.group(model, method)
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
            [part["histogram"] for part in self.group(model, method)], axis=0
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

    @property
    def measures(self):
        """The measures of maps, list of str."""
        measured = dict.fromkeys(row["measure"] for row in self.rows)
        return [measure for measure in measured if measure != self.quality]

    @property
    def quality_title(self):
        """What the quality of predictions is called."""
        return known_measures.title(self.quality)

    @property
    def trainings(self):
        """How many models each name has."""
        return 1 + max(seed for _, _, seed in self.parts)

    @property
    def verdict(self):
        """What the comparison says, a sentence a line, str."""
        return "\n".join(verdict.sentences(self))

    def group(self, model, method=None):
        """What was found with each seed of a model, as `part`.

        Args:
            model: str.
            method: str, or `None`.

        Returns:
            list of dicts of arrays.
        """
        return [
            part
            for (a, b, _), part in self.parts.items()
            if (a, b) == (model, method)
        ]

    def _summaries(self, model, method):
        group = self.group(model, method)
        for key in group[0]:
            if key.endswith("/value"):
                measure = key.removesuffix("/value")
                yield measure, summary.of(measure, group)

    def best(self, measure):
        """The models and methods that are best in a measure.

        Among models that are not certainly less accurate than
        `accuracy_tolerance` allows: a model that predicts nothing loses
        nothing as features go. Of the methods but `random`, whose numbers are
        a control. None is best where the 95 % interval of the paired
        difference between the first two includes 0.

        Args:
            measure: str.

        Returns:
            list of pairs of model and method, mostly of one or none.
        """
        higher = known_measures.higher(measure)
        out = () if measure == self.quality else verdict.left_out(self)
        values = {
            pair: value if higher else -value
            for pair, value in self._values(measure).items()
            if pair[0] not in out and pair[1] != "random" and np.isfinite(value)
        }
        if higher is None or len(values) < 2:
            return []
        first, second = sorted(values, key=values.get, reverse=True)[:2]
        groups = self.group(*first), self.group(*second)
        difference = summary.difference(measure, *groups)
        if difference is not None and not difference.sign:
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
        table = [[_short(text) for text in line[:2]] for line in lines]
        left = [max(len(n[i]) for n in [head[:2], *table]) for i in (0, 1)]
        blocks = [[]]
        room = WIDTH - sum(left) - 2
        for i in range(2, len(head)):
            width = max(len(line[i]) for line in [head, *lines])
            if blocks[-1] and room < width + 2:
                blocks.append([])
                room = WIDTH - sum(left) - 2
            blocks[-1].append((i, width))
            room -= width + 2

        def aligned(names, line, block):
            texts = [name.ljust(w) for name, w in zip(names, left)]
            texts += [line[i].rjust(width) for i, width in block]
            return "  ".join(texts).rstrip()

        tables = [
            "\n".join(
                aligned(names, line, block)
                for names, line in zip([head[:2], *table], [head, *lines])
            )
            for block in blocks
        ]
        said = [_wrapped(line) for line in verdict.sentences(self)]
        return "\n\n".join(["\n".join(said), *tables, _wrapped(self.note)])

    __repr__ = __str__

    @property
    def note(self):
        """What the numbers of the table mean."""
        spread = "the 95 % bootstrap interval over the samples"
        if self.trainings > 1:
            seeds = self.names.seeds
            seeds = "" if seeds is None else f" {seeds}"
            spread = f"the 95 % interval of the mean over seeds{seeds}, by t"
        other = known_measures.of_other_tasks(self.domain, self.task)
        titles = ", ".join(map(known_measures.title, other))
        left = ""
        if self.task != CLASSES:
            left = f" Left out, for they are of exclusive classes: {titles}."
        noisy = known_measures.of_floats(self.domain, self.task)
        if noisy and not self.floats:
            titles = ", ".join(map(known_measures.title, noisy))
            left += f" Left out, for noise needs columns of floats: {titles}."
        attributed = {
            CLASSES: "the class that each model predicts",
            LABELS: "the label that each model finds most likely",
            NUMBERS: "the output (of several, that furthest from its mean)",
        }[self.task]
        return (
            f"In brackets, {spread}. ↑ higher is better, ↓ lower is better. * "
            "the best of a measure, where the 95 % interval of the paired "
            "difference to the second best excludes 0; models that are "
            f"certainly less accurate than the best by more than "
            f"{self.accuracy_tolerance:g}, and random maps, which are a "
            f"control, take no part. Attributed is {attributed}.{left}"
        )

    def _repr_html_(self):
        head, lines = self.table()

        def row(tag, texts):
            cells = (f"<{tag}>{html.escape(t)}</{tag}>" for t in texts)
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(row("td", line) for line in lines)
        said = "".join(
            f"<p>{html.escape(line)}</p>" for line in verdict.sentences(self)
        )
        return (
            f"{said}<table><thead>{row('th', head)}</thead>"
            f"<tbody>{body}</tbody></table><p>{html.escape(self.note)}</p>"
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

        A name that a spreadsheet would take for a formula, for it begins with
        =, +, - or @, gets an apostrophe before it.

        Args:
            path: path of the file. Defaults to none.

        Returns:
            str without a path, else `None`.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: _cell_of_csv(v) for k, v in row.items()} for row in self.rows
        )
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

    def save(self, path, title="Saliency compared"):
        """Writes the report: one HTML file that needs nothing else.

        Args:
            path: path of the file.
            title: str, of the page. Defaults to "Saliency compared".

        Raises:
            ValueError: unless the name ends in `.html`.
            ImportError: without Jinja2.
        """
        from keras_sgt.report import page

        if pathlib.Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(
                f"`path` has to end in '.html'. Received: {str(path)!r}"
            )
        _written(page.render(self, title), path)


def _cell(row, best):
    if row is None:
        return ""
    text = f"{row['value']:.3f}"
    if row["low"] is not None:
        text += f" [{row['low']:.3f}, {row['high']:.3f}]"
    return text + (" *" if best else "  ")


def _cell_of_csv(value):
    formula = isinstance(value, str) and value[:1] in tuple("=+-@\t\r")
    return f"'{value}" if formula else value


def _short(name):
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _wrapped(text):
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _json_number(value):
    return None if isinstance(value, float) and np.isnan(value) else value


def _written(text, path):
    """Text, in a file if there is a path for one."""
    if path is None:
        return text
    files.write(path, text)
    return None
