"""Writes what searches found into docs/searching.md.

    python tools/search_results.py

The searches are made by `examples/studies/search.py`, which says how they are
judged.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import runs

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "searching.md"
MARKS = re.compile("(<!-- searches -->\n).*?(\n<!-- end -->)", re.DOTALL)
NAMES = {
    "mnist": "MNIST beside a null block",
    "adult": "Adult beside shuffled copies",
    "noise": "digits whose labels are noise",
}


def row(task, size, lines):
    wins = sum(line["wins"] == "True" for line in lines)
    seconds = [float(line["seconds"]) for line in lines]
    found = lines[0]["verdict"] if len(lines) == 1 else ""
    slowest = f"{max(seconds):.0f} s"
    return [f"{NAMES[task]}, {size}", f"{wins} of {len(lines)}", slowest, found]


def table(lines):
    searches = dict.fromkeys((line["task"], line["size"]) for line in lines)
    rows = [
        row(
            *which,
            [line for line in lines if (line["task"], line["size"]) == which],
        )
        for which in searches
    ]
    made = "; ".join(dict.fromkeys(line["versions"] for line in lines))
    head = ["data", "wins", "slowest", "what it said"]
    note = (
        "By `python examples/studies/search.py`, quick ones with `--quick` ("
        f"{made}; {lines[0]['machine']}); the runs are in "
        "`docs/results/search.csv`."
    )
    return f"{runs.table(head, rows)}\n\n{note}"


def page():
    """docs/searching.md with the table of the committed runs."""
    text = table(runs.lines(runs.FOLDER / "search.csv"))
    return MARKS.sub(lambda m: m[1] + text + m[2], PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
