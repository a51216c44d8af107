"""Has a change cost speed? Guided steps of this checkout beside another's.

    git worktree add /tmp/before COMMIT
    KERAS_BACKEND=jax python benchmarks/two_checkouts.py /tmp/before

A process a checkout holds the same networks, plain and guided; the two take
turns, an epoch each, so that the machine's noise hits both. `import keras_sgt`
and the choice of the lowest half of each row are timed in the same way.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys

import common

HERE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE / "examples" / "studies"))
STEPS = 4


def epochs():
    """A function a case: it runs one epoch, or one choice."""
    import keras
    import networks
    import numpy as np
    import passes
    from keras import ops

    import keras_sgt
    from keras_sgt import backend

    rng = np.random.default_rng(0)

    def training(network, shape, batch_size, guided, **options):
        model = network()
        if guided:
            model = keras_sgt.SaliencyGuidedModel(model, **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        x = rng.random((STEPS * batch_size, *shape), dtype="float32")
        y = rng.integers(0, 2, len(x)).astype("int32")
        return functools.partial(common.fit_seconds, model, x, y, batch_size)

    def choice(shape):
        values = ops.convert_to_tensor(rng.normal(size=shape), "float32")
        k = shape[1] // 2
        k = ops.full((1, 1), k, dtype="int32") if backend.TRACED else k
        call = passes.compiled(lambda values: backend.lowest(values, k))
        return lambda: [call(values) for _ in range(10)][-1]

    image = networks.mnist_cnn, (28, 28, 1), 128
    series = networks.tcn, (50, 50), 64
    recurrent = networks.lstm, (50, 50), 64
    return {
        "MNIST CNN, plain": training(*image, False),
        "MNIST CNN, guided": training(*image, True),
        "MNIST CNN, a quarter": training(*image, True, batch_fraction=0.25),
        "TCN, plain": training(*series, False),
        "TCN, guided": training(*series, True),
        "LSTM, plain": training(*recurrent, False),
        "LSTM, guided": training(*recurrent, True),
        "lowest half of 256 x 784": choice((256, 784)),
        "lowest half of 32 x 50176": choice((32, 50176)),
    }


def work():
    """Runs the case named on each line of the input; prints milliseconds."""
    cases = epochs()
    print(json.dumps(list(cases)), flush=True)
    for line in sys.stdin:
        case = {"it": cases[line.strip()]}
        times = common.interleaved(case, 1, warm=False)
        print(times["it"]["median_ms"], flush=True)


def worker(checkout):
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    process = subprocess.Popen(
        [sys.executable, __file__, "--work"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, json.loads(process.stdout.readline())


def asked(process, case):
    process.stdin.write(f"{case}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def import_ms(checkout):
    import import_and_held_memory

    return import_and_held_memory.import_ms(1, checkout)[0]


def measured(checkouts, rounds):
    """Milliseconds, a list a case and checkout."""
    workers = {name: worker(path) for name, path in checkouts.items()}
    cases = next(iter(workers.values()))[1]
    times = {case: {name: [] for name in checkouts} for case in cases}
    for count in range(rounds + 1):
        order = [*workers.items()][:: 1 if count % 2 else -1]
        for case in cases:
            for name, (process, _) in order:
                ms = asked(process, case)
                if count:  # the first compiles
                    times[case][name].append(ms)
    for process, _ in workers.values():
        process.stdin.close()
        process.wait()
    times["import keras_sgt"] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, path in checkouts.items():
            times["import keras_sgt"][name].append(import_ms(path))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=args.before,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    checkouts = {"before": args.before.resolve(), "now": HERE}
    rows = []
    for case, times in measured(checkouts, args.rounds).items():
        pairs = zip(times["now"], times["before"], strict=True)
        quarters = statistics.quantiles([now / then for now, then in pairs])
        rows.append(
            {
                "case": case,
                "before_ms": round(statistics.median(times["before"]), 3),
                "now_ms": round(statistics.median(times["now"]), 3),
                "now_over_before": [round(q, 3) for q in quarters],
            }
        )
        print(*rows[-1].values(), flush=True)
    content = {"before": commit, "rounds": args.rounds, "rows": rows}
    common.save("two_checkouts", content)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:] == ["--work"]:
        work()
    else:
        main()
