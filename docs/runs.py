"""Reads the runs in docs/results/, and writes their numbers as tables."""

import collections
import csv
import math
import pathlib
import re
import statistics

FOLDER = pathlib.Path(__file__).parent / "results"
KINDS = (
    "traditional",
    "guided",
    "guided absolute",
    "random mask",
    "guided half",
    "guided quarter",
    "guided eighth",
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


def made_by(script, row, options=""):
    """The command that wrote a line, as Markdown."""
    options += f" --epochs {row['epochs']}"
    maps = re.match(r"(\d+) maps", row.get("options", ""))
    if maps and maps[1] != "1000":
        options += f" --map-samples {maps[1]}"
    patience = re.search(r"patience (\d+)", row.get("options", ""))
    if patience:
        options += f" --patience {patience[1]}"
    options += f" --csv docs/results/{row['file']}"
    return f"`python examples/{script}.py{options}`"


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
