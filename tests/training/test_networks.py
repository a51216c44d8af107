"""The examples' networks against their descriptions and equations."""

import itertools
import pathlib

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import networks

    return networks


def random_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    for v in model.weights:
        v.assign(rng.normal(0, 0.3, v.shape))


def arrays(layer):
    weights = layer.weights
    return [keras.ops.convert_to_numpy(w).astype("float64") for w in weights]


def count(model):
    return sum(np.prod(v.shape) for v in model.trainable_variables)


def resnet18(width, classes=10):
    """Convolutions without bias, each with a scale and an offset."""
    total = 9 * 3 * width + 2 * width
    before = width
    for after in (width, 2 * width, 4 * width, 8 * width):
        total += 9 * before * after + 3 * 9 * after * after + 4 * 2 * after
        if before != after:
            total += before * after + 2 * after
        before = after
    return total + (before + 1) * classes


@pytest.mark.slow_to_compile
def test_parameters(networks):
    """By the shapes that the papers give."""
    cnn = (9 + 1) * 32 + (9 * 32 + 1) * 64 + (9216 + 1) * 128 + 129 * 10
    assert count(networks.mnist_cnn()) == cnn == 1_199_882
    found = count(networks.resnet18())
    assert found == resnet18(64) == 11_173_962
    assert count(networks.resnet18(width=4, classes=3)) == resnet18(4, 3)
    channels = [3, 64, 64, 128, 128, *3 * [256], *6 * [512]]
    vgg16 = sum((9 * i + 1) * o for i, o in itertools.pairwise(channels))
    found = count(networks.vgg16((32, 32, 3), classes=3))
    assert found - (512 + 1) * 3 == vgg16 == 14_714_688
    channels = [3, 4, 4, 8, 8, *3 * [16], *6 * [32]]
    small = sum((9 * i + 2) * o for i, o in itertools.pairwise(channels))
    found = count(networks.small_vgg16((32, 32, 3), classes=3, width=4))
    assert found == small + 33 * 3
    assert count(networks.mlp(28)) == 29 * 64 + 65 * 32 + 33 * 2
    lstm = 4 * 5 * (50 + 5 + 1)
    assert count(networks.lstm()) == lstm + 6 * 2
    attention = 51 * 50 + 51 * 10
    found = count(networks.input_cell_attention_lstm())
    assert found == lstm + attention + 6 * 2
    # Kernel, bias, scale of two convolutions, and the shortcut's.
    blocks = [(50, 5), (5, 5), (5, 50)]
    convolutions = sum(4 * (i + o) * o + 4 * o for i, o in blocks)
    shortcuts = sum((i + 1) * o for i, o in blocks if i != o)
    tcn = convolutions + shortcuts
    assert count(networks.tcn()) == tcn + 51 * 2
    block = 4 * 51 * 50 + 51 * 400 + 401 * 50 + 2 * 100
    found = count(networks.transformer())
    assert found == 6 * block + 100 + 51 * 2 == 305_302


def test_parameters_of_readers(networks):
    words, width, units = 50, 8, 3
    directions = 2 * 4 * units * (width + units + 1)
    dense = (2 * units + 1) * units + (units + 1) * 2
    found = count(networks.bilstm(9, words, width=width, units=units))
    assert found == words * width + directions + dense
    block = 4 * (width + 1) * width + 2 * 2 * width
    block += (width + 1) * 4 * width + (4 * width + 1) * width
    model = networks.text_transformer(9, words, width=width, blocks=1)
    assert count(model) == words * width + block + 2 * width + (width + 1) * 2
    vectors = np.random.default_rng(0).normal(size=(words, 5))
    model = networks.bilstm(9, words, vectors=vectors)
    np.testing.assert_allclose(arrays(model.layers[0])[0], vectors, rtol=1e-5)


def test_receptive_field_of_the_tcn(networks):
    model = networks.tcn(60, 3)
    random_weights(model)
    states = keras.Model(model.inputs, model.layers[-3].output)
    assert states.output.shape == (None, 60, 50)
    x = np.random.default_rng(1).normal(size=(1, 60, 3)).astype("float32")
    last = []
    for step in range(60):
        changed = x.copy()
        changed[:, step] += 1
        difference = states.predict(changed, verbose=0)[0, -1]
        last.append(difference)
    clean = states.predict(x, verbose=0)[0, -1]
    seen = [abs(row - clean).max() > 0 for row in last]
    assert seen == [False] * 17 + [True] * 43


def numpy_convolution(x, kernel, bias, dilation):
    """Causal: x before the first step is 0."""
    size = len(kernel)
    y = np.tile(bias, (*x.shape[:2], 1))
    for t in range(x.shape[1]):
        for i in range(size):
            s = t - dilation * (size - 1 - i)
            if s >= 0:
                y[:, t] += x[:, s] @ kernel[i]
    return y


def test_tcn_equals_its_equations(networks):
    model = networks.tcn(20, 6)
    random_weights(model)
    layers = [x for x in model.layers if isinstance(x, keras.layers.Conv1D)]
    norms = [x for x in layers if isinstance(x, networks.WeightNormConv1D)]
    shortcuts = iter(x for x in layers if x not in norms)
    x = np.random.default_rng(1).normal(size=(4, 20, 6))
    y = x
    for level in range(3):
        short = y
        for layer in norms[2 * level : 2 * level + 2]:
            v, b, g = arrays(layer)
            kernel = g * v / np.sqrt((v**2).sum((0, 1)))
            y = np.maximum(numpy_convolution(y, kernel, b, 2**level), 0)
        if short.shape[-1] != y.shape[-1]:
            kernel, b = arrays(next(shortcuts))
            short = short @ kernel[0] + b
        y = np.maximum(y + short, 0)
    kernel, b = arrays(model.layers[-1])
    expected = y.max(1) @ kernel + b
    found = model.predict(x.astype("float32"), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


def test_new_tcn_starts_with_the_kernels_it_was_given(networks):
    layer = networks.WeightNormConv1D(5, 4)
    layer.build((None, 20, 6))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer.kernel),
        arrays(layer)[0],
        rtol=1e-5,
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_input_cell_attention_equals_its_equations(networks):
    model = networks.input_cell_attention_lstm(12, 6)
    random_weights(model)
    w1, b1, w2, b2, kernel, recurrent, bias, out, out_bias = arrays(model)
    x = np.random.default_rng(1).normal(size=(3, 12, 6))
    h = c = np.zeros((3, 5))
    for t in range(12):
        past = x[:, : t + 1]
        scores = np.tanh(past @ w1 + b1) @ w2 + b2
        weight = np.exp(scores)
        weight /= weight.sum(1, keepdims=True)
        hops = np.einsum("btr,btf->brf", weight, past)
        gates = hops.mean(1) @ kernel + h @ recurrent + bias
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    found = model.predict(x.astype("float32"), verbose=0)
    np.testing.assert_allclose(found, h @ out + out_bias, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["tcn", "input_cell_attention_lstm", "transformer"]
)
def test_networks_of_own_layers_are_saved(networks, name, tmp_path):
    build = getattr(networks, name)
    model = build(8, 10) if name != "transformer" else build(8, 10, blocks=1)
    random_weights(model)
    model.save(tmp_path / "m.keras")
    x = np.ones((2, 8, 10), "float32")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )
