"""Random numbers where several replicas, or processes, share a step."""

import keras
from keras import ops

from keras_sgt import backend

# Far more than the draws of a training, and odd: no two replicas meet soon.
_APART = 63_337_271


class SeedGenerator(keras.random.SeedGenerator):
    """Keras's, but each replica of a step draws numbers of its own.

    They share one state, in which all count the same draws: what is saved of
    one replica is right for all. Alone, it draws what Keras's draws.
    """

    def next(self, ordered=True):
        seed = super().next(ordered)
        replica = backend.replica()
        if isinstance(replica, int) and replica == 0:
            return seed
        shift = ops.cast(replica, seed.dtype) * _APART
        return seed + ops.stack([shift, ops.zeros_like(shift)])
