"""What each guidance costs: a guided step beside a plain one.

    KERAS_BACKEND=jax python benchmarks/guidance_cost.py

`fit` of the paper's MNIST network, plain and with each guidance, in every step
and in every eighth, in turn in one process; the ratio of their medians is the
cost.
"""

import argparse
import functools
import os
import pathlib
import sys

import common
import keras
import numpy as np

import keras_sgt
from keras_sgt import guidance

sys.path.insert(
    0, str(pathlib.Path(__file__).parents[1] / "examples" / "studies")
)
import networks

GUIDANCES = {
    "masked consistency (the paper's)": guidance.MaskedConsistency,
    "its random control": lambda: guidance.MaskedConsistency().control(),
    "adversarial consistency": guidance.AdversarialConsistency,
    "masked, then moved": lambda: guidance.AdversarialConsistency(
        masking=keras_sgt.masking.FeatureMasking()
    ),
    "comprehensiveness": guidance.Comprehensiveness,
    "adversarial and comprehensive": lambda: [
        guidance.AdversarialConsistency(direction="score"),
        guidance.Comprehensiveness(),
    ],
    "gradient penalty": guidance.GradientPenalty,
    "random masking": guidance.RandomMasking,
}


def trainer(terms=None, **options):
    model = networks.mnist_cnn()
    if terms is not None:
        model = keras_sgt.SaliencyGuidedModel(model, guidance=terms, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    images = args.batch_size * args.steps
    rng = np.random.default_rng(0)
    x = rng.random((images, 28, 28, 1), dtype="float32")
    y = rng.integers(0, 10, images).astype("int32")
    trainers = {"plain": trainer()}
    for name, make in GUIDANCES.items():
        trainers[name] = trainer(make())
        trainers[f"{name}, every 8th step"] = trainer(
            make(), step_fraction=1 / 8
        )

    functions = {
        name: functools.partial(
            common.fit_seconds, model, x, y, args.batch_size
        )
        for name, model in trainers.items()
    }
    times = common.interleaved(functions, args.rounds)
    plain = times["plain"]["median_ms"]
    rows = [
        {
            "training": name,
            **{key: round(v / args.steps, 2) for key, v in time.items()},
            "times_plain": round(time["median_ms"] / plain, 2),
        }
        for name, time in times.items()
    ]
    for row in rows:
        print(f"{row['training']:50}", row["times_plain"])
    common.save("guidance", {**vars(args), "rows": rows})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
