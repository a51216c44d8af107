"""What is computed of each model, and of each of its methods."""

import dataclasses
import inspect
import json
import re

import keras
import numpy as np

from keras_sgt.evaluation import prediction, results
from keras_sgt.report import measures as known_measures
from keras_sgt.report.data import Data
from keras_sgt.version import __version__

BINS = 41
PART = 1024  # samples that are measured at a time


@dataclasses.dataclass(frozen=True)
class Task:
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
            *(__version__, keras.__version__),
            keras.backend.backend(),
            _architecture(model),
            [weight.path for weight in model.weights],
            [np.asarray(w) for w in model.get_weights()],
        ]

    def of_model(self, model, logits):
        """Its accuracy, and what it says of the samples that are shown."""
        data = self.data
        found = known_measures.accuracy(
            model, data.x, data.y, logits, self.batch_size
        )
        said = prediction.probabilities(
            model, data.x[self.shown], self.batch_size, logits
        )
        return {**_arrays("accuracy", found), "probabilities": said}

    def of_method(self, model, method, logits):
        """What its maps are measured to be, and those that are shown."""
        attributions = method(self.data.x, batch_size=self.batch_size)
        found = {
            "maps": attributions[self.shown],
            "histogram": _histogram(attributions),
        }
        for name in self.measures:
            measured = [
                known_measures.MEASURES[name].compute(
                    known_measures.Given(
                        model=model,
                        data=self.data.some(part),
                        attributions=attributions[part],
                        from_logits=logits,
                        batch_size=self.batch_size,
                    )
                )
                for part in self._slices()
            ]
            found.update(_arrays(name, _joined(measured)))
        return found

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
