"""What a comparison is asked, checked once, before the work starts."""

import dataclasses
import itertools
import typing

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction
from keras_sgt.introspection.logits import ends_in_logits, inner
from keras_sgt.report import measures as known_measures
from keras_sgt.report import verdict
from keras_sgt.report.data import Data
from keras_sgt.report.measures import DOMAINS, with_rationale
from keras_sgt.report.methods import named_methods


@dataclasses.dataclass(frozen=True)
class Names:
    """What things are called, where the tables and pictures name them.

    Args:
        seeds: list, of each name's models, or `None`.
        classes: list of str, or `None`.
        features: list of str, of the columns of a table or the features of
            series, or `None`.
        tokens: list of str, or dict from ids to str, or `None`.
        traditional: str, the model that others are compared with, or `None`.
        control: str, the model whose guidance was blind, or `None`.
    """

    seeds: typing.Any = None
    classes: typing.Any = None
    features: typing.Any = None
    tokens: typing.Any = None
    traditional: str | None = None
    control: str | None = None


@dataclasses.dataclass(frozen=True)
class Arguments:
    """All that `compare` was asked, checked.

    Args:
        models: dict from names to lists of models, one for each seed.
        logits: dict from names to lists of bools: whether each gives logits.
        methods: dict from names to functions of a model and `from_logits`.
        measures: list of names.
        data: `Data`.
        names: `Names`.
        shown: ints, the samples whose maps are kept for pictures.
        accuracy_tolerance: float.
        batch_size: int.
    """

    models: dict
    logits: dict
    methods: dict
    measures: list
    data: Data
    names: Names
    shown: np.ndarray
    accuracy_tolerance: float
    batch_size: int


def checked(
    models,
    x,
    y,
    methods,
    measures,
    truth,
    domain,
    seeds,
    class_names,
    feature_names,
    token_names,
    from_logits,
    samples,
    batch_size,
    traditional,
    control,
    accuracy_tolerance,
):
    """The arguments of `compare`, as `Arguments`.

    Raises:
        ValueError: for what does not exist or does not go together.
    """
    models = named_models(models)
    x, y, domain = arrays(x, y, domain)
    truth = true_features(truth, x, domain)
    batch_size = checks.count("batch_size", batch_size)
    check_names(models, seeds, class_names, feature_names, x, y)
    traditional = verdict.named("traditional", traditional, models)
    control = verdict.named("control", control, models)
    if traditional is not None and traditional == control:
        raise ValueError(
            "`traditional` and `control` have to be two models. Received: "
            f"{traditional!r} for both"
        )
    return Arguments(
        models=models,
        logits=gives_logits(from_logits, models, x, batch_size),
        methods=named_methods(methods),
        measures=known_measures.choose(measures, domain, truth),
        data=Data(x, y, truth, domain),
        names=Names(
            seeds,
            class_names,
            feature_names,
            token_names,
            traditional,
            control,
        ),
        shown=of_all_classes(y, checks.count("samples", samples)),
        accuracy_tolerance=checks.number(
            "accuracy_tolerance", accuracy_tolerance, low_allowed=True
        ),
        batch_size=batch_size,
    )


def of_all_classes(y, samples):
    """The first samples of every class, in turn."""
    turn = np.empty(len(y), int)
    for label in np.unique(y):
        turn[y == label] = np.arange((y == label).sum())
    order = np.lexsort((np.arange(len(y)), y, turn))
    return np.sort(order[:samples])


def named_models(models):
    """A dict of lists of models: one for each seed.

    Raises:
        ValueError: unless there are two or more that take and give the same.
    """
    if not isinstance(models, dict) or not models:
        raise ValueError(
            "`models` has to be a dict from names to trained models (or to "
            "lists of them, trained from several seeds). Received: "
            f"{type(models).__name__}"
        )
    found = {
        str(name): list(given) if isinstance(given, (list, tuple)) else [given]
        for name, given in models.items()
    }
    if len(found) < len(models):
        raise ValueError(
            "The names in `models` have to differ as text. Received: "
            f"{list(models)}"
        )
    shapes = {}
    for name, group in found.items():
        for seed, model in enumerate(group):
            if not isinstance(model, keras.Model) or not model.built:
                raise ValueError(
                    f"`models[{name!r}]` has to be a keras.Model that is "
                    f"built and trained. Received: {type(model).__name__}"
                )
            title = f"{name}[{seed}]" if len(group) > 1 else name
            shapes[title] = _shapes(model)
        if not group:
            raise ValueError(f"`models[{name!r}]` holds no model.")
    known = {name: shape for name, shape in shapes.items() if shape}
    if len(set(known.values())) > 1:
        listed = "; ".join(f"{n}: {i} → {o}" for n, (i, o) in known.items())
        raise ValueError(
            "All `models` have to take the same inputs and tell the same "
            f"classes. Received: {listed}"
        )
    return found


def _shapes(model):
    model = inner(model)
    try:
        return str(model.input_shape), str(model.output_shape)
    except AttributeError:
        return None


