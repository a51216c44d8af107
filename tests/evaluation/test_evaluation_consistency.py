"""Sensitivity, infidelity, completeness.

The comparisons with Captum run where Captum and PyTorch are installed; they
share a network written twice, in PyTorch and in NumPy.
"""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Images, Predicts, linear

from keras_sgt import attribution, evaluation

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture
def network():
    """tanh(x A) B, in PyTorch and in NumPy, with its gradient."""
    torch = pytest.importorskip("torch", reason="Captum asks PyTorch models")
    pytest.importorskip("captum", reason="compares with Captum")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 5)), rng.normal(size=(5, 3))

    class Network(torch.nn.Module):
        def forward(self, x):
            return torch.tanh(x @ torch.tensor(a)) @ torch.tensor(b)

    def forward(x):
        return np.tanh(x @ a) @ b

    def gradient(x, target=None):
        return ((1 - np.tanh(x @ a) ** 2) * b[:, target].T) @ a.T

    x = rng.normal(size=(8, 6))
    target = rng.integers(0, 3, 8)
    noise = rng.normal(size=(4, *x.shape)) * 0.3
    return Network(), forward, gradient, x, target, noise


def captum_noise(noise):
    """The noise in Captum's order: all draws of a sample together."""
    import torch

    order = noise.transpose(1, 0, 2).reshape(-1, noise.shape[2])
    return torch.tensor(order)


