"""Processes of PyTorch that train one model together."""

import contextlib
import contextvars
import warnings

import keras
import torch
import torch.distributed as processes

from keras_sgt.introspection.versions import synchronises_processes

AVERAGED = "keras_sgt_averaged"  # marks a tensor whose gradients are
_averages = True  # no context variable: gradients have threads of their own
_in_step = contextvars.ContextVar("in_step", default=False)


def distribute(model):
    if _count() == 0:
        raise RuntimeError(
            "There are no other processes. Call "
            "`torch.distributed.init_process_group` in each of them first."
        )
    if _count() == 1:
        return
    if synchronises_processes(model):
        warnings.warn(
            f"Keras {keras.__version__} synchronises processes by itself, so "
            "`keras_sgt.distribute` has done nothing; leave it out.",
            stacklevel=3,
        )
        return
    with torch.no_grad():
        for variable in model.weights:
            processes.broadcast(variable.value.data, src=0)
    for tensor in _tensors(model):
        if not hasattr(tensor, AVERAGED):
            tensor.register_hook(_averaged)
            setattr(tensor, AVERAGED, True)


def check_synchronised(model):
    """Raises where each process would train a model of its own."""
    if _count() < 2 or synchronises_processes(model):
        return
    averaged = all(hasattr(tensor, AVERAGED) for tensor in _tensors(model))
    if averaged and model.built:
        return
    raise RuntimeError(
        f"torch.distributed has {_count()} processes, and this version of "
        "Keras does not synchronise them: each would train a model of its "
        "own. Call `keras_sgt.distribute(model)` before `fit`, and again when "
        "layers were unfrozen. To train models apart, do so without a process "
        "group: `torch.distributed.destroy_process_group()`."
    )


def check_batches(parts):
    """Raises where one process would wait for ever for a batch of another."""
    if _count() < 2:
        return
    found = [None] * _count()
    processes.all_gather_object(found, parts[0])
    if len({*found}) > 1:
        each = ", ".join(f"{n} by batch_size={size}" for n, size in found)
        raise ValueError(
            "All processes need as many samples, in batches of one size: "
            "`x[: len(x) // n * n][rank::n]` of `n` processes. Received: "
            f"samples {each}"
        )


def replica():
    return processes.get_rank() if _count() > 1 else 0


@contextlib.contextmanager
def in_step():
    token = _in_step.set(True)
    try:
        yield
    finally:
        _in_step.reset(token)


@contextlib.contextmanager
def not_averaged():
    """A context: gradients are left to the step, which averages the sum."""
    global _averages
    _averages = False
    try:
        yield
    finally:
        _averages = True


def shares_step():
    # Elsewhere a process may be on its own, and nobody would answer it.
    return _in_step.get() and _count() > 1


@torch.no_grad()
def gathered(tensor):
    if not shares_step():
        return tensor
    if tensor.dtype == torch.bool:
        return gathered(tensor.to(torch.uint8)).bool()
    parts = [torch.empty_like(tensor) for _ in range(_count())]
    processes.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def _count():
    if not processes.is_available() or not processes.is_initialized():
        return 0
    return processes.get_world_size()


def _tensors(model):
    return [variable.value for variable in model.trainable_variables]


def _averaged(gradient):
    if not _averages:
        return gradient
    total = gradient.clone(memory_format=torch.contiguous_format)
    processes.all_reduce(total)
    return total / processes.get_world_size()
