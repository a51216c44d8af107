"""The front of accuracy and faithfulness, and maps of a few samples."""

import itertools

import numpy as np

from keras_sgt import report
from keras_sgt.searching import measures
from keras_sgt.searching.confirmation import CONTROL, GUIDED, TRADITIONAL

COLOURS = ("#0072b2", "#e66101", "#009e73", "#cc79a7", "#56b4e9", "#999933")
MARKS = {TRADITIONAL: "s", GUIDED: "*", CONTROL: "X"}
SHOWN = 6  # samples


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need Matplotlib: pip install matplotlib."
        ) from error
    return plt


def front(search, ax=None):
    """Trials as points; confirmed trainings with their standard errors."""
    if ax is None:
        _, ax = _pyplot().subplots(figsize=(7.5, 5), layout="constrained")
    _draw_trials(search, ax)
    if search.reference is not None:
        accuracy = search.reference["accuracy"]
        ax.plot(
            accuracy, 0, "s", color="#1b1b1b", label="traditional", zorder=4
        )
    if search.confirmation is not None:
        _draw_confirmed(search.confirmation, ax)
    ax.set(xlabel="accuracy", ylabel="faithfulness (deviations of a sample)")
    ax.margins(0.08)
    if search.reference is not None:
        low, high = ax.get_xlim()
        ax.axvspan(
            min(max(accuracy - search.plan.tolerance, low), high),
            high,
            color="#eeeeee",
            zorder=0,
            label="within the tolerance of traditional",
        )
        ax.set_xlim(low, high)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax.figure


def _draw_trials(search, ax):
    """Those that came to the last epoch; the others cannot be compared."""
    done = [row for row in search.rows if row.state == "complete"]
    colours = itertools.cycle(COLOURS)
    for colour, name in zip(colours, search.plan.candidates):
        points = [_point(r) for r in done if r.params["candidate"] == name]
        if points:
            ax.plot(*zip(*points), "o", color=colour, label=name, zorder=3)
    if search.chosen is not None:
        ax.plot(
            *_point(search.chosen),
            "o",
            markersize=13,
            color="#b2182b",
            markerfacecolor="none",
            label="chosen",
            zorder=3,
        )
    best = _front([_point(row) for row in done])
    if len(best) > 1:
        ax.plot(*zip(*best), "-", color="#777777", label="front", zorder=2)


def _point(row):
    return row.outcome["accuracy"], row.outcome["faithfulness"]


def _front(points):
    """The points that no other beats in both, by accuracy."""
    found = []
    for accuracy, faithfulness in sorted(set(points), reverse=True):
        if not found or faithfulness > found[-1][1]:
            found.append((accuracy, faithfulness))
    return found


def _draw_confirmed(confirmation, ax):
    for training, mark in MARKS.items():
        pairs = [
            confirmation.accuracies[training].mean(1),
            confirmation.values[training].mean(1),
        ]
        errors = [v.std(ddof=1) / len(v) ** 0.5 for v in pairs]
        ax.errorbar(
            pairs[0].mean(),
            pairs[1].mean(),
            xerr=errors[0],
            yerr=errors[1],
            fmt=mark,
            markersize=11,
            color="#b2182b",
            markerfacecolor="white" if training != GUIDED else "#b2182b",
            label=f"{training}, fresh seeds and data",
            zorder=5,
        )


def maps(search):
    """Gradient maps of a few samples, a row for each trained model.

    Returns:
        The figure, or `None` for data without pictures and where the models
        were trained by another process.
    """
    x = search.plan.confirmed_by.x
    trainings = [t for t in MARKS if t in search.models]
    if x.ndim not in (3, 4) or len(trainings) < 2:
        return None
    shown = x[_of_all_classes(search.plan.confirmed_by.y)]
    pictures = shown if x.ndim == 4 else np.swapaxes(shown, 1, 2)[..., None]
    rows = 1 + len(trainings)
    figure, axes = _pyplot().subplots(
        rows, 1, figsize=(7.5, 1.5 * rows), layout="constrained"
    )
    flat = pictures[..., :3] if pictures.shape[-1] == 3 else pictures.mean(-1)
    axes[0].imshow(np.concatenate(list(flat), axis=1), cmap="gray_r")
    axes[0].set_title("input", fontsize=9)
    axes[0].axis("off")
    for ax, training in zip(axes[1:], trainings):
        found = measures.gradient_maps(
            search.models[training].model, shown, search.plan.from_logits
        )
        if x.ndim == 3:
            found = np.swapaxes(found, 1, 2)
        report.plot_maps(found, ax=ax)
        ax.set_title(training, fontsize=9)
        ax.axis("off")
    return figure


def _of_all_classes(y):
    first = [np.flatnonzero(y == label)[0] for label in np.unique(y)]
    return np.array([*first, *range(len(y))])[:SHOWN]
