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
NETWORK_NAMES = {  # where a data set has two
    "small_resnet18": "narrow ResNet-18",
    "small_vgg16": "narrow VGG-16",
}


def title(task):
    return re.split("[:,]", IMAGES[task])[0]


def settings():
    """Name, task and runs; two networks of a data set are apart."""
    for task in IMAGES:
        rows = [r for r in runs("images*.csv") if r["task"] == task]
        networks = dict.fromkeys(row["network"] for row in rows)
        for network in networks:
            name = title(task)
            if len(networks) > 1:
                name += f", {NETWORK_NAMES[network]}"
            yield name, task, [r for r in rows if r["network"] == network]


def section():
    parts, titled = [], set()
    for name, task, rows in settings():
        if task not in titled:
            parts.append(f"## {IMAGES[task]}")
            parts += [_replaced()] if task == "pets" else []
            parts += [NOTES[task]] if task in NOTES else []
            titled.add(task)
        if name != title(task):
            parts.append(f"### {name}")
        parts += _table_of(task, rows)
    return "\n\n".join(parts)


def _table_of(task, rows):
    measures = ["drop_auc", "drop_auc_mean_fill"]
    if any(row.get("mass_on_object") for row in rows):
        measures.append("mass_on_object")
    run = rows[0]
    yield (
        f"{int(run['train_samples']):,} images to train with (the others "
        f"validate), {run['epochs']} epochs, Adam, batch "
        f"{run['batch_size']}, mask fraction {run['mask_fraction']}, λ = "
        f"{run['kl_weight']}; {run['options']}, of test images{_chance(run)}. "
        f"Mean ± standard deviation; {circumstances(rows)}."
    )
    yield by_method(rows, measures, [*METHODS, "random"])
    yield costs(rows)
    if (FOLDER / f"{task}.png").exists():
        yield (
            "![Accuracy as the most salient pixels are removed, for each "
            f"method, and how large gradients are](results/{task}.png)"
        )
    options = f" --dataset {task} --network {run['network']}"
    if task == "pets":
        size = re.search(r"(\d+) pixels", run["options"])
        options += f" --size {size[1]}"
    if task in NOTES:
        options += f" --train-samples {run['train_samples']}"
    yield f"Made by {made_by('images', run, options)}."


def _chance(run):
    """Where the sample has as many images of each class: what chance is."""
    classes = re.search(r"of (\d+) classes", run["options"])
    if not classes:
        return ""
    return f" (as many of each breed); chance is {1 / int(classes[1]):.2f}"


def _replaced():
    """What the photographs' earlier runs were, and what they gave."""
    found = {}
    for why in ("one-breed", "15-epochs"):
        rows = runs(f"superseded/images-pets-{why}.csv")
        found[why] = "; ".join(
            f"{name} " + ", ".join(_spreads(of, measure))
            for name, of, measure in (
                ("test accuracy", once(rows), "accuracy"),
                (
                    "relevance on the animal by the gradient",
                    rows,
                    "mass_on_object",
                ),
            )
        )
    return (
        "Without weights of another task, from three hundred photographs. "
        "These runs replace others ([superseded](results/superseded)). The "
        "first had maps of one breed alone, as the test images are sorted: "
        f"{found['one-breed']}. The next stopped after 15 epochs, when guided "
        "networks had not yet learnt all of their training images, and had "
        f"96 pixels: {found['15-epochs']}. Epochs and size were changed "
        "together: which of them made the difference is not known."
    )


def _spreads(rows, measure):
    """Each training and its mean ± standard deviation, of one method."""
    for kind in kinds_of(rows):
        where = {"training": kind, "method": "gradient"}
        yield f"{kind} {spread(values(rows, measure, **where))}"
