"""What a comparison is asked, checked once, before the work starts."""

import dataclasses
import itertools
import typing

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction
from keras_sgt.introspection.logits import ends_in_logits, inner
from keras_sgt.report import data as samples_of
from keras_sgt.report import inputs, tasks, verdict
from keras_sgt.report import measures as known_measures
from keras_sgt.report.data import Data
from keras_sgt.report.methods import named_methods

# Numbers of the inputs in one pass, and the bounds of its samples.
PASS, BATCHES = 2**18, (64, 512)


@dataclasses.dataclass(frozen=True)
class Names:
    """What things are called, where the tables and pictures name them.

    Args:
        seeds: list, of each name's models, or `None`.
        classes: list of str, or `None`.
        features: list of str, of the columns of a table or the features of
            series, or `None`.
        tokens: list of str, dict or function from ids to str, or `None`.
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


def checked(given):
    """The arguments of `compare`.

    Args:
        given: namespace with all of them, as they were given.

    Returns:
        `Arguments`.

    Raises:
        ValueError: for what does not exist or does not go together.
    """
    models = named_models(given.models)
    data = _data(given, models)
    batch_size = _batch_size(given.batch_size, data)
    return Arguments(
        names=_names(given, models, data),
        models=models,
        logits=gives_logits(given.from_logits, models, data, batch_size),
        methods=named_methods(given.methods),
        measures=known_measures.choose(
            given.measures,
            data.domain,
            data.truth,
            data.task,
            bool(data.continuous.any()),
        ),
        data=data,
        shown=samples_of.shown(data, checks.count("samples", given.samples)),
        accuracy_tolerance=checks.number(
            "accuracy_tolerance", given.accuracy_tolerance, low_allowed=True
        ),
        batch_size=batch_size,
    )


def _batch_size(given, data):
    """What was given, or as many samples as `PASS` numbers make up.

    Few large passes are faster than many small ones, above all on PyTorch while
    other programs run. Of a text it is not known how large its vectors are.
    """
    if given is not None:
        return checks.count("batch_size", given)
    least, most = BATCHES
    if data.domain == "text":
        return least
    fitting = max(1, PASS // data.x[0].size)
    return min(max(least, 2 ** (fitting.bit_length() - 1)), most)


def _names(given, models, data):
    """What things are called, as `Names`."""
    classes, features = given.class_names, given.feature_names
    if classes is None:  # Keras's loaders of folders know them
        classes = getattr(given.x, "class_names", None)
    if features is None:
        features = data.inputs.names
    classes = _listed("class_names", classes)
    features = _listed("feature_names", features)
    check_names(models, given.seeds, classes, features, data)
    tokens = given.token_names
    if given.vocabulary is not None:
        if tokens is not None:
            raise ValueError("Pass `vocabulary` or `token_names`, not both.")
        tokens = _of_ids(given.vocabulary)
    traditional, control = (
        verdict.named(role, getattr(given, role), models)
        for role in ("traditional", "control")
    )
    if traditional is not None and traditional == control:
        raise ValueError(
            "`traditional` and `control` have to be two models. Received: "
            f"{traditional!r} for both"
        )
    return Names(given.seeds, classes, features, tokens, traditional, control)


def _listed(argument, names):
    """A list of str, from what holds names in their order, such as arrays."""
    if names is None:
        return None
    if isinstance(names, (str, bytes, dict)) or not np.iterable(names):
        raise ValueError(
            f"`{argument}` has to be a list of str. Received: {argument}="
            f"{names!r}"
        )
    return [str(name) for name in names]


def _check_fit(models, x):
    """Raises for inputs of another shape than models take, as far as known."""
    for model in models:
        try:
            taken = inner(model).input_shape
        except (AttributeError, ValueError):  # not functional, or not called
            continue
        if not isinstance(taken, tuple) or isinstance(taken[0], tuple):
            continue
        shape = x.shape
        # Keras adds or drops a last axis of length 1.
        if len(taken) == len(shape) + 1 and taken[-1] in (None, 1):
            taken = taken[:-1]
        elif len(taken) == len(shape) - 1 and shape[-1] == 1:
            shape = shape[:-1]
        pairs = zip(taken[1:], shape[1:])
        if len(taken) != len(shape) or any(
            wanted not in (None, length) for wanted, length in pairs
        ):
            raise ValueError(
                "`x` has to fit the models, which take inputs of shape "
                f"{inner(model).input_shape}. Received: x of shape {x.shape}"
            )


def _of_ids(vocabulary):
    """A list, or a dict or function from ids, out of what knows words."""
    if hasattr(vocabulary, "get_vocabulary"):  # a layer of Keras
        vocabulary = vocabulary.get_vocabulary()
    if hasattr(vocabulary, "id_to_token"):  # a tokenizer of KerasHub
        return vocabulary.id_to_token
    if isinstance(vocabulary, (dict, list, tuple)) or callable(vocabulary):
        return vocabulary
    raise ValueError(
        "`vocabulary` has to be a list of words, a dict or a function from ids "
        "to words, or to have `get_vocabulary()` or `id_to_token(id)`. "
        f"Received: {type(vocabulary).__name__}"
    )


def _data(given, models):
    """The samples, checked, as `Data`."""
    every = list(itertools.chain(*models.values()))
    x, y = samples_of.unpacked(given.x, given.y)
    x, packing = inputs.read(x, every)
    domain = given.domain
    if packing.domain is not None and domain == "auto":
        domain = packing.domain
    exact = isinstance(packing, inputs.Columns)
    x, domain = samples_of.of_domain(x, domain, exact)
    if type(packing) is inputs.Inputs:
        _check_fit(every, x)
    y = np.asarray(y)
    if y.dtype.kind not in "biuf" or not y.ndim:
        raise ValueError(
            "`y` has to hold one class, or number, for each of the "
            f"{len(x)} samples. Received: y of dtype {y.dtype} and shape "
            f"{y.shape}"
        )

    def outputs():
        seen = packing.seen_by(every[0])
        return prediction.values(seen, x[:32], 32)

    task = tasks.of(given.task, y, every, outputs)
    if task == tasks.CLASSES:
        y = samples_of.classes_of(y, len(x))
    else:
        y = tasks.checked(task, y, len(x))
    truth = samples_of.true_features(given.truth, x, domain, packing)
    return Data(x, y, truth, domain, packing, task)


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


def gives_logits(from_logits, models, data, batch_size):
    """Whether the outputs of each model are logits.

    The activation of the last layer tells it. Models without a last layer
    that can be known are told by all their outputs, in the same way: logits
    if some leave [0, 1] or do not sum to 1. The numbers of a regression are
    none.

    Args:
        from_logits: bool, or `"auto"`.
        models: dict from names to lists of models.
        data: `Data`.
        batch_size: int.

    Returns:
        dict from names to lists of bools.

    Raises:
        ValueError: for `True` with a model that ends in a softmax or sigmoid,
            which would be applied twice.
    """
    for model in itertools.chain(*models.values()):
        prediction.check_model(model)
    known = {n: [ends_in_logits(m) for m in g] for n, g in models.items()}
    if data.task == tasks.NUMBERS:
        return {name: [False] * len(group) for name, group in models.items()}
    if from_logits != "auto":
        squashed = [name for name, group in known.items() if False in group]
        if from_logits and squashed:
            raise ValueError(
                "`from_logits=True` is of models that give logits; it would "
                "apply a second softmax (or sigmoid) to what ends in one. "
                f"Received: {squashed}. Leave it at 'auto'."
            )
        return {n: [bool(from_logits)] * len(g) for n, g in models.items()}
    found = {}
    for name, group in models.items():
        # Seeds of one name end alike; networks of several names need not.
        guess = any(
            _look_like_logits(model, data, batch_size)
            for model, told in zip(group, known[name])
            if told is None
        )
        found[name] = [guess if t is None else t for t in known[name]]
    return found


def _look_like_logits(model, data, batch_size):
    seen = data.inputs.seen_by(model)
    outputs = prediction.values(seen, data.x, batch_size)
    if outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return True
    several = outputs.shape[1] > 1 and data.task == tasks.CLASSES
    return bool(several and abs(outputs.sum(1) - 1).max() > 1e-2)


def class_count(models, y):
    """How many classes the models know, as far as it can be told."""
    for model in itertools.chain(*models.values()):
        shape = getattr(inner(model), "output_shape", None)
        if isinstance(shape, tuple) and len(shape) == 2 and shape[1]:
            return max(2, shape[1])
    return int(y.max()) + 1


def check_names(models, seeds, class_names, feature_names, data):
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
    x, y = data.x, data.y
    classes = y.shape[1] if y.ndim > 1 else class_count(models, y)
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
