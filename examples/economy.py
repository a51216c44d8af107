"""What is kept of guided training where it costs less, on MNIST.

    python examples/economy.py --quick
    python examples/economy.py --csv economy.csv

trains the paper's network on all images

- with its last epoch guided, whole batches or a quarter of each, beside guided
  from the start for about as long, and beside the control;
- with 1, 1/2, 1/4, 1/8 and 1/16 of each batch regularised, with λ as it is and
  with λ times that share. (The divergence is a mean over the share: the same λ
  weighs each of fewer samples more.)

Measured are the accuracy, the area under the accuracy as the most salient
pixels are removed, and the share of |gradient| on the digit.
"""

import images
import runner

FRACTIONS = {"half": 2, "quarter": 4, "eighth": 8, "sixteenth": 16}


def main(argv=None):
    parser = runner.arguments(__doc__, epochs=4)
    parser.add_argument(
        "--dataset", choices=["mnist", "fashion_mnist"], default="mnist"
    )
    parser.add_argument("--train-samples", type=int)
    parser.set_defaults(batch_size=256)
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs, args.train_samples = [0], 2, 1000
    for options, kinds in plans(args.epochs, args.kl_weight):
        given = {
            "dataset": args.dataset,
            "batch_size": args.batch_size,
            "train_samples": args.train_samples,
            "csv": args.csv,
            "guided_epochs": args.guided_epochs,
            "guided_rate": args.guided_rate,
            **options,
        }
        call = ["--methods", *(args.methods or ["gradient"])]
        call += ["--seeds", *map(str, args.seeds), "--trainings", *kinds]
        for name, value in given.items():
            if value is not None:
                call += [f"--{name.replace('_', '-')}", str(value)]
        images.main(call)


def plans(epochs, weight):
    """Settings, and the trainings that are run with them."""
    fine_tuned = ("fine-tuned", "fine-tuned quarter", "fine-tuned random mask")
    shares = [f"guided {name}" for name in FRACTIONS]
    same = {"epochs": epochs, "kl_weight": weight}
    yield same, ["traditional", *fine_tuned, "guided", *shares]
    # A guided epoch takes 2.3 plain ones, on a quarter of each batch 1.3.
    half = round((epochs + 1.3) / 2.3)
    yield {**same, "epochs": half}, ["guided", "random mask"]
    for share, n in zip(shares, FRACTIONS.values()):
        yield {**same, "kl_weight": weight / n}, [share]


if __name__ == "__main__":
    main()
