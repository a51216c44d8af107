"""What is computed of each model, and of each of its methods."""

import dataclasses
import inspect
import json
import re

import keras
import numpy as np

from keras_sgt.attribution import Attribution
from keras_sgt.evaluation import prediction, results
from keras_sgt.report import measures as known_measures
from keras_sgt.report import tasks
from keras_sgt.report.data import Data
from keras_sgt.version import __version__

BINS = 41
PART = 1024  # samples that are measured at a time


@dataclasses.dataclass(frozen=True)
class Work:
    """What all models of a comparison are asked.

    Args:
        data: `Data` of the arguments.
        measures: list of names.
        shown: ints, the samples whose maps are kept for pictures.
        batch_size: int.
    """

    data: Data
    measures: list
    shown: np.ndarray
    batch_size: int

    def key(self, model, logits):
        """What all results for a model depend on."""
        data = self.data
        truth = [] if data.truth is None else data.truth
        return [
            *(data.x, data.y, truth, self.shown, data.domain, logits),
            *(data.task, list(data.inputs.key), data.continuous),
            *(__version__, keras.__version__),
            *(keras.backend.backend(), keras.config.image_data_format()),
            _architecture(model),
            [weight.path for weight in model.weights],
            [np.asarray(w) for w in model.get_weights()],
        ]

    def of_model(self, model, logits):
        """How well it predicts, and what it says of the samples shown."""
        data, model = self.data, self.data.inputs.seen_by(model)
        few = data.x[self.shown]
        if data.task == tasks.CLASSES:
            found = known_measures.accuracy(
                model, data.x, data.y, logits, self.batch_size
            )
            said = prediction.probabilities(model, few, self.batch_size, logits)
        else:
            found = results.of_samples(
                tasks.quality(data.task, model, data, logits, self.batch_size)
            )
            said = prediction.values(model, few, self.batch_size)
            if data.task == tasks.LABELS and logits:
                said = 1 / (1 + np.exp(-said))
        name = known_measures.QUALITIES[data.task]
        return {**_arrays(name, found), "outputs": said}

    def of_method(self, model, method, logits):
        """What its maps are measured to be, and those that are shown."""
        inputs, seen = self.data.inputs, self.data.inputs.seen_by(model)
        target = spread = None
        if self.data.task != tasks.CLASSES:
            target, spread = self._outputs(seen)
        elif isinstance(method, Attribution):
            method.explained.is_binary = True

        def attribute(x, target=None):
            options = {} if target is None else {"target": target}
            maps = method(inputs.pack(x), batch_size=self.batch_size, **options)
            return inputs.relevance(maps)

        # A method of the user's need not know of targets.
        several = target is not None and len(spread) > 1
        attributions = attribute(self.data.x, target if several else None)
        found = {
            "maps": attributions[self.shown],
            "histogram": _histogram(attributions),
        }
        given = known_measures.Given(
            model=seen,
            data=self.data,
            attributions=attributions,
            from_logits=logits,
            batch_size=self.batch_size,
            method=attribute,
            target=target,
            spread=spread,
        )
        for name in self.measures:
            compute = known_measures.MEASURES[name].compute
            measured = [compute(given.some(p)) for p in self._slices()]
            found.update(_arrays(name, _joined(measured)))
        return found

    def _outputs(self, model):
        """The output of each sample that is explained, and each's spread.

        The label that is most likely; of a regression, the output that is
        furthest from its mean.
        """
        values = prediction.values(model, self.data.x, self.batch_size)
        spread = values.std(0)
        if self.data.task == tasks.NUMBERS:
            scale = np.where(spread > 0, spread, 1)
            values = abs(values - values.mean(0)) / scale
        return values.argmax(1), spread

    def _slices(self):
        """Parts of the samples, so that what a measure needs stays small.

        Not of tables: a column is filled with its mean over all samples. Nor
        of texts, some of which have no truth; both are small.
        """
        if self.data.domain in ("table", "text"):
            return [slice(None)]
        size = -(-PART // self.batch_size) * self.batch_size
        return [slice(i, i + size) for i in range(0, len(self.data.x), size)]


def _joined(measures):
    """The measure of all samples, from those of its parts."""
    if len(measures) == 1:
        return measures[0]
    sizes = [len(measure.per_sample) for measure in measures]
    curve = None
    if measures[0].curve is not None:
        curves = [measure.curve for measure in measures]
        curve = np.average(curves, axis=0, weights=sizes)
    return results.of_samples(
        np.concatenate([measure.per_sample for measure in measures]),
        curve,
        measures[0].levels,
    )


def _architecture(model):
    """How a model computes: its configuration, or the code of its class."""
    try:
        config = json.dumps(model.get_config(), default=repr, sort_keys=True)
    except (NotImplementedError, TypeError, ValueError):
        config = ""
    try:
        source = inspect.getsource(type(model))
    except (OSError, TypeError):
        source = ""
    # The address of an object is another in each process.
    return [type(model).__name__, source, re.sub("0x[0-9a-f]+", "", config)]


def _arrays(name, measure):
    """The fields of a measure that are kept."""
    found = {f"{name}/value": np.float64(measure.value)}
    for field in ("per_sample", "curve", "levels"):
        value = getattr(measure, field)
        if value is not None:
            found[f"{name}/{field}"] = np.asarray(value)
    return found


def _histogram(attributions):
    """How many features have which share of their map's largest magnitude."""
    counts = np.zeros(BINS)
    for rows in np.array_split(attributions, 1 + len(attributions) // 256):
        rows = abs(rows.reshape(len(rows), -1))
        largest = rows.max(1, keepdims=True)
        shares = rows / np.where(largest > 0, largest, 1)
        counts += np.histogram(shares, BINS, (0, 1))[0]
    return counts / attributions.size
