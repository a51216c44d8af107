"""Writes docs/results.md, docs/results_log.md and their figures.

    python tools/update_results.py

What was found, on one screen, and the log behind it, from the runs in
docs/results/. They are made by the examples, with the commands that the log
names. What the pages say of them is computed here; sections without runs are
left out.
"""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import figures
import results_benchmark
import results_economy
import results_found
import results_images
import results_real
import results_series
import results_texts
from runs import (
    ARROWS,
    FOLDER,
    METHODS,
    PAIRS,
    better,
    by_method,
    circumstances,
    costs,
    kinds_of,
    made_by,
    once,
    runs,
    spread,
    table,
    values,
)

PAGE = FOLDER.with_suffix(".md")
LOG = FOLDER.with_name("results_log.md")


def wins(rows, measure, kind, other, methods, lower):
    if not {kind, other} <= set(kinds_of(rows)):
        return ""
    count, *clear = better(rows, measure, kind, other, methods, lower)
    return f"{count} of {len(methods)} (+{clear[0]} −{clear[1]})"


COMPARED = ("traditional", "guided", "random mask", "guided absolute")


def verdict(name, rows, measures, methods):
    """For how many methods each training wins. `measures`: is low good?"""
    lines = []
    complete = {"guided", "random mask"} <= set(kinds_of(rows))
    for how, names in results_found.ways(rows):
        pairs = [[names.get(kind, kind) for kind in pair] for pair in PAIRS]
        for measure, lower in measures.items():
            if complete and any(row.get(measure) for row in rows):
                counts = (
                    wins(rows, measure, *pair, methods, lower) for pair in pairs
                )
                lines.append([f"{name}{how}, {ARROWS[measure]}", *counts])
    return lines


def points(name, rows):
    """Accuracy, and how far above traditional training the others are."""
    networks = once(rows)
    plain, *_ = _accuracies(networks, COMPARED)
    for how, names in results_found.ways(rows):
        means = _accuracies(networks, [names.get(k, k) for k in COMPARED])
        more = ["" if m is None else f"{m - plain:+.1f}" for m in means[1:]]
        yield [f"{name}{how}", f"{plain:.1f}", *more]


def _accuracies(networks, kinds):
    found = (values(networks, "accuracy", training=kind) for kind in kinds)
    return [100 * statistics.mean(of) if of else None for of in found]


def tables():
    rows = runs("tabular*.csv")
    if not rows:
        return ""
    measures = ("mass_on_true_columns", "drop_auc")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    kinds = ' --trainings traditional guided "guided absolute" "random mask"'
    return "\n\n".join(
        [
            "## Tables: Adult, beside shuffled copies of its columns",
            "Relevance on a shuffled copy is wrong; half of the columns are "
            f"copies. Mean ± standard deviation; {circumstances(rows)}.",
            by_method(rows, measures, methods),
            costs(rows),
            f"Made by {made_by('tabular', rows[0], kinds)}.",
        ]
    )


def sections():
    """Name, runs, measures and methods of all domains but time series."""
    words = {**results_texts.MEASURES, "token_auprc": False}
    for task, title in results_texts.TEXTS.items():
        for name, rows in results_texts.settings_of(task).items():
            yield f"{title}, {name}", rows, words, results_texts.WORDS
    measures = {
        "drop_auc": True,
        "drop_auc_mean_fill": True,
        "mass_on_object": False,
    }
    for name, _, rows in results_images.settings():
        yield name, rows, measures, METHODS
    rows = runs("tabular*.csv")
    measures = {"mass_on_true_columns": False, "drop_auc": True}
    yield "Adult", rows, measures, list({row["method"]: 0 for row in rows})


def gains(rows, measures, methods):
    """Whether guiding has a gain that the random mask does not have."""
    found = {"gain": [], "loss": []}
    for measure, lower in measures.items():
        if not any(row.get(measure) for row in rows):
            continue
        traditional, control = (
            better(rows, measure, "guided", other, methods, lower)
            for other in ("traditional", "random mask")
        )
        most = len(methods) / 2
        if traditional[1] > most and control[1] > most:
            found["gain"].append(ARROWS[measure])
        if traditional[2] > most:
            found["loss"].append(ARROWS[measure])
    if found["gain"]:
        text = "Guiding is clearly better than both others, for most methods, "
        text += f"in: {', '.join(found['gain'])}; not by the other measures."
    else:
        text = "No clear gain: by no measure is guiding clearly better than "
        text += "both others for most methods."
    if found["loss"]:
        text += " It is clearly worse than traditional training, for most "
        text += f"methods, in: {', '.join(found['loss'])}."
    return text


