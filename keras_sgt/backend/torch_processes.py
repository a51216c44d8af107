"""Processes of PyTorch that train one model together."""

import torch
import torch.distributed as processes

from keras_sgt.introspection.versions import synchronises_processes

AVERAGED = "keras_sgt_averaged"  # marks a tensor whose gradients are


def distribute(model):
    if _count() == 0:
        raise RuntimeError(
            "There are no other processes. Call "
            "`torch.distributed.init_process_group` in each of them first."
        )
    if _count() == 1 or synchronises_processes(model):
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


def _count():
    if not processes.is_available() or not processes.is_initialized():
        return 0
    return processes.get_world_size()


def _tensors(model):
    return [variable.value for variable in model.trainable_variables]


def _averaged(gradient):
    total = gradient.clone(memory_format=torch.contiguous_format)
    processes.all_reduce(total)
    return total / processes.get_world_size()
