"""Writes docs/performance.md from the benchmarks' committed results.

    python tools/update_performance.py

The results are those of `benchmarks/`, which the page names; what it says of
them is computed here. Backends without results are left out.
"""

import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guidance_results
import runs
from runs import table

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
TOLERATED = 1.05  # times the limit
CHEAP = 1.35  # times plain training
FEW = 0.05  # of a guided step
ONE_BACKWARD = {  # in plain steps, what each was meant to take at most
    "one backward": 2.1,
    "one backward, batch_fraction=1/4": 1.3,
}
SHARES = {
    "guided, batch_fraction=1/2": "1/2 of each batch",
    "guided, batch_fraction=1/4": "1/4 of each batch",
    "guided, batch_fraction=1/8": "1/8 of each batch",
    "guided, step_fraction=1/4": "1/4 of the steps",
}
QUARTERS = {
    "guided, batch_fraction=1/4": "a quarter of each batch",
    "guided, step_fraction=1/4": "a quarter of the steps",
}


def results(pattern):
    found = [json.loads(f.read_text()) for f in sorted(RESULTS.glob(pattern))]
    return sorted(found, key=lambda r: (r["backend"], kept(r)))


def kept(result):
    return bool(result.get("keep_memory"))


def title(result):
    backend = result["backend"]
    memory = ", memory kept" if kept(result) else ""
    return f"{backend} {result['versions'][backend]}{memory}"


def networks(result):
    """The lines of each network, by what was measured."""
    found = {}
    for row in result["rows"]:
        found.setdefault(row["network"], {})[row["what"]] = row
    return found


def of_networks(result):
    """Each network with its lines, that of plain training first."""
    found = {}
    for row in result["rows"]:
        found.setdefault(row["network"], []).append(row)
    return found.items()


def limit(rows):
    """What a guided step cannot do without, in plain steps."""
    parts = ("plain", "pass: saliency", "pass: gradient")
    milliseconds = [rows[part]["median_ms"] for part in parts]
    return sum(milliseconds) / milliseconds[0]


def share(rows, part):
    return rows[f"pass: {part}"]["median_ms"] / rows["guided"]["median_ms"]


def times(row):
    spread = "–".join(
        f"{row[end] / row['median_ms'] * row['times_plain']:.2f}"
        for end in ("min_ms", "max_ms")
    )
    return f"{row['times_plain']:.2f} ({spread})"


def steps(result):
    lines = []
    for name, rows in networks(result).items():
        lines.append(
            [
                name,
                f"{rows['plain']['median_ms']:.1f} ms",
                times(rows["guided"]),
                f"{limit(rows):.2f}",
                *(times(rows[share]) for share in SHARES),
                f"{rows['guided, kl_weight=0']['times_plain']:.2f}",
                f"{share(rows, 'masking'):.1%}",
                f"{share(rows, 'divergence'):.1%}",
            ]
        )
    head = [
        "",
        "plain step",
        "guided / plain",
        "limit",
        *SHARES.values(),
        "kl_weight=0",
        "masking",
        "divergence",
    ]
    return table(head, lines)


def first_steps(result):
    lines = []
    for name, rows in networks(result).items():
        plain, guided = (rows[k]["first_fit_s"] for k in ("plain", "guided"))
        lines.append(
            [
                name,
                f"{plain:.1f} s",
                f"{guided / plain:.2f}",
                f"{rows['plain']['samples_per_s']:,.0f}",
                f"{rows['guided']['samples_per_s']:,.0f}",
            ]
        )
    head = [
        *("", "first plain fit", "first guided / plain"),
        *("samples / s, plain", "guided"),
    ]
    return table(head, lines)


