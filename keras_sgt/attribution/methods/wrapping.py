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
        self.explain(method.explained)

    @property
    def baseline_kind(self):
        return self.method.baseline_kind

    @property
    def baselines(self):
        return self.method.baselines

    @property
    def checks_results(self):
        return self.method.checks_results

    def pool(self, attributions):
        return self.method.pool(attributions)

    def prepare(self, x, flat):
        self.method.prepare(x, flat)

    def results(self, rows):
        """Also what the method inside computes, where it looks at that."""
        results = {"attributions": self.pool(self.attribute(rows))}
        if self.checks_results:
            results = {**self.method.results(rows), **results}
        return results

    def check_results(self, results):
        self.method.check_results(results)
