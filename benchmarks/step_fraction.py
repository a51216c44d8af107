"""What it costs to guide a share of the steps, for several networks.

    KERAS_BACKEND=jax python benchmarks/step_fraction.py

`keras.Model.fit` and guided `fit` with 1/4 and 1/8 of the steps guided run in
turn in one process, as in `step_cost_by_network.py`.
"""

import argparse
import functools
import os

import step_cost_by_network as by_network

TRAININGS = {
    "plain": None,
    "guided, step_fraction=1/4": {"step_fraction": 1 / 4},
    "guided, step_fraction=1/8": {"step_fraction": 1 / 8},
}


def rows(name, args):
    workload = by_network.WORKLOADS[name]
    trainers = {
        training: workload.trainer(settings)
        for training, settings in TRAININGS.items()
    }
    x, y = workload.data(8)  # of which 2 and 1 are guided
    fit = functools.partial(
        by_network.fit, x=x, y=y, batch_size=workload.batch_size
    )
    for trainer in trainers.values():
        fit(trainer)
    plain = fit(trainers["plain"])
    repeats = max(1, min(10, round(args.seconds / plain)))
    functions = {
        training: functools.partial(repeated, fit, trainer, repeats)
        for training, trainer in trainers.items()
    }
    return by_network.beside_plain(name, functions, args.rounds, 8 * repeats)


def repeated(fit, trainer, times):
    return sum(fit(trainer) for _ in range(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of a plain round, about"
    )
    args = parser.parse_args()
    by_network.save("step_fraction", rows, by_network.WORKLOADS, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
