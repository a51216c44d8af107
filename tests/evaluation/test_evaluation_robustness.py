"""Accuracy under FGSM and PGD, where the best attack is known.

A linear model of two classes falls to an attack of radius ε if and only if
its margin is below ε · ‖w₁ − w₀‖₁; that attack is FGSM's.
"""

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import Images, Predicts, linear, softmax

from keras_sgt import evaluation

RADII = [0.05, 0.1, 0.3]
WIDE = (-100.0, 100.0)


def linear_task():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 2))
    x = rng.normal(size=(80, 6)).astype("float32")
    y = (x @ weights).argmax(1)
    y[:8] = 1 - y[:8]  # misclassified to begin with
    difference = weights[:, 1] - weights[:, 0]
    margin = (x @ difference) * (2 * y - 1)
    reach = np.array([0, *RADII]) * np.abs(difference).sum()
    return weights, x, y, (margin[:, None] > reach).mean(0)


@pytest.mark.parametrize("output", ["logits", "softmax", "sigmoid", "logit"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_linear_models(method, output):
    weights, x, y, expected = linear_task()
    if output in ("sigmoid", "logit"):
        weights = weights[:, 1:] - weights[:, :1]
    activation = output if output in ("softmax", "sigmoid") else None
    found = evaluation.adversarial_accuracy(
        linear(weights, activation),
        x,
        y,
        RADII,
        method=method,
        bounds=WIDE,
        from_logits=activation is None,
        batch_size=32,
    )
    np.testing.assert_allclose(found.curve, expected, atol=1e-9)
    np.testing.assert_allclose(found.value, expected[1:].mean())
    np.testing.assert_allclose(found.per_sample.mean(), found.value)
    np.testing.assert_allclose(found.levels, [0, *RADII])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_confidence_does_not_hide_the_gradient(method, activation):
    """Probabilities of 0 and 1, in float32, have no gradient of their own."""
    weights, x, y, expected = linear_task()
    weights = weights * 10_000
    if activation == "sigmoid":
        weights = weights[:, 1:] - weights[:, :1]
    model = linear(weights, activation)
    p = model.predict(x, verbose=0)
    # Some processors make the largest 1 less half a unit in the last place.
    assert ((p < 1e-6) | (p > 1 - 1e-6)).mean() > 0.9
    found = evaluation.adversarial_accuracy(
        model, x, y, RADII, method=method, bounds=WIDE
    )
    np.testing.assert_allclose(found.curve, expected, atol=1e-9)


def gradient_by_hand(given, x, y):
    """∂ cross-entropy / ∂ x of the tiny convolution, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    hidden = np.einsum("nijcab,abco->nijo", windows, given.kernel)
    error = given.probabilities(x)
    error[np.arange(len(y)), y] = 0
    error[np.arange(len(y)), y] = -error.sum(1)
    back = (error @ given.dense.T).reshape(hidden.shape) * (hidden > 0)
    gradient = np.zeros(x.shape)
    for i in range(4):
        for j in range(4):
            gradient[:, i : i + 3, j : j + 3] += np.einsum(
                "no,abco->nabc", back[:, i, j], given.kernel
            )
    return gradient


def test_fgsm_on_every_backend():
    given = Images()
    y = given.probabilities(given.x).argmax(1)
    radii = np.array([0.02, 0.1, 0.4])
    found = evaluation.adversarial_accuracy(
        given.keras(), given.x, y, radii, method="fgsm", bounds=WIDE
    )
    direction = np.sign(gradient_by_hand(given, given.x.astype("float64"), y))
    expected = [
        np.mean(given.probabilities(given.x + r * direction).argmax(1) == y)
        for r in [0, *radii]
    ]
    assert len(set(expected)) > 2
    np.testing.assert_allclose(found.curve, expected)


def test_pgd_is_stronger_than_fgsm_and_stays_in_the_cube():
    given = Images()
    y = given.probabilities(given.x).argmax(1)
    radii = [0.1, 0.2, 0.3]
    model, seen = given.keras(), []
    predict = model.predict

    def recording(x, **options):
        seen.append(np.array(x))
        return predict(x, **options)

    model.predict = recording
    fgsm, pgd = (
        evaluation.adversarial_accuracy(model, given.x, y, radii, method=method)
        for method in ("fgsm", "pgd")
    )
    assert fgsm.curve[0] == pgd.curve[0] == 1
    assert pgd.value <= fgsm.value
    assert (np.diff(pgd.curve) <= 0).all()
    for x, radius in zip(seen[1:4] + seen[5:8], radii * 2):
        assert 0 < abs(x - given.x).max() <= radius + 1e-6
        assert x.min() >= given.x.min()
        assert x.max() <= given.x.max()


def test_inputs_stay_valid():
    """At the border of the valid range an attack has nowhere to go."""
    x = np.array([[1.0, 0.0], [0.6, 0.4]])
    model = linear(np.eye(2))
    found = evaluation.adversarial_accuracy(
        model, x, [0, 0], [0.3], "fgsm", bounds=(0, 1), from_logits=True
    )
    assert found.curve.tolist() == [1, 0.5]


def test_a_sample_is_robust_only_if_it_was_right_to_begin_with():
    x = np.array([[0.4, 0.6]])
    found = evaluation.adversarial_accuracy(
        linear(np.eye(2)), x, [0], [0.5], bounds=WIDE, from_logits=True
    )
    assert found.curve.tolist() == [0, 0]


def test_batch_normalisation_and_dropout_stay_as_they_are():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(2, "softmax"),
        ]
    )
    _, x, y, _ = linear_task()
    before = [np.array(w) for w in model.get_weights()]
    first, again = (
        evaluation.adversarial_accuracy(model, x, y, RADII) for _ in range(2)
    )
    np.testing.assert_array_equal(first.curve, again.curve)
    for weight, kept in zip(model.get_weights(), before):
        np.testing.assert_array_equal(weight, kept)


def test_order_of_samples():
    weights, x, y, _ = linear_task()
    order = np.random.default_rng(1).permutation(len(x))
    model = linear(weights, "softmax")
    found, permuted = (
        evaluation.adversarial_accuracy(model, x[i], y[i], RADII, "fgsm")
        for i in (np.arange(len(x)), order)
    )
    np.testing.assert_array_equal(permuted.curve, found.curve)
    np.testing.assert_array_equal(permuted.per_sample, found.per_sample[order])


X = np.random.default_rng(0).random((4, 3))
Y = [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"radii": [0.0, 0.1]}, "`radii`"),
        ({"radii": [0.2, 0.1]}, "`radii`"),
        ({"radii": []}, "`radii`"),
        ({"radii": 0.1}, "`radii`"),
        ({"radii": [np.nan]}, "`radii`"),
        ({"method": "cw"}, "`method`"),
        ({"steps": 0}, "`steps`"),
        ({"step_size": 0}, "`step_size`"),
        ({"bounds": (0.5, 1)}, "`bounds`"),
        ({"bounds": (1, 0)}, "`bounds`"),
        ({"x": X * np.nan}, "finite"),
        ({"y": [0, 1]}, "`y`"),
        ({"y": [0, 1, 2, 3]}, "classes below 3"),
        ({"model": Predicts(lambda x: x[None])}, "one output for each class"),
        ({"model": Predicts(lambda x: 9 * x)}, "from_logits=True"),
        ({"model": None}, "`model`"),
    ],
)
def test_bad_input(changed, message):
    arguments = {"x": X, "y": Y, "radii": [0.1], **changed}
    arguments.setdefault("model", Predicts(softmax))
    with pytest.raises(ValueError, match=message):
        evaluation.adversarial_accuracy(**arguments)
