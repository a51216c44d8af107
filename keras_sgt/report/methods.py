"""The attribution methods that a comparison knows by name."""

from keras_sgt import attribution

# Each is called with a model, and may be with `from_logits`.
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


def named_methods(methods):
    """A dict from names to functions of a model and `from_logits`."""
    if isinstance(methods, dict):
        wrong = [name for name, make in methods.items() if not callable(make)]
        if wrong or not methods:
            raise ValueError(
                "`methods` as a dict has to hold functions from a model to a "
                f"method. Received: {wrong or methods}"
            )
        found = {str(name): make for name, make in methods.items()}
        if len(found) < len(methods):
            raise ValueError(
                "The names in `methods` have to differ as text. Received: "
                f"{list(methods)}"
            )
        return {name: _of_model(make) for name, make in found.items()}
    if isinstance(methods, str):
        methods = [methods]
    unknown = [m for m in methods if m not in METHODS]
    if unknown or not methods:
        raise ValueError(
            f"`methods` has to hold names out of {list(METHODS)}, or be a dict "
            f"of functions from a model to a method. Received: {methods!r}"
        )
    return {name: METHODS[name] for name in methods}


def _of_model(make):
    """A function of the user's, who knows what the outputs are."""
    if isinstance(make, type) and issubclass(make, attribution.Attribution):
        return make
    return lambda model, from_logits: make(model)