def verdict(found):
    """For which networks and backends the limits are kept, counted."""
    over, masking = [], []
    dear = {quarter: [] for quarter in QUARTERS}
    for result in found:
        for name, rows in networks(result).items():
            which = f"{name} on {title(result)}"
            ratio = rows["guided"]["times_plain"] / limit(rows)
            if ratio > TOLERATED:
                over.append(f"{which} ({ratio:.2f} × the limit)")
            for quarter, names in dear.items():
                if rows[quarter]["times_plain"] > CHEAP:
                    names.append(
                        f"{which} ({rows[quarter]['times_plain']:.2f})"
                    )
            if share(rows, "masking") > FEW:
                masking.append(f"{which} ({share(rows, 'masking'):.1%})")
    total = sum(len(networks(result)) for result in found)
    kept_or_not = (
        but_for(text, names, total)
        for text, names in (
            (f"Guided at most {TOLERATED} times its limit", over),
            *(
                (f"{QUARTERS[quarter].capitalize()} at most {CHEAP} × plain", n)
                for quarter, n in dear.items()
            ),
            (f"Masking at most {FEW:.0%} of a guided step", masking),
        )
    )
    return "\n".join([recipe(found), *kept_or_not])


def but_for(text, names, total):
    """A line of what is kept, and where it is not."""
    if not names:
        return f"- {text}: in all {total} cases."
    return f"- {text}, but for {len(names)} of {total}: {', '.join(names)}."


def recipe(found):
    """What the recipe of docs/costs.md costs, from what its parts cost."""
    prices = {
        "a quarter of each batch": [
            rows["guided, batch_fraction=1/4"]["times_plain"]
            for result in found
            for rows in networks(result).values()
        ],
        "every eighth step": [
            row["times_plain"]
            for result in results("step_fraction-*.json")
            for row in result["rows"]
            if row["training"] == "guided, step_fraction=1/8"
        ],
    }
    text = "; ".join(
        f"with {name} {(2 + statistics.median(of)) / 3:.2f} × plain training "
        f"in the median of {len(of)} cases, at most {(2 + max(of)) / 3:.2f} ×"
        for name, of in prices.items()
        if of
    )
    return (
        "- Trained plainly, then guided in the last third of the steps (the "
        f"[recipe](costs.md#cheaper)): all in all, {text}. Computed from the "
        "ratios below."
    )


def direct(found):
    """Against the same step as one would write it in PyTorch."""
    network = "MNIST CNN, 256"
    rows = {title(r): networks(r).get(network) for r in found}
    own = next((r for r in rows.values() if r and "direct, loop" in r), None)
    if own is None:
        return ""
    lines = []
    for name in ("direct, plain", "direct, loop", "direct, at once"):
        cells = [f"{own[name]['median_ms']:.0f} ms", "", ""]
        lines.append([f"PyTorch, {name}", *cells])
    for backend, of in rows.items():
        if of is None:
            continue
        for what in ("guided", *QUARTERS):
            took = of[what]["median_ms"]
            against = (
                f"{own[f'direct, {how}']['median_ms'] / took:.2f} ×"
                for how in ("loop", "at once")
            )
            lines.append([f"{backend}, {what}", f"{took:.0f} ms", *against])
    head = ["", "a step", "as fast as the loop", "as fast as at once"]
    return "\n\n".join(
        [
            "## Beside a step written by hand",
            "Algorithm 1 written directly in PyTorch "
            "([benchmarks/handwritten_step.py]"
            "(../benchmarks/handwritten_step.py)), random values "
            "put in sample by sample in a loop, as published, or for the whole "
            f"batch at once; {network}. Only what is on one backend was "
            "measured in one process.",
            table(head, lines),
        ]
    )


def steady():
    lines = []
    for result in results("import_and_held_memory-*.json"):
        held = result["held_mib"]
        imports = sorted(result["import_ms"])
        lines.append(
            [
                title(result),
                f"{imports[len(imports) // 2]:.0f} ms",
                " → ".join(f"{mib:.0f}" for mib in held),
            ]
        )
    if not lines:
        return ""
    head = ["", "`import keras_sgt` after keras", "memory held, MiB"]
    return "\n\n".join(
        [
            "## What should go unnoticed",
            "The median of several imports, and the memory that the process "
            "holds after each quarter of 2,000 guided steps "
            "([benchmarks/import_and_held_memory.py]"
            "(../benchmarks/import_and_held_memory.py)).",
            table(head, lines),
        ]
    )


