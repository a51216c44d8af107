"""Writes docs/results.md and its figures from the runs in docs/results/.

    python docs/update_results.py

The runs are made by the examples, with the commands that the page names. What
the page says of them is computed here; sections without runs are left out.
"""

import collections
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import figures
from runs import (
    ARROWS,
    FOLDER,
    METHODS,
    Difference,
    kinds_of,
    made_by,
    runs,
    spread,
    table,
    values,
)

PAGE = FOLDER.with_suffix(".md")
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
    return f"{seeds} seeds; {where}"


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


# --- Time series ----------------------------------------------------------


PAIRS = (
    ("guided", "traditional"),
    ("random mask", "traditional"),
    ("guided", "random mask"),
    ("guided absolute", "traditional"),
)


def of_series(rows, measure, network, methods, kind, other):
    """Differences by data set, where both networks were right for 90 %."""
    found = collections.defaultdict(dict)
    for row in rows:
        if row["network"] != network or row["method"] not in methods:
            continue
        if float(row["accuracy"]) >= 0.9 and row[measure] != "nan":
            key = (row["task"], row["seed"], row["method"])
            found[key][row["training"]] = float(row[measure])
    pairs = [
        (task, of[other], of[kind])
        for (task, *_), of in found.items()
        if {other, kind} <= set(of)
    ]
    return Difference(pairs) if pairs else None


SERIES = """, each of 1,000 series of 50 steps and 50 features; networks and \
scaling of the benchmark; all trainings for as many epochs, from the same \
weights. As in the benchmark, only networks that are right for at least 90 % \
of the test series are read. Each cell is the mean difference to the \
benchmark's random baseline; the last three columns are paired differences, ± \
standard error over data sets, whose seeds are averaged first, with the number \
of data sets, which is less where the control was trained on fewer data sets. \
The Transformer was trained for 5 epochs, and anew for 10 on three \
auto-regressive data sets, after its test accuracy at 5 was seen to be low on \
two of them (the runs replaced are in [superseded](results/superseded)); other \
runs under 90 % were left as they are. The paper's figures are over more data \
sets, and its mask fraction and epochs are not known. Ours: mask fraction 0.5, \
λ = 1;"""


def time_series():
    rows = [r for r in runs("time_series*.csv") if r.get("diff_aup")]
    if not rows:
        return ""
    paper = runs("paper.csv")
    tasks = sorted({row["task"] for row in rows})
    of = [
        ", ".join(dict.fromkeys(task.split(" ")[i] for task in tasks))
        for i in range(2)
    ]
    parts = [
        "## Time series: the paper's Table 2",
        f"{len(tasks)} data sets, {' and '.join(of)}{SERIES} "
        f"{circumstances(rows)}.",
    ]
    for measure in ("diff_aup", "diff_aur"):
        parts.append(f"### {ARROWS[measure]}")
        parts.append(table2(rows, paper, measure))
    parts += [
        "### Do the signs agree?",
        "Averages over the six methods.",
        signs(rows, paper),
    ]
    parts += ["### Accuracy and time", costs(rows)]
    parts += ["Made by", "\n".join(time_series_calls(rows))]
    return "\n\n".join(parts)


def time_series_calls(rows):
    """The commands, and for which tasks where they are not for all."""
    tasks = {}
    for row in rows:
        options = f' --networks "{row["network"]}"'
        call = f"- {made_by('time_series', row, options)}, on {row['backend']}"
        tasks.setdefault(call, set()).add(row["task"])
    every = {row["task"] for row in rows}
    for call, of in tasks.items():
        yield call + ("" if of == every else f": {', '.join(sorted(of))}")


def table2(rows, paper, measure):
    lines = []
    for network, title in NETWORKS.items():
        for method in METHODS:
            which = (rows, measure, network, [method])
            found = [of_series(*which, *pair) for pair in PAIRS[:3]]
            if not all(found):
                continue
            (theirs,) = (
                r
                for r in paper
                if (r["network"], r["method"], r["measure"])
                == (network, method, measure)
            )
            lines.append(
                [
                    f"{title}, {method}",
                    f"{float(theirs['traditional']):.3f} → "
                    f"{float(theirs['guided']):.3f}",
                    f"{found[0].other:.3f} → {found[0].this:.3f}",
                    *(f"{of} ({of.clusters})" for of in found),
                ]
            )
    head = [
        "",
        "paper: traditional → guided",
        "ours: traditional → guided",
        *(f"ours: {kind} − {other}" for kind, other in PAIRS[:3]),
    ]
    return table(head, lines)


