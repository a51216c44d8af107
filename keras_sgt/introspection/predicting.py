"""A function of a model's inputs, run by Keras's `predict`."""

import keras
from keras import ops


class Predicting(keras.Model):
    """Base class of what `predict` compiles, batches and shows progress of.

    `predict` on JAX takes the values out of all variables while it runs, gives
    their memory to the compiled step, and does not put them back when it is
    stopped by an error or by the user. The variables are those of the user's
    own model.
    """

    def _initialize_ddp(self):
        """Each process of PyTorch works by itself, on samples of its own.

        Keras from 3.16 would wait for the others here, to train together.
        """

    def predict(self, *args, **kwargs):
        held = []
        if keras.backend.backend() == "jax":
            held = [(v, ops.copy(v.value)) for v in self.variables]
        try:
            return super().predict(*args, **kwargs)
        except BaseException:  # KeyboardInterrupt too
            for variable, value in held:
                variable.assign(value)
            raise