def fewer_steps():
    lines, dear = [], []
    for result in results("step_fraction-*.json"):
        for name, (plain, *shares) in of_networks(result):
            which = f"{name} on {title(result)}"
            step = f"{plain['median_ms']:.1f} ms"
            lines.append([which, step, *map(times, shares)])
            least = shares[-1]
            if least["times_plain"] > CHEAP:
                dear.append(f"{which} ({least['times_plain']:.2f})")
            trainings = [row["training"] for row in shares]
    if not lines:
        return ""
    text = f"`{trainings[-1].split(', ')[1]}` is at most {CHEAP} × plain"
    text += f" but for {len(dear)} of {len(lines)}: " if dear else " in all."
    return "\n\n".join(
        [
            "## Guiding fewer steps",
            "Another run ([benchmarks/step_fraction.py]"
            "(../benchmarks/step_fraction.py)), of "
            f"{result['rounds']} rounds: {text}{', '.join(dear)}",
            table(["", "plain step", *trainings], lines),
        ]
    )


def compiled():
    lines = []
    for result in results("jit_compile-*.json"):
        for name, (plain, *others) in of_networks(result):
            first = others[-1]["first_fit_s"]
            cells = [f"{plain['median_ms']:.1f} ms", *map(times, others)]
            lines.append([f"{name} on {title(result)}", *cells, f"{first} s"])
            trainings = [row["training"] for row in others]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## With jit_compile",
            "`compile(jit_compile=True)`, which is XLA on TensorFlow and "
            "`torch.compile` on PyTorch, beside `jit_compile=False`, in steps "
            "of plain training without it; and what the first guided `fit` "
            "takes to compile ([benchmarks/jit_compile.py]"
            "(../benchmarks/jit_compile.py)). Keras by itself takes XLA on "
            "TensorFlow where there is an accelerator, and never "
            "`torch.compile`.",
            table(["", "plain step", *trainings, "first guided fit"], lines),
        ]
    )


def memory():
    lines = []
    for result in results("step_memory-*.json"):
        for name, (plain, *others) in of_networks(result):
            lines.append(
                [
                    f"{title(result)}, {name.split(',')[0]}",
                    str(plain["batch_size"]),
                    f"{statistics.median(plain['peak_mib']):.0f} MiB",
                    *(f"{row['times_plain']:.2f} ×" for row in others),
                ]
            )
            trainings = [row["training"] for row in others]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## Memory",
            "The most that three steps need, compilation with them, above what "
            "the process held before "
            "([benchmarks/step_memory.py](../benchmarks/step_memory.py)).",
            table(["", "batch", "plain", *trainings], lines),
        ]
    )


def sizes():
    """What a step takes for each pixel, by the size of its images."""
    parts = []
    for result in results("scaling-*.json"):
        rows = {
            (row["training"], row["size"]): row["ns_a_pixel"]
            for row in result["steps"]
        }
        lines = [
            [what, *(f"{rows[what, size]:.1f} ns" for size in result["sizes"])]
            for what in dict.fromkeys(what for what, _ in rows)
        ]
        times = (
            f"{rows['guided', size] / rows['plain', size]:.1f}"
            for size in result["sizes"]
        )
        lines.insert(2, ["guided / plain", *times])
        head = [f"{size} × {size}" for size in result["sizes"]]
        parts += [
            f"{title(result)}, batches of {result['batch_size']}. "
            + what_grows(result["sizes"], rows),
            table(["", *head], lines),
        ]
    if not parts:
        return ""
    return "\n\n".join(
        [
            "## By the size of images",
            "Nanoseconds of a step for each pixel of a batch, those of the "
            "least round, which other programs disturbed least, for a small "
            "convolutional network; and of the passes that a step is made of, "
            "each by itself. Medians are in the results "
            "([benchmarks/scaling.py](../benchmarks/scaling.py)).",
            *parts,
        ]
    )


def what_grows(sizes, rows):
    """Which costs of a pixel are higher for the largest images."""
    *others, last = sizes
    grown = {
        what: rows[what, last] / max(rows[what, size] for size in others)
        for what in dict.fromkeys(what for what, _ in rows)
    }
    higher = [
        f"{what.removeprefix('pass: ')} {times:.2f}"
        for what, times in grown.items()
        if times > TOLERATED
    ]
    if not higher:
        return "None takes more for a pixel of the largest images."
    return (
        f"For a pixel of the largest images it takes, times the most of the "
        f"smaller ones: {', '.join(higher)}. Others take no more."
    )


