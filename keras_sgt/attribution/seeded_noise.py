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

    def normal(self, like, rows, draw=0):
        """Standard normal numbers shaped like a tensor.

        Args:
            like: tensor `(rows, ...)`.
            rows: `Rows`, whose seed tells the place in the work.
            draw: int, to tell several draws at one place apart.
        """
        return self._drawn(keras.random.normal, ops.shape(like), rows, draw)

    def uniform(self, shape, rows, draw=0):
        """Uniform numbers in [0, 1); see `normal`."""
        return self._drawn(keras.random.uniform, shape, rows, draw)

    def _drawn(self, random, shape, rows, draw):
        seed = _At(self.generator, rows.seed, draw)
        if rows.part is None:
            return random(shape, seed=seed)
        # A replica takes its part of what one device would draw.
        first, together = rows.part
        return random((together, *shape[1:]), seed=seed)[
            first : first + shape[0]
        ]


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
