import contextlib

import keras
import torch

from keras_sgt.backend import bisection
from keras_sgt.backend.torch_processes import (
    check_batches,
    check_synchronised,
    distribute,
    gathered,
    in_step,
    not_averaged,
    replica,
    shares_step,
)
from keras_sgt.backend.torch_sharing import saliency_pass, shared_forward

__all__ = [
    "check_batches",
    "check_synchronised",
    "distribute",
    "gathered",
    "in_step",
    "replica",
    "shared_forward",
    "shares_step",
]

TRACED = False
EAGER_IS_QUICK = True


def input_gradients(function, inputs):
    with torch.enable_grad():
        inputs = keras.tree.map_structure(
            lambda x: x.detach().requires_grad_(), inputs
        )
        with saliency_pass() as shared:
            score = function(inputs)
        gradients = torch.autograd.grad(
            score,
            keras.tree.flatten(inputs),
            retain_graph=bool(shared),
            allow_unused=True,
            materialize_grads=True,
        )
    return keras.tree.pack_sequence_as(inputs, gradients)


def joint_gradients(function, variables, values, tensors):
    tensors = keras.tree.map_structure(
        lambda x: x.detach().requires_grad_(), tensors
    )
    # A layer may write to its input, which a leaf does not allow.
    copies = keras.tree.map_structure(torch.clone, tensors)
    scalar, others = function(values, copies)
    flat = keras.tree.flatten(tensors)
    with not_averaged():
        found = torch.autograd.grad(
            scalar, [*flat, *(v.value for v in variables)], allow_unused=True
        )
    inputs = [
        torch.zeros_like(x) if gradient is None else gradient
        for x, gradient in zip(flat, found)
    ]
    return (
        others,
        list(found[len(flat) :]),
        keras.tree.pack_sequence_as(tensors, inputs),
    )


class _WithGradients(torch.autograd.Function):
    """Keeps no tensors, as Keras's does, for layers may write to them."""

    @staticmethod
    def forward(ctx, value, gradients, scale, *tensors):
        ctx.gradients, ctx.scale = gradients, scale
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        factor = upstream / ctx.scale
        found = [factor.to(g.dtype) * g for g in ctx.gradients]
        return None, None, None, *found


def with_gradients(value, variables, gradients, scale):
    tensors = [v.value for v in variables]
    return _WithGradients.apply(value.detach(), gradients, scale, *tensors)


@torch.no_grad()
def lowest(values, k, draw=None):
    """`k` may also be an int, which saves the sort."""
    values = values.nan_to_num(torch.inf, torch.inf, -torch.inf)
    if isinstance(k, int):
        if k == 0:
            return torch.zeros_like(values, dtype=torch.bool)
        smallest = torch.topk(values, k, dim=1, largest=False, sorted=False)
        threshold = smallest.values.amax(1, keepdim=True)
    else:
        kth = (k - 1).clamp(min=0).long().expand(len(values), 1)
        threshold = values.sort(1).values.gather(1, kth)
    below = values < threshold
    tied = values == threshold
    missing = k - below.sum(1, keepdim=True, dtype=torch.int32)
    if draw is None:
        return below | (tied & (tied.cumsum(1, dtype=torch.int32) <= missing))
    # Asked where the answer is at hand: an accelerator would have to be waited
    # for, and choosing among ties that are all taken is the same.
    ties = tied.sum(1, keepdim=True, dtype=torch.int32)
    if values.is_cpu and (ties <= missing).all():
        return below | tied
    return below | _some(tied, missing, draw())


def _some(tied, missing, numbers):
    """`missing` of the tied entries of each row, at random.

    All rows go through the positions in one random order, each from a random
    one of its tied entries on, which is faster than an order for each row.
    """
    n = tied.shape[1]
    order = torch.arange(n, dtype=torch.int32, device=tied.device)[None]
    order = bisection.shuffled(order, numbers[:1], bisection.bits_of(n))
    order = order[0].argsort()
    tied = tied[:, order]
    rank = tied.cumsum(1, dtype=torch.int32)
    ties = rank[:, -1:].clamp(min=1)
    # How many ties lie between the first that is marked and each; less than 0
    # for those before it, which follow the last one.
    distance = rank.sub_(1 + numbers[:, :1] % ties)
    near = (distance >= 0) & (distance < missing)
    near |= distance < missing - ties
    chosen = torch.empty_like(tied)
    chosen[:, order] = tied & near
    return chosen


def replica_count():
    return 1  # each process scales its own


def scope(model):
    return contextlib.nullcontext()


def keep_state(model, train_function):
    return train_function  # the variables hold their values at all times


def advised():
    return contextlib.nullcontext()


def kept_random_state():
    """Keras leaves dropout without a seed to the generators of PyTorch."""
    # One that is not in use has drawn nothing, and is not to be started.
    in_use = torch.cuda.is_initialized()
    return torch.random.fork_rng(
        [torch.cuda.current_device()] if in_use else []
    )


def compiled(function):
    return function


@contextlib.contextmanager
def restored(variables):
    """Writes back only what was written.

    Every write counts as a change of a tensor in place, and one that the clean
    pass needs for its gradient, such as a frozen kernel, must not change.
    """
    before = [(v, v.value._version, v.value.clone()) for v in variables]
    yield
    for variable, version, value in before:
        if variable.value._version != version:
            variable.assign(value)
