"""Writes captum_reference.npz: what Captum attributes, for every backend.

    python tests/captum_reference.py

Captum's hooks need PyTorch's own layers, so each network is written in them,
with the weights of its Keras twin in `test_attribution_captum.py`, in the
order and layout of Keras.
"""

import pathlib

import captum.attr
import numpy as np
import torch
from torch import nn
from torch.nn import functional

FILE = pathlib.Path(__file__).with_suffix(".npz")
SAMPLES = 4


def tensor(array):
    return torch.tensor(np.asarray(array, "float32"))


def linear(kernel, bias):
    layer = nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = tensor(kernel.T), tensor(bias)
    return layer


def convolution(kernel, bias, padding=0):
    layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=padding)
    layer.weight.data = tensor(kernel.transpose(3, 2, 0, 1))
    layer.bias.data = tensor(bias)
    return layer


class Perceptron(nn.Module):
    shapes = (10, 16), (16,), (16, 12), (12,), (12, 3), (3,)
    sample = (10,)

    def __init__(self, w, probability=False):
        super().__init__()
        layers = [
            linear(w[0], w[1]),
            nn.ReLU(),
            linear(w[2], w[3]),
            nn.Tanh(),
            linear(w[4], w[5]),
        ]
        if probability:
            layers.append(nn.Softmax(dim=-1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Pooled(nn.Module):
    """Max pooling, a ReLU layer, dropout (which does nothing here)."""

    shapes = (
        *((3, 3, 2, 4), (4,), (3, 3, 4, 5), (5,)),
        *((45, 8), (8,), (8, 3), (3,)),
    )
    sample = (12, 12, 2)

    def __init__(self, w):
        super().__init__()
        self.first, self.second = convolution(*w[:2]), convolution(*w[2:4])
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()
        self.relu_after, self.sigmoid = nn.ReLU(), nn.Sigmoid()
        self.dense, self.head = linear(*w[4:6]), linear(*w[6:])

    def forward(self, x):
        x = self.relu(self.first(x.permute(0, 3, 1, 2)))
        # Of two treated modules in a row Captum's hooks lose one; attributions
        # do not add up then. Its own tensor between them keeps them apart.
        x = self.pool(x * 1)
        x = self.relu_after(self.second(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.head(self.sigmoid(self.dense(x)))

    @property
    def last(self):
        return self.relu_after


class Residual(nn.Module):
    """A skip connection and batch normalisation."""

    shapes = (
        *((3, 3, 2, 6), (6,), (3, 3, 6, 6), (6,)),
        *((6,), (6,), (6,), (6,), (6, 3), (3,)),
    )
    sample = (8, 8, 2)

    def __init__(self, w):
        super().__init__()
        self.first, self.second = (
            convolution(*w[:2], padding=1),
            convolution(*w[2:4], padding=1),
        )
        self.normalise = nn.BatchNorm2d(6, eps=1e-3)
        self.normalise.weight.data = tensor(w[4])
        self.normalise.bias.data = tensor(w[5])
        self.normalise.running_mean = tensor(w[6])
        self.normalise.running_var = tensor(w[7])
        self.relu, self.relu_after = nn.ReLU(), nn.ReLU()
        self.head = linear(*w[8:])

    def forward(self, x):
        x = self.relu(self.first(x.permute(0, 3, 1, 2)))
        x = self.relu_after(x + self.normalise(self.second(x)))
        return self.head(x.mean((2, 3)))

    @property
    def last(self):
        return self.second


class Recurrent(nn.Module):
    shapes = (3, 20), (5, 20), (20,), (5, 3), (3,)
    sample = (6, 3)

    def __init__(self, w):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 5, batch_first=True), linear(*w[3:])
        self.lstm.weight_ih_l0.data = tensor(w[0].T)
        self.lstm.weight_hh_l0.data = tensor(w[1].T)
        self.lstm.bias_ih_l0.data = tensor(w[2])
        self.lstm.bias_hh_l0.data.zero_()

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Transformer(nn.Module):
    """One block: two heads of attention, and a layer with a ReLU."""

    shapes = (
        *((4, 8), (8,)),
        *((8, 2, 4), (2, 4), (8, 2, 4), (2, 4), (8, 2, 4), (2, 4)),
        *((2, 4, 8), (8,), (8,), (8,)),
        *((8, 8), (8,), (8,), (8,), (8, 3), (3,)),
    )
    sample = (6, 4)

    def __init__(self, w):
        super().__init__()
        self.embed, self.relu = linear(*w[:2]), nn.ReLU()
        self.attention = [tensor(v) for v in w[2:10]]
        self.norms = [[tensor(v) for v in w[i : i + 2]] for i in (10, 14)]
        self.dense, self.head = linear(*w[12:14]), linear(*w[16:])

    def forward(self, x):
        x = self.embed(x)
        queries, keys, values = (
            torch.einsum("btd,dhk->bhtk", x, self.attention[i])
            + self.attention[i + 1][:, None]
            for i in (0, 2, 4)
        )
        weights = functional.softmax(
            queries @ keys.transpose(2, 3) / 4**0.5, dim=-1
        )
        mixed = torch.einsum(
            "bhtk,hkd->btd", weights @ values, self.attention[6]
        )
        x = self.normalised(x + mixed + self.attention[7], 0)
        x = self.normalised(x + self.relu(self.dense(x)), 1)
        return self.head(x.mean(1))

    def normalised(self, x, which):
        return functional.layer_norm(x, (8,), *self.norms[which], eps=1e-3)


class Words(nn.Module):
    """Embedded token ids, a convolution over three words."""

    shapes = (20, 6), (3, 6, 5), (5,), (5, 3), (3,)
    sample = (7,)

    def __init__(self, w):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(tensor(w[0]))
        self.convolution = nn.Conv1d(6, 5, 3)
        self.convolution.weight.data = tensor(w[1].transpose(2, 1, 0))
        self.convolution.bias.data = tensor(w[2])
        self.tanh, self.head = nn.Tanh(), linear(*w[3:])

    def forward(self, ids):
        x = self.embedding(ids).permute(0, 2, 1)
        return self.head(self.tanh(self.convolution(x)).mean(2))


NETWORKS = {
    "perceptron": Perceptron,
    "pooled": Pooled,
    "residual": Residual,
    "recurrent": Recurrent,
    "transformer": Transformer,
    "words": Words,
}


def one_by_one(method, x, target, **arguments):
    """Captum's DeepLIFT mixes the samples of a batch (max pooling, softmax)."""
    per_sample = {
        key: value for key, value in arguments.items() if len(value) == len(x)
    }
    return torch.cat(
        [
            method.attribute(
                x[i : i + 1],
                target=target[i : i + 1],
                **{
                    key: value[i : i + 1] if key in per_sample else value
                    for key, value in arguments.items()
                },
            )
            for i in range(len(x))
        ]
    )


def of_floats(network, x, target, baselines, several):
    """Attributions by the name of their method."""
    attr = captum.attr
    groups = torch.arange(x[0].numel()).reshape(x[0].shape) // 3
    window = (2,) * (x.ndim - 1)
    path = attr.IntegratedGradients(network)
    found = {
        "gradient": attr.Saliency(network).attribute(x, target, abs=False),
        "input_x_gradient": attr.InputXGradient(network).attribute(x, target),
        "integrated_gradients": path.attribute(
            x, baselines, target, n_steps=20
        ),
        "deep_lift": one_by_one(
            attr.DeepLift(network), x, target, baselines=baselines
        ),
        "deep_shap": one_by_one(
            attr.DeepLiftShap(network), x, target, baselines=several
        ),
        "feature_ablation": attr.FeatureAblation(network).attribute(
            x, baselines, target, feature_mask=groups[None]
        ),
        "occlusion": attr.Occlusion(network).attribute(
            x, window, strides=window, baselines=0.5, target=target
        ),
        "occlusion_overlapping": attr.Occlusion(network).attribute(
            x, window, baselines=baselines, target=target
        ),
    }
    for rule in ("left", "right", "middle", "trapezoid"):
        found[f"riemann_{rule}"] = path.attribute(
            x, baselines, target, n_steps=7, method=f"riemann_{rule}"
        )
    if hasattr(network, "last"):
        layer = attr.LayerGradCam(network, network.last)
        maps = layer.attribute(x, target, relu_attributions=True)
        maps = attr.LayerAttribution.interpolate(maps, x.shape[1:3], "bilinear")
        found["grad_cam"] = maps.permute(0, 2, 3, 1).expand(x.shape)
    return found


def of_random_methods(network, x, target, several):
    """The mean of many draws, and its standard error."""
    attr, draws = captum.attr, 4000
    found = {}
    for name, method, options in (
        (
            "smooth_grad",
            attr.NoiseTunnel(attr.Saliency(network)),
            {"nt_samples": 1, "stdevs": 0.5, "abs": False},
        ),
        (
            "gradient_shap",
            attr.GradientShap(network),
            {"n_samples": 1, "stdevs": 0.3, "baselines": several},
        ),
    ):
        values = torch.stack(
            [
                method.attribute(x, target=target, **options)
                for _ in range(draws)
            ]
        )
        found[name] = values.mean(0)
        found[f"{name}_error"] = values.std(0) / draws**0.5
    return found


def of_words(network, ids, target):
    attr = captum.attr
    layer = network.embedding
    gradient = attr.LayerGradientXActivation(
        network, layer, multiply_by_inputs=False
    ).attribute(ids, target)
    path = attr.LayerIntegratedGradients(network, layer).attribute(
        ids, torch.full_like(ids, 3), target, n_steps=20
    )
    ablation = attr.FeatureAblation(network).attribute(ids, 3, target)
    return {
        "gradient": gradient.sum(-1),
        "gradient_l2": gradient.norm(dim=-1),
        "integrated_gradients": path.sum(-1),
        "feature_ablation": ablation,
    }


def main():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    np.random.seed(0)  # Captum's draws
    arrays = {}
    for name, make in NETWORKS.items():
        weights = [
            rng.normal(0, 1 / np.sqrt(max(1, np.prod(s[:-1]))), s).astype(
                "float32"
            )
            for s in make.shapes
        ]
        if name == "residual":
            weights[7] = np.abs(weights[7]) + 0.5  # a variance
        network = make(weights).eval()
        if name == "words":
            x = rng.integers(0, 20, (SAMPLES, *make.sample))
            target = torch.tensor(rng.integers(0, 3, SAMPLES))
            found = of_words(network, torch.tensor(x), target)
            x = x.astype("int32")
        else:
            x, baselines = rng.normal(size=(2, SAMPLES, *make.sample)).astype(
                "float32"
            )
            several = rng.normal(size=(3, *make.sample)).astype("float32")
            target = torch.tensor(rng.integers(0, 3, SAMPLES))
            found = of_floats(
                network, tensor(x), target, tensor(baselines), tensor(several)
            )
            arrays[f"{name}/baselines"] = baselines
            arrays[f"{name}/several"] = several
        if name == "perceptron":
            found.update(
                of_random_methods(network, tensor(x), target, tensor(several))
            )
            found["deep_lift_of_probability"] = one_by_one(
                captum.attr.DeepLift(make(weights, probability=True)),
                tensor(x),
                target,
                baselines=tensor(baselines),
            )
        arrays[f"{name}/x"], arrays[f"{name}/target"] = x, target.numpy()
        arrays.update({f"{name}/weight_{i}": w for i, w in enumerate(weights)})
        for method, values in found.items():
            values = values.detach().numpy().astype("float32")
            arrays[f"{name}/{method}"] = values
    part = FILE.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    part.replace(FILE)


if __name__ == "__main__":
    main()