def low_precision():
    lines = []
    for result in results("bfloat16_ranking-*.json"):
        for row in result["rows"]:
            lines.append(
                [
                    f"{title(result)}, {row['network']}",
                    *(
                        f"{row[f'{part}_median_ms']:.1f} ms"
                        for part in ("forward", "float32", "bfloat16")
                    ),
                    f"{row['agreement']:.1%}",
                ]
            )
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## Ranking in bfloat16",
            "The saliency pass in float32 and in bfloat16, and how much of the "
            "lowest half is the same "
            "([benchmarks/bfloat16_ranking.py]"
            "(../benchmarks/bfloat16_ranking.py)). "
            "It is not used: in float32 the saliency pass goes on from the "
            "forward pass that training needs anyway, as far as both are the "
            "same function, and bfloat16 would compute that part twice. Where "
            "the whole model trains in `mixed_bfloat16`, its ranking does too.",
            table(
                ["", "forward", "saliency, float32", "bfloat16", "same half"],
                lines,
            ),
        ]
    )


def at_scale():
    found = results("evaluation_at_scale-*.json")
    if not found:
        return ""
    ours, others = sides(found[0])
    methods = ", ".join(ours[0]["methods"])
    shared = len(others[-1]["methods"])
    return "\n\n".join(
        [
            "## Maps and measures of many images",
            f"Images of MNIST's size, {len(ours[0]['methods'])} methods "
            f"({methods}) and two measures (deletion, Gini) of each, beside a "
            "loop over Captum and Quantus for the same network in PyTorch's "
            f"own layers, and beside the {shared} of the methods that Xplique "
            "has, for the same network in Keras; where they mean the same, the "
            "values are the same. Seconds of the processor, a process and one "
            "thread each, compilation with them, one run "
            "([benchmarks/evaluation_at_scale.py]"
            "(../benchmarks/evaluation_at_scale.py)). *As fast as*: by the "
            "methods that both have. Occlusion is 17 predictions: where "
            "`predict` of the Keras network takes longer than the forward "
            "pass of PyTorch's own layers, so does occlusion.",
            *(
                part
                for result in sorted(found, key=lambda r: r["images"])
                for part in of_many(result)
            ),
        ]
    )


def sides(result):
    """The rows of keras_sgt, and those of others."""
    ours = [r for r in result["rows"] if r["by"].startswith("keras_sgt")]
    return ours, [r for r in result["rows"] if r not in ours]


def of_many(result):
    """The tables of a run: all sides, and their methods."""
    _, others = sides(result)
    lines = [
        [
            row["by"],
            f"{row['seconds']:.1f} s",
            *(f"{_seconds(row, [part]):.1f} s" for part in _PARTS),
            f"{row['peak_mib']} MiB",
            *(_times_as_fast(row, other) for other in others),
        ]
        for row in result["rows"]
    ]
    columns = [
        *(f"{result['images']:,} images", "all", "maps", "measures"),
        "peak memory",
        *(f"as fast as {o['by'].split(',')[0]}" for o in others),
    ]
    return table(columns, lines), by_method(result)


_PARTS = ("maps_s", "measures_s")


def _seconds(row, parts=_PARTS, methods=None):
    return sum(
        row["methods"][method][part]
        for method in methods or row["methods"]
        for part in parts
    )


def _times_as_fast(row, other):
    both = [name for name in row["methods"] if name in other["methods"]]
    times = _seconds(other, methods=both) / _seconds(row, methods=both)
    return f"{times:.2f} ×"


def by_method(result):
    """Seconds for maps, by method, and for a prediction."""
    rows = [row for side in sides(result) for row in side]
    lines = [
        [
            name,
            *(
                f"{row['methods'][name]['maps_s']:.2f} s"
                if name in row["methods"]
                else ""
                for row in rows
            ),
        ]
        for name in rows[0]["methods"]
    ]
    predictions = (f"{row['prediction_s']:.2f} s" for row in rows)
    lines.append(["one prediction", *predictions])
    head = [f"maps of {result['images']:,}", *(row["by"] for row in rows)]
    return table(head, lines)


