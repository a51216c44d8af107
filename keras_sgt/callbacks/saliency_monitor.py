"""Saliency of fixed samples, watched while a model trains."""

import io
import math
import pathlib
import struct
import time
import warnings

import keras
import numpy as np

from keras_sgt import attribution, backend, checks, evaluation, files
from keras_sgt.introspection import losses
from keras_sgt.report import data, figures

PICTURES = 8  # of samples, side by side


class SaliencyMonitor(keras.callbacks.Callback):
    """Watches the saliency of fixed samples from epoch to epoch.

    At the end of each epoch that is due, `logs` get `saliency_gini`, how
    sparse the maps are, and, if the true features are known, `saliency_mass`,
    the share of relevance that lies on them: so they reach `History` and every
    callback that stands after this one, such as `CSVLogger`. They are NaN where
    maps are not finite, as once a training has diverged. Works with any
    `keras.Model`. An epoch that is not due costs nothing.

    Args:
        x: floats `(samples, ...)`, the samples that are watched; or token ids
            `(samples, length)`, ints.
        y: ints `(samples,)`, their classes, or one-hot.
        every: int ≥ 1, epochs from one look to the next. Defaults to 1.
        truth: bools shaped like `x` (of images without the channels), in none
            all or none. Defaults to `None`, unknown.
        method: function from a model to a method of `keras_sgt.attribution`.
            Defaults to `Gradient`.
        folder: path of a folder for pictures of the first maps, PNG files
            named by epoch (needs Matplotlib): samples entitled by their class,
            a legend, and the truth outlined. Defaults to none.
        log_dir: path, as that of `keras.callbacks.TensorBoard`: numbers and
            pictures for TensorBoard (needs the package tensorboard; without
            it there is a warning). Defaults to none.
        names: for pictures, list of str, of the words of token ids (or dict
            from ids) or of a table's columns. Defaults to their numbers.

    Raises:
        ValueError: for samples, classes, truth or `every` out of range, and,
            when a training begins, for a model that the method cannot explain
            (after the first epoch, if the first step builds it).
        ImportError: for a `folder` without Matplotlib.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.ones((6, 4)), np.zeros(6, "int32")
    >>> monitor = keras_sgt.callbacks.SaliencyMonitor(x, y)
    >>> history = model.fit(
    ...     x, np.eye(2)[y], verbose=0, callbacks=[monitor]
    ... ).history
    >>> sorted(history)
    ['loss', 'saliency_gini']
    """

    def __init__(
        self,
        x,
        y,
        every=1,
        truth=None,
        method=attribution.Gradient,
        folder=None,
        log_dir=None,
        names=None,
    ):
        super().__init__()
        if type(every) is not int or every < 1:
            raise ValueError(
                f"`every` has to be an int, 1 or more. Received: {every!r}"
            )
        if not callable(method):
            raise ValueError(
                "`method` has to be a function from a model to a method. "
                f"Received: {method!r}"
            )
        self.x, self.y, self.domain = data.arrays(x, y)
        if truth is not None:
            truth = data.of_all_channels(truth, self.x, self.domain)
            real = self.x != 0 if self.domain == "text" else None
            truth = checks.truth_masks("truth", truth, self.x.shape, real)
        if folder is not None:
            figures.check_matplotlib()
        self.every = every
        self.truth = truth
        self.method = method
        self.folder = None if folder is None else pathlib.Path(folder)
        self.names = names
        self.log_dir = None if log_dir is None else str(log_dir)
        self._attribute = self._writer = None

    def on_train_begin(self, logs=None):
        self._attribute = None  # of another model, perhaps
        if self.model.built:  # else the first step builds it
            self._prepare()
        if self.log_dir is not None:
            self._writer = _event_writer(self.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        if self._attribute is None:
            self._prepare()
        with backend.kept_random_state():
            maps = self._attribute(self.x, self.y)
        found = self._measured(maps)
        if logs is not None:
            logs.update(found)
        self._keep(epoch, maps, found)

    def _prepare(self):
        """Makes the method, and raises for what it cannot explain."""
        self._attribute = self._made()
        if not isinstance(self._attribute, attribution.Attribution):
            return
        explained = self._attribute.explained
        with backend.kept_random_state():
            explained.inspect(self.x, self.y)
        if self.y.max() >= explained.classes:
            raise ValueError(
                f"`y` has to hold classes below {explained.classes}, the "
                "number that the model knows. Received: class "
                f"{int(self.y.max())}"
            )

    def _made(self):
        """The method, told what the loss knows of the outputs."""
        own = self.method
        if not (
            isinstance(own, type) and issubclass(own, attribution.Attribution)
        ):
            return own(self.model)
        loss = getattr(self.model, "loss", None)
        is_one = loss is not None and not isinstance(loss, (dict, list, tuple))
        facts = losses.read(loss) if is_one else losses.UNKNOWN
        method = own(self.model, from_logits=facts.from_logits)
        method.explained.is_binary = facts.kind != losses.NUMBERS
        return method

    def _measured(self, maps):
        is_finite = np.isfinite(maps).all()
        gini = evaluation.gini(maps).value if is_finite else math.nan
        found = {"saliency_gini": gini}
        if self.truth is not None:
            found["saliency_mass"] = (
                evaluation.relevance_mass(maps, self.truth).value
                if is_finite
                else math.nan
            )
        return found

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _keep(self, epoch, maps, found):
        picture = None
        wanted = self.folder is not None or self._writer is not None
        wanted = wanted and np.isfinite(maps).all()
        if wanted and figures.has_matplotlib():
            picture = self._picture(epoch, maps)
        if self.folder is not None and picture is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"saliency-{epoch + 1:04d}.png"
            files.write(self.folder / name, picture)
        if self._writer is not None:
            self._writer.add_event(_event(epoch, found, picture))

    def _picture(self, epoch, maps):
        """A PNG: a column for each sample, entitled by its class."""
        import matplotlib.figure

        count = min(PICTURES, len(maps))
        images = self.domain == "images"
        rows = 3 if images else 1
        size = (2.2 * count, 7.5) if images else (4 * count, 3.8)
        figure = matplotlib.figure.Figure(size, layout="constrained")
        axes = figure.subplots(rows, count, squeeze=False)
        for i, column in enumerate(axes.T):
            self._draw(i, maps[i], column)
            figures.titled(column[0], f"sample {i}, class {self.y[i]}")
        if images:
            for ax, text in zip(axes[:, 0], ("input", "map", "overlay")):
                ax.text(-0.08, 0.5, text, transform=ax.transAxes, **_UPRIGHT)
        figure.suptitle(f"Saliency after epoch {epoch + 1}")
        signed = bool((maps < 0).any())
        figures.legend(figure, signed, self.truth is not None)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=80)
        return stream.getvalue()

    def _draw(self, i, relevance, axes):
        x, truth = self.x[i], None if self.truth is None else self.truth[i]
        if self.domain == "images":
            for ax, (shown, image) in zip(
                axes,
                ((0 * relevance, x), (relevance, None), (relevance, x)),
            ):
                image = None if image is None else image[None]
                figures.plot_maps(shown[None], image, ax=ax)
                if truth is not None and image is not None:
                    figures.outline(ax, truth)
            return
        names = self.names
        if self.domain == "text":
            names = figures.words(x, names)
        figures.picture(self.domain, x, relevance, truth, names, axes[0])


_UPRIGHT = {"rotation": 90, "va": "center", "ha": "right"}


def _event_writer(log_dir):
    try:
        from tensorboard.summary.writer.event_file_writer import (
            EventFileWriter,
        )
    except ImportError:
        warnings.warn(
            "`SaliencyMonitor(log_dir=...)` needs the package tensorboard "
            "(pip install tensorboard); nothing is written there.",
            stacklevel=3,
        )
        return None
    return EventFileWriter(log_dir)


def _event(epoch, found, picture):
    from tensorboard.compat.proto import event_pb2, summary_pb2

    values = [
        summary_pb2.Summary.Value(tag=name, simple_value=value)
        for name, value in found.items()
    ]
    if picture is not None:
        width, height = struct.unpack(">II", picture[16:24])  # PNG's header
        image = summary_pb2.Summary.Image(
            width=width,
            height=height,
            colorspace=4,  # RGBA
            encoded_image_string=picture,
        )
        values.append(summary_pb2.Summary.Value(tag="saliency", image=image))
    summary = summary_pb2.Summary(value=values)
    return event_pb2.Event(wall_time=time.time(), step=epoch, summary=summary)
