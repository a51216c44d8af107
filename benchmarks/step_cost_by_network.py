"""What guided training costs beside plain training, for several networks.

    KERAS_BACKEND=jax python benchmarks/step_cost_by_network.py

For each network `keras.Model.fit`, guided `fit`, and the passes that a guided
step consists of run in turn in one process: medians of several rounds, and
what they are of the plain step. On PyTorch, the same step written directly
runs beside them. With `--keep-memory`, glibc is told to keep freed memory,
which PyTorch otherwise asks the system for again in every step, page by page.
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable

import common
import keras
import numpy as np
import passes
import step_cost

import keras_sgt
from keras_sgt import masking

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
import networks

WORDS = 10_000
TRAININGS = {
    "plain": None,
    "guided": {},
    "guided, kl_weight=0": {"kl_weight": 0},
    "guided, batch_fraction=1/2": {"batch_fraction": 1 / 2},
    "guided, batch_fraction=1/4": {"batch_fraction": 1 / 4},
    "guided, batch_fraction=1/8": {"batch_fraction": 1 / 8},
    "guided, step_fraction=1/4": {"step_fraction": 1 / 4},
}


@dataclasses.dataclass
class Workload:
    """A network, and batches for it."""

    build: Callable
    shape: tuple
    classes: int
    batch_size: int
    masking: Callable = masking.FeatureMasking

    def data(self, steps):
        rng = np.random.default_rng(0)
        shape = (steps * self.batch_size, *self.shape)
        if self.masking is masking.TokenMasking:
            x = rng.integers(1, WORDS, shape).astype("int32")
        else:
            x = rng.random(shape, dtype="float32")
        return x, rng.integers(0, self.classes, len(x)).astype("int32")

    def trainer(self, settings):
        """What `fit` is called of; plain without settings."""
        model = self.build()
        if settings is not None:
            settings = {"masking": self.masking(), **settings}
            model = keras_sgt.SaliencyGuidedModel(model, **settings)
        model.compile("adam", passes.LOSS)
        return model


series = functools.partial(masking.FeatureMasking, channel_axis=None)
WORKLOADS = {
    **{
        f"MNIST CNN, {size}": Workload(
            networks.mnist_cnn, (28, 28, 1), 10, size
        )
        for size in (64, 256, 512)
    },
    "ResNet-18, 32": Workload(networks.resnet18, (32, 32, 3), 10, 32),
    "BiLSTM, 32": Workload(
        lambda: networks.bilstm(200, WORDS),
        *((200,), 2, 32, masking.TokenMasking),
    ),
    "TCN, 50": Workload(networks.tcn, (50, 50), 2, 50, series),
    "Transformer, 50": Workload(networks.transformer, (50, 50), 2, 50, series),
}


def measured(name, workload, args):
    """Milliseconds of a step, by training and pass; and of the compilation."""
    x, y = workload.data(1)
    trainers = {
        kind: workload.trainer(settings) for kind, settings in TRAININGS.items()
    }
    if name.startswith("MNIST CNN") and keras.backend.backend() == "torch":
        import handwritten_step

        for kind, make in handwritten_step.TRAINERS.items():
            trainers[kind] = make()

    train = functools.partial(fit, batch_size=workload.batch_size)
    first = {kind: seconds(train, t, x, y) for kind, t in trainers.items()}
    plain = min(seconds(train, trainers["plain"], x, y) for _ in range(3))
    # Of four, where one of four is guided.
    steps = 4 * max(1, min(5, round(args.seconds / plain / 4)))
    model = workload.trainer(None)
    parts = passes.of(model, workload.masking(), x, y)
    x, y = workload.data(steps)
    functions = {
        kind: functools.partial(train, trainer, x, y)
        for kind, trainer in trainers.items()
    }
    for part, function in parts.items():
        functions[f"pass: {part}"] = functools.partial(often, function, steps)
    times = common.interleaved(functions, args.rounds)
    for time_ in times.values():
        time_ |= {key: round(v / steps, 3) for key, v in time_.items()}
    return times, first, steps


def fit(trainer, x, y, batch_size):
    """Trains one epoch; its seconds, of a `keras.Model`."""
    if not isinstance(trainer, keras.Model):
        return trainer.fit(x, y, batch_size=batch_size)
    return common.fit_seconds(trainer, x, y, batch_size)


def often(function, times):
    for _ in range(times):
        function()


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def rows(name, workload, args):
    times, first, steps = measured(name, workload, args)
    plain = times["plain"]["median_ms"]
    for kind, time_ in times.items():
        row = {
            "network": name,
            "what": kind,
            **time_,
            "times_plain": round(time_["median_ms"] / plain, 3),
            "steps": steps,
        }
        if kind in first:
            compile_ms = 1000 * first[kind] - time_["median_ms"]
            row["first_fit_s"] = round(compile_ms / 1000, 2)
            rate = 1000 * workload.batch_size / time_["median_ms"]
            row["samples_per_s"] = round(rate, 1)
        yield row


def beside_plain(network, functions, rounds, steps):
    """What some trainings take that each do so many steps, in turn."""
    times = common.interleaved(functions, rounds)
    plain = times["plain"]["median_ms"]
    for training, time_ in times.items():
        yield {
            "network": network,
            "training": training,
            **{key: round(ms / steps, 3) for key, ms in time_.items()},
            "times_plain": round(time_["median_ms"] / plain, 3),
            "steps": steps,
        }


def save(name, rows, networks, args):
    """Prints the lines of each network as they come, and writes them."""
    found = []
    for network in networks:
        for row in rows(network, args):
            found.append(row)
            print(*row.values(), flush=True)
        keras.utils.clear_session()
        common.save(name, {**vars(args), "rows": found})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=1.5, help="of a plain round, about"
    )
    parser.add_argument("--keep-memory", action="store_true")
    args = parser.parse_args()
    wanted = step_cost.KEEP_MEMORY if args.keep_memory else {}
    if not wanted.items() <= os.environ.items():
        environment = {**os.environ, **wanted}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    names = args.networks or list(WORKLOADS)
    found = []
    for name in names:
        for row in rows(name, WORKLOADS[name], args):
            found.append(row)
            print(
                f"{name:18} {row['what']:28} {row['median_ms']:9.2f} ms "
                f"{row['times_plain']:7.3f}",
                flush=True,
            )
    name = "step_cost_by_network"
    name += "-keep-memory" if args.keep_memory else ""
    common.save(name, {**vars(args), "rows": found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
