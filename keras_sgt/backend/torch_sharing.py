"""What PyTorch would compute twice in a step, computed once.

Up to the first layer that training changes (dropout, batch normalisation), the
saliency pass and the clean forward of training are the same function of the
same input. XLA finds that by itself. Here the layers remember: what the
saliency pass computed, graph and all, serves the clean forward too.
"""

import collections
import contextlib
import contextvars

import keras
import torch

from keras_sgt.introspection import layers as introspection
from keras_sgt.introspection.patching import replaced
from keras_sgt.introspection.spectral import normalised_layers

_current = contextvars.ContextVar("shared_calls", default=None)


@contextlib.contextmanager
def shared_forward(model):
    """Within it, training takes over what the saliency pass has computed."""
    if model.jit_compile:  # for torch.compile to see to
        yield
        return
    calls = _SharedCalls()
    token = _current.set(calls)
    changed = {
        id(inner)
        for layer in normalised_layers(model)
        for inner in introspection.all_layers(layer)
    }
    with contextlib.ExitStack() as stack:
        for layer in introspection.all_layers(model, include_self=False):
            if id(layer) not in changed and _is_same_in_training(layer):
                stack.enter_context(replaced(layer, "call", calls.sharing))
        try:
            yield
        finally:
            _current.reset(token)


@contextlib.contextmanager
def saliency_pass():
    """Records calls while active; yields them: their graph is to be kept."""
    calls = _current.get()
    if calls is None:
        yield ()
        return
    calls.recording = True
    try:
        yield calls.recorded
    finally:
        calls.recording = False


class _SharedCalls:
    """The calls, in order, from the input to where training differs."""

    def __init__(self):
        self.recording = False
        self.recorded = collections.deque()

    def sharing(self, call):
        def shared(*args, **kwargs):
            if not (self.recording or self.recorded):
                return call(*args, **kwargs)
            tensors = keras.tree.flatten((args, kwargs))
            if not self.recording:
                output = self._take(call, tensors)
                return call(*args, **kwargs) if output is None else output
            output = call(*args, **kwargs)
            if all(map(self._is_known, tensors)):
                self.recorded.append((call, tensors, output))
            return output

        return shared

    def _is_known(self, x):
        """Whether the clean forward will see this again."""
        return (
            not isinstance(x, torch.Tensor)
            or x.is_leaf
            or any(x is output for _, _, output in self.recorded)
        )

    def _take(self, call, tensors):
        expected, known, output = self.recorded[0]
        if call != expected:
            return None
        if len(known) == len(tensors) and all(map(_is_same, known, tensors)):
            self.recorded.popleft()
            return output
        self.recorded.clear()  # another input: nothing to share or keep
        return None


def _is_same(one, other):
    """Whether it is the same tensor, or a detached view that is a leaf."""
    return one is other or (
        isinstance(one, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and one.is_leaf
        and not other.requires_grad
        and one.data_ptr() == other.data_ptr()
        and one.dtype == other.dtype
        and one.shape == other.shape
        and one.stride() == other.stride()
    )


def _is_same_in_training(layer):
    # Only Keras's own layers, which have no side effects; not frozen ones, for
    # training takes no gradient through them; not rematerialised ones, which
    # compute again in the backward pass.
    return (
        introspection.is_of_keras(type(layer))
        and not introspection.all_layers(layer, include_self=False)
        and layer.trainable
        and not introspection.is_rematerialised(layer)
        and not introspection.takes_training(layer)
    )
