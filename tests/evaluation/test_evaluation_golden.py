"""Measures against numbers read off the benchmarks' own code."""

import os

import numpy as np
import pytest
from tiny_models import Predicts

from keras_sgt import evaluation

FOLDER = os.environ.get("KERAS_SGT_GOLDEN")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="KERAS_SGT_GOLDEN, the folder of metrics.npz, not set"
)
EXACT = dict(rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(os.path.join(FOLDER, "metrics.npz")))


@pytest.mark.parametrize("name", ["precision", "recall", "aup", "aur"])
def test_weighted_precision_recall(golden, name):
    found = evaluation.weighted_precision_recall(
        golden["saliency"], golden["truth"], levels=golden["levels"] / 100
    )
    np.testing.assert_allclose(getattr(found, name), golden[name], **EXACT)


def test_value_and_curve_of_weighted_precision_recall(golden):
    found = evaluation.weighted_precision_recall(
        golden["saliency"], golden["truth"]
    )
    np.testing.assert_allclose(found.value, golden["aup"], **EXACT)
    np.testing.assert_allclose(found.curve, golden["precision"], **EXACT)
    np.testing.assert_allclose(found.per_sample.mean(), golden["aup"], **EXACT)
    np.testing.assert_allclose(
        found.recall_per_sample.mean(), golden["aur"], **EXACT
    )


@pytest.mark.parametrize(
    ("name", "reduced"),
    [
        ("comprehensiveness", "without_rationale"),
        ("sufficiency", "only_rationale"),
    ],
)
def test_aopc(golden, name, reduced):
    found = evaluation.aopc(
        golden["eraser_full"],
        golden[f"eraser_{reduced}"],
        levels=golden["eraser_thresholds"],
    )
    np.testing.assert_allclose(found.value, golden[f"eraser_{name}"], **EXACT)
    np.testing.assert_allclose(
        found.curve, golden[f"eraser_{name}_points"], **EXACT
    )


@pytest.mark.parametrize(
    ("name", "reduced", "left"),
    [
        ("comprehensiveness", "without_rationale", [99, 95, 90, 80, 50]),
        ("sufficiency", "only_rationale", [1, 5, 10, 20, 50]),
    ],
)
def test_texts_of_100_tokens(golden, name, reduced, left):
    """The golden probabilities, for texts that have lost the right tokens."""
    tokens = np.arange(1, 101) + np.zeros((40, 1), "int64")
    scores = np.random.default_rng(0).random(tokens.shape)

    def answer(texts):
        lengths = (texts > 0).sum(1)
        assert (lengths == lengths[0]).all()
        if lengths[0] == 100:
            return golden["eraser_full"]
        return golden[f"eraser_{reduced}"][:, left.index(lengths[0])]

    found = getattr(evaluation, name)(Predicts(answer), tokens, scores)
    np.testing.assert_allclose(found.value, golden[f"eraser_{name}"], **EXACT)
    np.testing.assert_allclose(
        found.curve, golden[f"eraser_{name}_points"], **EXACT
    )


def test_token_auprc(golden):
    found = evaluation.token_auprc(
        golden["eraser_token_scores"], golden["eraser_token_truth"]
    )
    np.testing.assert_allclose(
        found.value, golden["eraser_token_auprc"], **EXACT
    )
