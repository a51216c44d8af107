import contextlib


@contextlib.contextmanager
def replaced(layer, name, change):
    """Gives a layer another attribute, made from its own, for a while.

    In the instance's own dictionary: Keras tracks nothing, torch registers
    nothing, and the layer is as it was afterwards.

    Args:
        layer: `keras.Layer`.
        name: the attribute, such as `"call"`.
        change: function from what the layer has to what it is given.
    """
    attributes, original = vars(layer), getattr(layer, name)
    own = name in attributes
    attributes[name] = change(original)
    try:
        yield
    finally:
        if own:
            attributes[name] = original
        else:
            del attributes[name]
