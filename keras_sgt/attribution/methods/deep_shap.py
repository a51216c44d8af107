from keras import ops

from keras_sgt.attribution.methods.deep_lift import DeepLIFT
from keras_sgt.attribution.passes import one_term_for_all, zeros_of_rows


class DeepSHAP(DeepLIFT):
    """The mean of DeepLIFT over several baselines.

    Args:
        model: `keras.Model` with weights.
        baselines: an array `(baselines, ...)` that each sample is compared
            with, such as training samples; a nest of them, or a callable from
            the inputs to these.
        **options: those of `DeepLIFT`.

    Reference: Lundberg and Lee, "A unified approach to interpreting model
    predictions", NeurIPS 2017. Captum's `DeepLiftShap`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1, 0], [3, 5]]), np.zeros(2)])
    >>> method = keras_sgt.attribution.DeepSHAP(
    ...     model, baselines=np.array([[0.0, 0.0], [2.0, 2.0]])
    ... )
    >>> method(np.array([[2.0, -1.0]]), target=0).round(4).tolist()
    [[1.0, -6.0]]
    """

    baseline_kind = "several"

    def __init__(self, model, baselines, **options):
        super().__init__(model, baselines, **options)

    def compared(self, rows):
        baselines = rows.baselines
        several = baselines[0].shape[0]
        is_for_all = one_term_for_all(rows, several)
        number = len(rows.features)

        def term(rows, i):
            i = i[:1] if is_for_all else i
            chosen = [ops.take(b, i, axis=0) for b in baselines]
            by_input, contributions, score = self.differences(rows, chosen)
            if self.multiply_by_inputs:  # both are the same
                by_input = []
            return [*by_input, *contributions, score]

        lists = 1 if self.multiply_by_inputs else 2
        zeros = [ops.zeros_like(f) for f in rows.features] * lists
        zeros.append(zeros_of_rows(rows))
        without = rows._replace(baselines=[])
        sums = self.total(term, several, without, zeros)
        means = [s / several for s in sums]
        return means[:number], means[-1 - number : -1], means[-1]
