"""Real series: what a prediction rests on."""

import statistics

import results_series
from runs import (
    ARROWS,
    METHODS,
    NETWORKS,
    PAIRS,
    circumstances,
    kinds_of,
    made_by,
    once,
    runs,
    spread,
    table,
    values,
)

MEASURES = {  # is low good?
    "drop_mean": True,
    "drop_sample": True,
    "sufficiency": True,
    "comprehensiveness": False,
}
ASKED = ("drop_mean", "drop_sample", "sufficiency")  # of the first page
READ = (
    "From the same initial weights, k = 0.5, λ = 1, six saliency methods, at "
    "most 200 test series with maps. Removed values are filled by the mean of "
    "the series' channel, or by the values of another series; training fills "
    "with random ones. UCR's sets are at hand as far as named; of ECG5000 the "
    "test samples are 1,500 of its 4,500. The paper's own real series, of "
    "brain scans, are not at hand. How it is judged was written down first, at "
    "the head of `examples/studies/real_series.py`. A difference is the mean "
    "over data sets, whose seeds and methods are averaged first, ± standard "
    "error over data sets."
)


def recordings():
    return runs("real_series*.csv")


def difference(rows, network, kind, other, measure):
    """`Difference` by data set, of means over seeds and methods."""
    which = rows, measure, network, METHODS, kind, other
    return results_series.of_series(*which, least=0)


def claims(rows):
    """A line for each network and measure, a column for each pair."""
    lines = []
    pairs = [pair for pair in PAIRS if pair[0] in kinds_of(rows)]
    for network in dict.fromkeys(row["network"] for row in rows):
        for measure in MEASURES:
            found = [difference(rows, network, *p, measure) for p in pairs]
            lines.append(
                [f"{NETWORKS[network]}, {ARROWS[measure]}", *map(str, found)]
            )
    return table(["", *(f"{kind} − {other}" for kind, other in pairs)], lines)


def in_words(rows):
    """Whether a gain of guiding is one that its control does not have."""
    parts = []
    for network in dict.fromkeys(row["network"] for row in rows):
        signs = {
            pair: {
                measure: difference(rows, network, *pair, measure).clear
                * (-1 if lower else 1)
                for measure, lower in MEASURES.items()
            }
            for pair in PAIRS[:3]
        }
        plain, _, control = signs.values()
        both = [m for m in MEASURES if plain[m] > 0 and control[m] > 0]
        parts.append(
            f"{NETWORKS[network]}: guiding is clearly better than traditional "
            f"training in {_titles(plain, 1)}; than traditional training and "
            f"the random mask in {_listed(both)}; clearly worse than "
            f"traditional training in {_titles(plain, -1)}."
        )
    return " ".join(parts)


def _titles(signs, sign):
    return _listed([measure for measure in signs if signs[measure] == sign])


def _listed(measures):
    titles = [ARROWS[measure].rstrip(" ↑↓") for measure in measures]
    return ", ".join(titles) or "nothing"


def by_set(rows):
    """Each data set, each training: accuracy, and means over methods."""
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        of_network = [row for row in rows if row["network"] == network]
        for task in dict.fromkeys(row["task"] for row in of_network):
            of = [row for row in of_network if row["task"] == task]
            for kind in kinds_of(of):
                accuracy = values(once(of), "accuracy", training=kind)
                means = (
                    statistics.mean(values(of, measure, training=kind))
                    for measure in MEASURES
                )
                lines.append(
                    [
                        f"{NETWORKS[network]}, {task}, {kind}",
                        spread(accuracy),
                        *(f"{mean:.3f}" for mean in means),
                    ]
                )
    return table(["", "accuracy", *(ARROWS[m] for m in MEASURES)], lines)


def section():
    rows = recordings()
    if not rows:
        return ""
    networks = dict.fromkeys(row["network"] for row in rows)
    options = f" --networks {' '.join(networks)} --seeds 0 1 2 3 4"
    made = made_by("real_series", rows[0], options, epochs=False)
    return "\n\n".join(
        [
            "## Real series",
            f"{READ} {circumstances(rows)}.",
            in_words(rows),
            claims(rows),
            "Each data set, means over methods (of accuracy, ± standard "
            "deviation over seeds):",
            by_set(rows),
            f"Made by {made}; the epochs are the study's own.",
        ]
    )
