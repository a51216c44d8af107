"""Figures for papers and notebooks. Each takes `ax=` and needs Matplotlib."""

import numpy as np

from keras_sgt.report import registry

COLOURS = ("#0072b2", "#e66101", "#009e73", "#cc79a7", "#56b4e9", "#999933")
STYLES = ("-", "--", ":", "-.")


def plot_maps(maps, images=None, opacity=0.7, percentile=99.0, ax=None):
    """Maps of relevance, side by side, over their images if these are given.

    Blue is negative, orange positive; each map has its own scale, up to a
    percentile of its magnitudes.

    Args:
        maps: floats `(n, height, width)` or `(n, height, width, channels)`.
        images: floats `(n, height, width, channels)`. Defaults to none.
        opacity: float in [0, 1], of the maps over images. Defaults to 0.7.
        percentile: float in (0, 100], what the ends of the scale stand for.
            Defaults to 99.0.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes.

    Raises:
        ValueError: for maps of another shape.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> ax = keras_sgt.report.plot_maps(np.random.rand(3, 8, 8) - 0.5)
    """
    maps = np.asarray(maps, "float64")
    if maps.ndim == 4:
        maps = maps.mean(-1)
    if maps.ndim != 3:
        raise ValueError(
            "`maps` has to be an array `(n, height, width)` or `(n, height, "
            f"width, channels)`. Received: maps of shape {maps.shape}"
        )
    limits = np.percentile(abs(maps), percentile, axis=(1, 2), keepdims=True)
    shares = np.clip(maps / np.where(limits > 0, limits, 1), -1, 1)
    pixels = _diverging(shares)
    if images is not None:
        weight = opacity * abs(shares)[..., None]
        tint = _diverging(np.sign(shares))
        pixels = _colours(np.asarray(images)) * (1 - weight) + tint * weight
    ax = _axes(ax, (2 * len(maps), 2))
    ax.imshow(np.concatenate(list(pixels), axis=1), interpolation="nearest")
    for edge in np.arange(1, len(maps)) * maps.shape[2] - 0.5:
        ax.axvline(edge, color="white", linewidth=2)
    ax.set_axis_off()
    return ax


