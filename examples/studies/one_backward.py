"""What is lost where the saliency is the by-product of the weights' gradient?

    python examples/studies/one_backward.py --csv docs/results/one_backward.csv

A step with one backward pass for weights and inputs (how much faster it is:
`benchmarks/one_backward.py`) ranks features by the gradient of the loss in
training mode, dropout included, and holds the clean side of the divergence
constant. Here a guidance does the same, at today's price, beside today's.

How it is judged, written down before it was run: as in `guidance.py`, five
seeds, the test samples read once. λ is 1 for both; then each has the λ that
validation data prefer. The new step keeps the effect if, at its best λ, no
measure is worse than with today's step at its best λ by two standard errors of
the paired differences.
"""

import argparse
import functools
import unittest.mock

import guidance as study
import runner
from keras import ops

from keras_sgt import guidance, masking
from keras_sgt.masking import gradients

WEIGHTS = (0.3, 1.0, 3.0)


class OneBackward(guidance.MaskedConsistency):
    """The term as a step with one backward pass would have it."""

    needs = ("divergence", "score", "loss")

    def perturb(self, batch):
        model = batch.model

        def in_training(inputs, training):
            return model.model(inputs, training=True)

        def negated_loss(inputs):
            with unittest.mock.patch.object(model, "_predict", in_training):
                return -batch.loss(inputs)

        score = gradients.Score(negated_loss)
        return super().perturb(batch._replace(score=score))

    def penalty(self, output, clean, perturbed):
        return output.divergence(ops.stop_gradient(clean), perturbed)


def series():
    return masking.FeatureMasking(channel_axis=None)


def settings(make, weights):
    return {f"λ={w}": functools.partial(make, weight=w) for w in weights}


def guidances(prefix, shared):
    """Today's and the new, of a domain."""
    found = {}
    for name, kind in (
        ("today's step", guidance.MaskedConsistency),
        ("one backward", OneBackward),
    ):
        make = functools.partial(shared, kind)
        found[f"{prefix}{name}, λ=1"] = settings(make, (1.0,))
        found[f"{prefix}{name}"] = settings(make, WEIGHTS)
    return found


def with_masking(kind, weight):
    return kind(weight=weight, masking=series())


OF_IMAGES = guidances("", lambda kind, weight: kind(weight=weight))
OF_FEATURES = guidances("features, ", with_masking)
TASKS = {
    "digits beside a null block": OF_IMAGES,
    "MNIST, 8,000 images": OF_IMAGES,
    "MNIST": OF_IMAGES,
    "MNIST beside a null block": OF_IMAGES,
    "Adult beside shuffled copies": OF_FEATURES,
    "series, middle gaussian": OF_FEATURES,
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=runner.Help
    )
    runner.names(parser, "--tasks", TASKS, "of these", list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(5)])
    parser.add_argument("--csv", metavar="FILE", help="table to write")
    parser.add_argument("--epochs", type=int, help="the task's, unless given")
    args = parser.parse_args(argv)
    args.map_samples, args.train_samples = 100, None
    study.GUIDANCES.update({**OF_IMAGES, **OF_FEATURES})
    table = runner.Table(args.csv)
    for name in args.tasks:
        args.guidances = list(TASKS[name])
        study.run(study.Study(name, args), table)


if __name__ == "__main__":
    main()
