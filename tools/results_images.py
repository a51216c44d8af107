"""Images: each data set, by six methods."""

import re

from runs import (
    FOLDER,
    METHODS,
    by_method,
    circumstances,
    costs,
    kinds_of,
    made_by,
    once,
    runs,
    spread,
    values,
)

IMAGES = {
    "mnist": "MNIST, all 60,000 images",
    "fashion_mnist": "Fashion-MNIST",
    "pets": "Photographs: is relevance on the animal?",
    "null_blocks": "MNIST beside a null block: which side is relevant?",
    "cifar10_jpeg": "CIFAR-10 as JPEG: what does accuracy rest on?",
}
NOTES = {
    "cifar10_jpeg": "The images went through JPEG (quality 75), so no figure "
    "is comparable with those of CIFAR-10. ResNet-18 at a quarter of its width "
    "(16 to 128 channels), its first maps halved, on 10,000 images and few "
    "epochs: what two cores can train, far from its best accuracy. Areas grow "
    "with accuracy: compare each with the line *random* of the same training.",
}


def title(task):
    return re.split("[:,]", IMAGES[task])[0]


def section():
    parts = []
    for task, title in IMAGES.items():
        rows = [r for r in runs("images*.csv") if r["task"] == task]
        if not rows:
            continue
        measures = ["drop_auc", "drop_auc_mean_fill"]
        if any(row.get("mass_on_object") for row in rows):
            measures.append("mass_on_object")
        run = rows[0]
        parts += [
            f"## {title}",
            f"{int(run['train_samples']):,} images to train with (the others "
            f"validate), {run['epochs']} epochs, Adam, batch "
            f"{run['batch_size']}, mask fraction {run['mask_fraction']}, λ = "
            f"{run['kl_weight']}; {run['options'].split(',')[0]}, of test "
            f"images{_chance(run)}. Mean ± standard deviation; "
            f"{circumstances(rows)}.",
            *([_replaced()] if task == "pets" else []),
            *([NOTES[task]] if task in NOTES else []),
            by_method(rows, measures, [*METHODS, "random"]),
            costs(rows),
        ]
        if (FOLDER / f"{task}.png").exists():
            parts.append(
                f"![Accuracy as the most salient pixels are removed, for each "
                f"method, and how large gradients are](results/{task}.png)"
            )
        options = f" --dataset {task} --network {run['network']}"
        if task in NOTES:
            options += f" --train-samples {run['train_samples']}"
        parts.append(f"Made by {made_by('images', run, options)}.")
    return "\n\n".join(parts)


def _chance(run):
    """Where the sample has as many images of each class: what chance is."""
    classes = re.search(r"of (\d+) classes", run["options"])
    if not classes:
        return ""
    return f" (as many of each breed); chance is {1 / int(classes[1]):.2f}"


def _replaced():
    """What the photographs' runs were that had maps of one breed."""
    rows = once(runs("superseded/images-pets*.csv"))
    accuracies = ", ".join(
        f"{kind} {spread(values(rows, 'accuracy', training=kind))}"
        for kind in kinds_of(rows)
    )
    return (
        "These runs replace others whose maps were all of one breed, as the "
        "test images are sorted ([superseded](results/superseded)). From the "
        f"same seeds, test accuracy was then: {accuracies}."
    )
