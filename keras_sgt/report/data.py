"""The samples of a comparison."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Data:
    """Samples, or some of them.

    Args:
        x: inputs, an array.
        y: classes, ints `(samples,)`.
        truth: bools shaped like `x`, or `None`.
        domain: one of `measures.DOMAINS`.
    """

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray | None
    domain: str

    def some(self, chosen):
        """The chosen samples, by their places or a slice."""
        truth = None if self.truth is None else self.truth[chosen]
        return dataclasses.replace(
            self, x=self.x[chosen], y=self.y[chosen], truth=truth
        )