def plot_tokens(tokens, scores, truth=None, ax=None):
    """The words of a text, coloured by their relevance.

    Args:
        tokens: list of str.
        scores: floats `(tokens,)`. Blue is negative, orange positive.
        truth: bools `(tokens,)`, words to underline. Defaults to none.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes.

    Raises:
        ValueError: unless there is a score for each token.

    Example:

    >>> import keras_sgt
    >>> ax = keras_sgt.report.plot_tokens(["so", "good"], [0.1, 0.9])
    """
    scores = np.asarray(scores, "float64")
    if scores.shape != (len(tokens),):
        raise ValueError(
            f"`scores` has to hold a number for each of the {len(tokens)} "
            f"tokens. Received: scores of shape {scores.shape}"
        )
    colours = _diverging(scores / (abs(scores).max(initial=0) or 1))
    ax = _axes(ax, (8, 0.4 + 0.3 * (1 + sum(map(len, tokens)) // 80)))
    ax.set_axis_off()
    column, line, width = 0, 0, 90
    for i, token in enumerate(tokens):
        if column and column + len(token) > width:
            column, line = 0, line + 1
        ax.text(
            column / width,
            -line,
            # Not mathematics, whatever it holds.
            token.replace("$", r"\$"),
            family="monospace",
            fontsize=9,
            color="black",
            bbox={"facecolor": colours[i], "edgecolor": "none", "pad": 1.5},
        )
        if truth is not None and truth[i]:
            end = (column + len(token)) / width
            ax.plot([column / width, end], [-line - 0.2] * 2, color="black")
        column += len(token) + 1
    ax.set(xlim=(0, 1.05), ylim=(-line - 0.6, 0.8))
    return ax


def plot_series(series, scores, truth=None, ax=None):
    """A map of steps and features, the true ones in a box.

    Args:
        series: floats `(steps, features)`, drawn as lines above the map; or
            `None`.
        scores: floats `(steps, features)`.
        truth: bools `(steps, features)`. Defaults to none.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes of the map.

    Raises:
        ValueError: for scores of another shape than the series.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> x = np.random.rand(20, 3)
    >>> ax = keras_sgt.report.plot_series(x, x - 0.5)
    """
    scores = np.asarray(scores, "float64")
    if series is not None and np.shape(series) != scores.shape:
        raise ValueError(
            f"`scores` has to have the shape of `series`, {np.shape(series)}. "
            f"Received: scores of shape {scores.shape}"
        )
    ax = _axes(ax, (5, 4))
    shares = scores / (abs(scores).max(initial=0) or 1)
    pixels = _diverging(shares.T)
    ax.imshow(pixels, aspect="auto", interpolation="nearest")
    ax.set(xlabel="step", ylabel="feature")
    if truth is not None and np.any(truth):
        steps, features = np.nonzero(truth)
        left, low = steps.min() - 0.5, features.min() - 0.5
        right, high = steps.max() + 0.5, features.max() + 0.5
        ax.plot(
            [left, right, right, left, left],
            [low, low, high, high, low],
            color="black",
            linestyle="--",
        )
    if series is not None:
        above = ax.inset_axes([0, 1.04, 1, 0.35], sharex=ax)
        above.plot(np.asarray(series), linewidth=0.8)
        above.tick_params(labelbottom=False)
    return ax


def plot_curves(curves, title="", xlabel="share of features", ax=None):
    """Curves of one measure, one for each model.

    Args:
        curves: dict from names to pairs of levels and values.
        title, xlabel: str.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes.

    Example:

    >>> import keras_sgt
    >>> curves = {"guided": ([0, 0.5, 1], [1, 0.4, 0.1])}
    >>> ax = keras_sgt.report.plot_curves(curves, "accuracy")
    """
    ax = _axes(ax, (4, 3))
    for i, (name, (levels, values)) in enumerate(curves.items()):
        style = STYLES[i % len(STYLES)]
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(levels, values, style, color=colour, label=name)
    ax.set(title=title, xlabel=xlabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_gradient_distribution(maps, bins=41, ax=None):
    """How large attributions are, as shares of each map's largest.

    Args:
        maps: dict from names to floats `(samples, ...)`.
        bins: int. Defaults to 41.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes.

    Reference: Ismail et al., "Improving Deep Learning Interpretability by
    Saliency Guided Training", NeurIPS 2021.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> maps = {"guided": np.random.rand(5, 8, 8)}
    >>> ax = keras_sgt.report.plot_gradient_distribution(maps)
    """
    ax = _axes(ax, (4, 3))
    for i, (name, values) in enumerate(maps.items()):
        rows = abs(np.asarray(values, "float64").reshape(len(values), -1))
        largest = rows.max(1, keepdims=True)
        shares = rows / np.where(largest > 0, largest, 1)
        ax.hist(
            shares.ravel(),
            bins,
            (0, 1),
            density=True,
            histtype="step",
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i % len(STYLES)],
            label=name,
        )
    ax.set_yscale("log")
    ax.set(xlabel="share of the map's largest magnitude", ylabel="density")
    ax.legend(frameon=False, fontsize=8)
    return ax


def overview(comparison):
    """All curves of a comparison, a row for each method."""
    plt = _pyplot()
    measures = comparison.curves()
    rows, columns = len(comparison.methods), len(measures) + 1
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.6 * columns, 2.8 * rows),
        squeeze=False,
        layout="constrained",
    )
    for method, line in zip(comparison.methods, axes):
        for measure, ax in zip(measures, line):
            plot_curves(
                {
                    model: comparison.curve(model, method, measure)
                    for model in comparison.models
                },
                f"{registry.heading(measure)}, {method}",
                ax=ax,
            )
        plot_curves(
            {
                model: comparison.distribution(model, method)
                for model in comparison.models
            },
            f"log₁₀ share of features, {method}",
            "share of the map's largest",
            ax=line[-1],
        )
    return figure


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need Matplotlib: pip install matplotlib"
        ) from error
    return plt


def _axes(ax, size):
    return _pyplot().subplots(figsize=size)[1] if ax is None else ax


def _diverging(shares):
    """Blue, white, orange for -1, 0, 1: told apart with any colour vision."""
    ends = np.array([[33, 102, 172], [230, 97, 1]]) / 255
    end = ends[(shares > 0).astype(int)]
    weight = np.minimum(abs(shares), 1)[..., None]
    return 1 + (end - 1) * weight


def _colours(images):
    """Images as colours in [0, 1]."""
    images = images.astype("float64")
    low, high = images.min(), images.max()
    images = (images - low) / (high - low if high > low else 1)
    return images if images.shape[-1] == 3 else images[..., :1].repeat(3, -1)
