"""Several processes of PyTorch train one model."""

import keras

from keras_sgt import backend


def distribute(model):
    """Makes the processes of `torch.distributed` train one model.

    Call it in each process, once the model is built and before `fit`. The
    first process's weights go to all others, and in every step the gradients
    are averaged over the processes. Each then calls `fit` with its own part of
    the data, all with as many batches of one size: together they train as one
    process does with the whole batches. Metrics, the moving statistics of batch
    normalisation and random numbers are each process's own; save the model in
    one of them. Versions of Keras that synchronise processes themselves are
    left alone.

    Args:
        model: `SaliencyGuidedModel`, or any other `keras.Model`, built.

    Returns:
        The model.

    Raises:
        ValueError: for a model that is not built.
        RuntimeError: without a process group, and on TensorFlow and JAX, which
            have ways of their own.

    Example, run by `torchrun --nproc-per-node=2`:

        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        guided = keras_sgt.SaliencyGuidedModel(model)
        guided.compile("adam", "sparse_categorical_crossentropy")
        keras_sgt.distribute(guided)
        guided.fit(x[rank::2], y[rank::2], batch_size=32)
        torch.distributed.destroy_process_group()
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "`model` has to be a `keras.Model` that is built, so that it has "
            "weights: call it on a batch. Received: "
            f"{model!r} of type {type(model).__name__}"
        )
    backend.distribute(model)
    return model
