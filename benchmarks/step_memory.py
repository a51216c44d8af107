"""What guided training needs in memory: the peak of a guided and a plain step.

    KERAS_BACKEND=jax python benchmarks/step_memory.py

For each network, in a process of its own for each training: the most memory
that three steps need, above what the process held before. Compilation counts
too, so batches are larger than in `step_cost_by_network.py`.
"""

import argparse
import dataclasses
import os
import statistics

import common
import step_cost_by_network as by_network

NETWORKS = [
    *("MNIST CNN, 256", "ResNet-18, 32", "BiLSTM, 32", "TCN, 50"),
    "Transformer, 50",
]
TRAININGS = [
    *("plain", "guided", "guided, batch_fraction=1/4"),
    "guided, step_fraction=1/4",
]


def larger(name, times):
    workload = by_network.WORKLOADS[name]
    return dataclasses.replace(workload, batch_size=times * workload.batch_size)


def three_steps(workload, training):
    x, y = workload.data(3)
    model = workload.trainer(by_network.TRAININGS[training])
    return lambda: model.fit(
        x, y, batch_size=workload.batch_size, **by_network.QUIET
    )


def rows(name, args):
    plain = None
    for training in TRAININGS:
        peaks = [
            common.in_a_process(
                *("--networks", name, "--times", args.times),
                *("--peak-of", training),
            )
            for _ in range(args.rounds)
        ]
        plain = plain or statistics.median(peaks)
        yield {
            "network": name,
            "batch_size": larger(name, args.times).batch_size,
            "training": training,
            "peak_mib": sorted(peaks),
            "times_plain": round(statistics.median(peaks) / plain, 2),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=NETWORKS
    )
    parser.add_argument("--times", type=int, default=4, help="the batch size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", choices=TRAININGS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak_of:
        workload = larger(args.networks[0], args.times)
        print(common.peak_mib(three_steps(workload, args.peak_of)))
        return
    found = []
    for name in args.networks:
        for row in rows(name, args):
            found.append(row)
            print(*(f"{value!s:>28}" for value in row.values()), flush=True)
    del args.peak_of
    common.save("step_memory", {**vars(args), "rows": found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