def row_averages(rows, paper):
    """Of each network and measure: the paper's, and ours of `PAIRS`."""
    for measure in ("diff_aup", "diff_aur"):
        for network, title in NETWORKS.items():
            which = (rows, measure, network, METHODS)
            found = [of_series(*which, *pair) for pair in PAIRS[:3]]
            if not all(found):
                continue
            theirs = statistics.mean(
                float(r["guided"]) - float(r["traditional"])
                for r in paper
                if (r["network"], r["measure"]) == (network, measure)
            )
            yield f"{title} ({measure[5:].upper()})", theirs, found


def signs(rows, paper):
    """Row averages of Table 2, guided less traditional: theirs and ours."""
    lines = []
    for name, theirs, found in row_averages(rows, paper):
        same = "yes" if (found[0].mean > 0) == (theirs > 0) else "no"
        clear = same if found[0].clear else "not distinguishable from 0"
        lines.append([name, f"{theirs:+.3f}", *map(str, found), same, clear])
    head = [
        "",
        "paper",
        *(f"ours: {kind} − {other}" for kind, other in PAIRS[:3]),
        "same sign?",
        "and clearly so?",
    ]
    return table(head, lines)


def series_in_words(rows, paper):
    """What the row averages say, by the errors that they have."""
    averages = list(row_averages(rows, paper))
    agree = [
        found[0].clear
        for _, theirs, found in averages
        if (found[0].mean > 0) == (theirs > 0)
    ]
    both = [
        name
        for name, _, found in averages
        if found[0].clear > 0 and found[2].clear > 0
    ]
    if both:
        start = "Guiding is clearly above both others, traditional training "
        start += f"and the random mask, for {', '.join(both)} alone."
    else:
        start = "No clear gain: in no row average is guiding above traditional "
        start += "training and above the random mask by two standard errors."
    text = (
        f"{start} Of {len(averages)} row averages {len(agree)} have the "
        f"paper's sign, {sum(map(bool, agree))} of them by two standard errors "
        f"or more.{_unlike(rows)}"
    )
    lines = []
    for place, (kind, other) in enumerate(PAIRS[:3]):
        of = [(name, found[place]) for name, _, found in averages]
        lines.append(f"- {kind.capitalize()} − {other}: {_by_sign(of)}.")
    return "\n".join([f"{text}\n", *lines, f"- {_cells(rows)}"])


def _by_sign(differences):
    """Which differences are above 0, below, or neither."""
    parts = []
    for sign, title in ((1, "above 0"), (-1, "below 0")):
        found = [f"{n} {d}" for n, d in differences if d.clear == sign]
        if found:
            parts.append(f"{title} for {', '.join(found)}")
    found = [name for name, d in differences if not d.clear]
    if found:
        parts.append(f"not distinguishable from 0 for {', '.join(found)}")
    return "; ".join(parts)


def _cells(rows):
    """In how many cells of Table 2 one training is above another."""
    counts = []
    for kind, other in PAIRS[:3]:
        found = [
            of_series(rows, measure, network, [method], kind, other)
            for measure in ("diff_aup", "diff_aur")
            for network in NETWORKS
            for method in METHODS
        ]
        found = [of for of in found if of]
        above = sum(of.mean > 0 for of in found)
        clear = [sum(of.clear == sign for of in found) for sign in (1, -1)]
        counts.append(
            f"{kind} is above {other} in {above} of {len(found)} (clearly in "
            f"{clear[0]}, clearly below in {clear[1]})"
        )
    return f"Single cells: {'; '.join(counts)}."


def _unlike(rows):
    """Which networks have a control on fewer data sets than guided runs."""
    fewer = []
    for network, title in NETWORKS.items():
        of = {
            kind: {
                r["task"]
                for r in rows
                if (r["network"], r["training"]) == (network, kind)
            }
            for kind in ("guided", "random mask")
        }
        if of["random mask"] < of["guided"]:
            count = f"{len(of['random mask'])} of {len(of['guided'])}"
            fewer.append(f"{title} ({count})")
    if not fewer:
        return ""
    return (
        " The random mask was trained on fewer data sets for: "
        f"{', '.join(fewer)}."
    )


