"""One run on an accelerator, in under ten minutes; `--quick` tries it on a CPU.

    KERAS_BACKEND=jax KERAS_SGT_GOLDEN=... python benchmarks/gpu.py

One guided step beside the numbers of the original authors' code, in float32 and
in bfloat16; step times of three networks, plain and guided, with the memory
that they need; and choosing half of 50,176 features for 64 samples, beside the
framework's `top_k`. What no time is left for is left out, and said so.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import time

import common
import keras
import numpy as np
import selection_cost
from keras import layers

import keras_sgt

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
import golden
import networks

TRAININGS = {
    "plain": None,
    "guided": {},
    "guided, batch_fraction=1/4": {"batch_fraction": 0.25},
    "guided, step_fraction=1/8": {"step_fraction": 0.125},
}
STEPS = 8  # of which one is guided where an eighth is


def vit(quick):
    """A small vision transformer for 32 × 32 images in 64 patches."""
    width = 32 if quick else 192
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(width, 4, strides=4)(inputs)
    x = networks.AddPositions()(layers.Reshape((64, width))(x))
    for _ in range(2 if quick else 6):
        attended = layers.LayerNormalization()(x)
        heads = layers.MultiHeadAttention(4, width // 4)
        x = layers.add([x, heads(attended, attended)])
        hidden = layers.LayerNormalization()(x)
        hidden = layers.Dense(4 * width, activation="gelu")(hidden)
        x = layers.add([x, layers.Dense(width)(hidden)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x), name="vit")


NETWORKS = {
    "MNIST CNN": lambda quick: networks.mnist_cnn(),
    "ResNet-18": lambda quick: networks.resnet18(width=16 if quick else 64),
    "ViT": vit,
}


def golden_steps():
    """How far a step is from the authors', as a share of the largest value.

    In float32 once exactly, and once as the framework multiplies by default.
    """
    if not golden.FOLDER:
        return "KERAS_SGT_GOLDEN names no folder"
    with exact_products():
        rows = list(_golden_steps("float32", "float32, exact products"))
    rows += _golden_steps("float32", "float32")
    rows += _golden_steps("mixed_bfloat16", "mixed_bfloat16")
    return rows


@contextlib.contextmanager
def exact_products():
    """Without TF32, to which both frameworks may round what they multiply."""
    if keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _golden_steps(precision, name):
    for ranking in golden.RANKINGS:
        found = {}
        step = golden.step(golden.numbers(), ranking, precision)
        for what, actual, expected in step:
            kind = what.split(" ")[0].split("/")[0]
            off = float(golden.deviation(actual, expected))
            found[kind] = max(found.get(kind, 0.0), off)
        found = {kind: float(f"{off:.2g}") for kind, off in found.items()}
        yield {"precision": name, "ranked_by": ranking, **found}


def step_times(network, precision, batch_size, quick, rounds):
    """A row for each training, and what the device needed for all of them."""
    keras.config.set_dtype_policy(precision)
    models = {}
    for name, options in TRAININGS.items():
        model = NETWORKS[network](quick)
        if options is not None:
            model = keras_sgt.SaliencyGuidedModel(model, **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        models[name] = model
    keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    shape = next(iter(models.values())).input_shape[1:]
    x = rng.random((STEPS * batch_size, *shape), dtype="float32")
    y = rng.integers(0, 10, len(x)).astype("int32")
    memory = {}

    def fit(name):
        reset_memory()
        models[name].fit(x, y, batch_size=batch_size, verbose=0)
        memory[name] = peak_memory()

    times = common.interleaved(
        {name: lambda name=name: fit(name) for name in models}, rounds
    )
    plain = times["plain"]["median_ms"]
    return [
        {
            "network": network,
            "precision": precision,
            "batch_size": batch_size,
            "training": name,
            **{key: round(ms / STEPS, 3) for key, ms in time.items()},
            "times_plain": round(time["median_ms"] / plain, 3),
            "peak_mib": memory[name],
        }
        for name, time in times.items()
    ]


def reset_memory():
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def peak_memory():
    """MiB; on JAX of the process so far, which cannot be reset."""
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return round(torch.cuda.max_memory_allocated() / 2**20)
    if keras.backend.backend() == "jax":
        import jax

        statistics = jax.devices()[0].memory_stats()
        if statistics:
            return round(statistics["peak_bytes_in_use"] / 2**20)
    return None


def device():
    """What the framework says that it runs on."""
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    return "CPU"


def settings(args):
    """Every `step_times` that is wanted, what matters most first."""
    sizes = (4,) if args.quick else args.sizes
    return [
        (network, precision, size)
        for size in sizes
        for network in args.networks
        for precision in args.precisions
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=480)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument(
        "--precisions", nargs="+", default=["float32", "mixed_bfloat16"]
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1024, 4096, 512, 2048]
    )
    args = parser.parse_args()
    until = time.monotonic() + args.seconds
    name = "gpu-quick" if args.quick else "gpu"
    shape = (8, 784) if args.quick else (64, 50176)
    found = {**vars(args), "device": device(), "golden": golden_steps()}
    found["selection"] = [
        row
        for half_zero in (False, True)
        for row in selection_cost.measured(shape, half_zero, args.rounds)
    ]
    found["steps"], found["left_out"] = [], settings(args)
    common.save(name, found)
    while found["left_out"] and time.monotonic() < until:
        setting = found["left_out"].pop(0)
        rows = step_times(*setting, args.quick, args.rounds)
        for row in rows:
            print(*(f"{value!s:>15}" for value in row.values()), flush=True)
        found["steps"] += rows
        common.save(name, found)  # should the machine be taken back


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    main()
