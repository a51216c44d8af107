"""What a comparison says, in sentences."""

import re

from keras_sgt import checks
from keras_sgt.report import measures as known_measures
from keras_sgt.report import summary
from keras_sgt.report.tasks import NUMBERS

# The words by which a model's name tells how it was trained.
ROLES = {
    "traditional": {
        *("traditional", "traditionally", "plain", "vanilla", "standard"),
        *("baseline", "ordinary", "unguided", "normal"),
    },
    "control": {"control", "random", "blind"},
}
# Within this share of the way from chance to perfect, a model is near chance.
NEAR_CHANCE = 0.1
# A difference that would take more than this times as many samples to tell is
# called none to speak of.
FAR = 100
RANDOM = "random"  # the method whose maps say nothing


def named(role, name, models):
    """The model that plays a role: the one given, or told by its name.

    Args:
        role: `"traditional"` or `"control"`.
        name: str, or `None`.
        models: the names of the models.

    Returns:
        str, or `None` where no name, or more than one, tells.
    """
    if name is not None:
        checks.choice(role, name, list(models))
        return name
    words = {m: set(re.findall(r"[^\W\d_]+", m.lower())) for m in models}
    found = [m for m in models if words[m] & ROLES[role]]
    exact = [m for m in found if m.lower() in ROLES[role]]
    return next((g[0] for g in (exact, found) if len(g) == 1), None)


def sentences(comparison):
    """The verdict of a comparison.

    Args:
        comparison: `Comparison`.

    Returns:
        list of str: what was found against traditional training, then what
        has to be known to believe it.
    """
    findings = _findings(comparison)
    return [*findings, *_warnings(comparison, " ".join(findings))]


def left_out(comparison):
    """The models that are certainly less accurate than the tolerance allows.

    Who predicts little loses little as features go, so that such a model
    would look faithful.

    Returns:
        dict from their names to why.
    """
    quality = comparison.quality
    values = {
        row["model"]: row["value"]
        for row in comparison.rows
        if row["measure"] == quality
    }
    best = max(values, key=values.get)
    found = {}
    for model in comparison.models:
        if model == best:
            continue
        difference = _difference(comparison, quality, None, model, best)
        if difference and difference.high < -comparison.accuracy_tolerance:
            found[model] = (
                f"its {comparison.quality_title} is lower than that of {best} "
                f"by more than {comparison.accuracy_tolerance:g} for sure "
                f"({difference})"
            )
    return found


def at_chance(comparison):
    """The models whose accuracy is not above chance, or hardly.

    Of a regression, those that are no better than its mean.

    Returns:
        dict from their names to what is said of it.
    """
    found = {}
    for row in comparison.rows:
        if row["measure"] != comparison.quality:
            continue
        chance, value, low = comparison.chance, row["value"], row["low"]
        if comparison.quality == "accuracy":
            low = summary.wilson(value, comparison.count)[0]
        near, unlike = "is at or near chance", "cannot be told from chance"
        said = f", {chance:.3f}"
        if comparison.task == NUMBERS:
            near = "is hardly better than to say the mean always"
            unlike = "cannot be told from what says the mean always"
            said = ""
        if value <= chance + NEAR_CHANCE * (1 - chance):
            found[row["model"]] = f"{near}{said}"
        elif low is not None and low <= chance:
            samples = f", with {comparison.count} samples"
            found[row["model"]] = f"{unlike}{said}{samples}"
    return found


def _findings(comparison):
    names = comparison.names
    judged = [
        model
        for model in comparison.models
        if model not in (names.traditional, names.control)
    ] or [m for m in comparison.models if m != names.traditional]
    if len(comparison.models) < 2:
        return ["One model alone: there is nothing to compare it with."]
    if names.traditional is None:
        return [
            "No verdict: it is not known which model was trained "
            "traditionally. Pass `traditional=`, one of "
            f"{comparison.models}."
        ]
    out, chance = left_out(comparison), at_chance(comparison)
    return [
        sentence
        for model in judged
        for sentence in _of_model(comparison, model, out, chance)
    ]


def _of_model(comparison, model, out, chance):
    """What is said of one model against traditional training."""
    names = comparison.names
    title = f"{model} against {names.traditional}"
    accuracy = _accuracy(comparison, model, names.traditional)
    if model in out:
        return [f"{title}: {model} is left out, {out[model]}."]
    for one in (model, names.traditional):
        if one in chance:
            return [
                f"{title}: nothing can be said of the maps, {accuracy}: "
                f"{one} {chance[one]}."
            ]
    judged = _judged(comparison, model, names.traditional)
    if not judged:
        return [f"{title}: no measure tells better from worse, {accuracy}."]
    found = "; ".join(
        _told(comparison, kind, cells) for kind, cells in judged.items()
    )
    lines = [f"{title}: {found}; {accuracy}."]
    if names.control not in (None, model):
        lines.append(_against_control(comparison, model, judged, out, chance))
    shared = [
        part
        for cells in judged.values()
        for part in _of_any_maps(comparison, model, cells)
    ]
    if shared:
        lines.append(
            "So much is the network's, not its maps', for random relevance "
            f"shows it too: {'; '.join(shared)}."
        )
    return lines


def _of_any_maps(comparison, model, cells):
    """The differences that random relevance shows too, and what is beyond.

    A network that needs fewer features, for one, is served better by any.
    """
    if RANDOM not in comparison.methods:
        return
    for measure in dict.fromkeys(measure for measure, _ in cells):
        pair = _better_first(measure, model, comparison.names.traditional)
        of_any = _difference(comparison, measure, RANDOM, *pair)
        beyond = [
            f"{method} {_beyond(comparison, measure, method, *pair)}"
            for (name, method), difference in cells.items()
            if name == measure
            and of_any is not None
            and difference.sign * of_any.sign > 0
        ]
        if beyond:
            word = {1: "better", -1: "worse"}[of_any.sign]
            yield (
                f"{known_measures.title(measure)} {word} by "
                f"{abs(of_any.value):.3f}, beyond it {', '.join(beyond)}"
            )


