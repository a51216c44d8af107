"""Whether features could be ranked in bfloat16: faster, and by the same order?

    KERAS_BACKEND=torch python benchmarks/bfloat16_ranking.py

For networks trained on batches with something to learn: the saliency pass in
float32 and with the policy mixed_bfloat16, in turn in one process, and how much
of what one marks as the lowest half the other marks too. Beside them the
forward pass: what a guided step computes once for the saliency and the clean
batch, as long as both have the same type.
"""

import argparse
import os

import common
import keras
import numpy as np
import passes
import step_cost_by_network as by_network
from keras import ops

EPOCHS = 12


def data(workload):
    """Samples of each class are noise around a pattern of their own."""
    x, y = workload.data(1)
    rng = np.random.default_rng(1)
    patterns = rng.random((workload.classes, *workload.shape), dtype="float32")
    return 0.7 * x + 0.6 * patterns[y], y


def trained(workload, x, y):
    """The same weights in float32, and computing in bfloat16."""
    model = workload.build()
    model.compile("adam", passes.LOSS)
    model.fit(x, y, epochs=EPOCHS, batch_size=len(x), verbose=0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    low = workload.build()
    keras.config.set_dtype_policy("float32")
    low.set_weights(model.get_weights())
    return {"float32": model, "bfloat16": low}


def agreement(saliency):
    """The share of the lowest half that is the same, as a mean of samples."""
    order = [
        np.argsort(ops.convert_to_numpy(s).reshape(len(s), -1), 1, "stable")
        for s in saliency
    ]
    half = order[0].shape[1] // 2
    same = [len(np.intersect1d(a[:half], b[:half])) for a, b in zip(*order)]
    return float(np.mean(same)) / half


def row(name, workload, rounds):
    x, y = data(workload)
    models = trained(workload, x, y)
    parts = {
        kind: passes.of(model, workload.masking(), x, y)
        for kind, model in models.items()
    }
    functions = {kind: part["saliency"] for kind, part in parts.items()}
    functions["forward"] = parts["float32"]["forward"]
    times = common.interleaved(functions, rounds)
    maps = [ops.cast(parts[kind]["saliency"](), "float32") for kind in models]
    return {
        "network": name,
        "agreement": round(agreement(maps), 4),
        **{
            f"{kind}_{key}": v
            for kind, t in times.items()
            for key, v in t.items()
        },
    }


def main():
    names = ["MNIST CNN, 256", "ResNet-18, 32", "TCN, 50", "Transformer, 50"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=names)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    rows = []
    for name in args.networks:
        rows.append(row(name, by_network.WORKLOADS[name], args.rounds))
        print(rows[-1], flush=True)
    common.save("bfloat16_ranking", {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
