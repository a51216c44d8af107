"""Figures for papers and notebooks. Each takes `ax=` and needs Matplotlib."""

import importlib.util
import textwrap

import numpy as np

from keras_sgt.evaluation import relevance as relevance_axes
from keras_sgt.report import measures as known_measures

COLOURS = ("#0072b2", "#e66101", "#009e73", "#cc79a7", "#56b4e9", "#999933")
STYLES = ("-", "--", ":", "-.")


def plot_maps(maps, images=None, opacity=0.7, percentile=99.0, ax=None):
    """Maps of relevance, side by side, over their images if these are given.

    Blue is negative, orange positive; each map has its own scale, up to a
    percentile of its magnitudes.

    Args:
        maps: floats `(n, height, width)` or `(n, height, width, channels)`,
            channels first if `keras.config.image_data_format()` says so.
        images: floats of such a shape, with any number of channels. Defaults
            to none.
        opacity: float in [0, 1], of the maps over images. Defaults to 0.7.
        percentile: float in (0, 100], what the ends of the scale stand for.
            Defaults to 99.0.
        ax: Matplotlib axes. Defaults to new ones.

    Returns:
        The axes.

    Raises:
        ValueError: for maps of another shape, or images of another size.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> ax = keras_sgt.report.plot_maps(np.random.rand(3, 8, 8) - 0.5)
    """
    maps = np.asarray(maps, "float64")
    channels = relevance_axes.channels(4)
    if maps.ndim == 4:
        maps = maps.mean(channels)
    if maps.ndim != 3 or not maps.size:
        raise ValueError(
            "`maps` has to be an array `(n, height, width)` or `(n, height, "
            "width, channels)`, or channels first by `keras.config`. Received: "
            f"maps of shape {maps.shape}"
        )
    if images is not None:
        images = np.asarray(images)
        if images.ndim == 4:
            images = np.moveaxis(images, channels, -1)
        images = images[..., None] if images.ndim == 3 else images
        if images.shape[:3] != maps.shape:
            raise ValueError(
                f"`images` have to be as many and as large as `maps`, "
                f"{maps.shape}. Received: images of shape {images.shape}"
            )
    limits = np.percentile(abs(maps), percentile, axis=(1, 2), keepdims=True)
    shares = np.clip(maps / np.where(limits > 0, limits, 1), -1, 1)
    pixels = _diverging(shares)
    if images is not None:
        weight = opacity * abs(shares)[..., None]
        tint = _diverging(np.sign(shares))
        pixels = _colours(images) * (1 - weight) + tint * weight
    ax = _axes(ax, (2 * len(maps), 2))
    ax.imshow(np.concatenate(list(pixels), axis=1), interpolation="nearest")
    for edge in np.arange(1, len(maps)) * maps.shape[2] - 0.5:
        ax.axvline(edge, color="white", linewidth=2)
    ax.set_axis_off()
    return ax


def plot_tokens(tokens, scores, truth=None, ax=None):
    """The words of a text, coloured by their relevance.

    Words stand side by side as wide as they are, in as many lines as they
    need. In axes that are too small for all of them the letters get smaller,
    and at last words are left out and counted.

    Args:
        tokens: list of str.
        scores: floats `(tokens,)`. Blue is negative, orange positive.
        truth: bools `(tokens,)`, words to underline. Defaults to none.
        ax: Matplotlib axes. Defaults to new ones, as high as the text.

    Returns:
        The axes.

    Raises:
        ValueError: unless there is a text and a score for each token.

    Example:

    >>> import keras_sgt
    >>> ax = keras_sgt.report.plot_tokens(["so", "good"], [0.1, 0.9])
    """
    tokens = list(tokens)
    wrong = [token for token in tokens if not isinstance(token, str)]
    if wrong:
        raise ValueError(
            "`tokens` has to hold text; map token ids to words first. "
            f"Received: {wrong[0]!r} of type {type(wrong[0]).__name__}"
        )
    scores = np.asarray(scores, "float64")
    for name, values in (("scores", scores), ("truth", truth)):
        if values is not None and np.shape(values) != (len(tokens),):
            raise ValueError(
                f"`{name}` has to hold a number for each of the {len(tokens)} "
                f"tokens. Received: {name} of shape {np.shape(values)}"
            )
    own = ax is None
    if own:
        ax = _pyplot().figure(figsize=(8, 1)).add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.figure.figure.draw_without_rendering()  # a layout settles
    colours = _diverging(scores / (abs(scores).max(initial=0) or 1))
    texts = [_word(ax, *pair) for pair in zip(tokens, colours)]
    widths = np.array([_points(ax, t.get_window_extent().width) for t in texts])
    width, height = (_points(ax, v) for v in ax.get_window_extent().size)
    size, left, line = _lines(widths, width, np.inf if own else height)
    if own:
        lines = 1 + max(line, default=0)
        ax.figure.set_size_inches(8, (lines + 0.5) * LEADING * size / 72)
        height = np.inf
    _place(ax, texts, truth, widths, (size, left, line), height)
    return ax


