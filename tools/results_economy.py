"""What is kept of guided training where it costs less."""

import figures
from runs import ARROWS, circumstances, runs, spread, table, values

TASKS = {
    "mnist": "MNIST, the paper's network",
    "fashion_mnist": "Fashion-MNIST, the paper's network",
    "middle gaussian": "Time series, TCN, middle, Gaussian",
    "movies": "Movies, bidirectional LSTM, alone",
}
MEASURES = (
    *("drop_auc", "mass_on_object"),
    *("diff_aup", "diff_aur"),
    *("comprehensiveness", "sufficiency", "token_auprc"),
)


def groups(rows):
    """The seeds of each setting, tried with one seed only or run with all."""
    found = {}
    for row in rows:
        keys = ("training", "epochs", "kl_weight", "options")
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def name(training, epochs, weight, options):
    text = f"{training}, {epochs} epochs"
    if "guided: " in options:
        text += f", {options.split('guided: ')[1]}"
    return text if training == "traditional" else f"{text}, λ = {weight}"


def lines(rows, measures):
    for setting, group in groups(rows).items():
        yield [
            name(*setting),
            str(len(group)),
            spread(values(group, "valid_accuracy")),
            *(spread(values(group, m)) for m in ("accuracy", *measures)),
        ]


def section():
    """The tables of the study of economy, one for each task that was run."""
    parts = []
    for task, title in TASKS.items():
        rows = [r for r in runs("economy*.csv") if r["task"] == task]
        if not rows:
            continue
        measures = [m for m in MEASURES if rows[0].get(m)]
        head = ["", "seeds", "validation accuracy"]
        head += [ARROWS[m] for m in ("accuracy", *measures)]
        run = rows[0]
        which = run["file"].removeprefix("economy-").removesuffix(".csv")
        parts += [
            f"### {title}",
            f"{int(run['train_samples']):,} samples to train with, batch "
            f"{run['batch_size']}; the gradient. Mean ± standard deviation; "
            f"{circumstances(rows)}.",
            table(head, lines(rows, measures)),
            f"Made by `python examples/studies/economy.py --task {which} --csv "
            f"docs/results/{run['file']}`.",
        ]
    if not parts:
        return ""
    start = (
        "*Fine-tuned*: trained plainly, then guided in the last epochs. Their "
        "λ and learning rate were chosen with the first seed: the strongest of "
        "those tried that lost at most half a point in validation, or else the "
        "best; the settings tried are listed with their one seed. *Guided "
        "half*, *quarter*, ...: that share of each batch is regularised, with "
        "λ as it is and with λ times the share. *Every 4th*, *8th step*: whole "
        "batches, λ times 4 or 8, and plain steps between. Guided for fewer "
        "epochs: about as long as the fine-tuned. What an epoch costs is in "
        "[performance.md](performance.md); these ran beside other work."
    )
    if any(figures.shares_of(task) for task in TASKS):
        start += (
            "\n\n![Accuracy and relevance by the share of each batch that is "
            "regularised, with λ as it is and with λ times the share]"
            "(results/economy.png)"
        )
    return "\n\n".join(["## What is kept where it costs less", start, *parts])