def pages():
    lines = [
        [
            title(result),
            f"{row['samples']:,}",
            f"{row['inputs_mib']} MiB",
            f"{row['peak_mib']} MiB",
            f"{row['page_kib']} KiB",
        ]
        for result in results("report_size-*.json")
        for row in result["rows"]
    ]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## The page of a comparison",
            "Two networks and six methods on images of MNIST's size: the peak "
            "memory of `compare` and `save` above what the process held, and "
            "the page ([benchmarks/report_size.py]"
            "(../benchmarks/report_size.py)).",
            table(["", "samples", "inputs", "peak memory", "page"], lines),
        ]
    )


def busy():
    lines = []
    for result in results("busy_machine-*.json"):
        lines += [
            [title(result), name, f"{row['median_ms'] / 1000:.1f} s"]
            for name, row in result["rows"].items()
        ]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## A comparison on a busy machine",
            f"`compare` of {result['images']} images of MNIST's size while "
            f"{result['programs']} other programs keep the cores busy, in "
            "passes of 64 samples and in those that it takes by itself "
            "([benchmarks/busy_machine.py](../benchmarks/busy_machine.py)).",
            table(["", "passes", "median"], lines),
        ]
    )


def one_backward():
    lines, dear = [], {training: [] for training in ONE_BACKWARD}
    for result in results("one_backward-*.json"):
        for network, (plain, *rest) in of_networks(result):
            of = {row["training"]: row for row in rest}
            guided, one, quarter, one_quarter = (
                of[training] for training in _BACKWARDS
            )
            saved = 1 - one["median_ms"] / guided["median_ms"]
            for training, most in ONE_BACKWARD.items():
                if of[training]["times_plain"] > most:
                    dear[training].append(
                        f"{network} on {title(result)} "
                        f"({of[training]['times_plain']:.2f})"
                    )
            lines.append(
                [
                    f"{title(result)}, {network}",
                    f"{plain['median_ms']:.1f} ms",
                    *(times(row) for row in (guided, one)),
                    f"{saved:.0%}",
                    *(times(row) for row in (quarter, one_quarter)),
                    limit_of_quarter(plain, of),
                ]
            )
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## One backward pass for weights and inputs",
            "The gradient of the loss at the inputs is a by-product of the one "
            "for the weights. With `SaliencyGuidedModel(one_backward=True)` "
            "features are ranked by it, in training mode, f(X) is held "
            "constant in the divergence, and the pass for the saliency is "
            "spared. Beside plain and guided `fit`, in plain steps, medians "
            "of rounds taken in turn ([benchmarks/one_backward.py]"
            "(../benchmarks/one_backward.py)). Recurrent networks take clean "
            "and masked samples in one pass without it, and in two with it, "
            "which may be slower. *Its limit*: the plain step, what the "
            "gradient at the inputs takes beside that of the weights, and "
            "forward and backward for a quarter of the batch, each measured by "
            "itself.",
            "\n".join(
                but_for(
                    f"{training.capitalize()} at most {most} × plain",
                    *(dear[training], len(lines)),
                )
                for training, most in ONE_BACKWARD.items()
            ),
            table(
                [
                    "",
                    "plain step",
                    "guided",
                    "one backward",
                    "saved",
                    "guided, 1/4 of each batch",
                    "one backward, 1/4",
                    "its limit",
                ],
                lines,
            ),
            free_saliency(),
            effects(),
        ]
    )


_BACKWARDS = (
    *("guided", "one backward"),
    *("guided, batch_fraction=1/4", "one backward, batch_fraction=1/4"),
)


def limit_of_quarter(plain, of):
    """What a quarter of each batch cannot do without, in plain steps."""
    if "pass: weights" not in of:
        return ""
    weights, both, share = (
        of[f"pass: {part}"]["median_ms"]
        for part in ("weights", "weights and inputs", "weights, share")
    )
    return f"{1 + (both - weights + share) / plain['median_ms']:.2f}"


def free_saliency():
    """What could be saved yet, by a saliency that costs nothing."""
    lines = []
    for result in results("free_saliency-*.json"):
        for network, (_, one, at_random) in of_networks(result):
            share = 1 - at_random["median_ms"] / one["median_ms"]
            lines.append(
                [
                    f"{title(result)}, {network}",
                    times(one),
                    times(at_random),
                    f"{share:.0%}",
                ]
            )
    if not lines:
        return ""
    return "\n\n".join(
        [
            "A saliency that costs nothing at all, such as a mask that is kept "
            "for some epochs, could save about as much as this: the difference "
            "to a step that ranks at random (`--bound`), in another run. Too "
            "little, but for the TCN on TensorFlow, to keep masks.",
            table(["", "one backward", "at random", "could be saved"], lines),
        ]
    )