LETTERS, LEADING, GAP = 9, 1.9, 6  # points, a line's height in them, points


def _word(ax, token, colour):
    return ax.text(
        0,
        0,
        token.replace("$", r"\$"),  # not mathematics, whatever it holds
        family="monospace",
        fontsize=LETTERS,
        color="black",
        va="center",
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
    )


def _points(ax, pixels):
    return pixels * 72 / ax.figure.dpi


def _lines(widths, width, height):
    """The largest size of letters that fits; each word's left end and line."""
    for size in (LETTERS, 7, 5):
        x, line, places = GAP, 0, []
        for own in widths * size / LETTERS:
            if x > GAP and x + own + GAP > width:
                x, line = GAP, line + 1
            places.append((x, line))
            x += own + GAP
        if (line + 1.5) * LEADING * size <= height:
            break
    left, lines = zip(*places) if places else ((), ())
    return size, left, lines


def _place(ax, texts, truth, widths, layout, height):
    """Moves words to their places, in points from the axes' upper left."""
    from matplotlib import transforms

    size, left, line = layout
    corner = transforms.ScaledTranslation(0, 1, ax.transAxes)
    place = transforms.Affine2D().scale(1 / 72)
    place = place + ax.figure.dpi_scale_trans + corner
    step = LEADING * size
    # The last line that fits is kept for the number of words left out.
    fitting = int((height - step / 2) / step) if height < np.inf else len(texts)
    fits = max(line, default=0) < fitting
    for i, text in enumerate(texts):
        y = -(line[i] + 0.75) * step
        if not fits and line[i] >= fitting - 1:
            text.set_text(f"… {len(texts) - i} more")
            text.set(bbox=None, x=GAP, y=y, transform=place, fontsize=size)
            for other in texts[i + 1 :]:
                other.remove()
            break
        text.set(x=left[i], y=y, transform=place, fontsize=size)
        if truth is not None and truth[i]:
            ends = [left[i], left[i] + widths[i] * size / LETTERS]
            low = y - 0.75 * size
            ax.plot(ends, [low, low], color="black", transform=place)


