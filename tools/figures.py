"""The figures of docs/results.md and docs/results_log.md."""

import math
import statistics
from fractions import Fraction

from runs import ARROWS, FOLDER, KINDS, METHODS, kinds_of, runs, values

SHARES = {
    "1/16": "guided sixteenth",
    "1/8": "guided eighth",
    "1/4": "guided quarter",
    "1/2": "guided half",
    "1": "guided",
}
PANELS = {  # what each setting is called on the axis, and in the table
    "mask fraction": {
        "0.25": "mask fraction 0.25",
        "0.5": "guided",
        "0.75": "mask fraction 0.75",
        "0.9": "mask fraction 0.9",
    },
    "λ": {"0.1": "λ = 0.1", "0.3": "λ = 0.3", "1": "guided", "3": "λ = 3"},
    "ranking": {
        "none": "traditional",
        "signed": "guided",
        "absolute": "guided absolute",
        "random": "random mask",
    },
    "batch fraction": {at: SHARES[at] for at in ("1/8", "1/4", "1/2", "1")},
}
KEPT = {  # of each task of examples/studies/economy.py: its name, and measures
    "mnist": ("MNIST", "drop_auc", "mass_on_object"),
    "middle gaussian": ("time series", "diff_aup", "diff_aur"),
}
LAYOUT_KINDS = ("guided", "random mask", "adversarial", "adversarial control")
SENSITIVE = ("accuracy", "drop_auc", "mass_on_object")


def settings(rows):
    """Values of each measure over the seeds, by what was changed."""
    found = {}
    for row in rows:
        fraction, weight = row["mask_fraction"], row["kl_weight"]
        name = row["training"]
        if fraction != "0.5":
            name = f"mask fraction {fraction}"
        elif weight != "1":
            name = f"λ = {weight}"
        measures = found.setdefault(name, {m: [] for m in SENSITIVE})
        for measure, numbers in measures.items():
            numbers.append(float(row[measure]))
    return found


def sensitivity():
    """A panel for each setting, a line for each measure."""
    rows = runs("sensitivity*.csv")
    if not rows:
        return
    import matplotlib.pyplot as plt

    found = settings(rows)
    plot, axes = plt.subplots(
        *(2, 4),
        figsize=(12, 4.6),
        layout="constrained",
        sharex="col",
        sharey="row",
        height_ratios=(1, 2),
    )
    styles = dict(zip(SENSITIVE, ("k^", "o", "s")))
    for column, (title, names) in zip(axes.T, PANELS.items()):
        column[0].set_title(title)
        for measure, style in styles.items():
            axis = column[int(measure != "accuracy")]
            numbers = [found[name][measure] for name in names.values()]
            axis.errorbar(
                range(len(names)),
                [statistics.mean(n) for n in numbers],
                [statistics.stdev(n) if len(n) > 1 else 0 for n in numbers],
                # Rankings have no order.
                fmt=style + ("" if title == "ranking" else "-"),
                capsize=3,
                label=ARROWS[measure],
            )
            axis.grid(alpha=0.3)
        column[1].set_xticks(range(len(names)), names)
    axes[1, 0].set_ylim(0, 1.02)
    axes[0, 0].set_ylabel(ARROWS["accuracy"])
    axes[1, 0].legend(frameon=False, fontsize=9, loc="center left")
    plot.savefig(FOLDER / "sensitivity.png", dpi=90)
    plt.close(plot)


def shares():
    """What shares of each batch keep: a row for each task."""
    found = {task: shares_of(task) for task in KEPT}
    found = {task: rows for task, rows in found.items() if rows}
    if not found:
        return
    import matplotlib.pyplot as plt

    plot, axes = plt.subplots(
        *(len(found), 3),
        figsize=(10, 2.6 * len(found)),
        layout="constrained",
        squeeze=False,
    )
    for line, (task, rows) in zip(axes, found.items()):
        name, *measures = KEPT[task]
        line[0].set_ylabel(name)
        for axis, measure in zip(line, ["accuracy", *measures]):
            share_lines(axis, rows, measure)
            axis.set_title(ARROWS[measure], fontsize=10)
            axis.set_xticks(range(len(SHARES)), SHARES)
            axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False, fontsize=8)
    plot.supxlabel("share of each batch that is regularised", fontsize=10)
    plot.savefig(FOLDER / "economy.png", dpi=90)
    plt.close(plot)


