"""What a comparison is given, checked before the work starts."""

import itertools

import keras
import numpy as np

from keras_sgt import checks
from keras_sgt.evaluation import prediction
from keras_sgt.introspection.logits import (
    are_probabilities,
    ends_in_logits,
    inner,
)
from keras_sgt.report.measures import DOMAINS, with_rationale


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
    return checks.classes("y", y, samples)


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
    return not are_probabilities(outputs.reshape(len(outputs), -1))


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
