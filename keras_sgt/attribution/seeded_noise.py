import keras
from keras import ops


class Noise:
    """Random numbers that depend on a seed and a place in the work.

    Keras's generators change their state with each draw, which a traced loop
    cannot do. These keep it, and draw other numbers at every place.

    Args:
        seed: int, or `None` for a random one.
    """

    def __init__(self, seed):
        self.generator = keras.random.SeedGenerator(seed)

    def normal(self, like, place, part=0):
        """Standard normal numbers shaped like a tensor.

        Args:
            like: tensor.
            place: int tensor, another for other numbers.
            part: int below 8, for several draws at one place.
        """
        return keras.random.normal(
            ops.shape(like), seed=_At(self.generator, place * 8 + part)
        )

    def uniform(self, shape, place, part=0):
        """Uniform numbers in [0, 1); see `normal`."""
        return keras.random.uniform(
            shape, seed=_At(self.generator, place * 8 + part)
        )


class _At(keras.random.SeedGenerator):
    """A generator without a state of its own."""

    def __init__(self, generator, place):
        self.generator = generator
        self.place = place

    def next(self, ordered=True):
        state = self.generator.state
        place = ops.cast(self.place, state.dtype)
        return state.value + ops.stack([ops.zeros_like(place), place])
