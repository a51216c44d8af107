"""How faithful and how plausible the relevance of tokens is (ERASER)."""

import dataclasses

import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction, relevance, results

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)


def comprehensiveness(
    model,
    tokens,
    scores,
    bins=BINS,
    include_zero=False,
    target=None,
    padding=0,
    special_tokens=(),
    from_logits=False,
    batch_size=256,
):
    """How much of the prediction goes when the top tokens are deleted.

    `value = mean over texts and bins q of p_j(x) − p_j(x without its top
    ⌈q·n⌉ tokens)` (AOPC), j the class predicted for the whole text, n its
    tokens. Tokens are deleted, not replaced: those behind move up, and the
    text is padded to its old length on the side it was padded on. Bounds: −1
    and 1. **Higher is better**: the tokens were needed.

    Args:
        model: classifier of token ids with Keras's `predict`, outputs
            `(samples, classes)` or `(samples, 1)`.
        tokens: ints `(samples, length)`, padded.
        scores: floats shaped like `tokens`; the highest are deleted first, the
            first of equals first.
        bins: increasing fractions in (0, 1). Defaults to ERASER's
            0.01, 0.05, 0.1, 0.2, 0.5.
        include_zero: whether q = 0 counts as a bin: the formula of ERASER's
            paper, which divides by 6; its code divides by the 5 bins. Defaults
            to `False`, the code.
        target: ints `(samples,)`, other classes j. Defaults to the predicted
            ones.
        padding: int, the id that pads. Defaults to 0.
        special_tokens: ids that are not counted and stay, such as `[CLS]`.
        from_logits: whether outputs are logits. Defaults to `False`.
        batch_size: int, of `model.predict`. Defaults to 256.

    Returns:
        `Measure`: `curve`, the mean at each of the bins, which are `levels`;
        `per_sample`, the mean of each text.

    Raises:
        ValueError: for scores of another shape or with NaN, bins outside
            (0, 1), a text without tokens, or outputs that are not
            probabilities.

    Reference: DeYoung et al., "ERASER: A benchmark to evaluate rationalized
    NLP models", ACL 2020, and its code.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential(
    ...     [keras.layers.Embedding(3, 2), keras.layers.GlobalMaxPooling1D()]
    ... )
    >>> tokens = np.array([[1, 2, 2, 2]])
    >>> _ = model(tokens)
    >>> model.set_weights([np.array([[0, 1], [1, 0], [0, 1]])])
    >>> result = keras_sgt.evaluation.comprehensiveness(
    ...     model, tokens, np.array([[9, 0, 0, 0]]), target=[0],
    ...     from_logits=True,
    ... )  # softmax of (1, 1), then of (0, 1)
    >>> round(result.value, 3)
    0.231
    """
    return _reduced_texts(
        model,
        tokens,
        scores,
        bins,
        include_zero,
        target,
        padding,
        special_tokens,
        from_logits,
        batch_size,
        keep_top=False,
    )


def sufficiency(
    model,
    tokens,
    scores,
    bins=BINS,
    include_zero=False,
    target=None,
    padding=0,
    special_tokens=(),
    from_logits=False,
    batch_size=256,
):
    """How much of the prediction goes when only the top tokens are left.

    `value = mean over texts and bins q of p_j(x) − p_j(only the top ⌈q·n⌉
    tokens of x)` (AOPC). Bounds: −1 and 1. **Lower is better**: the tokens
    were enough.

    Args:
        model, tokens, scores, bins, target, padding, special_tokens,
            from_logits, batch_size: as in `comprehensiveness`.
        include_zero: whether q = 0, the empty text, counts as a bin. Defaults
            to `False`.

    Returns:
        `Measure`, as `comprehensiveness`.

    Raises:
        ValueError: as `comprehensiveness`.

    Reference: DeYoung et al., "ERASER: A benchmark to evaluate rationalized
    NLP models", ACL 2020, and its code.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_sgt
    >>> model = keras.Sequential(
    ...     [keras.layers.Embedding(3, 2), keras.layers.GlobalMaxPooling1D()]
    ... )
    >>> tokens = np.array([[1, 2, 2, 2]])
    >>> _ = model(tokens)
    >>> model.set_weights([np.array([[0, 0], [1, 0], [0, 1]])])
    >>> result = keras_sgt.evaluation.sufficiency(
    ...     model, tokens, np.array([[9, 0, 0, 0]]), bins=[0.1], target=[0],
    ...     from_logits=True,
    ... )  # softmax of (1, 1), then of (1, 0)
    >>> round(result.value, 3)
    -0.231
    """
    return _reduced_texts(
        model,
        tokens,
        scores,
        bins,
        include_zero,
        target,
        padding,
        special_tokens,
        from_logits,
        batch_size,
        keep_top=True,
    )


