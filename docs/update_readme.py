"""Writes the README's tables from the runs that are committed beside them.

python docs/update_readme.py
"""

import csv
import json
import pathlib
import re
import statistics

ROOT = pathlib.Path(__file__).parents[1]
RUNS = ROOT / "docs" / "results" / "mnist.csv"
STEPS = ROOT / "benchmarks" / "results"
MEASURES = {
    "accuracy": ("accuracy ↑", 3),
    "drop_auc": ("accuracy-drop area ↓", 3),
    "mass_on_object": ("\\|gradient\\| on the digit ↑", 3),
}


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mnist():
    runs = list(csv.DictReader(RUNS.open()))
    rows = []
    for name in dict.fromkeys(run["training"] for run in runs):
        row = [name]
        for measure, (_, digits) in MEASURES.items():
            values = [float(r[measure]) for r in runs if r["training"] == name]
            mean, spread = statistics.mean(values), statistics.stdev(values)
            row.append(f"{mean:.{digits}f} ± {spread:.{digits}f}")
        rows.append(row)
    run = runs[0]
    seeds = len({r["seed"] for r in runs})
    note = (
        f"MNIST, {int(run['train_images']):,} training and "
        f"{int(run['test_images']):,} test images, {run['epochs']} epochs, "
        f"mean ± standard deviation of {seeds} seeds, Keras {run['keras']} on "
        f"{run['backend']}, {run['machine']}. The runs are in "
        "[docs/results/mnist.csv](docs/results/mnist.csv), made by "
        f"`{COMMAND}`. Lower area: accuracy falls sooner as the pixels that "
        "the gradient marks are removed."
    )
    return table(["", *(t for t, _ in MEASURES.values())], rows) + f"\n\n{note}"


COMMAND = (
    "python examples/quickstart.py --dataset mnist --train-images 8000 "
    "--seeds 0 1 2 --csv docs/results/mnist.csv --figure docs/saliency.png"
)


def step():
    files = STEPS.glob("step-*.json")
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
        f"of [benchmarks/step.py](benchmarks/step.py) on {result['machine']}; "
        "the machine is shared, so compare within a row. *Memory kept*: with "
        "`--keep-memory`, glibc does not give freed memory back to the system "
        "after every step. Peak memory of a guided step: "
        f"{', '.join(memory())}."
    )
    return table(head, rows) + f"\n\n{note}"


def memory():
    for file in sorted(STEPS.glob("memory-*.json")):
        result = json.loads(file.read_text())
        guided = {r["training"]: r for r in result["rows"]}["guided"]
        yield f"{guided['times_plain']:.2f} × plain on {result['backend']}"


def updated(text):
    for name, make in {"mnist": mnist, "step": step}.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(f"{start}.*{end}", re.DOTALL)
        block = f"{start}\n{make()}\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text()))
