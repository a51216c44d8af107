"""What guided steps cost with one backward pass for weights and inputs.

    KERAS_BACKEND=jax python benchmarks/one_backward.py

`SaliencyGuidedModel(one_backward=True)` runs in turn with plain and guided
`fit`. What it does to the maps: `examples/studies/one_backward.py`.

Beside them run the passes that a quarter of each batch cannot do without.
With `--bound` it runs beside a guided step that ranks at random: what a
saliency would cost that costs nothing, such as one kept from an earlier epoch.
"""

import argparse
import functools
import os

import numpy as np
import passes
import step_cost_by_network

from keras_sgt import masking

NETWORKS = (
    *("MNIST CNN, 64", "MNIST CNN, 256", "ResNet-18, 32"),
    *("TCN, 50", "BiLSTM, 32", "Transformer, 50"),
)
QUARTER = {"batch_fraction": 1 / 4}
ONE = {"one_backward": True}
TRAININGS = {
    "plain": None,
    "guided": {},
    "one backward": ONE,
    "guided, batch_fraction=1/4": QUARTER,
    "one backward, batch_fraction=1/4": {**ONE, **QUARTER},
}


def trainings(workload, args):
    """Settings of each, by its name."""
    if not args.bound:
        return TRAININGS
    at_random = {"masking": workload.masking(ranking="random")}
    return {"plain": None, "one backward": ONE, "at random": at_random}


def parts(workload):
    """The passes that a quarter of each batch cannot do without."""
    if workload.masking is masking.TokenMasking:
        return {}  # nothing has a gradient at words themselves
    x, y = workload.data(1)
    model = workload.trainer(None)
    return passes.of_one_backward(model, x, y, workload.batch_size // 4)


def rows(name, args):
    workload = step_cost_by_network.WORKLOADS[name]
    x, y = workload.data(1)
    trainers = {
        kind: workload.trainer(settings)
        for kind, settings in trainings(workload, args).items()
    }
    fit = functools.partial(
        step_cost_by_network.fit, batch_size=workload.batch_size
    )
    for trainer in trainers.values():
        fit(trainer, x, y)
    plain = min(fit(trainers["plain"], x, y) for _ in range(3))
    steps = int(np.clip(args.seconds / plain, 2, 60))
    x, y = workload.data(steps)
    functions = {
        kind: functools.partial(fit, trainer, x, y)
        for kind, trainer in trainers.items()
    }
    if not args.bound:
        functions |= {
            f"pass: {part}": functools.partial(
                step_cost_by_network.often, function, steps
            )
            for part, function in parts(workload).items()
        }
    yield from step_cost_by_network.beside_plain(
        name, functions, args.rounds, steps
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--bound", action="store_true")
    args = parser.parse_args()
    networks = args.networks or list(NETWORKS)
    name = "free_saliency" if args.bound else "one_backward"
    step_cost_by_network.save(name, rows, networks, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
