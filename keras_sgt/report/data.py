"""What a comparison is given, checked before the work starts."""

import keras
import numpy as np

from keras_sgt import attribution, checks
from keras_sgt.evaluation import prediction
from keras_sgt.report.registry import DOMAINS

METHODS = {
    "gradient": attribution.Gradient,
    "input_x_gradient": attribution.InputXGradient,
    "integrated_gradients": attribution.IntegratedGradients,
    "smooth_grad": lambda model, **options: attribution.SmoothGrad(
        model, seed=0, **options
    ),
    "gradient_shap": lambda model, **options: attribution.GradientSHAP(
        model, seed=0, **options
    ),
    "deep_lift": attribution.DeepLIFT,
    "grad_cam": attribution.GradCAM,
    "random": lambda model, **options: attribution.Random(
        model, seed=0, **options
    ),
}


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
    shapes = {}
    for name, group in found.items():
        for model in group:
            if not isinstance(model, keras.Model) or not model.built:
                raise ValueError(
                    f"`models[{name!r}]` has to be a keras.Model that is "
                    f"built and trained. Received: {type(model).__name__}"
                )
            shapes[name] = _shapes(model)
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
    inner = getattr(model, "model", None)
    model = inner if isinstance(inner, keras.Model) else model
    try:
        return str(model.input_shape), str(model.output_shape)
    except AttributeError:
        return None


def arrays(x, y):
    """`x` and `y` as arrays of as many samples."""
    x = checks.numeric("x", x)
    if x.dtype.kind == "f":
        x = x.astype("float32", copy=False)
    return x, checks.labels("y", y, len(x))


def true_features(truth, x, domain):
    """`truth` as bools shaped like `x`, some of each sample's true."""
    if truth is None:
        return None
    try:
        truth = np.broadcast_to(truth, x.shape)
    except ValueError:
        raise ValueError(
            f"`truth` has to have the shape of `x`, {x.shape}, or broadcast "
            f"to it. Received: truth of shape {np.shape(truth)}"
        ) from None
    real = x != 0 if domain == "text" else None
    truth = checks.truth_masks("truth", truth, x.shape, real)
    if domain == "images" and (truth != truth[..., :1]).any():
        raise ValueError(
            "`truth` of images has to be the same in all channels: a pixel "
            "matters or does not. Received: channels that differ. Pass "
            "`truth.any(-1, keepdims=True)`."
        )
    return truth


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


def gives_logits(from_logits, model, x, batch_size):
    """Whether outputs are logits: they do not sum to 1 or leave [0, 1]."""
    if from_logits != "auto":
        return bool(from_logits)
    prediction.check_model(model)
    outputs = np.asarray(model.predict(x[:8], batch_size, verbose=0))
    outputs = outputs.reshape(len(outputs), -1).astype("float64")
    if outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return True
    several = outputs.shape[1] > 1
    return bool(several and abs(outputs.sum(1) - 1).max() > 1e-2)


def named_methods(methods):
    """A dict from names to functions that make a method of a model."""
    if isinstance(methods, dict):
        wrong = [name for name, make in methods.items() if not callable(make)]
        if wrong:
            raise ValueError(
                "`methods` as a dict has to hold functions from a model to a "
                f"method. Received: {wrong}"
            )
        return dict(methods)
    unknown = [m for m in methods if m not in METHODS]
    if unknown or not methods:
        raise ValueError(
            f"`methods` has to hold names out of {list(METHODS)}, or be a dict "
            f"of functions from a model to a method. Received: {methods!r}"
        )
    return {name: METHODS[name] for name in methods}


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
    if class_names is not None and len(class_names) <= y.max():
        raise ValueError(
            f"`class_names` has to hold a name for each class, up to class "
            f"{int(y.max())}. Received: {len(class_names)} names"
        )
    if feature_names is not None and len(feature_names) != x.shape[-1]:
        raise ValueError(
            f"`feature_names` has to hold a name for each of the {x.shape[-1]} "
            f"features. Received: {len(feature_names)} names"
        )