def shares_of(task):
    """The lines of the study, if it was run for all shares."""
    rows = [r for r in runs("economy*.csv") if r["task"] == task]
    longest = max((int(r["epochs"]) for r in rows), default=0)
    rows = [r for r in rows if int(r["epochs"]) == longest]
    complete = set(SHARES.values()) <= {r["training"] for r in rows}
    return rows if complete else []


def share_lines(axis, rows, measure):
    plain = statistics.mean(values(rows, measure, training="traditional"))
    axis.axhline(plain, color="gray", linestyle=":", label="traditional")
    weights = {"λ kept": lambda share: 1, "λ times the share": Fraction}
    for (label, weight), style in zip(weights.items(), ("o-", "s--")):
        found = [
            values(
                rows, measure, training=name, kl_weight=f"{float(weight(at)):g}"
            )
            for at, name in SHARES.items()
        ]
        axis.errorbar(
            range(len(SHARES)),
            [statistics.mean(v) if v else math.nan for v in found],
            [statistics.stdev(v) if len(v) > 1 else 0 for v in found],
            fmt=style,
            capsize=3,
            label=label,
        )


def curves(task):
    """Drop curves of six methods, and the distribution of gradients."""
    rows = [r for r in runs("images*.csv") if r["task"] == task]
    if not rows:
        return
    import matplotlib.pyplot as plt

    kinds = [k for k in kinds_of(rows) if k in (*KINDS[:2], KINDS[3])]
    styles = dict(zip(kinds, ("--", "-", ":")))
    plot, axes = plt.subplots(2, 4, figsize=(12, 5.6), layout="constrained")
    levels = [10 * i for i in range(10)]
    for axis, method in zip(axes.flat, [*METHODS, "random"]):
        for kind in kinds:
            axis.plot(
                levels,
                mean_curve(rows, "drop_curve", method, kind),
                styles[kind],
            )
        axis.set(title=method, ylim=(0, 1.02))
    axis = axes.flat[-1]
    for kind in kinds:
        shares = mean_curve(rows, "distribution", "gradient", kind)
        places = [(i + 0.5) / len(shares) for i in range(len(shares))]
        axis.plot(places, shares, styles[kind], label=kind)
    axis.set(
        title="|gradient| / largest", yscale="log", ylabel="share of pixels"
    )
    axis.legend(frameon=False, fontsize=9)
    plot.supxlabel("most salient pixels removed (%)", fontsize=10)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("accuracy")
    plot.savefig(FOLDER / f"{task}.png", dpi=90)
    plt.close(plot)


def layouts():
    """AUP above traditional training by layout, of series as benchmarked."""
    import results_benchmark as benchmark

    rows = runs(benchmark.FILES)
    if not rows:
        return
    import matplotlib.pyplot as plt

    cells = benchmark.Cells(rows)
    kinds = [k for k in LAYOUT_KINDS if k in cells.kinds]
    known = {row["network"] for row in rows}
    networks = [name for name in benchmark.NETWORKS if name in known]
    names = list(dict.fromkeys(row["task"].split(" ")[0] for row in rows))
    plot, axes = plt.subplots(
        *(len(networks), 1),
        squeeze=False,
        figsize=(9, 3 * len(networks)),
        layout="constrained",
    )
    for axis, network in zip(axes.flat, networks):
        for number, kind in enumerate(kinds):
            which = (kind, "traditional", "diff_aup", METHODS)
            found = [cells.difference(network, *which, name) for name in names]
            axis.errorbar(
                [i + 0.12 * number for i, of in enumerate(found) if of],
                [of.mean for of in found if of],
                yerr=[2 * of.error for of in found if of],
                fmt="o",
                label=kind,
            )
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_xticks(
            [i + 0.06 * (len(kinds) - 1) for i in range(len(names))],
            [name.replace("_", "\n") for name in names],
            fontsize=8,
        )
        axis.set_ylabel("AUP, more than traditional\n± 2 standard errors")
        axis.set_title(benchmark.NETWORKS[network])
    plot.legend(
        *axes.flat[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=len(kinds),
        frameon=False,
    )
    plot.savefig(FOLDER / "found-series.png", dpi=90)
    plt.close(plot)


def mean_curve(rows, column, method, kind):
    curves = [
        [float(value) for value in row[column].split()]
        for row in rows
        if (row["method"], row["training"]) == (method, kind)
    ]
    return [statistics.mean(at) for at in zip(*curves)]
