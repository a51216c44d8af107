from keras_sgt.attribution.base import Attribution


class Wrapper(Attribution):
    """A method around another, whose model and settings it shares.

    Args:
        method: `Attribution`.
        **options: none; those of `method` hold.

    Raises:
        ValueError: if it is no method, or there are options.
    """

    def __init__(self, method, **options):
        if not isinstance(method, Attribution):
            raise ValueError(
                f"`{type(self).__name__}` goes around a method, such as "
                "`keras_sgt.attribution.Gradient(model)`. Received: "
                f"{type(method).__name__}"
            )
        if options:
            raise ValueError(
                f"{sorted(options)} are settings of the method inside: "
                f"`{type(method).__name__}(model, ...)`."
            )
        self.method = method
        self.pooling = method.pooling
        self._explain(method.explained)

    @property
    def baseline_kind(self):
        return self.method.baseline_kind

    @property
    def baselines(self):
        return self.method.baselines

    def _pooled(self, found):
        return self.method._pooled(found)

    def _prepare(self, x, flat):
        self.method._prepare(x, flat)

    def _settle(self, target, looks):
        super()._settle(target, looks)
        self.method._settle(target, 1)