def arrays(x, y, domain="auto"):
    """`x`, `y` and the domain; numbers but token ids become floats."""
    x = checks.numeric("x", x)
    domain = domain_of(domain, x)
    if domain != "text" or x.dtype.kind == "f":
        x = x.astype("float32", copy=False)
    return x, classes_of(y, len(x)), domain


def classes_of(y, samples):
    """Class numbers `(samples,)`, from class numbers or one-hot rows."""
    rows = np.asarray(y)
    if rows.ndim == 2 and rows.shape[1] > 1:
        single = (rows == 1).sum(1) == 1
        if not (single & ((rows != 0).sum(1) == 1)).all():
            raise ValueError(
                "`y` has to hold one class for each sample: a number, or a "
                "one-hot row. Received: rows with several classes, none, or "
                f"shares, y of shape {rows.shape}"
            )
    return checks.labels("y", y, samples)


def true_features(truth, x, domain):
    """`truth` as bools shaped like `x`.

    Of each sample some features are true, not all; of texts, some may have no
    rationale, which then do not count.
    """
    if truth is None:
        return None
    try:
        truth = np.broadcast_to(truth, x.shape)
    except ValueError:
        raise ValueError(
            f"`truth` has to have the shape of `x`, {x.shape}, or broadcast "
            f"to it. Received: truth of shape {np.shape(truth)}"
        ) from None
    if domain == "text":
        return _rationales(truth, x)
    truth = checks.truth_masks("truth", truth, x.shape)
    if domain == "images" and (truth != truth[..., :1]).any():
        raise ValueError(
            "`truth` of images has to be the same in all channels: a pixel "
            "matters or does not. Received: channels that differ. Pass "
            "`truth.any(-1, keepdims=True)`."
        )
    return truth


def _rationales(truth, ids):
    given = with_rationale(truth.astype(bool), ids)
    if not given.any():
        given[:] = True  # so that what is wrong is told
    checks.truth_masks("truth", truth[given], ids[given].shape, ids[given] != 0)
    return truth.astype(bool)


def domain_of(domain, x):
    """The kind of data, told by its type and its axes."""
    if domain != "auto":
        checks.choice("domain", domain, ("auto", *DOMAINS))
        return domain
    if x.ndim == 2:
        return "text" if x.dtype.kind in "iu" else "table"
    if x.ndim in (3, 4):
        return {3: "series", 4: "images"}[x.ndim]
    raise ValueError(
        "`domain` cannot be told from `x`. Pass one of "
        f"{list(DOMAINS)}. Received: x of shape {x.shape}"
    )


def gives_logits(from_logits, models, x, batch_size):
    """Whether the outputs of each model are logits.

    The activation of the last layer tells it. Models without a last layer
    that can be known are told by all their outputs, in the same way: logits
    if some leave [0, 1] or do not sum to 1.

    Args:
        from_logits: bool, or `"auto"`.
        models: dict from names to lists of models.
        x: inputs, an array.
        batch_size: int.

    Returns:
        dict from names to lists of bools.
    """
    for model in itertools.chain(*models.values()):
        prediction.check_model(model)
    if from_logits != "auto":
        return {n: [bool(from_logits)] * len(g) for n, g in models.items()}
    found = {n: [ends_in_logits(m) for m in g] for n, g in models.items()}
    unknown = [
        model
        for name, group in models.items()
        for model, known in zip(group, found[name])
        if known is None
    ]
    guess = any(_look_like_logits(m, x, batch_size) for m in unknown)
    return {
        n: [guess if known is None else known for known in group]
        for n, group in found.items()
    }


def _look_like_logits(model, x, batch_size):
    outputs = np.asarray(model.predict(x, batch_size, verbose=0), "float64")
    outputs = outputs.reshape(len(outputs), -1)
    if outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return True
    several = outputs.shape[1] > 1
    return bool(several and abs(outputs.sum(1) - 1).max() > 1e-2)


def class_count(models, y):
    """How many classes the models know, as far as it can be told."""
    for model in itertools.chain(*models.values()):
        shape = getattr(inner(model), "output_shape", None)
        if isinstance(shape, tuple) and len(shape) == 2 and shape[1]:
            return max(2, shape[1])
    return int(y.max()) + 1


def check_names(models, seeds, class_names, feature_names, x, y):
    """Checks what is there to name models, seeds and classes."""
    lengths = {name: len(group) for name, group in models.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "Every name in `models` has to have as many models (seeds). "
            f"Received: {lengths}"
        )
    count = max(lengths.values())
    if seeds is not None and len(seeds) != count:
        raise ValueError(
            f"`seeds` has to hold a seed for each of the {count} models of a "
            f"name. Received: seeds={seeds!r}"
        )
    classes = class_count(models, y)
    if class_names is not None and len(class_names) < classes:
        raise ValueError(
            f"`class_names` has to hold a name for each class, up to class "
            f"{classes - 1}. Received: {len(class_names)} names"
        )
    if feature_names is not None and len(feature_names) != x.shape[-1]:
        raise ValueError(
            f"`feature_names` has to hold a name for each of the {x.shape[-1]} "
            f"features. Received: {len(feature_names)} names"
        )
