"""Comprehensiveness, sufficiency, and agreement with human rationales."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Predicts, Texts, softmax

from keras_sgt import evaluation

BINS = [0.01, 0.05, 0.1, 0.2, 0.5]
SEEDS = st.integers(0, 2**32 - 1)


def reduced_by_hand(text, scores, q, keep_top, left=False, special=()):
    """A text without its top tokens (or with nothing else), as a list."""
    counted = [i for i, t in enumerate(text) if t and t not in special]
    top = sorted(counted, key=lambda i: (-scores[i], i))
    top = set(top[: math.ceil(round(q * len(counted), 9))])
    kept = [
        token
        for i, token in enumerate(text)
        if token and (token in special or (i in top) == keep_top)
    ]
    padding = [0] * (len(text) - len(kept))
    return padding + kept if left else kept + padding


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("special", [(), (3, 4, 5)])
@pytest.mark.parametrize("include_zero", [False, True])
@pytest.mark.parametrize("measure", ["comprehensiveness", "sufficiency"])
def test_texts_are_those_of_a_plain_loop(measure, include_zero, special, left):
    given = Texts()
    tokens, scores = given.tokens, given.scores
    if left:
        tokens, scores = tokens[:, ::-1], scores[:, ::-1]
    found = getattr(evaluation, measure)(
        given.keras(),
        tokens,
        scores,
        include_zero=include_zero,
        special_tokens=special,
    )
    bins = [0.0, *BINS] if include_zero else BINS
    full = given.probabilities(tokens)
    j = full.argmax(1)
    drops = []
    for q in bins:
        texts = [
            reduced_by_hand(
                text, score, q, measure == "sufficiency", left, special
            )
            for text, score in zip(tokens.tolist(), scores)
        ]
        p = given.probabilities(np.array(texts))
        rows = np.arange(len(j))
        drops.append(full[rows, j] - p[rows, j])
    np.testing.assert_allclose(found.curve, np.mean(drops, 1), atol=1e-5)
    np.testing.assert_allclose(found.per_sample, np.mean(drops, 0), atol=1e-5)
    np.testing.assert_allclose(found.value, np.mean(drops), atol=1e-5)
    np.testing.assert_allclose(found.levels, bins)
    assert np.ptp(found.curve) > 0.01


def test_the_variant_of_the_paper_divides_by_6():
    given = Texts()
    model = Predicts(given.probabilities)
    of_code, of_paper = (
        evaluation.comprehensiveness(
            model, given.tokens, given.scores, include_zero=zero
        )
        for zero in (False, True)
    )
    assert of_paper.curve[0] == 0
    np.testing.assert_allclose(of_paper.value * 6, of_code.value * 5)


def test_equal_scores_go_by_position():
    model = Predicts(lambda x: np.ones((len(x), 2)) / 2)
    tokens = np.array([[5, 6, 7, 8]])
    evaluation.comprehensiveness(model, tokens, np.zeros((1, 4)), bins=[0.5])
    assert model.calls[1].tolist() == [[7, 8, 0, 0]]


def test_another_padding_and_target():
    given = Texts()
    tokens = np.where(given.tokens == 0, 99, given.tokens)
    model = Predicts(lambda x: given.probabilities(np.where(x == 99, 0, x)))
    found = evaluation.sufficiency(
        model, tokens, given.scores, padding=99, target=np.full(16, 2)
    )
    assert all((call != 0).all() for call in model.calls)
    full = given.probabilities(given.tokens)[:, 2]
    for q, drop in zip(BINS, found.curve):
        texts = [
            reduced_by_hand(text, scores, q, keep_top=True)
            for text, scores in zip(given.tokens.tolist(), given.scores)
        ]
        left = given.probabilities(np.array(texts))[:, 2]
        np.testing.assert_allclose(drop, np.mean(full - left))


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_perfect_beats_random_beats_reversed(seed):
    rng = np.random.default_rng(seed)
    effect = rng.normal(size=50)
    effect[0] = 0
    tokens = np.array([rng.permutation(49)[:20] + 1 for _ in range(60)])
    model = Predicts(
        lambda x: softmax(np.stack([0 * x, effect[x]], -1).mean(1) * 8)
    )
    sign = np.where(effect[tokens].mean(1) > 0, 1, -1)[:, None]
    perfect = effect[tokens] * sign
    maps = perfect, rng.normal(size=tokens.shape), -perfect
    comprehensive = [
        evaluation.comprehensiveness(model, tokens, m).value for m in maps
    ]
    sufficient = [evaluation.sufficiency(model, tokens, m).value for m in maps]
    assert comprehensive[0] > comprehensive[1] > comprehensive[2]
    assert sufficient[0] < sufficient[1] < sufficient[2]


@pytest.mark.parametrize("measure", ["comprehensiveness", "sufficiency"])
@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_order_of_texts_and_bounds(measure, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 9, (10, 7))
    scores = rng.normal(size=tokens.shape).round(1)
    effect = rng.normal(size=(9, 3)) * 5
    model = Predicts(lambda x: softmax(effect[x].mean(1)))
    order = rng.permutation(10)
    found, permuted = (
        getattr(evaluation, measure)(model, tokens[rows], scores[rows])
        for rows in (np.arange(10), order)
    )
    np.testing.assert_allclose(permuted.value, found.value, atol=1e-12)
    np.testing.assert_allclose(
        permuted.per_sample, found.per_sample[order], atol=1e-12
    )
    assert (abs(found.per_sample) <= 1).all()
    assert -1 <= found.value <= 1


TOKENS = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])
SCORES = np.arange(8.0).reshape(2, 4)


@pytest.mark.parametrize("measure", ["comprehensiveness", "sufficiency"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": SCORES[:, :3]}, "shape of `tokens`"),
        ({"scores": np.where(SCORES == 1, np.nan, SCORES)}, "finite"),
        ({"tokens": TOKENS * 1.0}, "ids of tokens"),
        ({"tokens": TOKENS * [[0], [1]]}, "without tokens"),
        ({"special_tokens": (4, 5)}, "without tokens"),
        ({"tokens": TOKENS[:, [3, 0, 1, 3]]}, "padded on one side"),
        ({"tokens": TOKENS[0], "scores": SCORES[0]}, "axes"),
        ({"bins": [0, 0.5]}, "`bins`"),
        ({"bins": [0.5, 1]}, "`bins`"),
        ({"bins": [1, 5, 10]}, "`bins`"),
    ],
)
def test_bad_texts(measure, changed, message):
    model = Predicts(lambda x: np.ones((len(x), 2)) / 2)
    arguments = {"tokens": TOKENS, "scores": SCORES, **changed}
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(model, **arguments)
    assert not model.calls


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: np.ones((len(x), 2)), "probabilities"),
        (lambda x: np.ones((len(x), 4, 2)), "one output for each class"),
        (lambda x: np.full((len(x), 2), np.nan), "empty text"),
    ],
)
def test_models_that_do_not_classify_texts(answer, message):
    with pytest.raises(ValueError, match=message):
        evaluation.comprehensiveness(Predicts(answer), TOKENS, SCORES)


FULL = np.array([[0.2, 0.8], [0.6, 0.4]])
REDUCED = np.stack([FULL, FULL[:, ::-1]], 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reduced": REDUCED[:1]}, "`reduced`"),
        ({"levels": [0.5]}, "`reduced`"),
        ({"full": FULL[0]}, "`full`"),
        ({"full": FULL * 3}, "`full` have to be probabilities"),
        ({"reduced": REDUCED - 1}, "`reduced` have to be probabilities"),
        ({"full": np.where(FULL > 0.7, np.nan, FULL)}, "finite"),
        ({"target": [0, 2]}, "`target`"),
    ],
)
def test_bad_probabilities(changed, message):
    arguments = {
        "full": FULL,
        "reduced": REDUCED,
        "levels": [0.1, 0.5],
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        evaluation.aopc(**arguments)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_auprc_is_that_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics", reason="the reference")
    rng = np.random.default_rng(seed)
    scores = rng.random((5, 12)).round(rng.integers(0, 3))  # ties, many or few
    truth = rng.random((5, 12)) < 0.4
    truth[:, 0], truth[:, 1] = True, False
    mask = np.arange(12) < rng.integers(2, 13, 5)[:, None]
    expected = []
    for s, t, m in zip(scores, truth, mask):
        precision, recall, _ = metrics.precision_recall_curve(t[m], s[m])
        expected.append(metrics.auc(recall, precision))
    found = evaluation.token_auprc(scores, truth, mask)
    np.testing.assert_allclose(found.per_sample, expected, atol=1e-12)
    np.testing.assert_allclose(found.value, np.mean(expected), atol=1e-12)
    assert 0 <= found.value <= 1


def test_auprc_of_constant_perfect_and_reversed_scores():
    truth = np.array([[1, 1, 0, 0, 0, 0, 0, 0]], bool)
    constant = evaluation.token_auprc(np.zeros((1, 8)), truth).value
    assert constant == (1 + 2 / 8) / 2
    assert evaluation.token_auprc(truth * 1.0, truth).value == 1
    reversed_ = evaluation.token_auprc(np.arange(8.0)[None], truth).value
    assert reversed_ < constant


def eraser_iou_f1(selected, truth, threshold):
    """Span matching by sets of positions, micro steps spelled out."""

    def spans(row):
        text = "".join("x" if m else " " for m in row)
        found, position = [], 0
        for run in text.split(" "):
            if run:
                found.append(set(range(position, position + len(run))))
            position += len(run) + 1
        return found

    precisions, recalls = [], []
    for s, t in zip(selected, truth):
        predicted, true = spans(s), spans(t)
        hits = sum(
            max(len(p & q) / len(p | q) for q in true) >= threshold
            for p in predicted
        )
        recalls.append(hits / len(true))
        if predicted:
            precisions.append(hits / len(predicted))
    p = sum(precisions) / len(precisions) if precisions else 0
    r = sum(recalls) / len(recalls)
    return 2 * p * r / (p + r) if p and r else 0


@given(SEEDS, st.sampled_from([0.5, 0.7, 1.0]))
@settings(max_examples=60, deadline=None)
def test_iou_f1_is_that_of_a_plain_loop(seed, threshold):
    rng = np.random.default_rng(seed)
    truth = rng.random((6, 15)) < 0.5
    truth[:, 0], truth[:, 1] = True, False
    selected = truth ^ (rng.random((6, 15)) < rng.choice([0.05, 0.3]))
    selected[rng.integers(0, 6)] = False
    found = evaluation.token_iou_f1(selected, truth, iou_threshold=threshold)
    np.testing.assert_allclose(
        found.value, eraser_iou_f1(selected, truth, threshold), atol=1e-12
    )
    assert 0 <= found.value <= 1
    assert ((found.per_sample >= 0) & (found.per_sample <= 1)).all()


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_order_of_rationales(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((8, 11)) < 0.5
    truth[:, 0], truth[:, 1] = True, False
    mask = np.arange(11) < rng.integers(2, 12, 8)[:, None]
    scores = rng.random(truth.shape).round(1)
    order = rng.permutation(8)
    for measure, given_ in (
        (evaluation.token_auprc, scores),
        (evaluation.token_iou_f1, scores > 0.5),
    ):
        found, permuted = (
            measure(given_[rows], truth[rows], mask[rows])
            for rows in (np.arange(8), order)
        )
        np.testing.assert_allclose(permuted.value, found.value, atol=1e-12)
        np.testing.assert_allclose(
            permuted.per_sample, found.per_sample[order], atol=1e-12
        )


def test_iou_f1_of_perfect_empty_and_padded_rationales():
    truth = np.array([[1, 1, 0, 0, 1], [0, 1, 1, 0, 0]], bool)
    assert evaluation.token_iou_f1(truth, truth).value == 1
    nothing = evaluation.token_iou_f1(np.zeros((2, 5), int), truth)
    assert nothing.value == 0
    assert nothing.per_sample.tolist() == [0, 0]
    mask = np.arange(5) < 4
    padded = evaluation.token_iou_f1(
        truth | ~mask, truth, mask * np.ones((2, 1), bool)
    )
    assert padded.value == 1


TRUTH = np.array([[True, False, False], [False, True, False]])


@pytest.mark.parametrize("measure", ["token_auprc", "token_iou_f1"])
@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (TRUTH & [[True], [False]], "empty in 1 samples .the first is 1"),
        (TRUTH | [[True], [False]], "full in 1 samples"),
        (TRUTH[:, :2], "shape"),
        (TRUTH * 0.3, "true and false"),
    ],
)
def test_bad_rationales(measure, truth, message):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(TRUTH * 1.0, truth)


def test_a_rationale_is_empty_where_padding_is_all_it_marks():
    mask = np.array([[True, True, False]] * 2)
    truth = np.array([[True, False, False], [False, False, True]])
    with pytest.raises(ValueError, match="empty in 1 samples"):
        evaluation.token_auprc(TRUTH * 1.0, truth, mask)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selected": TRUTH * 0.3}, "`selected`"),
        ({"selected": TRUTH[0]}, "`selected`"),
        ({"iou_threshold": 0.2}, "`iou_threshold`"),
        ({"iou_threshold": 1.2}, "`iou_threshold`"),
        ({"mask": TRUTH[:, :2]}, "`mask`"),
    ],
)
def test_bad_selections(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.token_iou_f1(
            **{"selected": TRUTH, "truth": TRUTH, **arguments}
        )


def test_bad_scores():
    with pytest.raises(ValueError, match="finite"):
        evaluation.token_auprc(np.where(TRUTH, np.nan, 0), TRUTH)
    with pytest.raises(ValueError, match="`scores`"):
        evaluation.token_auprc(np.ones(3), TRUTH[0])
