"""What was found, on one screen: `docs/results.md`."""

import statistics

import figures
import guidance_results
import results_benchmark
import results_real
import results_texts
from runs import (
    ARROWS,
    FOLDER,
    METHODS,
    NETWORKS,
    PAIRS,
    Difference,
    once,
    runs,
    table,
    values,
)

ASKED = {  # of the measures of a domain: what the first table calls it
    "mass_on_object": "relevance on the object",
    "mass_on_true_columns": "relevance on true columns",
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
}
UNKNOWN_TRUTH = {  # asked where no measure of the truth is there
    "drop_auc_mean_fill": "accuracy-drop area, mean fill",
}
QUESTIONS = PAIRS[:3]
LAST_EPOCHS = {  # what those are called that guide there only
    "guided": "fine-tuned",
    "random mask": "fine-tuned random mask",
    "guided absolute": "fine-tuned absolute",
}

HEAD = """# What was found

Written by `tools/update_results.py` from the runs in `docs/results/`. Every \
run, cell and command is in [the log](results_log.md), those of other \
guidances in [results of guidances](guidance_results.md).

**Yes** and **no** are differences of two standard errors or more, paired over \
seeds (over data sets for time series), averages over saliency methods; all \
else is *undecided*. One to three seeds are weak evidence: the log says how \
many there are. + is better. *Guided* is by the paper's term, masked \
consistency, with λ = 1 unless said, ranked signed (texts *alone* and with \
*word vectors*: by magnitude); *random mask* is its \
control, which masks as much, blindly: a gain that it has too does not come \
from saliency. *ERASER's schedule*: word vectors, at most 20 epochs, the best \
by validation; *last epochs*: trained traditionally, and guided in the last \
five of them (*fine-tuned* in the log). Series of boxes are trained as their \
benchmark does, networks right for less than 90 % are not read, and AUP is \
above the random baseline.

## The paper's term
"""


def answer(found):
    """Yes, no or undecided, and by how much."""
    if found is None:
        return "not run"
    word = {1: "**yes**", 0: "undecided", -1: "**no**"}[found.clear]
    return f"{word} {found}"


def over_methods(rows, measure, methods, kind, other, beyond=None):
    """`Difference` by seed, of means over methods.

    Of what they have more than the method `beyond`, where it is given.
    """
    seeds = sorted({row["seed"] for row in rows})
    pairs = []
    for seed in seeds:
        of = [
            [
                value
                for method in methods
                for value in values(
                    rows, measure, seed=seed, training=k, method=method
                )
            ]
            for k in (other, kind)
        ]
        if all(of):
            means = map(statistics.mean, of)
            if beyond is not None:
                where = {"seed": seed, "method": beyond}
                means = (
                    mean - values(rows, measure, training=k, **where)[0]
                    for mean, k in zip(means, (other, kind))
                )
            pairs.append((seed, *means))
    return Difference(pairs) if pairs else None


def asked(sections):
    """Name, accuracy change, and the answers to `QUESTIONS`, + for better.

    Args:
        sections: name, runs, measures (and whether less is better) and methods
            of all domains but time series.
    """
    for name, rows, measures, methods in sections:
        known = any(row.get("mass_on_object") for row in rows)
        wanted = ASKED if known else ASKED | UNKNOWN_TRUTH
        for measure, lower in measures.items():
            if measure not in wanted or not any(r.get(measure) for r in rows):
                continue
            for how, pairs in _questions(rows):
                found = [
                    over_methods(
                        rows, measure, methods, *pair[:: -1 if lower else 1]
                    )
                    for pair in pairs
                ]
                points = _points(rows, pairs[0][0])
                yield f"{name}{how}: {wanted[measure]}", points, found
    yield from _of_recordings()
    stopped = runs(results_benchmark.FILES)
    cells = results_benchmark.Cells(stopped)
    for network, title in NETWORKS.items():
        of = [row for row in stopped if row["network"] == network]
        if of:
            found = [
                cells.difference(network, *pair, "diff_aup", METHODS)
                for pair in QUESTIONS
            ]
            sets = len({row["task"] for row in of})
            read = found[0].clusters
            name = f"{read} of {sets} series, {title}: AUP"
            yield name, _points(of), found


def ways(rows):
    """When guiding was done, and by what names its trainings go then."""
    yield "", {}
    needed = {LAST_EPOCHS[kind] for kind in ("guided", "random mask")}
    if needed <= {row["training"] for row in rows}:
        yield ", last epochs", LAST_EPOCHS


def _questions(rows):
    """When guiding was done, and the pairs that are asked for."""
    for how, names in ways(rows):
        yield how, [[names.get(k, k) for k in pair] for pair in QUESTIONS]


