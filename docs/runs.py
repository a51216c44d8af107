"""Reads the runs in docs/results/, and writes their numbers as tables."""

import csv
import pathlib
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


def runs(pattern):
    """The lines of all tables of that name."""
    found = []
    for path in sorted(FOLDER.glob(pattern)):
        with path.open(newline="") as file:
            found += csv.DictReader(file)
    return found


def values(rows, measure, **where):
    return [
        float(row[measure])
        for row in rows
        if row.get(measure, "") not in ("", "nan")
        and all(row[k] == v for k, v in where.items())
    ]


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