def aopc(full, reduced, levels=BINS, target=None):
    """Area over the perturbation curve, from probabilities.

    `value = mean over samples and levels of p_j(x) − p_j(reduced x)`, j the
    predicted class: the mean that `comprehensiveness` and `sufficiency` take,
    for probabilities that came from elsewhere. Bounds: −1 and 1.

    Args:
        full: floats `(samples, classes)`, probabilities of whole inputs.
        reduced: floats `(samples, levels, classes)`, of reduced ones.
        levels: what the levels are called. Defaults to ERASER's bins.
        target: ints `(samples,)`. Defaults to the predicted classes.

    Returns:
        `Measure`: `curve`, the mean at each level; `per_sample`, the mean of
        each sample.

    Raises:
        ValueError: for shapes that do not go together, NaN, or values that
            are not probabilities.

    Reference: Samek et al., "Evaluating the visualization of what a deep
    neural network has learned", 2017; DeYoung et al., ACL 2020.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> full = np.array([[0.9, 0.1]])
    >>> reduced = np.array([[[0.7, 0.3], [0.4, 0.6]]])
    >>> result = keras_sgt.evaluation.aopc(full, reduced, levels=[0.1, 0.5])
    >>> result.curve.round(3).tolist(), round(result.value, 3)
    ([0.2, 0.5], 0.35)
    """
    full = checks.numeric("full", full, rank=(2,))
    reduced = checks.numeric("reduced", reduced, rank=(3,))
    wanted = (len(full), len(levels), full.shape[1])
    if reduced.shape != wanted:
        raise ValueError(
            "`reduced` has to be of shape (samples, levels, classes) = "
            f"{wanted}, by `full` and `levels`. Received: reduced of shape "
            f"{reduced.shape}"
        )
    prediction.distributions("`full`", full)
    prediction.distributions("`reduced`", reduced)
    target = full.argmax(1) if target is None else target
    target = checks.labels("target", target, len(full))
    clean = prediction.of_target(full, target)
    left = np.take_along_axis(reduced, target[:, None, None], 2)[:, :, 0]
    drop = clean[:, None] - left
    return results.of_samples(
        drop.mean(1), curve=drop.mean(0), levels=np.asarray(levels)
    )


def token_auprc(scores, truth, mask=None):
    """Area under the precision-recall curve against human rationales.

    For each text, precision and recall of the tokens whose score reaches a
    threshold, for every threshold (equal scores are one), the area by
    trapezoids; then the mean over texts. That is scikit-learn's
    `auc(*precision_recall_curve(...))`, not its `average_precision_score`.
    Bounds: 0 and 1. **Higher is better**; a constant score gets half of one
    plus the share of true tokens.

    Args:
        scores: floats `(samples, length)`.
        truth: bools shaped like `scores`, the human rationale.
        mask: bools shaped like `scores`, `False` where a text is padded.
            Defaults to no padding.

    Returns:
        `Measure` without a curve.

    Raises:
        ValueError: for another shape, NaN, or a text whose rationale is empty
            or everything.

    Reference: DeYoung et al., "ERASER: A benchmark to evaluate rationalized
    NLP models", ACL 2020, and its code.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> scores = np.array([[0.9, 0.8, 0.1]])
    >>> truth = np.array([[True, False, False]])
    >>> keras_sgt.evaluation.token_auprc(scores, truth).value
    1.0
    """
    scores = checks.numeric("scores", scores, rank=(2,))
    mask = _real_tokens(mask, scores.shape)
    truth = checks.truth_masks("truth", truth, scores.shape, mask)
    return results.of_samples(
        [
            _auprc(s[m], t[m])
            for s, t, m in zip(scores, truth, mask, strict=True)
        ]
    )