# --- The other domains ----------------------------------------------------


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
    for measure, lower in measures.items():
        if complete and any(row.get(measure) for row in rows):
            counts = (wins(rows, measure, *p, methods, lower) for p in PAIRS)
            lines.append([f"{name}, {ARROWS[measure]}", *counts])
    return lines


def points(name, rows):
    """Accuracy, and how far above traditional training the others are."""
    networks, cells = once(rows), []
    for kind in COMPARED:
        found = values(networks, "accuracy", training=kind)
        mean = 100 * statistics.mean(found) if found else None
        if kind == "traditional":
            plain = mean
            cells.append(f"{plain:.1f}")
        else:
            cells.append(f"{mean - plain:+.1f}" if found else "")
    return [name, *cells]


TEXTS = {"movies": "Movies", "fever": "FEVER", "esnli": "e-SNLI"}
WORDS = [*METHODS[:2], METHODS[5]]


def language_runs(task):
    """The runs on a data set of texts, by their settings."""
    found = {}
    for row in runs("language*.csv"):
        if row["task"] == task:
            given = "vectors" in row["options"]
            vectors = "word vectors" if given else "alone"
            name = f"{vectors}, λ = {row['kl_weight']}"
            found.setdefault(name, []).append(row)
    return found


def table1(task):
    """The paper's Table 1 beside ours, cell by cell."""
    settings, lines = language_runs(task), []
    for row in runs("paper.csv"):
        if row["task"] != task:
            continue
        method, measure = row["method"], row["measure"]
        cells = [f"{row['traditional']} → {row['guided']}"]
        for found in settings.values():
            of = by_training(found, measure, method)
            cells.append(f"{of['traditional']:.3f} → {of['guided']:.3f}")
            cells.append(f"{of['random mask']:.3f}")
        lines.append([f"{ARROWS[measure]}, {method}", *cells])
    head = ["", "paper: traditional → guided"]
    for name in settings:
        head.append(f"ours, {name}: traditional → guided")
        head.append(f"ours, {name}: random mask")
    return table(head, lines)


def by_training(rows, measure, method):
    """The means over seeds of one method."""
    return {
        kind: statistics.mean(
            values(rows, measure, method=method, training=kind)
        )
        for kind in kinds_of(rows)
    }


def reproduced(task):
    """Whether guiding does to the texts what the paper says, in words."""
    parts, agree = [], []
    for name, rows in language_runs(task).items():
        found = {
            measure: better(rows, measure, *PAIRS[0], WORDS, lower)
            for measure, lower in (
                ("comprehensiveness", False),
                ("sufficiency", True),
            )
        }
        accuracy = [
            100 * statistics.mean(values(once(rows), "accuracy", training=kind))
            for kind in ("guided", "traditional")
        ]
        lost = accuracy[0] - accuracy[1]
        agree.append(
            lost >= -1.5 and all(of[0] == len(WORDS) for of in found.values())
        )
        chosen = by_training(rows, "sufficiency", "random")
        control = f"{chosen['traditional']:.3f} → {chosen['guided']:.3f}"
        counts = "; ".join(
            f"{measure} better for {of[0]} of {len(WORDS)} methods (clearly "
            f"for {of[1]}, clearly worse for {of[2]})"
            for measure, of in found.items()
        )
        parts.append(
            f"- {name[0].upper()}{name[1:]}: {counts}; accuracy {lost:+.1f} "
            f"points; sufficiency of words picked at random {control}."
        )
    start = (
        f"The paper's result on {TEXTS[task]}, comprehensiveness up and "
        "sufficiency down for all three methods, "
    )
    if all(agree):
        start += "was reproduced here"
    elif any(agree):
        start += "was reproduced here with some settings alone"
    else:
        start += "did not reproduce here"
    start += (
        " (where accuracy was to fall by 1.5 points at most). Where words "
        "picked at random suffice better too, it is the network that needs "
        "fewer words, not its relevance that names better ones."
    )
    return "\n".join([f"{start}\n", *parts])


def language():
    parts = ["## Language: the paper's Table 1", LANGUAGE]
    if not language_runs("movies"):
        return ""
    for task, title in TEXTS.items():
        settings = language_runs(task)
        parts.append(f"### {title}{', cell by cell' if settings else ''}")
        if not settings:
            parts.append("The paper's figures; it was not run here.")
        parts.append(table1(task))
        for name, rows in settings.items():
            parts += language_of(title, name, rows)
    return "\n\n".join(parts)