def plot_series(series, scores, truth=None, ax=None):
    """A map of steps and features, the true ones in a box.

    The signals are drawn above it, in the upper part of the axes, aligned.

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
        from mpl_toolkits.axes_grid1 import make_axes_locatable

        divider = make_axes_locatable(ax)
        above = divider.append_axes("top", "40%", pad=0.08, sharex=ax)
        above.plot(np.asarray(series), linewidth=0.8)
        above.tick_params(labelbottom=False)
        above.set_label("signals")
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
    """All curves of a comparison, and maps of a few samples below them."""
    columns = len(comparison.curves()) + 1
    pictures = min(PICTURES, len(comparison.shown))
    rows = len(comparison.methods), len(comparison.models)
    sizes = 2.8 * rows[0], 2.4 * rows[1]
    figure = _pyplot().figure(
        figsize=(max(3.6 * columns, 2.6 * pictures), sum(sizes)),
        layout="constrained",
    )
    above, below = figure.subfigures(2, height_ratios=sizes)
    axes = above.subplots(rows[0], columns, squeeze=False)
    for method, line in zip(comparison.methods, axes):
        _curves(comparison, method, line)
    axes = below.subplots(rows[1], pictures, squeeze=False)
    for model, line in zip(comparison.models, axes):
        for i, ax in enumerate(line):
            _picture_of(comparison, model, i, ax)
    return figure


PICTURES = 4  # samples in an overview


def _curves(comparison, method, axes):
    for measure, ax in zip(comparison.curves(), axes):
        curves = {
            model: comparison.curve(model, method, measure)
            for model in comparison.models
        }
        plot_curves(curves, ax=ax)
        titled(ax, f"{known_measures.heading(measure)}\n{method}")
    shares = {
        model: comparison.distribution(model, method)
        for model in comparison.models
    }
    plot_curves(shares, xlabel="share of the map's largest", ax=axes[-1])
    axes[-1].set_yscale("log")
    titled(axes[-1], f"share of features\n{method}")


def _picture_of(comparison, model, i, ax):
    method = comparison.methods[0]
    truth = None if comparison.truth is None else comparison.truth[i]
    x = comparison.x[i]
    names = comparison.feature_names
    if comparison.domain == "text":
        names = words(x, comparison.names.tokens)
    picture(
        comparison.domain,
        x,
        comparison.part(model, method)["maps"][i],
        truth,
        names,
        ax,
    )
    titled(ax, f"sample {comparison.shown[i]}\n{model}, {method}")


def picture(domain, x, relevance, truth=None, names=None, ax=None):
    """The relevance of one sample, in the way of its kind of data."""
    if domain == "images":
        return plot_maps(relevance[None], x[None], ax=ax)
    if domain == "series":
        return plot_series(x, relevance, truth, ax=ax)
    if domain == "text":
        end = len(names)
        truth = None if truth is None else truth[:end]
        return plot_tokens(names, relevance[:end], truth, ax=ax)
    return _bars(relevance, names, ax)


def _bars(relevance, names, ax, most=12):
    """The most relevant columns of a row of a table."""
    ax = _axes(ax, (4, 3))
    chosen = np.argsort(-abs(relevance), kind="stable")[:most][::-1]
    shares = relevance[chosen] / (abs(relevance).max(initial=0) or 1)
    ax.barh(range(len(chosen)), shares, color=_diverging(np.sign(shares)))
    ax.set_yticks(
        range(len(chosen)),
        [
            str(i if names is None else names[i]).replace("$", r"\$")
            for i in chosen
        ],
        fontsize=7,
    )
    ax.set(xlim=(-1.05, 1.05), xlabel="relevance, largest ±1")
    return ax


def words(ids, names):
    """The words of a text up to its padding, at its end."""
    ids = ids[: int(np.flatnonzero(ids).max(initial=-1)) + 1].tolist()
    if names is None:
        return [str(token) for token in ids]
    if callable(names):
        return [str(names(token)) for token in ids]
    if isinstance(names, dict):
        return [str(names.get(token, token)) for token in ids]
    known = range(len(names))
    return [str(names[token] if token in known else token) for token in ids]


def outline(ax, truth):
    """The border of what is true of an image, on its axes."""
    mask = np.asarray(truth, bool)
    if mask.ndim == 3:
        mask = mask.any(relevance_axes.channels(4) - 1)
    if mask.any() and not mask.all():
        for colour, width in (("white", 2.5), ("black", 1.2)):
            ax.contour(mask, [0.5], colors=colour, linewidths=width)


def legend(figure, signed, truth):
    """What the colours of a figure's maps mean, below them.

    Args:
        figure: Matplotlib figure.
        signed: whether some relevance is negative.
        truth: whether the true features are drawn.
    """
    from matplotlib import lines, patches

    against, _, support = _diverging(np.array([-1.0, 0.0, 1.0]))
    told = "for the class" if signed else "relevant"
    handles = [patches.Patch(color=support, label=f"{told}, each map's scale")]
    if signed:
        handles.append(patches.Patch(color=against, label="against it"))
    if truth:
        handles.append(
            lines.Line2D([], [], color="black", label="known to matter")
        )
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False
    )


def titled(ax, title):
    """A title in lines that are not wider than the axes."""
    lines = [textwrap.fill(line, 36) for line in title.split("\n")]
    siblings = ax.get_shared_x_axes().get_siblings(ax)
    signals = any(other.get_label() == "signals" for other in siblings)
    ax.set_title(
        "\n".join(lines).replace("$", r"\$"),
        fontsize=9,
        y=1.55 if signals else None,  # above the signals, not below them
    )


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need Matplotlib: pip install matplotlib"
        ) from error
    return plt


def check_matplotlib():
    """Raises an error that tells what to install, if it is missing."""
    _pyplot()


def has_matplotlib():
    return importlib.util.find_spec("matplotlib") is not None


def _axes(ax, size):
    if ax is not None:
        return ax
    return _pyplot().subplots(figsize=size, layout="constrained")[1]


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