@dataclasses.dataclass(frozen=True, eq=False)
class IOUF1(results.Measure):
    """A `Measure` with what its F1 is made of.

    Args:
        precision: float, the mean share of selected spans that are hits.
        recall: float, the mean share of true spans that are hit.
    """

    precision: float = None
    recall: float = None


def token_iou_f1(selected, truth, mask=None, iou_threshold=0.5):
    """F1 of the selected spans that overlap with human rationales.

    A span is a run of selected tokens; it is a hit if its intersection over
    union with a span of the truth reaches `iou_threshold`. Precision is the
    share of hits among a text's selected spans, recall hits over true spans;
    both are averaged over texts (precision over those that have a span
    selected), and `value` is the F1 of the averages, as in ERASER. Bounds: 0
    and 1. **Higher is better**.

    Args:
        selected: bools `(samples, length)`, the predicted rationale: for
            example the top tokens, as many as human rationales have on
            average.
        truth: bools shaped like `selected`, the human rationale.
        mask: bools shaped like `selected`, `False` where a text is padded.
            Defaults to no padding.
        iou_threshold: float in [0.5, 1], from which on no two spans hit the
            same. Defaults to 0.5.

    Returns:
        `IOUF1`, a `Measure` with `precision` and `recall`; `per_sample`, the
        F1 of each text; no curve.

    Raises:
        ValueError: for another shape, scores instead of true and false, or a
            text whose rationale is empty or everything.

    Reference: DeYoung et al., "ERASER: A benchmark to evaluate rationalized
    NLP models", ACL 2020, and its code.

    Example:

    >>> import numpy as np
    >>> import keras_sgt
    >>> selected = np.array([[1, 1, 0, 0, 1]], bool)
    >>> truth = np.array([[1, 1, 1, 0, 0]], bool)
    >>> result = keras_sgt.evaluation.token_iou_f1(selected, truth)
    >>> result.precision, result.recall, round(result.value, 3)
    (0.5, 1.0, 0.667)
    """
    selected = np.asarray(selected)
    if selected.ndim != 2 or not np.isin(selected, (0, 1)).all():
        raise ValueError(
            "`selected` has to be true or false for each token, `(samples, "
            "length)`: select the top scores first. Received: selected of "
            f"shape {selected.shape} and dtype {selected.dtype}"
        )
    selected = selected.astype(bool)
    mask = _real_tokens(mask, selected.shape)
    truth = checks.truth_masks("truth", truth, selected.shape, mask)
    if not 0.5 <= checks.number("iou_threshold", iou_threshold) <= 1:
        raise ValueError(
            "`iou_threshold` has to be between 0.5 and 1, so that no two "
            f"spans hit the same. Received: iou_threshold={iou_threshold!r}"
        )
    rates = np.array(
        [
            _span_rates(_spans(s & m), _spans(t & m), iou_threshold)
            for s, t, m in zip(selected, truth, mask, strict=True)
        ]
    )
    precision, recall = results.mean(rates[:, 0]), results.mean(rates[:, 1])
    f1 = [_f1(p, r) for p, r in np.nan_to_num(rates)]
    return IOUF1(
        value=_f1(np.nan_to_num(precision), recall),
        per_sample=np.array(f1),
        spread=results.standard_error(np.array(f1)),
        precision=precision,
        recall=recall,
    )