LANGUAGE = """A bidirectional LSTM whose states are averaged; relevance by \
magnitude, tokens deleted, the mean of five shares. Movies: 1,600 reviews of \
their first 400 words. e-SNLI, of three classes: pairs of its development set \
to train with, of its test set to validate, and of those with highlights to \
test (its training set is not at hand). *Word vectors*: embeddings start from \
vectors learnt from reviews of IMDb, without labels \
(`examples/word_vectors.py`; the paper's start from GloVe's); *alone*: they \
are learnt from the texts themselves. Mean ± standard deviation over seeds.

How the second setting of Movies was found: with one seed each, word vectors \
and λ = 1 or 0.3 were 2.5 and 3 points less accurate in validation than \
traditional training, so λ = 0.1 was taken, untried. Its first runs kept the \
last of 8 epochs; a guided one ended at 66 % in validation and in test, and \
all were trained anew with the best epoch by validation (the runs replaced are \
in [superseded](results/superseded)). Ranking by the L2 norm and raising λ \
slowly were tried on one seed, without vectors, and not pursued."""


def language_of(title, name, rows):
    """The runs of one setting, with their deviations."""
    run, measures = rows[0], ["comprehensiveness", "sufficiency"]
    if any(row.get("token_auprc") for row in rows):
        measures.append("token_auprc")
    options = f" --kl-weight {run['kl_weight']}"
    if run["task"] != "movies":
        options = f" --dataset {run['task']}{options}"
        options += f" --train-samples {run['train_samples']}"
    tested = re.search(r"(\d+) test texts", run["options"])
    if tested:
        options += f" --test-samples {tested[1]}"
    if "vectors" in name:
        options += " --vectors vectors.txt"
    patience = "patience" in run["options"]
    return [
        f"#### {title}, {name}",
        f"{'The best of ' if patience else ''}{run['epochs']} epochs"
        f"{' by validation' if patience else ''}, "
        f"{int(run['train_samples']):,} texts; {circumstances(rows)}.",
        by_method(rows, measures, [*WORDS, "random"]),
        costs(rows),
        f"Made by {made_by('language', run, options)}.",
    ]


IMAGES = {
    "mnist": "MNIST, all 60,000 images",
    "fashion_mnist": "Fashion-MNIST",
    "pets": "Photographs: is relevance on the animal?",
    "null_blocks": "MNIST beside a null block: which side is relevant?",
}


def _title(task):
    return re.split("[:,]", IMAGES[task])[0]


def images():
    parts = []
    for task, title in IMAGES.items():
        rows = [r for r in runs("images*.csv") if r["task"] == task]
        if not rows:
            continue
        measures = ["drop_auc", "drop_auc_mean_fill"]
        if any(row.get("mass_on_object") for row in rows):
            measures.append("mass_on_object")
        run = rows[0]
        parts += [
            f"## {title}",
            f"{int(run['train_samples']):,} images to train with (the others "
            f"validate), {run['epochs']} epochs, Adam, batch "
            f"{run['batch_size']}, mask fraction {run['mask_fraction']}, λ = "
            f"{run['kl_weight']}; {run['options'].split(',')[0]}, of test "
            f"images{_chance(run)}. Mean ± standard deviation; "
            f"{circumstances(rows)}.",
            *([_replaced()] if task == "pets" else []),
            by_method(rows, measures, [*METHODS, "random"]),
            costs(rows),
        ]
        if (FOLDER / f"{task}.png").exists():
            parts.append(
                f"![Accuracy as the most salient pixels are removed, for each "
                f"method, and how large gradients are](results/{task}.png)"
            )
        parts.append(f"Made by {made_by('images', run, f' --dataset {task}')}.")
    return "\n\n".join(parts)


def _chance(run):
    """Where the sample has as many images of each class: what chance is."""
    classes = re.search(r"of (\d+) classes", run["options"])
    if not classes:
        return ""
    return f" (as many of each breed); chance is {1 / int(classes[1]):.2f}"


