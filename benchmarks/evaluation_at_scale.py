"""Seven methods and two measures for many images, beside what others offer.

    KERAS_BACKEND=torch python benchmarks/evaluation_at_scale.py \
        --also tensorflow=PYTHON --also jax=PYTHON --xplique PYTHON

Images of MNIST's size and a small convolutional network. Each side attributes
all images by a method, then measures the maps, as one would write it: ours by
`keras_sgt.attribution` and `keras_sgt.evaluation`, on this backend and on those
whose interpreters are named; another by a loop over Captum's methods and
Quantus's `PixelFlipping` and `Sparseness`, for the same network in PyTorch's
own layers; and, with an interpreter that has it, Xplique's five of the methods
and its `Deletion` and `Sparseness`, for the same network in Keras. Every side
has a process of its own, the sides take turns, and what they measured is
compared: where they mean the same, it has to be the same. All have one thread,
and what is told are seconds of the processor, so that other programs weigh
little. What predicting all images once takes is told too: occlusion predicts
them 17 times.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import common
import keras
import numpy as np
from keras import layers

SHAPE = (28, 28, 1)
STEPS = 14  # levels of deletion, each of as many pixels
BATCH = 256
COPIES = 20  # steps of integrated gradients, noisy copies of SmoothGrad
WINDOW = 7
BASELINES = 5  # of DeepSHAP
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
KERNELS = (5, 5, 1, 8), (3, 3, 8, 16), (400, 10)


def weights():
    rng = np.random.default_rng(0)
    found = []
    for shape in KERNELS:
        scale = (2 / np.prod(shape[:-1])) ** 0.5
        bias = 0.3 * rng.standard_normal(shape[-1])
        found += [scale * rng.standard_normal(shape), bias]
    return [w.astype("float32") for w in found]


def images(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.random((count, *SHAPE), dtype="float32")


def baselines():
    return images(BASELINES, seed=2)


def by_keras_sgt(x):
    """What `timed` returns."""
    from keras_sgt import attribution, evaluation

    model = in_keras()
    target = model.predict(x, batch_size=BATCH, verbose=0).argmax(1)
    methods = {
        "gradient": attribution.Gradient(model),
        "input × gradient": attribution.InputXGradient(model),
        "integrated gradients": attribution.IntegratedGradients(
            model, n_steps=COPIES
        ),
        "SmoothGrad": attribution.SmoothGrad(
            model, nt_samples=COPIES, stdevs=0.1, seed=0
        ),
        "DeepLIFT": attribution.DeepLIFT(model),
        "DeepSHAP": attribution.DeepSHAP(model, baselines()),
        "occlusion": attribution.Occlusion(
            model, (WINDOW, WINDOW, 1), (WINDOW, WINDOW, 1)
        ),
    }

    def measured(maps):
        deleted = evaluation.deletion(
            model,
            x,
            maps,
            target,
            levels=np.arange(1, STEPS) / STEPS,
            batch_size=BATCH,
        )
        return deleted.curve[1:].mean(), evaluation.gini(maps).value

    return timed(
        {
            name: lambda method=method: method(x, target, batch_size=BATCH)
            for name, method in methods.items()
        },
        measured,
        lambda: model.predict(x, batch_size=BATCH, verbose=0),
    )


def in_keras(activation="softmax"):
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation),
        ]
    )
    model.set_weights(weights())
    return model


def by_xplique(x):
    from xplique import attributions, metrics

    model, logits = in_keras(), in_keras(None)
    target = model.predict(x, batch_size=BATCH, verbose=0).argmax(1)
    classes = np.eye(10, dtype="float32")[target]
    of = {"batch_size": BATCH}
    methods = {
        "gradient": attributions.Saliency(logits, **of),
        "input × gradient": attributions.GradientInput(logits, **of),
        "integrated gradients": attributions.IntegratedGradients(
            logits, steps=COPIES, **of
        ),
        "SmoothGrad": attributions.SmoothGrad(
            logits, nb_samples=COPIES, noise=0.1, **of
        ),
        "occlusion": attributions.Occlusion(
            logits,
            patch_size=WINDOW,
            patch_stride=WINDOW,
            occlusion_value=0.0,
            **of,
        ),
    }
    given = {"inputs": x, "targets": classes, **of}
    deletion = metrics.Deletion(model, **given, baseline_mode=0.0, steps=STEPS)
    sparseness = metrics.Sparseness(**of)

    def measured(maps):
        curve = list(deletion.detailed_evaluate(maps).values())
        return np.mean(curve[1:]), np.mean(sparseness(maps))

    return timed(
        {
            name: lambda method=method: method(x, classes)
            for name, method in methods.items()
        },
        measured,
        lambda: model.predict(x, batch_size=BATCH, verbose=0),
    )


def by_captum_and_quantus(x):
    import quantus
    import torch
    from captum import attr

    network = in_torch()
    x = np.transpose(x, (0, 3, 1, 2))
    tensor = torch.tensor(x)

    @torch.no_grad()
    def predicted():
        return torch.cat([network(part) for part in tensor.split(BATCH)])

    target = predicted().argmax(1)
    reference = np.transpose(baselines(), (0, 3, 1, 2))
    window = (1, WINDOW, WINDOW)
    methods = {
        "gradient": (attr.Saliency, {"abs": False}),
        "input × gradient": (attr.InputXGradient, {}),
        "integrated gradients": (
            attr.IntegratedGradients,
            {"n_steps": COPIES, "internal_batch_size": BATCH},
        ),
        "SmoothGrad": (
            lambda network: attr.NoiseTunnel(attr.Saliency(network)),
            {
                "nt_samples": COPIES,
                "nt_samples_batch_size": 1,
                "stdevs": 0.1,
                "abs": False,
            },
        ),
        "DeepLIFT": (attr.DeepLift, {}),
        "DeepSHAP": (
            attr.DeepLiftShap,
            {"baselines": torch.tensor(reference)},
        ),
        "occlusion": (
            attr.Occlusion,
            {"sliding_window_shapes": window, "strides": window},
        ),
    }
    flipping = quantus.PixelFlipping(
        features_in_step=x[0].size // STEPS,
        normalise=False,
        perturb_baseline=0.0,
        disable_warnings=True,
    )
    sparseness = quantus.Sparseness(normalise=False, disable_warnings=True)

    def attributed(make, options):
        method = make(network)
        return lambda: np.concatenate(
            [
                method.attribute(part, target=of, **options).numpy(force=True)
                for part, of in zip(tensor.split(BATCH), target.split(BATCH))
            ]
        )

    def measured(maps):
        given = {
            "model": network,
            "x_batch": x,
            "y_batch": target.numpy(),
            "a_batch": maps,
            "batch_size": BATCH,
        }
        curves = flipping(**given, softmax=True)
        return np.mean(curves), np.mean(sparseness(**given))

    return timed(
        {name: attributed(*method) for name, method in methods.items()},
        measured,
        predicted,
    )


def in_torch():
    """The same network, of images with their channel first."""
    import torch
    from torch import nn

    class Last(nn.Module):  # Keras flattens with the channels last
        def forward(self, x):
            return x.permute(0, 2, 3, 1).flatten(1)

    first, second = nn.Conv2d(1, 8, 5, 2), nn.Conv2d(8, 16, 3, 2)
    head = nn.Linear(400, 10)
    w = [torch.tensor(each) for each in weights()]
    for layer, kernel, bias in (
        (first, w[0].permute(3, 2, 0, 1), w[1]),
        (second, w[2].permute(3, 2, 0, 1), w[3]),
        (head, w[4].T, w[5]),
    ):
        layer.weight.data, layer.bias.data = kernel.contiguous(), bias
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), Last(), head)
    return network.eval()


def timed(methods, measured, predict):
    """Seconds of a prediction; for maps and measures, and means, by method."""
    start = time.process_time()
    predict()
    prediction, rows = time.process_time() - start, {}
    for name, attribute in methods.items():
        start = time.process_time()
        maps = attribute()
        middle = time.process_time()
        deletion, gini = measured(maps)
        rows[name] = {
            "maps_s": round(middle - start, 2),
            "measures_s": round(time.process_time() - middle, 2),
            "deletion": round(float(deletion), 5),
            "gini": round(float(gini), 5),
        }
    return {"prediction_s": round(prediction, 3), "methods": rows}


SIDES = {
    "keras_sgt": by_keras_sgt,
    "Captum and Quantus": by_captum_and_quantus,
    "Xplique": by_xplique,
}


def of_side(side, count):
    """What one side took and found, in this process."""
    x, found = images(count), []

    def work():
        start = time.process_time()
        found.append(SIDES[side](x))
        found.append(time.process_time() - start)

    peak = common.peak_mib(work)
    return {
        "seconds": round(found[1], 1),
        "peak_mib": peak,
        **common.circumstances(),
        **found[0],
    }


def in_a_process(python, backend, side, count):
    done = subprocess.run(
        [python, sys.argv[0], "--of", side, "--images", str(count)],
        env={**os.environ, **ONE_THREAD, "KERAS_BACKEND": backend},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def check_alike(rows):
    """Whether all sides measured the same.

    SmoothGrad's noise is random; Xplique's gradient is without its sign.
    """
    first = rows[0]["methods"]
    for row in rows[1:]:
        names = set(row["methods"])
        if row["by"].startswith("Xplique"):
            names -= {"gradient", "SmoothGrad"}
        for name in names:
            tolerance = 2e-2 if name == "SmoothGrad" else 1e-3
            for measure in ("deletion", "gini"):
                np.testing.assert_allclose(
                    row["methods"][name][measure],
                    first[name][measure],
                    atol=tolerance,
                    err_msg=f"{measure} of {name} by {row['by']}",
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--xplique", metavar="PYTHON")
    parser.add_argument("--of", choices=list(SIDES))
    args = parser.parse_args()
    if args.of:
        print(json.dumps(of_side(args.of, args.images)))
        return
    pythons = {"torch": sys.executable}
    pythons |= dict(each.split("=", 1) for each in args.also)
    turns = [(backend, "keras_sgt", pythons[backend]) for backend in pythons]
    turns.append(("torch", "Captum and Quantus", pythons["torch"]))
    if args.xplique:
        turns.append(("tensorflow", "Xplique", args.xplique))
    rows = []
    for _ in range(args.rounds):
        for backend, side, python in turns:
            found = in_a_process(python, backend, side, args.images)
            version = found.pop("versions")[backend]
            by = f"{side}, {backend} {version}"
            for name in ("backend", "machine"):
                del found[name]
            rows.append({"by": by, **found})
            print(by, found["seconds"], found["peak_mib"], flush=True)
    check_alike(rows)
    content = {
        "images": args.images,
        "rounds": args.rounds,
        "batch_size": BATCH,
        "rows": rows,
    }
    common.save(f"evaluation_at_scale-{args.images}", content)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
