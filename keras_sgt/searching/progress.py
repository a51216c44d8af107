"""What a search says while it runs."""

import contextlib
import sys
import time

from keras_sgt.searching.plan import title


class Progress:
    """A line for each training, with an estimate of what is left.

    Args:
        verbose: 0 for silence.
        trials: int, how many there are to be.
        confirmations: int, how many trainings come after them.
    """

    def __init__(self, verbose, trials, confirmations):
        self.verbose = verbose
        self.trials = trials
        self.confirmations = confirmations
        self._left = trials + confirmations
        self._seconds = []

    @contextlib.contextmanager
    def timed(self):
        began = time.monotonic()
        yield
        self._seconds.append(time.monotonic() - began)

    def say(self, text):
        if self.verbose:
            print(text, file=sys.stderr, flush=True)

    def trial(self, number, params, outcome, pruned):
        faithfulness = outcome.get("faithfulness")
        found = "diverged"
        if faithfulness is not None:
            found = (
                f"accuracy {outcome['accuracy']:.4f}, faithfulness "
                f"{faithfulness:+.3f}"
            )
        given_up = ", given up" if pruned else ""
        self._line(f"trial {number}: {title(params)}: {found}{given_up}")

    def confirmed(self, job, accuracy):
        self._line(
            f"seed {job['seed']}, {job['training']}: accuracy {accuracy:.4f}"
        )

    def _line(self, text):
        self._left = max(0, self._left - 1)
        self.say(f"{text}{self._estimate()}")

    def _estimate(self):
        if not self._seconds or not self._left:
            return ""
        seconds = self._left * sum(self._seconds) / len(self._seconds)
        return f" (about {_duration(seconds)} left)"


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
