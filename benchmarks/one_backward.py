"""Would one backward pass for weights and inputs make guided steps cheaper?

    KERAS_BACKEND=jax python benchmarks/one_backward.py

The gradient of the loss at the inputs is a by-product of the one for the
weights. A step that ranks features by it, and holds the clean side of the
divergence constant, needs a forward and a backward pass of the batch and of the
masked batch, and no pass for the saliency. Such a step, written by hand, runs
in turn with plain and guided `fit`. What it does to the maps is studied by
`examples/studies/one_backward.py`.
"""

import argparse
import functools
import os

import keras
import numpy as np
import step_cost_by_network
from keras import ops

BACKEND = keras.backend.backend()
NETWORKS = ("MNIST CNN, 64", "MNIST CNN, 256", "ResNet-18, 32", "TCN, 50")
QUARTER = 1 / 4


class OneBackward(keras.Model):
    """Trains a network with such steps.

    Args:
        network: `keras.Model` with logits.
        masking: `keras_sgt.masking.Masking`.
        share: float, the share of each batch that is masked.
    """

    def __init__(self, network, masking, share=1.0):
        super().__init__()
        self.network, self.masking, self.share = network, masking, share

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def train_step(self, *args):
        steps = {"tensorflow": self._tensorflow, "torch": self._torch}
        return steps.get(BACKEND, self._jax)(*args)

    def _loss(self, y, logits):
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                y, logits, from_logits=True
            )
        )

    def _masked(self, x, gradient):
        count = max(1, round(self.share * x.shape[0]))
        # As the log-probability's gradient, which is the loss's, negated.
        return self.masking.call(x[:count], -gradient[:count], 0.5)

    def _divergence(self, clean, masked):
        clean = ops.log_softmax(clean[: masked.shape[0]])
        gap = clean - ops.log_softmax(masked)
        return ops.mean(ops.sum(ops.exp(clean) * gap, axis=-1))

    def _torch(self, data):
        import torch

        x, y = data
        x = x.requires_grad_()
        self.zero_grad()
        clean = self(x, training=True)
        loss = self._loss(y, clean)
        loss.backward()
        with torch.no_grad():
            masked = self._masked(x.detach(), x.grad)
        logits = self(masked, training=True)
        self._divergence(clean.detach(), logits).backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in weights], weights)
        return {"loss": loss}

    def _tensorflow(self, data):
        import tensorflow as tf

        x, y = data
        weights = self.trainable_weights
        with tf.GradientTape() as tape:
            tape.watch(x)
            clean = self(x, training=True)
            loss = self._loss(y, clean)
        *first, at_inputs = tape.gradient(loss, [*weights, x])
        masked = self._masked(x, at_inputs)
        with tf.GradientTape() as tape:
            logits = self(masked, training=True)
            divergence = self._divergence(tf.stop_gradient(clean), logits)
        second = tape.gradient(divergence, weights)
        self.optimizer.apply([a + b for a, b in zip(first, second)], weights)
        return {"loss": loss}

    def _jax(self, state, data):
        import jax

        x, y = data
        trainable, others, optimizer, metrics = state

        def predict(trainable, others, x):
            return self.stateless_call(trainable, others, x, training=True)

        def of_clean(trainable, x):
            clean, changed = predict(trainable, others, x)
            return self._loss(y, clean), (clean, changed)

        (loss, (clean, others)), (first, at_inputs) = jax.value_and_grad(
            of_clean, argnums=(0, 1), has_aux=True
        )(trainable, x)
        mapping = list(zip(self.non_trainable_variables, others))
        with keras.StatelessScope(mapping) as scope:
            masked = self._masked(x, at_inputs)
        others = [
            scope.get_current_value(v) for v in self.non_trainable_variables
        ]

        def of_masked(trainable):
            logits, _ = predict(trainable, others, masked)
            return self._divergence(clean, logits)

        second = jax.grad(of_masked)(trainable)
        gradients = [a + b for a, b in zip(first, second)]
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        return {"loss": loss}, (trainable, others, optimizer, metrics)


def trainers(workload):
    """Everything that takes turns, by its name."""

    def one_backward(share):
        model = OneBackward(workload.build(), workload.masking(), share)
        model.compile("adam", loss=step_cost_by_network.passes.LOSS)
        return model

    return {
        "plain": workload.trainer(None),
        "guided": workload.trainer({}),
        "one backward": one_backward(1.0),
        "guided, batch_fraction=1/4": workload.trainer(
            {"batch_fraction": QUARTER}
        ),
        "one backward, a quarter of the batch": one_backward(QUARTER),
    }


def rows(name, args):
    workload = step_cost_by_network.WORKLOADS[name]
    x, y = workload.data(1)
    models = trainers(workload)
    fit = functools.partial(
        step_cost_by_network.fit, batch_size=workload.batch_size
    )
    for model in models.values():
        fit(model, x, y)
    plain = min(fit(models["plain"], x, y) for _ in range(3))
    steps = int(np.clip(args.seconds / plain, 2, 60))
    x, y = workload.data(steps)
    functions = {
        kind: functools.partial(fit, model, x, y)
        for kind, model in models.items()
    }
    yield from step_cost_by_network.beside_plain(
        name, functions, args.rounds, steps
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()
    networks = args.networks or list(NETWORKS)
    step_cost_by_network.save("one_backward", rows, networks, args)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
