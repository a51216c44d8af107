"""How a model was built and compiled."""

import codecs
import json
import marshal
import re
import types
import warnings

import keras


def compile_arguments(model):
    """What a model's `compile` was given, the objects themselves.

    `get_compile_config`, the public way, describes them: what is made from it
    lacks what no configuration has (`exclude_from_weight_decay`), and classes
    and functions have to be registered.

    Returns:
        dict of arguments of `compile`.
    """
    # The optimizer as it is by now: for mixed precision `compile` wraps it.
    return {
        **model._compile_config.config,
        "optimizer": model.optimizer,
        "auto_scale_loss": False,
    }


def description(builds):
    """What builds of one model say of themselves, all of them the same.

    What counts up from build to build, where objects are in memory, and where
    code stands in its file is left out, so that builds in other processes say
    it too. A part that cannot be told, or that builds differ in, is left out.

    Args:
        builds: list of built, compiled models.

    Returns:
        dict of strings.
    """
    found = {}
    for part in (_weights, _layers, _training, _decaying):
        texts = {_text(part, model) for model in builds}
        if len(texts) == 1 and None not in texts:
            found[part.__name__] = texts.pop()
    return found


def _weights(model):
    return [[v.shape, str(v.dtype), v.trainable] for v in model.weights]


def _layers(model):
    return [type(model).__name__, model.get_config()]


def _training(model):
    """What weights depend on; metrics only watch."""
    arguments = compile_arguments(model)
    names = ("optimizer", "loss", "loss_weights", "steps_per_execution")
    return keras.saving.serialize_keras_object(
        {name: arguments[name] for name in names}
    )


def _decaying(model):
    """Which weights decay, which no configuration says."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return [optimizer._use_weight_decay(v) for v in model.trainable_variables]


def _text(part, model):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras's, of lambdas
            text = json.dumps(_plain(part(model)), default=repr)
    except Exception:  # of the user's own `get_config`
        return None
    return _renumbered(re.sub("0x[0-9a-f]+", "", text))


def _plain(config):
    """A configuration without modules, which have other names in workers."""
    if isinstance(config, dict):
        if config.get("class_name") == "__lambda__":
            return _lambda(config["config"])
        return {str(k): _plain(v) for k, v in config.items() if k != "module"}
    if isinstance(config, (list, tuple)):
        return [_plain(part) for part in config]
    return config


def _lambda(config):
    """What a lambda does, without the file and the line that it stands in."""
    code, *others = config.get("value") or config.values()
    code = marshal.loads(codecs.decode(code.encode(), "base64"))
    return [_code(code), _plain(others)]


def _code(code):
    constants = [
        _code(c) if isinstance(c, types.CodeType) else repr(c)
        for c in code.co_consts
    ]
    return [code.co_code.hex(), code.co_names, constants]


def _renumbered(text):
    """JSON whose names, which Keras counts up, are numbered by their order.

    So that layers can still be told from each other.
    """
    names = dict.fromkeys(re.findall(r'"name": ("[^"]*")', text))
    numbered = {
        name: f"{re.sub('_[0-9]+', '', name)} {i}"
        for i, name in enumerate(names)
    }
    string = r'"(?:[^"\\]|\\.)*"'
    return re.sub(string, lambda s: numbered.get(s[0], s[0]), text)
