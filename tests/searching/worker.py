"""One of several processes of one search: `worker.py URL NAME TRIALS`."""

import sys

import problems

import keras_sgt
from keras_sgt.searching import trials


def main(storage, name, count):
    trials.HEARTBEAT, trials.GRACE, trials.POLL = 1, 4, 0.3
    x, y, truth = problems.table()
    found = keras_sgt.search(
        problems.build_table,
        (x, y),
        (x, y),
        candidates=["adversarial", "gradient_penalty"],
        trials=int(count),
        epochs=2,
        seeds=2,
        truth=truth,
        storage=storage,
        name=name,
    )
    print(found.verdict)


if __name__ == "__main__":
    main(*sys.argv[1:])
