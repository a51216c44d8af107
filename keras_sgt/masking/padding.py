"""Which steps of a series or a text are real."""

PADDING_MASK = "padding_mask"


def padding_mask(inputs):
    """The input that tells what is real, if there is one."""
    return inputs.get(PADDING_MASK) if isinstance(inputs, dict) else None


def check_padding_mask(mask, shape):
    """Raises unless a padding mask has an entry for each step."""
    known = [pair for pair in zip(mask.shape, shape) if None not in pair]
    if len(mask.shape) != len(shape) or any(a != b for a, b in known):
        raise ValueError(
            f"The input '{PADDING_MASK}' has to have an entry for each step, "
            f"`(batch, steps)`. Received: shape {tuple(mask.shape)} for inputs "
            f"of shape {tuple(shape)}"
        )
