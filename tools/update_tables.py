"""Writes the documents' tables from the runs that are committed beside them.

python tools/update_tables.py
"""

import csv
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from runs import spread, table, values

ROOT = pathlib.Path(__file__).parents[1]
RUNS = ROOT / "docs" / "results" / "mnist.csv"
STEPS = ROOT / "benchmarks" / "results"
DOCUMENTS = ("docs/attribution.md", "docs/costs.md", "docs/studies.md")
MEASURES = {
    "accuracy": "accuracy ↑",
    "drop_auc": "accuracy-drop area ↓",
    "mass_on_object": "\\|gradient\\| on the digit ↑",
}


def mnist():
    runs = list(csv.DictReader(RUNS.open()))
    rows = [
        [name, *(spread(values(runs, m, training=name)) for m in MEASURES)]
        for name in dict.fromkeys(run["training"] for run in runs)
    ]
    run = runs[0]
    seeds = len({r["seed"] for r in runs})
    note = (
        f"MNIST, {int(run['train_images']):,} training and "
        f"{int(run['test_images']):,} test images, {run['epochs']} epochs, "
        f"mean ± standard deviation of {seeds} seeds, Keras {run['keras']} on "
        f"{run['backend']}, {run['machine']}. The runs are in "
        "[docs/results/mnist.csv](results/mnist.csv), made by "
        f"`{COMMAND}`. Lower area: accuracy falls sooner as the pixels that "
        "the gradient marks are removed."
    )
    return table(["", *MEASURES.values()], rows) + f"\n\n{note}"


COMMAND = (
    "python examples/studies/mnist.py --train-images 8000 --seeds 0 1 2 "
    "--csv docs/results/mnist.csv --figure docs/saliency.png"
)


def step():
    files = STEPS.glob("step_cost-*.json")
    results = sorted(
        (json.loads(file.read_text()) for file in files),
        key=lambda result: (result["backend"], result["keep_memory"]),
    )
    rows = []
    for result in results:
        times = {r["training"]: r for r in result["rows"]}
        backend = result["backend"]
        kept = ", memory kept" if result["keep_memory"] else ""
        row = [f"{backend} {result['versions'][backend]}{kept}"]
        row += [f"{times['plain']['median_ms']:.0f} ms"]
        row += [f"{r['times_plain']:.2f} ×" for r in list(times.values())[1:]]
        rows.append(row)
    head = ["backend", "plain step", *list(times)[1:]]
    note = (
        "The paper's MNIST network, a step of "
        f"{results[0]['batch_size']} images, medians of one interleaved run "
        "of [benchmarks/step_cost.py](../benchmarks/step_cost.py) on "
        f"{result['machine']}; "
        "the machine is shared, so compare within a row. *Memory kept*: with "
        "`--keep-memory`, glibc does not give freed memory back to the system "
        f"after every step. {memory()}"
    )
    return table(head, rows) + f"\n\n{note}"


def memory():
    cells = []
    for file in sorted(STEPS.glob("step_memory-*.json")):
        result = json.loads(file.read_text())
        (guided,) = (
            row
            for row in result["rows"]
            if row["network"] == "MNIST CNN, 256"
            and row["training"] == "guided"
        )
        cells.append(f"{guided['times_plain']:.2f} × on {result['backend']}")
    return (
        f"Peak memory of a guided step of {guided['batch_size']:,} images, "
        f"beside a plain one's: {', '.join(cells)}."
    )


def attribution():
    """Seconds and peak memory, ours and Captum's."""
    files = sorted(STEPS.glob("attribution_cost-*.json"))
    results = [json.loads(file.read_text()) for file in files]
    found = {}
    for result in results:
        for row in result["rows"]:
            by = row["by"]
            if by == "keras_sgt":
                by += f", {result['backend']}"
            cell = f"{row['median_ms'] / 1000:.1f} s, {row['peak_mib']} MiB"
            found.setdefault(row["method"], {})[by] = cell
    sides = sorted({by for cells in found.values() for by in cells})
    rows = [
        [method, *(cells.get(by, "") for by in sides)]
        for method, cells in found.items()
    ]
    note = (
        f"{results[0]['images']:,} random images of MNIST's size and the "
        "paper's network: medians, and memory above what the process held, of "
        "[benchmarks/attribution_cost.py]"
        "(../benchmarks/attribution_cost.py) on "
        f"{results[0]['machine']}. Captum runs the Keras model itself, and the "
        "same network in PyTorch's own layers, which its DeepSHAP needs and "
        "which are faster on this machine than Keras's on PyTorch."
    )
    return table(["", *sides], rows) + f"\n\n{note}"


def updated(text):
    blocks = {"mnist": mnist, "step": step, "attribution": attribution}
    for name, make in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            pattern = re.compile(f"{start}.*{end}", re.DOTALL)
            block = f"{start}\n{make()}\n{end}"
            text = pattern.sub(lambda _, block=block: block, text)
    return text


if __name__ == "__main__":
    for name in DOCUMENTS:
        document = ROOT / name
        document.write_text(updated(document.read_text()))