def _beyond(comparison, measure, method, one, other):
    """`Difference` of what a method has more than random relevance."""
    values = f"{measure}/per_sample"
    groups = (
        [
            {values: part[values] - by_chance[values]}
            for part, by_chance in zip(
                comparison.group(model, method),
                comparison.group(model, RANDOM),
            )
        ]
        for model in (one, other)
    )
    return summary.difference(measure, *groups)


def _against_control(comparison, model, judged, out, chance):
    """Whether the blind guidance did as well."""
    control = comparison.names.control
    if control in out:
        return (
            f"The control tells nothing: {control} is left out, {out[control]}."
        )
    if control in chance:
        return f"The control tells nothing: {control} {chance[control]}."
    better = [
        kind for kind, cells in judged.items() if _sign(cells) == "better"
    ]
    if not better:
        return (
            f"The control, {control}: there is no gain that it could explain."
        )
    against = _judged(comparison, model, control)
    told = []
    for kind in better:
        sign = _sign(against[kind])
        told.append(
            {
                "better": f"in {kind} {model} is better",
                "worse": f"in {kind} it did better",
                "mixed": f"in {kind} some measures favour it, others not",
                "undecided": f"in {kind} it did as well, as far as can be told"
                f"{_needed(comparison, against[kind])}",
            }[sign]
        )
    return f"Against the control, {control}: {'; '.join(told)}."


def _warnings(comparison, findings):
    names, count = comparison.names, comparison.count
    said = []
    out, chance = left_out(comparison), at_chance(comparison)
    for model in comparison.models:
        for known, state in ((out, "{} is left out, {}"), (chance, "{} {}")):
            if model in known:
                text = state.format(model, known[model])
                said += [f"{text}."] if text not in findings else []
    if len(comparison.models) > 1 and names.control is None:
        said.append(
            "No control: train one more model with random masks, to know "
            "whether it matters which features are masked (or pass `control=`, "
            "the name of one)."
        )
    if count < 30:
        said.append(
            f"{count} samples are few: only large differences can be told."
        )
    if comparison.trainings == 1 and len(comparison.models) > 1:
        said.append(
            "One training of each: intervals are over the samples, and say "
            "nothing of other seeds."
        )
    return said


def _judged(comparison, model, other):
    """The differences of all measures, by their kind, better above 0.

    The intervals of a kind hold together (Bonferroni): of many measures one
    would otherwise differ by chance.
    """
    kinds = {}
    for measure in comparison.measures:
        kind = known_measures.kind(measure)
        for method in comparison.methods:
            if kind is not None and method != RANDOM:
                kinds.setdefault(kind, []).append((measure, method))
    found = {}
    for kind, cells in kinds.items():
        confidence = 1 - (1 - summary.CONFIDENCE) / len(cells)
        differences = {}
        for measure, method in cells:
            pair = _better_first(measure, model, other)
            difference = _difference(
                comparison, measure, method, *pair, confidence
            )
            if difference is not None:
                differences[measure, method] = difference
        found[kind] = differences
    return found


def _better_first(measure, model, other):
    """In the order in which the difference is above 0 if `model` is better."""
    return (model, other) if known_measures.higher(measure) else (other, model)


def _difference(
    comparison, measure, method, one, other, confidence=summary.CONFIDENCE
):
    return summary.difference(
        measure,
        comparison.group(one, method),
        comparison.group(other, method),
        confidence,
    )


def _sign(cells):
    signs = {difference.sign for difference in cells.values()} - {0}
    if len(signs) == 2:
        return "mixed"
    return {(): "undecided", (1,): "better", (-1,): "worse"}[tuple(signs)]


def _told(comparison, kind, cells):
    """A kind of measure: better, worse or undecided, and by what."""
    sign = _sign(cells)
    if sign == "undecided":
        return f"{kind} undecided{_needed(comparison, cells)}"
    by = {1: [], -1: []}
    for (measure, method), difference in cells.items():
        if difference.sign:
            title = known_measures.title(measure)
            by[difference.sign].append(f"{title} of {method}")
    if sign == "mixed":
        return f"{kind} mixed (better: {_few(by[1])}; worse: {_few(by[-1])})"
    listed = by[1] + by[-1]
    return f"{kind} {sign} ({_few(listed)}; {len(listed)} of {len(cells)})"


def _few(names, most=2):
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _needed(comparison, cells):
    """How many samples, or seeds, would tell the largest difference."""
    samples = [d.samples for d in cells.values() if d.samples]
    if samples and min(samples) <= FAR * comparison.count:
        return f" (about {_round(min(samples)):,} samples would tell)"
    seeds = [d.seeds for d in cells.values() if d.seeds]
    if seeds and min(seeds) <= FAR:
        return f" (about {min(seeds)} seeds would tell)"
    return ""


def _round(number):
    """Up to two figures."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step


def _accuracy(comparison, model, other):
    quality = comparison.quality
    one, two = (
        next(
            row["value"]
            for row in comparison.rows
            if row["measure"] == quality and row["model"] == name
        )
        for name in (model, other)
    )
    text = f"{comparison.quality_title} {one:.3f} against {two:.3f}"
    difference = _difference(comparison, quality, None, model, other)
    if difference is None:
        return text
    word = {1: "higher", -1: "lower", 0: "undecided"}[difference.sign]
    return f"{text} ({word}: {difference})"
