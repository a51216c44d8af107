"""Numbers of a guided model that may change while it trains."""

import contextlib

from keras_sgt.guidance.settings import lasting
from keras_sgt.guidance.settings import weight as checked_weight
from keras_sgt.introspection import layers as introspection


class ChangingNumbers:
    """What `SaliencyGuidedModel` has of them: λ, the share that is masked.

    They are `Setting`s: of the model, λ, and of its guidances. Where steps are
    traced, a setting is a variable, so that a change needs no new trace.
    """

    @property
    def kl_weight(self):
        """The weight λ of the divergence."""
        return self._kl_weight.number

    @kl_weight.setter
    def kl_weight(self, value):
        value = checked_weight("kl_weight", value)
        crosses_zero = (value == 0) != (self.kl_weight == 0)
        if value > 0:
            for term in self.guidance:
                if term.weight > 0:
                    self.check_needs(term)
        self.sync()
        self._kl_weight.assign(value, self._is_for_now)
        if crosses_zero:
            self.retrace()

    @property
    def mask_fraction(self):
        """The share of each sample's features that is masked."""
        return self._masking_terms()[0].mask_fraction

    @mask_fraction.setter
    def mask_fraction(self, value):
        for term in self._masking_terms():
            term.mask_fraction = value
        self._scheduled = None

    @property
    def masking(self):
        """What masks, of the first guidance that does; else `None`."""
        maskings = [getattr(term, "masking", None) for term in self.guidance]
        return next((m for m in maskings if m is not None), None)

    def _masking_terms(self):
        terms = [
            term
            for term in self.guidance
            if getattr(term, "masking", None) is not None
            and hasattr(term, "mask_fraction")
        ]
        if not terms:
            raise ValueError(
                "None of the guidances has a `mask_fraction`: "
                f"{[term.name for term in self.guidance]}."
            )
        return terms

    @contextlib.contextmanager
    def for_now(self):
        """A context for schedules: what is assigned in it does not last.

        Numbers assigned in it hold for the steps that follow. Files, and
        training that goes on later, have those that were assigned before.

        Example: a step with little weight.

        >>> import keras
        >>> import keras_sgt
        >>> network = keras.Sequential([keras.layers.Dense(2)])
        >>> guided = keras_sgt.SaliencyGuidedModel(network, kl_weight=1.0)
        >>> with guided.for_now():
        ...     guided.kl_weight = 0.1
        >>> guided.kl_weight
        0.1
        >>> with guided.lasting():
        ...     print(guided.kl_weight)
        1.0
        """
        self._is_for_now = True
        try:
            with contextlib.ExitStack() as stack:
                for term in self.guidance:
                    stack.enter_context(term.for_now())
                yield
        finally:
            self._is_for_now = False

    def lasting(self):
        """A context in which numbers read as those that last: `for_now`."""
        return lasting(self.settings())

    def settle(self):
        """Ends what was assigned `for_now`: what lasts is in force again."""
        with self._retracing():
            for setting in self.settings():
                if setting.number != setting.lasting:
                    setting.assign(setting.lasting)

    @contextlib.contextmanager
    def _retracing(self):
        """A context after which another program runs, if one has to."""
        self.sync()
        before = self._active()
        yield
        if self._active() != before:
            self.retrace()

    def begin_epoch(self, epoch, schedule):
        """Sets `mask_fraction` for an epoch, by a schedule.

        An epoch that was stopped midway begins again from what it began from.

        Args:
            epoch: int, the epoch that begins.
            schedule: callable `(epoch, mask_fraction) -> float`, given the
                fraction of the epoch before, or the one that lasts.
        """
        last, before, reached = self._scheduled or (None, None, None)
        if last != epoch:
            with self.lasting():
                own = self.mask_fraction
            before = reached if last == epoch - 1 else own
        with self.for_now():
            self.mask_fraction = schedule(epoch, before)
        self._scheduled = (epoch, before, self.mask_fraction)

    def sync(self):
        """Hands the variables their values, which JAX holds while it trains."""
        introspection.sync(self)

    def retrace(self):
        """Takes another program of the training step, traced if it is new."""
        if self.compiled and self.train_function is not None:
            self._change_program()
            self.make_train_function()

    def settings(self):
        """The numbers that may change between steps."""
        of_terms = [s for term in self.guidance for s in term.settings()]
        return [self._kl_weight, *of_terms]
