"""A function of a model's inputs, run by Keras's `predict`."""

import keras


class Predicting(keras.Model):
    """Base class of what `predict` compiles, batches and shows progress of.

    `predict` on JAX takes the values out of all variables while it runs, and
    does not put them back when it is stopped by an error or by the user. The
    variables are those of the user's own model.
    """

    def predict(self, *args, **kwargs):
        held = [(variable, variable.value) for variable in self.variables]
        try:
            return super().predict(*args, **kwargs)
        except BaseException:  # KeyboardInterrupt too
            for variable, value in held:
                variable.assign(value)
            raise
