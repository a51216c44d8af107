"""Random numbers for passes that run in a loop."""

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

    def normal(self, like, place, draw=0):
        """Standard normal numbers shaped like a tensor.

        Args:
            like: tensor.
            place: int tensor, another for other numbers.
            draw: int, to tell several draws at one place apart.
        """
        return keras.random.normal(
            ops.shape(like), seed=_At(self.generator, place, draw)
        )

    def uniform(self, shape, place, draw=0):
        """Uniform numbers in [0, 1); see `normal`."""
        return keras.random.uniform(
            shape, seed=_At(self.generator, place, draw)
        )


class _At(keras.random.SeedGenerator):
    """A generator without a state that changes: the same numbers each time."""

    def __init__(self, generator, place, draw):
        self.generator = generator
        self.place = place * 8 + draw % 8
        self.shift = draw // 8 * 1000003

    def next(self, ordered=True):
        state = self.generator.state
        place = ops.cast(self.place, state.dtype)
        shift = ops.cast(self.shift, state.dtype)
        return state.value + ops.stack([shift, place])