def _replaced():
    """What the photographs' runs were that had maps of one breed."""
    rows = once(runs("superseded/images-pets*.csv"))
    accuracies = ", ".join(
        f"{kind} {spread(values(rows, 'accuracy', training=kind))}"
        for kind in kinds_of(rows)
    )
    return (
        "These runs replace others whose maps were all of one breed, as the "
        "test images are sorted ([superseded](results/superseded)). From the "
        f"same seeds, test accuracy was then: {accuracies}."
    )


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
    words = {
        "comprehensiveness": False,
        "sufficiency": True,
        "token_auprc": False,
    }
    for task, title in TEXTS.items():
        for name, rows in language_runs(task).items():
            yield f"{title}, {name}", rows, words, WORDS
    for task in IMAGES:
        rows = [r for r in runs("images*.csv") if r["task"] == task]
        measures = {
            "drop_auc": True,
            "drop_auc_mean_fill": True,
            "mass_on_object": False,
        }
        yield _title(task), rows, measures, METHODS
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
            accuracies.append(points(name, rows))
    parts = [
        "## In short",
        "A difference is called clear if it is two standard errors from 0 or "
        "more, paired: over data sets for time series, over seeds elsewhere "
        "(three are weak evidence, and the methods are not independent).",
    ]
    series = [r for r in runs("time_series*.csv") if r.get("diff_aup")]
    if series:
        text = series_in_words(series, runs("paper.csv"))
        parts.append(f"**Time series.** {text}")
    for task, title in TEXTS.items():
        if language_runs(task):
            parts.append(f"**{title}.** {reproduced(task)}")
    for name, rows, measures, methods in sections():
        if methods != WORDS and {"guided", "random mask"} <= set(
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
            f"{_title(run['task'])}, {int(run['train_samples']):,} images, "
            f"{run['epochs']} epochs; the gradient; one setting changed at a "
            "time from guided: mask fraction 0.5, λ = 1, signed, whole batch. "
            f"Mean ± standard deviation; {circumstances(rows)}.",
            "![Accuracy, drop area and relevance on the digit by mask "
            "fraction, λ, ranking and batch fraction](results/sensitivity.png)",
            table(head, lines),
            f"Made by {made_by('sensitivity', run)}.",
        ]
    )


def economy():
    """Each training of examples/economy.py: what it costs, what it keeps."""
    parts, tasks = [], {}
    for row in runs("economy*.csv"):
        tasks.setdefault((row["file"], row["task"]), []).append(row)
    for (_, task), rows in tasks.items():
        run = rows[0]
        title = {**IMAGES, **TEXTS}.get(task, f"Time series, {task}")
        call = f" --task {'series' if ' ' in task else task}"
        parts += [
            f"### {title}",
            f"{int(run['train_samples']):,} samples, {run['network']}, batch "
            f"{run['batch_size']}; the gradient. Mean ± standard deviation; "
            f"{circumstances(rows)}.",
            economy_of(rows),
            f"Made by {made_by('economy', run, call)}.",
        ]
    if not parts:
        return ""
    return "\n\n".join(["## What is kept where it costs less", *parts])


def economy_of(rows):
    groups = {}
    for row in rows:
        keys = ("training", "epochs", "kl_weight", "options")
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    measures = ["accuracy"]
    measures += [m for m in ARROWS if m in rows[0] and m not in measures]
    lines = []
    for (training, epochs, weight, options), group in groups.items():
        name = f"{training}, {epochs} epochs"
        if weight != "1":
            name += f", λ = {weight}"
        if "rate" in options:
            name += f", {options.split('guided: ')[1]}"
        seconds = spread(values(group, "train_seconds"), 0)
        lines.append(
            [name, seconds, *(spread(values(group, m)) for m in measures)]
        )
    return table(["", "seconds", *(ARROWS[m] for m in measures)], lines)


def page():
    start = """# Results

Written by `docs/update_results.py` from the runs in `docs/results/`, which the
examples made. *Traditional* is `keras.Model`; *guided* is saliency guided
training with the ranking of the authors' code (signed; for words, by
magnitude), *guided absolute* ranks by magnitude; *random mask* is the control:
it masks as many features, picked blindly, under the same KL term. A gain that
the random mask has too does not come from saliency. Seconds are those of a
machine that had other work at the same time: the README has the ratios,
measured side by side.

The paper's figures are Tables 1 and 2 of Ismail, Corrada Bravo, Feizi,
"Improving Deep Learning Interpretability by Saliency Guided Training", NeurIPS
2021 (poster)."""
    parts = [
        start,
        short(),
        time_series(),
        language(),
        images(),
        tables(),
        sensitivity(),
        economy(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    for task in ("mnist", "fashion_mnist", "null_blocks"):
        figures.curves(task)
    figures.sensitivity()
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