def guidances():
    """Each guidance beside plain training, whole and in every eighth step."""
    found = {
        title(result): {row["training"]: row for row in result["rows"]}
        for result in results("guidance-*.json")
    }
    if not found:
        return ""
    names = next(iter(found.values()))
    lines = [
        [name, *(f"{rows[name]['times_plain']:.2f}" for rows in found.values())]
        for name in names
        if name != "plain"
    ]
    return "\n\n".join(
        [
            "## By guidance",
            "`fit` of the MNIST CNN with batches of 64, in plain steps; all "
            "trainings of a column in turn in one process "
            "([benchmarks/guidance_cost.py]"
            "(../benchmarks/guidance_cost.py)).",
            table(["", *found], lines),
        ]
    )


def effects():
    """What one backward pass does to the maps, task by task."""
    rows = runs.lines(ROOT / "docs" / "results" / "one_backward.csv")
    if not rows:
        return ""
    found, worse = [], {}
    tasks = {  # and how the names of their guidances begin
        row["task"]: row["guidance"].partition("one backward")[0]
        for row in rows
        if "one backward" in row["guidance"] and row["role"] == "guidance"
    }
    for task, prefix in tasks.items():
        for measure, method, more, heading in _MEASURED:
            today, one = (
                [
                    guidance_results.values(
                        *(rows, task, f"{prefix}{name}{weight}", "guidance"),
                        *(measure, method),
                    )
                    for weight in (", λ=1", "")
                ]
                for name in ("default step", "one backward")
            )
            if not today[0]:
                continue
            differences = [*map(guidance_results.difference, one, today)]
            # Better in the wrong direction.
            if guidance_results.is_better(differences[-1], not more):
                worse.setdefault(task, []).append(heading)
            found.append(
                [
                    f"{task}, {heading} {'↑' if more else '↓'}",
                    *(f"{statistics.mean(v.values()):.3f}" for v in today),
                    *map(guidance_results.cell, differences),
                ]
            )
    return "\n\n".join(
        [
            "What it does to the maps ([examples/studies/one_backward.py]"
            "(../examples/studies/one_backward.py), judged as it says at its "
            "head; `docs/results/one_backward.csv`, "
            f"{rows[0]['machine']}): the default step at λ = 1 and at the λ "
            "that validation data prefer, and the difference to it with "
            "`one_backward=True`, at λ = 1 and at its own best; ± is one "
            "standard error of five seeds. " + _kept(tasks, worse),
            table(
                [
                    "",
                    "default, λ = 1",
                    "default, best λ",
                    "one − default, λ = 1",
                    "one − default, best λ each",
                ],
                found,
            ),
        ]
    )


def _kept(tasks, worse):
    """By the rule of the study: no measure worse at the best λ."""
    kept = [task for task in tasks if task not in worse]
    text = (
        f"By that rule the effect is kept on {len(kept)} of {len(tasks)} tasks"
    )
    lost = [f"{task} ({', '.join(names)})" for task, names in worse.items()]
    return text + (
        f"; worse at the best λ: {'; '.join(lost)}." if lost else "."
    )


_MEASURED = [
    ("accuracy", "gradient", True, "accuracy"),
    *guidance_results.MEASURES,
]


def accelerator():
    found = results("gpu-[jt]*.json")
    if not found:
        return ""
    devices = " and ".join(dict.fromkeys(r["device"] for r in found))
    return "\n\n".join(
        [
            "## On an accelerator",
            f"{devices}; one run of [benchmarks/gpu.py]"
            "(../benchmarks/gpu.py) on each of "
            f"{' and '.join(title(r) for r in found)}. It took first what is "
            "in the tables, and had no time for more networks and batches.",
            "A guided step beside the numbers of the original authors' code, "
            "the largest deviation as a share of the largest value. Both "
            "frameworks multiply float32 in TF32 unless they are told not to: "
            "features whose gradients are close then change ranks, and other "
            "ones are masked.",
            table(
                ["", "ranked by", "gradient at inputs", "loss", "of weights"],
                [
                    [f"{title(r)}, {row['precision']}", row["ranked_by"]]
                    + [f"{row[k]:.2g}" for k in _OF_A_STEP]
                    for r in found
                    for row in r["golden"]
                ],
            ),
            "Steps, and the peak memory (on JAX, of the process so far).",
            table(
                ["", "training", "step", "times plain", "peak memory"],
                [line for r in found for line in _accelerated(r)],
            ),
            "Half of 50,176 features of 64 samples.",
            table(
                ["", "by", "exact", "median", "times ours"],
                [line for r in found for line in _selected(r, r["selection"])],
            ),
        ]
    )


