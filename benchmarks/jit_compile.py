"""What `compile(jit_compile=True)` changes, by XLA or by `torch.compile`.

    KERAS_BACKEND=torch python benchmarks/jit_compile.py

`keras.Model.fit` and guided `fit`, each with and without, run in turn in one
process, as in `step_cost_by_network.py`. Not for JAX, which Keras does not run
uncompiled.
"""

import argparse
import functools
import os

import step_cost_by_network as by_network

NETWORKS = ["MNIST CNN, 256", "TCN, 50"]
TRAININGS = {
    "plain": (None, False),
    "guided": ({}, False),
    "plain, jit_compile": (None, True),
    "guided, jit_compile": ({}, True),
}


def trainer(workload, settings, jit_compile):
    model = workload.trainer(settings)
    model.compile("adam", model.loss, jit_compile=jit_compile)
    return model


def rows(name, args):
    workload = by_network.WORKLOADS[name]
    trainers = {
        kind: trainer(workload, *how) for kind, how in TRAININGS.items()
    }
    x, y = workload.data(args.steps)
    fit = functools.partial(
        by_network.fit, x=x, y=y, batch_size=workload.batch_size
    )
    functions = {
        kind: functools.partial(fit, model) for kind, model in trainers.items()
    }
    first = {kind: by_network.seconds(once) for kind, once in functions.items()}
    for row in by_network.beside_plain(
        name, functions, args.rounds, args.steps
    ):
        later = row["median_ms"] * args.steps / 1000
        yield {**row, "first_fit_s": round(first[row["training"]] - later, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    by_network.save("jit_compile", rows, NETWORKS, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
