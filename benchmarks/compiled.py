"""What `compile(jit_compile=True)` changes, by XLA or by `torch.compile`.

    KERAS_BACKEND=torch python benchmarks/compiled.py

`keras.Model.fit` and guided `fit`, each with and without, run in turn in one
process, as in `run.py`. Not for JAX, which Keras does not run uncompiled.
"""

import argparse
import functools
import os
import time

import common
import keras
import run

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
    workload = run.WORKLOADS[name]
    trainers = {
        kind: trainer(workload, *how) for kind, how in TRAININGS.items()
    }
    x, y = workload.data(args.steps)
    fit = functools.partial(run.fit, x=x, y=y, batch_size=workload.batch_size)
    first = {}
    for kind, model in trainers.items():
        start = time.perf_counter()
        fit(model)
        first[kind] = time.perf_counter() - start
    times = common.interleaved(
        {k: functools.partial(fit, model) for k, model in trainers.items()},
        args.rounds,
    )
    plain = times["plain"]["median_ms"]
    for kind, found in times.items():
        yield {
            "network": name,
            "training": kind,
            **{key: round(ms / args.steps, 3) for key, ms in found.items()},
            "times_plain": round(found["median_ms"] / plain, 3),
            "first_fit_s": round(first[kind] - found["median_ms"] / 1000, 2),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    found = []
    for name in NETWORKS:
        for row in rows(name, args):
            found.append(row)
            print(*row.values(), flush=True)
        keras.utils.clear_session()
    common.save("compiled", {**vars(args), "rows": found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