_OF_A_STEP = ("ranking", "loss", "gradient")


def _accelerated(result):
    for row in result["steps"]:
        yield [
            f"{title(result)}, {row['network']}, {row['precision']}, batch "
            f"{row['batch_size']}",
            row["training"],
            f"{row['median_ms']:.1f} ms",
            times(row),
            f"{row['peak_mib']:,} MiB",
        ]


def _selected(result, rows):
    """Lines of the table of what chooses features."""
    for row in rows:
        yield [
            "{}, {:,} of {:,}".format(title(result), *row["shape"])
            + (", half zero" if row["half_zero"] else ""),
            row["method"],
            "yes" if row["exact"] else "no",
            f"{row['median_ms']:.2f} ms",
            f"{row['times_ours']:.2f}",
        ]


def selection():
    found = results("selection_cost-*.json")
    lines = [
        line for result in found for line in _selected(result, result["rows"])
    ]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## Selection of the k lowest",
            "Half of each row, samples of so many features. *Exact*: exactly k "
            "a row, the first of equals first ([benchmarks/selection_cost.py]"
            "(../benchmarks/selection_cost.py)).",
            table(["", "by", "exact", "median", "times ours"], lines),
        ]
    )


def small_networks():
    found = results("masking_parts-*.json")
    lines = [
        [f"{title(result)}: {part}", f"{row['median_ms']:.2f} ms"]
        for result in found
        for part, row in result["rows"].items()
    ]
    if not lines:
        return ""
    return "\n\n".join(
        [
            "## Masking for small networks",
            "A batch of the TCN, 50 samples of 2,500 features, half of them "
            "masked: what masking consists of, and what else there is "
            "([benchmarks/masking_parts.py](../benchmarks/masking_parts.py)). "
            "A selection that stops as soon as all rows have their k needs as "
            "many passes: of 50 rows one is sure to need the last bits. "
            "Counters that are not partitionable are quicker, but of several "
            "devices each then draws all the numbers, and JAX's default, which "
            "Keras draws by, is the other. So both stay as they are.",
            table(["", "median"], lines),
        ]
    )


def page():
    found = results("step_cost_by_network*.json")
    machine = found[0]["machine"]
    parts = [
        "# What guided training costs",
        "Written by `tools/update_performance.py` from `benchmarks/results/`. "
        f"Medians of interleaved rounds on {machine}, least and greatest "
        "round in brackets; the machine is shared, and at times stalls, so "
        "compare within a row, and mistrust medians far from the least round. "
        "*Limit*: what a guided step cannot do without, in plain steps: the "
        "plain step itself, the saliency pass, and forward and backward for "
        "the masked batch, each measured by itself in the same process. A step "
        "can be below it, where it computes once what the passes have in "
        "common, or where clean and masked samples go through in one pass "
        "(recurrent networks). *Masking* (ranking, selection, random numbers, "
        "replacement) and *divergence* are shares of the guided step. The "
        "networks are those of `examples/studies/networks.py`, with the batch "
        "size.",
        verdict(found),
    ]
    for result in found:
        parts += [f"## {title(result)}", steps(result), first_steps(result)]
        keep = " --keep-memory" if kept(result) else ""
        parts.append(
            f"`KERAS_BACKEND={result['backend']} "
            "python benchmarks/step_cost_by_network.py "
            f"--rounds {result['rounds']} --seconds {result['seconds']}{keep}`"
        )
    parts += [guidances(), fewer_steps(), direct(found), one_backward()]
    parts += [small_networks(), compiled()]
    parts += [accelerator(), memory(), steady(), sizes(), at_scale(), pages()]
    parts += [busy(), low_precision(), selection()]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