def _of_recordings():
    rows = results_real.recordings()
    for network in dict.fromkeys(row["network"] for row in rows):
        of = [row for row in rows if row["network"] == network]
        sets = len({row["task"] for row in of})
        for measure in results_real.ASKED:
            lower = results_real.MEASURES[measure]
            found = [
                results_real.difference(
                    of, network, *pair[:: -1 if lower else 1], measure
                )
                for pair in QUESTIONS
            ]
            title = ARROWS[measure].rstrip(" ↑↓")
            name = f"{sets} real series, {NETWORKS[network]}: {title}"
            yield name, _points(of), found


def _points(rows, guided="guided"):
    """How many points of accuracy guiding adds."""
    guided, plain = (
        statistics.mean(values(once(rows), "accuracy", training=kind))
        for kind in (guided, "traditional")
    )
    return f"{100 * (guided - plain):+.1f}"


def beyond_random():
    """Gains on texts, and how much of them any words would have."""
    lines = []
    for name, rows, measure, (plain, _, control) in _of_texts():
        methods = results_texts.WORDS
        gain = over_methods(rows, measure, methods, *plain)
        if gain.clear > 0:
            found = (
                gain,
                over_methods(rows, measure, ["random"], *plain),
                over_methods(rows, measure, methods, *plain, "random"),
                over_methods(rows, measure, methods, *control, "random"),
            )
            lines.append([name, *map(str, found)])
    head = [
        "",
        "guided over traditional",
        "of words picked at random",
        "what is left",
        "what is left, over the random mask",
    ]
    return table(head, lines)


def _of_texts():
    """Name, runs, measure, and pairs of trainings, + for better."""
    for task, title in results_texts.TEXTS.items():
        for name, rows in results_texts.settings_of(task).items():
            for measure, lower in results_texts.MEASURES.items():
                for how, pairs in _questions(rows):
                    pairs = [pair[:: -1 if lower else 1] for pair in pairs]
                    full = f"{title}, {name}{how}: {ASKED[measure]}"
                    yield full, rows, measure, pairs


def other_guidances():
    """How often each guidance wins, by kind of data."""
    verdicts = guidance_results.verdicts()
    names = dict.fromkeys(verdict.guidance for verdict in verdicts)
    cells = []
    for name in names:
        row = [name]
        for domain in guidance_results.DOMAINS:
            of = [
                v
                for v in verdicts
                if v.guidance == name
                and guidance_results.domain(v.task) == domain
            ]
            aside = sum(v.but_for_noise for v in of)
            won = f"{sum(v.wins for v in of)} of {len(of)} ({aside})"
            row.append(won if of else "")
        cells.append(row)
    return table(["", *guidance_results.DOMAINS], cells)


def figure(sections):
    """The differences of the first table, beside the control's."""
    import matplotlib.pyplot as plt

    rows = [(name, found) for name, _, found in asked(sections) if all(found)]
    plot, axis = plt.subplots(
        figsize=(10, 0.34 * len(rows) + 1), layout="constrained"
    )
    for index, label in enumerate(("guided", "random mask")):
        found = [of[index] for _, of in rows]
        axis.errorbar(
            [of.mean for of in found],
            [i + 0.24 * index - 0.12 for i in range(len(rows))],
            xerr=[2 * of.error for of in found],
            fmt="o",
            label=label,
        )
    axis.axvline(0, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.invert_yaxis()
    plot.supxlabel("better than traditional training by (± 2 standard errors)")
    axis.legend(frameon=False)
    plot.savefig(FOLDER / "found.png", dpi=90)
    plt.close(plot)


def figures_of_page(sections):
    figure(sections)
    figures.layouts()


def page(sections):
    head = [
        "",
        *(f"{kind} better than {other}?" for kind, other in QUESTIONS),
        "accuracy of guided, points more",
    ]
    rows = [
        [name, *map(answer, found), points]
        for name, points, found in asked(sections)
    ]
    parts = [
        HEAD,
        "![How much better than traditional training, guided and with a "
        "random mask](results/found.png)",
        table(head, rows),
        "A network that needs fewer words is served better by any words. Each "
        "gain of guiding on texts, what words picked at random gain too, and "
        "what is left for relevance to explain:",
        beyond_random(),
        "## Other guidances",
        "On how many data sets each wins: better than traditional training "
        "and than its own blind control (random masking is blind and has "
        "none) in measures of two kinds, worse in none, at most half a point "
        "less accurate. In brackets: where the "
        "change of maps under noise, which adversarial training is known to "
        "raise, counts neither way. Each set and measure, and what stands in "
        "the way: [results of guidances](guidance_results.md).",
        other_guidances(),
    ]
    if runs(results_benchmark.FILES):
        parts += [
            "## Time series, layout by layout",
            results_benchmark.in_words(),
            "![AUP above random by layout](results/found-series.png)",
            "A point without a bar is of one data set. The TCN's second seed "
            "was run after the first had been read.",
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"
