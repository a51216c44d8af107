"""Reads the runs in docs/results/, and writes their numbers as tables."""

import collections
import csv
import math
import os
import pathlib
import re
import statistics

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "results"
KINDS = (
    "traditional",
    "guided",
    "guided absolute",
    "random mask",
    "guided half",
    "guided quarter",
    "guided eighth",
    "fine-tuned",
    "fine-tuned absolute",
    "fine-tuned random mask",
)
METHODS = (
    "gradient",
    "integrated gradients",
    "DeepLIFT",
    "gradient SHAP",
    "DeepSHAP",
    "SmoothGrad",
)
ARROWS = {
    "accuracy": "accuracy ↑",
    "diff_aup": "AUP above random ↑",
    "diff_aur": "AUR above random ↑",
    "comprehensiveness": "comprehensiveness ↑",
    "sufficiency": "sufficiency ↓",
    "token_auprc": "AUPRC against people's words ↑",
    "drop_auc": "accuracy-drop area ↓",
    "drop_mean": "drop area, mean fill ↓",
    "drop_sample": "drop area, another's values ↓",
    "drop_auc_mean_fill": "accuracy-drop area, mean fill ↓",
    "mass_on_object": "relevance on the object ↑",
    "mass_on_true_columns": "relevance on true columns ↑",
}


def runs(pattern):
    """The lines of all tables of that name, and which `file` each is from."""
    found = []
    for path in sorted(FOLDER.glob(pattern)):
        with path.open(newline="") as file:
            rows = csv.DictReader(file, restval="")
            found += [{**row, "file": path.name} for row in rows]
    return found


def lines(path):
    """The lines of one table; none where there is no such file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def put(path, line, key, order):
    """Puts a line in the place of the one that has the same key.

    Args:
        path: of the table.
        line: dict.
        key: names of the columns that tell lines apart.
        order: function that lines are sorted by.
    """
    others = [o for o in lines(path) if any(o[k] != line[k] for k in key)]
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*others, line], key=order))
    partial.replace(path)


def made_by(script, row, options="", epochs=True):
    """The command that wrote a line, as Markdown."""
    if epochs:
        options += f" --epochs {row['epochs']}"
    maps = re.match(r"(\d+) maps", row.get("options", ""))
    if maps and maps[1] != "1000":
        options += f" --map-samples {maps[1]}"
    patience = re.search(r"patience (\d+)", row.get("options", ""))
    if patience:
        options += f" --patience {patience[1]}"
    options += f" --csv docs/results/{row['file']}"
    return f"`python examples/studies/{script}.py{options}`"


def values(rows, measure, **where):
    return [
        float(row[measure])
        for row in rows
        if row.get(measure, "") not in ("", "nan")
        and all(row[k] == v for k, v in where.items())
    ]


class Difference:
    """What one training has over another: mean ± standard error.

    Args:
        pairs: `(cluster, of the other, of this)`. Runs of a cluster, as the
            seeds of one data set, are averaged first: they are no evidence
            for what another data set would show.
    """

    def __init__(self, pairs):
        clusters = collections.defaultdict(list)
        for cluster, *pair in pairs:
            clusters[cluster].append(pair)
        means = [map(statistics.mean, zip(*c)) for c in clusters.values()]
        others, these = zip(*means)
        self.runs, self.clusters = len(pairs), len(clusters)
        self.other, self.this = map(statistics.mean, (others, these))
        self.mean = self.this - self.other
        self.error = math.inf
        if self.clusters > 1:
            found = [b - a for a, b in zip(others, these)]
            self.error = statistics.stdev(found) / self.clusters**0.5

    @property
    def clear(self):
        """Its sign if it is 2 standard errors from 0, else 0."""
        if abs(self.mean) < 2 * self.error:
            return 0
        return (self.mean > 0) - (self.mean < 0)

    def __str__(self):
        if math.isinf(self.error):
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} ± {self.error:.3f}"


def spread(numbers, digits=3):
    if not numbers:
        return ""
    text = f"{statistics.mean(numbers):.{digits}f}"
    if len(numbers) > 1:
        text += f" ± {statistics.stdev(numbers):.{digits}f}"
    return text


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def kinds_of(rows):
    return [kind for kind in KINDS if any(r["training"] == kind for r in rows)]


NETWORKS = {
    "lstm": "LSTM",
    "input-cell attention": "LSTM + input-cell attention",
    "tcn": "TCN",
    "transformer": "Transformer",
}


def once(rows):
    """One line for each trained network, whatever the methods."""
    first = {}
    for row in rows:
        key = (row["task"], row["network"], row["training"], row["seed"])
        first.setdefault(key, row)
    return list(first.values())


def circumstances(rows):
    seeds = len({row["seed"] for row in rows})
    keys = ("versions", "machine")
    where = "; ".join(sorted({", ".join(r[k] for k in keys) for r in rows}))
    return f"{seeds} seed{'s' * (seeds > 1)}; {where}"


def costs(rows):
    """Accuracy and seconds of each training."""
    networks = once(rows)
    lines = []
    for name in dict.fromkeys(row["network"] for row in rows):
        for kind in kinds_of(rows):
            where = {"network": name, "training": kind}
            lines.append(
                [
                    f"{NETWORKS.get(name, name)}, {kind}",
                    spread(values(networks, "accuracy", **where)),
                    spread(values(networks, "valid_accuracy", **where)),
                    spread(values(networks, "train_seconds", **where), 0),
                ]
            )
    head = ["", "test accuracy", "validation accuracy", "training seconds"]
    return table(head, [line for line in lines if line[1]])


PAIRS = (
    ("guided", "traditional"),
    ("random mask", "traditional"),
    ("guided", "random mask"),
    ("guided absolute", "traditional"),
)


def by_method(rows, measures, methods):
    """A line for each method and training, a column for each measure."""
    lines = []
    for method in methods:
        for kind in kinds_of(rows):
            where = {"method": method, "training": kind}
            cells = [spread(values(rows, m, **where)) for m in measures]
            if any(cells):
                lines.append([f"{method}, {kind}", *cells])
    return table(["", *(ARROWS[m] for m in measures)], lines)


def of_seeds(rows, measure, method, kind, other):
    """Differences by seed."""
    found = collections.defaultdict(dict)
    for row in rows:
        if row["method"] == method and row[measure] not in ("", "nan"):
            found[row["seed"]][row["training"]] = float(row[measure])
    return Difference(
        [
            (seed, of[other], of[kind])
            for seed, of in found.items()
            if {other, kind} <= set(of)
        ]
    )


def better(rows, measure, kind, other, methods, lower):
    """For how many methods a training is better; clearly better; worse."""
    sign = -1 if lower else 1
    found = [of_seeds(rows, measure, m, kind, other) for m in methods]
    return (
        sum(sign * of.mean > 0 for of in found),
        sum(sign * of.clear > 0 for of in found),
        sum(sign * of.clear < 0 for of in found),
    )


def by_training(rows, measure, method):
    """The means over seeds of one method."""
    return {
        kind: statistics.mean(
            values(rows, measure, method=method, training=kind)
        )
        for kind in kinds_of(rows)
    }
