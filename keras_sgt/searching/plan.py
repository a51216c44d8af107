"""What a search will do: settled before its first trial."""

import dataclasses
import hashlib
import json
import typing

import keras
import numpy as np
from keras import ops

from keras_sgt.introspection import configurations
from keras_sgt.searching import arguments
from keras_sgt.searching import candidates as known_candidates
from keras_sgt.searching import measures as known_measures
from keras_sgt.searching.measures import Data
from keras_sgt.searching.training import Recipe


@dataclasses.dataclass(frozen=True)
class Setting:
    """A guidance with its settings, and when it guides.

    Args:
        candidate: str, its name.
        guidances: function that makes a list of guidances.
        step_fraction: the share of the steps that are guided.
        start: the share of the epochs that come before.
        title: str, all of it in words.
    """

    candidate: str
    guidances: typing.Callable
    step_fraction: float
    start: float
    title: str

    def controls(self):
        """The blind guidances of the same size."""
        return [guidance.control() for guidance in self.guidances()]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all workers of a search agree on.

    Args:
        recipe: how models are trained.
        built: what its models say of themselves.
        chosen_by, confirmed_by: data.
        from_logits: whether outputs are logits.
        candidates: dict from names to functions from settings to guidances.
        measures: list of names.
        tolerance: float.
        samples: int, how many samples at most measure faithfulness.
        seed: int.
    """

    recipe: Recipe
    built: dict
    chosen_by: Data
    confirmed_by: Data
    from_logits: bool
    candidates: dict
    measures: list
    tolerance: float
    samples: int
    seed: int

    def setting(self, trial):
        """The setting that an Optuna trial suggests, or has."""
        name = trial.suggest_categorical("candidate", list(self.candidates))
        step_fraction = trial.suggest_categorical(
            "step_fraction", known_candidates.STEP_FRACTIONS
        )
        start = trial.suggest_categorical("start", known_candidates.STARTS)

        def guidances():
            return self.candidates[name](trial)

        guidances()  # suggests
        params = getattr(trial, "params", {})
        return Setting(
            candidate=name,
            guidances=guidances,
            step_fraction=step_fraction,
            start=start if self.recipe.epochs > 1 else 0.0,
            title=title(params) if params else name,
        )

    def middle(self, candidate):
        """The parameters of a candidate in the middle of their ranges."""
        middle = known_candidates.Middle()
        middle.params["candidate"] = candidate
        self.setting(middle)
        return middle.params

    def fair_measures(self, setting):
        return known_measures.fair(self.measures, setting.guidances())

    def measured(self, model, data):
        """Accuracy on all samples, measures on some, each a list of values."""
        order = np.random.default_rng(self.seed).permutation(len(data.x))
        some = data.part(np.sort(order[: self.samples]))
        return {
            "accuracy": known_measures.correct(model, data, self.from_logits),
            **known_measures.measured(
                model, some, self.measures, self.from_logits
            ),
        }

    def signature(self):
        """What results depend on, beside the number of trials."""
        train = keras.tree.flatten(self.recipe.train)
        return {
            "build_model": _fingerprint(self.built),
            "train": _fingerprint(*map(_lasting, train)),
            "validation, test or truth": _fingerprint(
                *self.chosen_by, *self.confirmed_by
            ),
            "candidates": list(self.candidates),
            "measures": self.measures,
            "tolerance": self.tolerance,
            "epochs": self.recipe.epochs,
            "batch_size": self.recipe.batch_size,
            "samples": self.samples,
            "seed": self.seed,
        }


def make_plan(
    recipe,
    validation,
    test,
    truth,
    candidates,
    measures,
    tolerance,
    samples,
    seed,
):
    """Checks the arguments of `search`, and puts them together."""
    arguments.check_train(recipe.train)
    chosen_by, confirmed_by = _data(validation, test, truth, seed)
    models = arguments.check_model(recipe.build_model, seed)
    from_logits = arguments.gives_logits(models[0])
    domain = arguments.domain_of(chosen_by.x)
    recipe = dataclasses.replace(recipe, example=chosen_by.x[:1])
    for model in models:
        recipe.build(model)
    plan = Plan(
        recipe=recipe,
        built=configurations.description(models),
        chosen_by=chosen_by,
        confirmed_by=confirmed_by,
        from_logits=from_logits,
        candidates=known_candidates.named(candidates, domain),
        measures=known_measures.choose(measures, domain, chosen_by.truth),
        tolerance=float(tolerance),
        samples=samples,
        seed=seed,
    )
    is_default = isinstance(candidates, str) and candidates == "default"
    return dataclasses.replace(plan, candidates=_that_fit(plan, is_default))


def _data(validation, test, truth, seed):
    if test is None:
        whole = arguments.samples("validation", validation, truth)
        return arguments.halves(whole, seed)
    if truth is None:
        truth = (None, None)
    if not isinstance(truth, (tuple, list)) or len(truth) != 2:
        raise ValueError(
            "`truth` has to be a pair where `test` is given: that of "
            f"`validation` and that of `test`. Received: {type(truth).__name__}"
        )
    if (truth[0] is None) != (truth[1] is None):
        raise ValueError(
            "`truth` has to be given for both `validation` and `test`, or for "
            "neither. Received: one of them"
        )
    return (
        arguments.samples("validation", validation, truth[0], "truth[0]"),
        arguments.samples("test", test, truth[1], "truth[1]"),
    )


def _that_fit(plan, leave_out):
    """The candidates that go with the model and the data.

    Args:
        leave_out: whether others are left out, or an error.
    """
    fitting, last = {}, None
    for name, make in plan.candidates.items():
        try:
            _try(plan, name, make)
        except (ValueError, NotImplementedError) as error:
            last = ValueError(f"The candidate {name!r} does not fit: {error}")
            if not leave_out:
                raise last from error
        else:
            fitting[name] = make
    if not fitting:
        raise last
    return fitting


def _try(plan, name, make):
    def guidances():
        return make(known_candidates.Middle())

    if not known_measures.fair(plan.measures, guidances()):
        raise ValueError(
            f"it trains for all of the measures {plan.measures}, which then "
            "say nothing about it. Add others to `measures`."
        )
    guided = plan.recipe.guided(plan.seed, guidances)
    for guidance in guided.guidance:
        guidance.check_inputs(plan.chosen_by.x[:64], guided)
        guidance.control()


def title(params):
    """A setting in words, from the parameters of its trial."""
    prefix = f"{params['candidate']}."
    numbers = [
        f"{key.removeprefix(prefix).replace('.', ' ')} {_short(value)}"
        for key, value in params.items()
        if key.startswith(prefix)
    ]
    if params["step_fraction"] < 1:
        numbers.append(f"every {round(1 / params['step_fraction'])}nd step")
    if params["start"] > 0:
        numbers.append("in the last half of the epochs")
    return f"{params['candidate']} ({', '.join(numbers)})"


def _short(value):
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _fingerprint(*parts):
    digest = hashlib.sha256()
    for part in parts:
        if not isinstance(part, np.ndarray):
            digest.update(json.dumps(part).encode())
            continue
        digest.update(str((part.shape, part.dtype)).encode())
        if part.dtype == object:  # of addresses
            digest.update(repr(part.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def _lasting(data):
    """Arrays of what holds some; of a data set, what is cheap to tell."""
    if ops.is_tensor(data):
        return ops.convert_to_numpy(data)
    if hasattr(data, "__array__"):
        return np.asarray(data)
    spec = str(getattr(data, "element_spec", None))
    return [type(data).__name__, spec, _batches(data)]


def _batches(data):
    """How many a data set has, if it knows."""
    cardinality = getattr(data, "cardinality", None)
    if callable(cardinality):
        return int(cardinality())
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None
