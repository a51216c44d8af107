"""What one backward pass for weights and inputs does to the maps.

    python examples/studies/one_backward.py --csv docs/results/one_backward.csv

`SaliencyGuidedModel(one_backward=True)` (how much faster it is:
`benchmarks/one_backward.py`) ranks features by the gradient of the loss in
training mode, dropout included, and holds the clean side of the divergence
constant. Here it is beside the step without it.

How it is judged, written down before it was run: as in `guidance.py`, five
seeds, the test samples read once. λ is 1 for both; then each has the λ that
validation data prefer. The new step keeps the effect if, at its best λ, no
measure is worse than with the default step at its best λ by two standard errors
of the paired differences.
"""

import argparse
import functools

import guidance as study
import runner

import keras_sgt
from keras_sgt import guidance, masking

WEIGHTS = (0.3, 1.0, 3.0)


class Study(study.Study):
    """A task whose guidances tell by their names how they are trained."""

    has_controls = False  # the one is compared with the other

    def guided(self, model, name, terms):
        one = "one backward" in name
        return keras_sgt.SaliencyGuidedModel(
            model, guidance=terms, one_backward=one
        )


def series():
    return masking.FeatureMasking(channel_axis=None)


def settings(make, weights):
    return {f"λ={w}": functools.partial(make, w) for w in weights}


def guidances(prefix, make):
    """Without and with one backward pass, of a domain."""
    found = {}
    for name in ("default step", "one backward"):
        found[f"{prefix}{name}, λ=1"] = settings(make, (1.0,))
        found[f"{prefix}{name}"] = settings(make, WEIGHTS)
    return found


def of_images(weight):
    return guidance.MaskedConsistency(weight=weight)


def of_features(weight):
    # Each training has a masking of its own, whose seeds begin anew.
    return guidance.MaskedConsistency(weight=weight, masking=series())


OF_IMAGES = guidances("", of_images)
OF_FEATURES = guidances("features, ", of_features)
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
        study.run(Study(name, args), table)


if __name__ == "__main__":
    main()
