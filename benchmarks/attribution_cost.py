"""What attributions cost, beside Captum where PyTorch is the backend.

    KERAS_BACKEND=torch python benchmarks/attribution_cost.py

Integrated gradients with 50 steps, SmoothGrad with 50 noisy copies and
DeepSHAP with 20 baselines, for random images of MNIST's size and the paper's
network, in turn in one process. Captum runs the Keras model itself and, since
its DeepSHAP needs PyTorch's own layers, the same network written in these; it
has as many rows in a pass. Peak memory is that of a process of its own, above
what it held before.
"""

import argparse
import functools
import os
import pathlib
import sys

import common
import keras
import numpy as np

from keras_sgt import attribution

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
import networks

BASELINES = 20
METHODS = ("integrated gradients", "SmoothGrad", "DeepSHAP")


def data(images):
    rng = np.random.default_rng(0)
    x, base = (
        rng.random((n, 28, 28, 1), dtype="float32") for n in (images, BASELINES)
    )
    return x, base, rng.integers(0, 10, images)


def ours(x, base, target, rows):
    """Functions that attribute, by the name of their method."""
    keras.utils.set_random_seed(0)
    model = networks.mnist_cnn()
    methods = {
        "integrated gradients": attribution.IntegratedGradients(model),
        "SmoothGrad": attribution.SmoothGrad(model, stdevs=0.15),
        "DeepSHAP": attribution.DeepSHAP(model, base),
    }
    return {
        name: functools.partial(method, x, target, batch_size=rows)
        for name, method in methods.items()
    }


def captum_on_keras(x, base, target, rows):
    model = networks.mnist_cnn()
    model.trainable = False  # Captum asks for no gradients of weights
    found = captums(model, x, base, target, rows)
    del found["DeepSHAP"]
    return found


def captum_on_torch(x, base, target, rows):
    import handwritten_step

    network = handwritten_step.mnist_cnn().eval()
    ours = networks.mnist_cnn()
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == ours.count_params(), "not the same network"
    x, base = (np.transpose(a, (0, 3, 1, 2)) for a in (x, base))
    return captums(network, x, base, target, rows)


def captums(network, x, base, target, rows):
    import torch
    from captum import attr

    x, base, target = (torch.tensor(a) for a in (x, base, target))

    def in_batches(attribute, size):
        return lambda: [
            attribute(x[i : i + size], target=target[i : i + size]).numpy(
                force=True
            )
            for i in range(0, len(x), size)
        ]

    path = attr.IntegratedGradients(network)
    noise = attr.NoiseTunnel(attr.Saliency(network))
    shap = attr.DeepLiftShap(network)
    return {
        "integrated gradients": in_batches(
            functools.partial(path.attribute, internal_batch_size=rows), rows
        ),
        "SmoothGrad": in_batches(
            functools.partial(
                noise.attribute,
                nt_samples=50,
                nt_samples_batch_size=1,
                stdevs=0.15,
                abs=False,
            ),
            rows,
        ),
        "DeepSHAP": in_batches(
            functools.partial(shap.attribute, baselines=base),
            max(1, rows // BASELINES),
        ),
    }


def sides(args):
    """Functions that attribute, by side and method."""
    given = (*data(args.images), args.pass_rows)
    found = {"keras_sgt": ours}
    if keras.backend.backend() == "torch":
        found["captum, same model"] = captum_on_keras
        found["captum, torch layers"] = captum_on_torch
    return {side: make(*given) for side, make in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--pass-rows", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", nargs=2)
    args = parser.parse_args()
    if args.peak_of:
        side, method = args.peak_of
        print(common.peak_mib(sides(args)[side][method]))
        return
    rows = []
    found = sides(args)
    for method in METHODS:
        times = common.interleaved(
            {
                side: functions[method]
                for side, functions in found.items()
                if method in functions
            },
            args.rounds,
        )
        for side, time in times.items():
            row = {"method": method, "by": side, **time}
            row["peak_mib"] = common.in_a_process(
                *("--peak-of", side, method),
                *("--images", args.images, "--pass-rows", args.pass_rows),
            )
            rows.append(row)
            print(*(f"{value!s:>22}" for value in row.values()), flush=True)
    del args.peak_of
    common.save("attribution_cost", {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
