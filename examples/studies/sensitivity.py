"""Which settings of guided training matter, on MNIST.

    python examples/studies/sensitivity.py --quick
    python examples/studies/sensitivity.py --csv sensitivity.csv

trains the paper's network on 8,000 images with one setting changed at a time:
the share of pixels that is masked, the weight of the divergence, what ranks
the pixels, and the share of each batch that is regularised. Measured are the
accuracy, the area under the accuracy as the most salient pixels are removed,
and the share of |gradient| on the digit.
"""

import images
import runner

SETTINGS = {
    "--mask-fraction": (0.25, 0.75, 0.9),
    "--kl-weight": (0.1, 0.3, 3.0),
}
BATCH_FRACTIONS = ("guided half", "guided quarter", "guided eighth")
RANKINGS = ("traditional", "guided", "guided absolute", "random mask")


def main(argv=None):
    parser = runner.arguments(__doc__, epochs=6)
    parser.add_argument(
        "--dataset", choices=["mnist", "fashion_mnist"], default="mnist"
    )
    parser.add_argument("--train-samples", type=int, default=8000)
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs, args.train_samples = [0], 1, 1000
    call = [
        *("--dataset", args.dataset, "--epochs", str(args.epochs)),
        *("--train-samples", str(args.train_samples)),
        *("--methods", *(args.methods or ["gradient"])),
        *("--seeds", *map(str, args.seeds)),
        *(("--csv", args.csv) if args.csv else ()),
    ]
    images.main([*call, "--trainings", *RANKINGS, *BATCH_FRACTIONS])
    for option, values in SETTINGS.items():
        for value in values:
            changed = (option, str(value), "--trainings", "guided")
            images.main([*call, *changed])


if __name__ == "__main__":
    main()