def test_max_sensitivity_is_that_of_captum(network):
    model, _, gradient, x, target, noise = network
    import captum
    import torch

    expected = captum.metrics.sensitivity_max(
        captum.attr.Saliency(model).attribute,
        torch.tensor(x),
        perturb_func=lambda inputs: inputs + captum_noise(noise),
        n_perturb_samples=4,
        target=torch.tensor(target),
        abs=False,
    )
    draws = itertools.cycle(noise)
    found = evaluation.max_sensitivity(
        gradient,
        x,
        target,
        draws=4,
        perturb=lambda x, rng: x + next(draws),
    )
    np.testing.assert_allclose(found.per_sample, expected, atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_infidelity_is_that_of_captum(network, normalize):
    model, forward, gradient, x, target, noise = network
    import captum
    import torch

    attributions = gradient(x, target)
    expected = captum.metrics.infidelity(
        model,
        lambda inputs: (captum_noise(noise), inputs - captum_noise(noise)),
        torch.tensor(x),
        torch.tensor(attributions),
        target=torch.tensor(target),
        n_perturb_samples=4,
        normalize=normalize,
    )
    draws = itertools.cycle(noise)
    found = evaluation.infidelity(
        Predicts(forward),
        x,
        attributions,
        target,
        draws=4,
        perturb=lambda x, rng: x - next(draws),
        normalize=normalize,
    )
    np.testing.assert_allclose(found.per_sample, expected, atol=1e-6)


def test_completeness_is_the_convergence_delta_of_captum(network):
    model, forward, _, x, target, _ = network
    import captum
    import torch

    method = captum.attr.IntegratedGradients(model)
    attributions, delta = method.attribute(
        torch.tensor(x),
        baselines=0.5,
        target=torch.tensor(target),
        n_steps=5,
        return_convergence_delta=True,
    )
    found = evaluation.completeness(
        Predicts(forward),
        x,
        attributions.numpy(),
        baselines=0.5,
        target=target,
    )
    assert delta.abs().max() > 1e-4
    np.testing.assert_allclose(found.per_sample, delta.abs(), atol=1e-6)


def test_max_sensitivity_of_uniform_noise():
    x = np.full((3, 1000), 2.0)
    seen = []

    def method(x, target=None):
        seen.append((x, target))
        return x

    found = evaluation.max_sensitivity(
        method, x, target=[0, 2, 1], radius=0.3, draws=5
    )
    inputs = np.array([x for x, _ in seen])
    noise = inputs[1:] - x
    assert len(inputs) == 6
    assert all(target.tolist() == [0, 2, 1] for _, target in seen)
    assert 0.29 < abs(noise).max() <= 0.3
    np.testing.assert_allclose(noise.std(), 0.3 / np.sqrt(3), rtol=0.02)
    expected = np.linalg.norm(noise, axis=2).max(0) / np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(found.per_sample, expected)


def test_max_sensitivity_of_constant_and_of_empty_maps():
    x = np.ones((2, 4))
    constant = evaluation.max_sensitivity(lambda x, target: 0 * x + 5, x)
    assert constant.value == 0
    # From a map that is all zero, the distance itself.
    found = evaluation.max_sensitivity(
        lambda x, target: x - 1, x, draws=1, perturb=lambda x, rng: x + 3
    )
    assert found.per_sample.tolist() == [6, 6]


def test_infidelity_of_a_linear_model():
    """Gaussian noise of deviation s: s² times the squared error, by mean."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 3))
    x = rng.normal(size=(400, 10)).astype("float32")
    target = rng.integers(0, 3, 400)
    model = linear(weights)
    gradient = weights[:, target].T
    exact = evaluation.infidelity(model, x, gradient, target, noise=0.5)
    assert exact.value < 1e-9
    error = rng.normal(size=x.shape)
    found = evaluation.infidelity(
        model, x, gradient + error, target, noise=0.5, draws=20
    )
    expected = 0.5**2 * (error**2).sum(1)
    np.testing.assert_allclose(found.value, expected.mean(), rtol=0.05)
    scaled = evaluation.infidelity(
        model, x, 7 * gradient, target, normalize=True
    )
    assert scaled.value < 1e-9


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_order_of_samples(seed):
    rng = np.random.default_rng(seed)
    x, attributions = rng.normal(size=(2, 7, 4))
    weights = rng.normal(size=(4, 3))
    order = rng.permutation(7)
    model = Predicts(lambda x: np.tanh(x @ weights))

    def results(rows):
        options = {"perturb": lambda x, rng: 0.9 * x, "draws": 1}
        a = attributions[rows]
        return [
            evaluation.infidelity(model, x[rows], a, **options),
            evaluation.completeness(model, x[rows], a),
            evaluation.max_sensitivity(
                lambda x, target: np.sin(x), x[rows], **options
            ),
        ]

    for found, permuted in zip(results(np.arange(7)), results(order)):
        np.testing.assert_allclose(permuted.value, found.value, atol=1e-12)
        np.testing.assert_allclose(
            permuted.per_sample, found.per_sample[order], atol=1e-12
        )
        assert (found.per_sample >= 0).all()


def test_perfect_beats_random_beats_reversed():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 3))
    x = rng.normal(size=(40, 10))
    model = Predicts(lambda x: x @ weights)
    gradient = weights[:, (x @ weights).argmax(1)].T
    maps = gradient, rng.permuted(gradient, axis=1), -gradient
    infidelities = [evaluation.infidelity(model, x, m).value for m in maps]
    assert infidelities[0] < infidelities[1] < infidelities[2]
    deltas = [evaluation.completeness(model, x, x * m).value for m in maps]
    assert deltas[0] < deltas[1] < deltas[2]


def test_completeness_and_infidelity_on_every_backend():
    given = Images()
    p = given.probabilities(given.x)
    j = p.argmax(1)
    rows = np.arange(len(j))
    baseline = given.x.mean(0)
    total = given.attributions.sum((1, 2, 3))
    change = p[rows, j] - given.probabilities(baseline[None])[0, j]
    found = evaluation.completeness(
        given.keras(), given.x, given.attributions, baselines=baseline
    )
    np.testing.assert_allclose(found.per_sample, abs(total - change), atol=1e-5)

    perturbed = given.x * np.float32(0.8)
    found = evaluation.infidelity(
        given.keras(),
        given.x,
        given.attributions,
        draws=1,
        perturb=lambda x, rng: perturbed,
    )
    moved = (given.attributions * (given.x - perturbed)).sum((1, 2, 3))
    change = p[rows, j] - given.probabilities(perturbed)[rows, j]
    np.testing.assert_allclose(
        found.per_sample, (moved - change) ** 2, atol=1e-5
    )


X = np.random.default_rng(0).normal(size=(4, 3))
MODEL = Predicts(lambda x: x)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "gradient"}, "`method` has to be a callable"),
        ({"method": lambda x, target: x[:, :2]}, "the method's attributions"),
        ({"method": lambda x, target: x * np.nan}, "finite"),
        ({"x": X * np.inf}, "`x` has to be finite"),
        ({"x": (9 * X).astype(int)}, "floating point"),
        ({"radius": 0}, "`radius`"),
        ({"radius": "big"}, "`radius`"),
        ({"draws": 0}, "`draws`"),
        ({"draws": 1.5}, "`draws`"),
        ({"target": [0, 1]}, "`target`"),
        ({"perturb": lambda x, rng: x[:2]}, "`perturb`"),
    ],
)
def test_bad_input_to_max_sensitivity(changed, message):
    with pytest.raises(ValueError, match=message):
        evaluation.max_sensitivity(
            **{"method": lambda x, target: x, "x": X, **changed}
        )


@pytest.mark.parametrize("measure", ["infidelity", "completeness"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attributions": X[:, :2]}, "shape of `x`"),
        ({"attributions": X * np.nan}, "finite"),
        ({"target": [0, 1, 2, 3]}, "classes below 3"),
        ({"model": Predicts(lambda x: x[None])}, "one output for each class"),
        ({"model": None}, "`model`"),
    ],
)
def test_bad_input_to_infidelity_and_completeness(measure, changed, message):
    arguments = {"model": MODEL, "x": X, "attributions": X, **changed}
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, measure)(**arguments)


def test_of_methods_on_a_model():
    """The gradient of x² moves twice as far; of a linear model, not at all."""
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Lambda(keras.ops.square)]
    )
    target = np.zeros(4, int)
    found = evaluation.max_sensitivity(
        attribution.Gradient(model),
        X,
        target=target,
        perturb=lambda x, rng: x + 0.1,
    )
    np.testing.assert_allclose(
        found.per_sample, 0.2 / abs(2 * X[:, 0]), rtol=1e-3
    )
    flat = linear(np.eye(3))
    gradient = attribution.Gradient(flat)
    assert evaluation.max_sensitivity(gradient, X).value < 1e-6
    maps = gradient(X)
    assert evaluation.infidelity(flat, X, maps).value < 1e-9
    with pytest.raises(ValueError, match="floating point"):
        evaluation.infidelity(flat, (9 * X).astype(int), maps)


def test_of_a_model_that_ends_in_a_softmax():
    """Its probabilities are what is measured, and can be attributed."""
    model = linear(np.eye(3), "softmax")
    methods = (
        attribution.IntegratedGradients(model, score="probability"),
        attribution.IntegratedGradients(model),
    )
    of_probability, of_logit = (
        evaluation.completeness(model, X, method(X)).value for method in methods
    )
    assert of_probability < 1e-4 < of_logit


def test_bad_options():
    with pytest.raises(ValueError, match="`noise`"):
        evaluation.infidelity(MODEL, X, X, noise=-1)
    with pytest.raises(ValueError, match="`draws`"):
        evaluation.infidelity(MODEL, X, X, draws=0)
    with pytest.raises(ValueError, match="`perturb`"):
        evaluation.infidelity(MODEL, X, X, perturb=lambda x, rng: x.T)
    with pytest.raises(ValueError, match="`baselines`"):
        evaluation.completeness(MODEL, X, X, baselines=X[:, :2])
    with pytest.raises(ValueError, match="that `x` can hold"):
        evaluation.completeness(MODEL, (9 * X).astype(int), X, baselines=0.5)
    outputs = Predicts(lambda x: {"a": x, "b": x[:, :1]})
    with pytest.raises(ValueError, match=r"'a': \(4, 3\), 'b': \(4, 1\)"):
        evaluation.completeness(outputs, X, X)
    with pytest.raises(ValueError, match="`baselines` has to be finite"):
        evaluation.completeness(MODEL, X, X, baselines=np.nan)
