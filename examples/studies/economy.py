"""What is kept of guided training where it costs less.

    python examples/studies/economy.py --quick
    python examples/studies/economy.py --task mnist --csv economy.csv

trains a network

- plainly, with its last epochs guided: whole batches, a quarter of each, whole
  batches in every fourth or eighth step with four or eight times λ, and with
  the control that masks blindly. λ and the learning rate of the guided epochs
  are chosen with the first seed: the strongest that loses at most half a point
  of accuracy in validation;
- guided from the start: for as many epochs, and for about as long;
- from the start in every fourth or eighth step;
- with 1, 1/2, 1/4, 1/8 and 1/16 of each batch regularised, with λ as it is and
  with λ times that share. (The divergence is a mean over the share: the same λ
  weighs each of fewer samples more.)

Relevance is read by the gradient, and measured as the example of that domain
does it: `images.py`, `time_series.py` or `language.py`.
"""

import argparse
import dataclasses
import types

import images
import language
import runner
import time_series

FRACTIONS = {"half": 2, "quarter": 4, "eighth": 8, "sixteenth": 16}
TOLERATED = 0.005  # accuracy in validation


@dataclasses.dataclass
class Task:
    """An example with a data set, and how many of its epochs are guided."""

    example: types.ModuleType
    options: list
    epochs: int
    guided_epochs: int
    shares: bool = True


LARGE_BATCHES = ["--batch-size", "256"]
SERIES = [
    *("--networks", "tcn"),
    *("--layouts", "middle", "--processes", "gaussian"),
]
TASKS = {
    "mnist": Task(images, ["--dataset", "mnist", *LARGE_BATCHES], 3, 1),
    "fashion_mnist": Task(
        *(images, ["--dataset", "fashion_mnist", *LARGE_BATCHES], 3, 1),
        shares=False,
    ),
    "series": Task(time_series, SERIES, 30, 10),
    "movies": Task(language, ["--dataset", "movies"], 5, 1, shares=False),
}


class Runs:
    """Runs trainings of a task, with what all of them have in common."""

    def __init__(self, args):
        self.args, self.task = args, TASKS[args.task]
        self.epochs = args.epochs or self.task.epochs
        self.guided_epochs = min(self.task.guided_epochs, self.epochs - 1)

    def __call__(self, trainings, seeds=None, epochs=None, **options):
        """The lines of these trainings, the first seeds first."""
        args = self.args
        seeds = [str(seed) for seed in seeds or args.seeds]
        options = {
            "epochs": epochs or self.epochs,
            "guided_epochs": self.guided_epochs,
            "train_samples": args.train_samples,
            "csv": args.csv,
            **options,
        }
        call = [*self.task.options, "--methods", "gradient", "--trainings"]
        call += [*trainings, "--seeds", *seeds]
        for name, value in options.items():
            if value is not None:
                call += [f"--{name.replace('_', '-')}", str(value)]
        return [
            row
            for row in self.task.example.main(call)
            if row["training"] in trainings and row["seed"] in seeds
        ]

    def chosen(self):
        """λ and the rate of the guided epochs, as the first seed has them."""
        (plain, *_), best = self(["traditional"], self.args.seeds[:1]), None
        least = float(plain["valid_accuracy"]) - TOLERATED
        rate = float(plain["learning_rate"])
        for weight in (1.0, 0.3, 0.1):
            for of_rate in (1.0, 0.3):
                settings = {"kl_weight": weight, "guided_rate": of_rate * rate}
                rows = self(
                    ["fine-tuned quarter"], self.args.seeds[:1], **settings
                )
                (found,) = (
                    float(row["valid_accuracy"])
                    for row in rows
                    if float(row["kl_weight"]) == weight
                    and row["options"].endswith(f"rate {of_rate * rate:g}")
                )
                if found >= least:
                    return settings
                if best is None or found > best[0]:
                    best = found, settings
        return best[1]


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=runner.Help
    )
    parser.add_argument("--task", choices=TASKS, default="mnist")
    parser.add_argument("--quick", action="store_true", help="a small run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: as suits the task")
    parser.add_argument("--train-samples", type=int, help="default: all")
    parser.add_argument("--csv", metavar="FILE", help="table to write")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs, args.train_samples = [0], 2, 1000
    run = Runs(args)
    run(["traditional"])
    tuned = run.chosen()
    print(f"fine-tuned with {tuned}")
    run([name for name in runner.TRAININGS if "fine-tuned" in name], **tuned)
    # A guided epoch takes about 2.3 plain ones.
    as_long = round((run.epochs + 1.3 * run.guided_epochs) / 2.3)
    run(["guided", "random mask"], epochs=as_long)
    run(["guided", "guided every 4th step", "guided every 8th step"])
    if run.task.shares:
        shares = {f"guided {name}": n for name, n in FRACTIONS.items()}
        run(list(shares))
        for share, n in shares.items():
            run([share], kl_weight=1 / n)


if __name__ == "__main__":
    main()
