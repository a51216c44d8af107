"""What was found, on one screen: `docs/results.md`."""

import statistics

import figures
import guidance_results
import results_benchmark
import results_images
import results_series
import results_texts
from runs import FOLDER, METHODS, Difference, once, runs, table

# Of each domain: the measure that is asked about, and whether less is better.
WORDS = (("comprehensiveness", False), ("sufficiency", True))

HEAD = """# What was found

Written by `tools/update_results.py` from the runs in `docs/results/`. Every \
run, cell and command is in [the log](results_log.md), those of other \
guidances in [results of guidances](guidance_results.md).

**Yes** and **no** are differences of two standard errors or more, paired over \
seeds (over data sets for time series), averages over saliency methods; all \
else is *undecided*. + is better. *The paper's term* is masked consistency \
with signed ranking and λ = 1 unless said; *random mask* is its control, which \
masks as much, blindly: a gain that it has too does not come from saliency.

## The paper's term
"""


def answer(found, lower=False):
    """Yes, no or undecided, and by how much."""
    if found is None:
        return "not run"
    sign = -1 if lower else 1
    word = {1: "**yes**", 0: "undecided", -1: "**no**"}[sign * found.clear]
    text = f"{word} {sign * found.mean:+.3f}"
    return (
        text if found.error == float("inf") else f"{text} ± {found.error:.3f}"
    )


def over_methods(rows, measure, methods, kind, other):
    """`Difference` by seed, of means over methods."""
    found = {}
    for row in rows:
        if row["method"] in methods and row.get(measure, "") not in ("", "nan"):
            of = found.setdefault(row["seed"], {})
            of.setdefault(row["training"], []).append(float(row[measure]))
    pairs = [
        (seed, statistics.mean(of[other]), statistics.mean(of[kind]))
        for seed, of in sorted(found.items())
        if {kind, other} <= set(of)
    ]
    return Difference(pairs) if pairs else None


QUESTIONS = (("guided", "traditional"), ("guided", "random mask"))
CONTROL = ("random mask", "traditional")


def asked():
    """Name, accuracy change, whether less is better, and the differences.

    Of `QUESTIONS` and `CONTROL`, for each line of the first table.
    """
    pairs = (*QUESTIONS, CONTROL)
    for task, measure, lower, of in (
        ("mnist", "mass_on_object", False, "relevance on the digit"),
        ("null_blocks", "mass_on_object", False, "relevance beside the null"),
        ("pets", "mass_on_object", False, "relevance on the animal"),
    ):
        rows = [r for r in runs("images*.csv") if r["task"] == task]
        if any(row.get(measure) for row in rows):
            name = f"{results_images.title(task)}: {of}"
            found = [over_methods(rows, measure, METHODS, *p) for p in pairs]
            yield name, _points(rows), lower, found
    rows = runs("tabular*.csv")
    if rows:
        methods = {row["method"] for row in rows}
        found = [
            over_methods(rows, "mass_on_true_columns", methods, *p)
            for p in pairs
        ]
        yield "Adult: relevance on true columns", _points(rows), False, found
    for task, title in results_texts.TEXTS.items():
        for setting, rows in results_texts.settings_of(task).items():
            for measure, lower in WORDS:
                found = [
                    over_methods(rows, measure, results_texts.WORDS, *p)
                    for p in pairs
                ]
                name = f"{title}, {setting}: {measure}"
                yield name, _points(rows), lower, found
    yield from _series()


def _series():
    pairs = (*QUESTIONS, CONTROL)
    rows = [r for r in runs("time_series*.csv") if r.get("diff_aup")]
    for network, title in results_series.NETWORKS.items():
        of = [row for row in rows if row["network"] == network]
        found = [
            results_series.of_series(of, "diff_aup", network, METHODS, *p)
            for p in pairs
        ]
        if of:
            name = f"12 series, {title}, fixed epochs: AUP"
            yield name, _points(of), False, found
    rows = runs(results_benchmark.FILES)
    cells = results_benchmark.Cells(rows)
    for network, title in results_series.NETWORKS.items():
        of = [row for row in rows if row["network"] == network]
        if of:
            found = [
                cells.difference(network, *p, "diff_aup", METHODS)
                for p in pairs
            ]
            sets = len({row["task"] for row in of})
            name = f"{sets} series, {title}, the benchmark's protocol: AUP"
            yield name, _points(of), False, found


def _points(rows):
    """How many points of accuracy guiding adds."""
    by = {}
    for row in once(rows):
        by.setdefault(row["training"], []).append(float(row["accuracy"]))
    change = statistics.mean(by["guided"]) - statistics.mean(by["traditional"])
    return f"{100 * change:+.1f}"


def paper_term():
    lines = [
        [
            name,
            answer(found[0], lower),
            answer(found[1], lower),
            answer(found[2], lower),
            points,
        ]
        for name, points, lower, found in asked()
    ]
    head = [
        "",
        "better than traditional?",
        "better than its random mask?",
        "and the random mask than traditional?",
        "accuracy, points",
    ]
    return table(head, lines)


def other_guidances():
    """A line for each guidance and task of the study."""
    rows = guidance_results.runs.lines(guidance_results.RUNS)
    lines, wins = [], {}
    for task in dict.fromkeys(row["task"] for row in rows):
        for verdict in guidance_results.section(rows, task)[1]:
            _, name, setting, count, better, worse, change, won, _ = verdict
            wins.setdefault(name, []).append(won)
            lines.append(
                [
                    f"{task}: {name}, {setting}",
                    f"{better} of {count}",
                    f"{worse} of {count}",
                    f"{100 * change[0]:+.1f}" if change else "",
                    "**yes**" if won else "no",
                ]
            )
    head = [
        "",
        "measures better than traditional and control",
        "worse than traditional",
        "accuracy, points",
        "wins?",
    ]
    counted = ", ".join(
        f"{name} {sum(won)} of {len(won)}" for name, won in wins.items()
    )
    return f"Wins by guidance: {counted}.\n\n{table(head, lines)}"


def figure():
    """The differences of the first table, beside the control's."""
    import matplotlib.pyplot as plt

    found = [(n, lower, of) for n, _, lower, of in asked() if all(of)]
    plot, axis = plt.subplots(
        figsize=(9, 0.34 * len(found) + 1), layout="constrained"
    )
    for index, color, label in ((0, "C0", "guided"), (2, "C1", "random mask")):
        sign = [-1 if lower else 1 for _, lower, _ in found]
        axis.errorbar(
            [s * of[index].mean for s, (_, _, of) in zip(sign, found)],
            [i + 0.12 * (index - 1) for i in range(len(found))],
            xerr=[2 * of[index].error for _, _, of in found],
            fmt="o",
            color=color,
            label=label,
        )
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(found)), [name for name, *_ in found])
    axis.invert_yaxis()
    axis.set_xlabel("better than traditional training by (± 2 standard errors)")
    axis.legend(frameon=False)
    plot.savefig(FOLDER / "found.png", dpi=90)
    plt.close(plot)


def page():
    parts = [
        HEAD,
        "![How much better than traditional training, guided and with a "
        "random mask](results/found.png)",
        paper_term(),
        "## Other guidances",
        "How they are judged: [results of guidances](guidance_results.md).",
        other_guidances(),
    ]
    if runs(results_benchmark.FILES):
        parts += [
            "## Time series, layout by layout",
            results_benchmark.in_words(),
            "![AUP above random by layout](results/found-series.png)",
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def figures_of_page():
    figure()
    figures.layouts()
