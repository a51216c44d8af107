"""Nests of inputs and outputs: dicts, lists and tuples of tensors."""


def leaf_paths(inputs, path=()):
    """The nest of inputs with each tensor's keys and indices in its place."""
    if isinstance(inputs, dict):
        return {k: leaf_paths(v, (*path, str(k))) for k, v in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [leaf_paths(v, (*path, str(i))) for i, v in enumerate(inputs)]
    return "/".join(path)
