"""One training from a seed: traditional, guided, or guided blindly."""

import dataclasses
import math
import typing

import keras
import numpy as np
from keras import ops

from keras_sgt.introspection import configurations
from keras_sgt.training import SaliencyGuidedModel


class Diverged(Exception):
    """A training whose loss is no number any more."""


@dataclasses.dataclass
class Recipe:
    """What all trainings of a search have in common.

    Args:
        build_model: function that returns a compiled model.
        train: what `fit` takes: a tuple of arrays, or a data set.
        epochs: int.
        batch_size: int or `None`, of arrays.
        example: one sample, `(1, ...)`, to build models with.
        initial: dict from seeds to the weights that training begins with.
    """

    build_model: typing.Callable
    train: typing.Any
    epochs: int
    batch_size: int | None
    example: np.ndarray | None = None
    initial: dict = dataclasses.field(default_factory=dict)

    def rungs(self):
        """The epochs after which a trial may be given up."""
        thirds = {math.ceil(self.epochs / 3), math.ceil(self.epochs * 2 / 3)}
        return sorted(thirds - {self.epochs})

    def model(self, seed):
        """A new model with the initial weights of the seed."""
        keras.utils.set_random_seed(seed)
        model = self.build_model()
        self.build(model)
        if seed in self.initial:
            model.set_weights(self.initial[seed])
        else:
            self.initial[seed] = model.get_weights()
        return model

    def build(self, model):
        """Makes its weights, if it has none yet."""
        if not model.built:
            model(ops.convert_to_tensor(self.example))

    def guided(self, seed, guidances=None, step_fraction=1.0):
        """A compiled guided model; a traditional one without guidances."""
        model = self.model(seed)
        keras.utils.set_random_seed(seed)
        options = {"kl_weight": 0.0}
        if guidances is not None:
            options = {
                "guidance": guidances(),
                "step_fraction": step_fraction,
            }
        guided = SaliencyGuidedModel(model, **options)
        guided.compile(**configurations.compile_arguments(model))
        return guided

    def trained(
        self, seed, guidances=None, step_fraction=1.0, start=0.0, at_rung=None
    ):
        """A trained guided model.

        Args:
            seed: int, of initial weights, order and all random numbers.
            guidances: function that returns a list of guidances; `None` for
                traditional training.
            step_fraction: of `SaliencyGuidedModel`.
            start: the share of the epochs that are plain training first.
            at_rung: function of the model and the epochs it has had, called
                at each of `rungs()` that guidance had come to by then.

        Raises:
            Diverged: where the loss is no number.
        """
        guided = self.guided(seed, guidances, step_fraction)
        first = int(start * self.epochs)
        done = 0
        for end in sorted({first, *self.rungs(), self.epochs} - {0}):
            if guidances is not None:
                guided.kl_weight = 1.0 if done >= first else 0.0
            self._fit(guided, done, end)
            done = end
            if at_rung and end in self.rungs() and end > first:
                at_rung(guided, end)
        return guided

    def _fit(self, guided, done, end):
        x, y, sample_weight = self.train, None, None
        if isinstance(self.train, (tuple, list)):
            x, y, sample_weight = (*self.train, None)[:3]
        history = guided.fit(
            x,
            y,
            sample_weight=sample_weight,
            batch_size=self.batch_size,
            initial_epoch=done,
            epochs=end,
            verbose=0,
        )
        if not np.isfinite(history.history["loss"][-1]):
            raise Diverged
