from keras import ops

from keras_sgt.attribution import baselines as baseline_values
from keras_sgt.attribution.base import Attribution
from keras_sgt.attribution.passes import (
    by_row,
    like_features,
    one_term_for_all,
)


class Ablation(Attribution):
    """Base class: what the score loses when features become a baseline's.

    Methods define `count()`, the number of sets of features, and
    `masks(rows, i)`, bools like the features, with the set of each row, or one
    for all rows.
    """

    baseline_kind = "one"
    needs_gradient = False
    whole_tokens = True  # a token is left out whole

    def __init__(self, model, baselines=0.0, **options):
        super().__init__(model, **options)
        baseline_values.check(baselines)
        self.baselines = baselines

    def attribute(self, rows):
        is_for_all = one_term_for_all(rows, self.count())

        def term(rows, i):
            masks = self.masks(rows, i[:1] if is_for_all else i)
            ablated = [
                ops.where(m, b, f)
                for m, b, f in zip(masks, rows.baselines, rows.features)
            ]
            lost = rows.context[0] - self.scores(rows, ablated)
            masks = [ops.cast(m, "float32") for m in masks]
            if not is_for_all:
                masks = like_features(masks, rows)
            return [by_row(lost, m) * m for m in masks] + masks

        zeros = [ops.zeros_like(f) for f in rows.features]
        rows = rows._replace(context=[self.scores(rows)])
        sums = self.total(term, self.count(), rows, zeros + zeros)
        lost, often = sums[: len(zeros)], sums[len(zeros) :]
        return [a / ops.maximum(n, 1) for a, n in zip(lost, often)]