def _reduced_texts(
    model,
    tokens,
    scores,
    bins,
    include_zero,
    target,
    padding,
    special_tokens,
    from_logits,
    batch_size,
    keep_top,
):
    prediction.check_model(model)
    tokens, scores, counted = _texts(tokens, scores, padding, special_tokens)
    bins = checks.fractions("bins", bins)
    bins = np.concatenate([[0.0], bins]) if include_zero else bins
    ranks = _ranks(scores, counted)
    padded_left = _padded_left(tokens, padding)
    counts = counted.sum(1, keepdims=True)

    full = prediction.probabilities(model, tokens, batch_size, from_logits)
    reduced = []
    for q in bins:
        # A product that is whole but for rounding noise is that number.
        top = ranks < np.ceil(q * counts - 1e-9)
        kept = (top if keep_top else ~top) | ~counted
        texts = _without_gaps(tokens, kept, padding, padded_left)
        reduced.append(
            prediction.probabilities(model, texts, batch_size, from_logits)
        )
    return aopc(full, np.stack(reduced, 1), bins, target)


def _texts(tokens, scores, padding, special_tokens):
    tokens = checks.numeric("tokens", tokens, rank=(2,))
    if tokens.dtype.kind not in "iu":
        raise ValueError(
            "`tokens` has to hold the ids of tokens, integers. Received: "
            f"tokens of dtype {tokens.dtype}"
        )
    scores = checks.numeric("scores", scores)
    checks.same_shape("scores", scores, "tokens", tokens)
    counted = ~np.isin(tokens, [padding, *special_tokens])
    empty = ~counted.any(1)
    if empty.any():
        raise ValueError(
            f"`tokens` has {int(empty.sum())} texts without tokens (the first "
            f"is {int(empty.argmax())}): nothing but padding ({padding}) and "
            "special tokens. Leave them out, or correct `padding`."
        )
    return tokens, scores, counted


def _ranks(scores, counted):
    """The rank of each counted token, 0 the highest; those not counted last."""
    ranks = relevance.ranking(np.where(counted, scores, -np.inf))
    return np.where(counted, ranks, counted.shape[1])


def _padded_left(tokens, padding):
    left = (tokens[:, 0] == padding).any()
    if left and (tokens[:, -1] == padding).any():
        raise ValueError(
            "`tokens` has to be padded on one side. Received: texts that "
            f"begin with {padding} and texts that end with it."
        )
    return left


def _without_gaps(tokens, kept, padding, padded_left):
    """The kept tokens side by side, padded to the old length."""
    # A stable sort puts false before true: what goes to the left is false.
    right = kept if padded_left else ~kept
    order = np.argsort(right, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, tokens, padding), order, 1)


def _real_tokens(mask, shape):
    if mask is None:
        return np.ones(shape, bool)
    mask = np.asarray(mask, bool)
    if mask.shape != shape:
        raise ValueError(
            f"`mask` has to have the shape of the texts, {shape}. Received: "
            f"mask of shape {mask.shape}"
        )
    return mask


def _auprc(scores, truth):
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last_of_equals = np.append(np.diff(scores) != 0, True)
    hits = np.cumsum(truth)[last_of_equals]
    selected = np.flatnonzero(last_of_equals) + 1
    precision = np.concatenate([[1.0], hits / selected])
    recall = np.concatenate([[0.0], hits / hits[-1]])
    return results.area(precision, recall)


def _spans(marked):
    """Starts and ends (excluded) of the runs of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked, [0]])))
    return edges.reshape(-1, 2)


def _span_rates(selected, true, iou_threshold):
    """Precision (NaN if nothing is selected) and recall of a text."""
    if not len(selected):
        return np.nan, 0.0
    start = np.maximum(selected[:, None, 0], true[None, :, 0])
    end = np.minimum(selected[:, None, 1], true[None, :, 1])
    intersection = np.maximum(end - start, 0)
    lengths = np.diff(selected), np.diff(true).T
    iou = intersection / (lengths[0] + lengths[1] - intersection)
    hits = (iou.max(1) >= iou_threshold).sum()
    return hits / len(selected), hits / len(true)


def _f1(precision, recall):
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0