def short():
    """What the runs say, counted."""
    counted, accuracies = [], []
    for name, rows, measures, methods in sections():
        if rows:
            counted += verdict(name, rows, measures, methods)
            accuracies += points(name, rows)
    parts = [
        "## In short",
        "A difference is called clear if it is two standard errors from 0 or "
        "more, paired: over data sets for time series, over seeds elsewhere "
        "(three are weak evidence, and the methods are not independent).",
    ]
    series = [r for r in runs("time_series*.csv") if r.get("diff_aup")]
    if series:
        text = results_series.in_words(series, runs("paper.csv"))
        parts.append(
            "**Time series: the sets of [Table 2]"
            "(#time-series-the-papers-table-2)** (all of the benchmark's: [who "
            f"gains](#who-gains)). {text}"
        )
    for task, title in results_texts.TEXTS.items():
        if results_texts.settings_of(task):
            parts.append(f"**{title}.** {results_texts.reproduced(task)}")
    for name, rows, measures, methods in sections():
        if methods != results_texts.WORDS and {"guided", "random mask"} <= set(
            kinds_of(rows)
        ):
            parts.append(f"**{name}.** {gains(rows, measures, methods)}")
    parts.append(
        "**All but time series.** For how many saliency methods one training "
        "has a better mean over seeds than another; in brackets, for how many "
        "it is clearly better and clearly worse:"
    )
    head = ["", *(f"{kind} beats {other}" for kind, other in PAIRS)]
    parts.append(table(head, counted))
    parts.append(
        "What it does to accuracy, in points (where much is lost, a smaller "
        "accuracy-drop area is no gain: there is less to drop):"
    )
    parts.append(table(["", *COMPARED], accuracies))
    return "\n\n".join(parts)


def sensitivity():
    rows = runs("sensitivity*.csv")
    if not rows:
        return ""
    run = rows[0]
    lines = [
        [name, *(spread(numbers) for numbers in of.values())]
        for name, of in figures.settings(rows).items()
    ]
    head = ["", *(ARROWS[measure] for measure in figures.SENSITIVE)]
    return "\n\n".join(
        [
            "## Which settings matter",
            f"{results_images.title(run['task'])}, "
            f"{int(run['train_samples']):,} images, {run['epochs']} "
            "epochs; the gradient; one setting changed at a time from guided: "
            "mask fraction 0.5, λ = 1, signed, whole batch. "
            f"Mean ± standard deviation; {circumstances(rows)}.",
            "![Accuracy, drop area and relevance on the digit by mask "
            "fraction, λ, ranking and batch fraction](results/sensitivity.png)",
            table(head, lines),
            f"Made by {made_by('sensitivity', run)}.",
        ]
    )


def page():
    return results_found.page(sections())


def log():
    start = """# The log behind the results

[What was found](results.md) is the short of it. Written by
`tools/update_results.py` from the runs in `docs/results/`, which the examples
made. *Traditional* is `keras.Model`; *guided* is saliency guided
training with the ranking of the authors' code (signed; for words by magnitude,
but signed by ERASER's schedule), *guided absolute* ranks by magnitude; *random
mask* is the control: it masks as many features, picked blindly, under the same
KL term. A gain that the random mask has too does not come from saliency.
Seconds are those of a machine that had other work at the same time:
[costs](costs.md) has the ratios, measured side by side.

The paper's figures are Tables 1 and 2 of Ismail, Corrada Bravo, Feizi,
"Improving Deep Learning Interpretability by Saliency Guided Training", NeurIPS
2021 (poster)."""
    parts = [
        start,
        short(),
        results_benchmark.section(),
        results_series.section(),
        results_real.section(),
        results_texts.section(),
        results_images.section(),
        tables(),
        sensitivity(),
        results_economy.section(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    for task in ("mnist", "fashion_mnist", "null_blocks"):
        figures.curves(task)
    figures.sensitivity()
    figures.shares()
    results_found.figures_of_page(sections())
    LOG.write_text(log())
    PAGE.write_text(page())
    print(f"wrote {PAGE.name} and {LOG.name}")
