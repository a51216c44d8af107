"""A guided step written directly in PyTorch, as the paper's Algorithm 1 reads.

What one would write without keras_sgt: `topk` marks the lowest gradients, and
random values take the place of those pixels, sample by sample in a loop, or
for the whole batch at once.
"""

import torch
from torch import nn
from torch.nn import functional


def mnist_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def saliency(model, x, y):
    model.eval()
    x = x.detach().requires_grad_()
    model(x).gather(1, y[:, None]).sum().backward()
    return x.grad.flatten(1)


def masked_in_a_loop(x, saliency):
    masked = x.clone()
    for sample, gradient in zip(masked, saliency):
        lowest = gradient.topk(len(gradient) // 2, largest=False).indices
        pixels = sample.view(-1)
        low, high = pixels.min().item(), pixels.max().item()
        pixels[lowest] = torch.empty(len(lowest)).uniform_(low, high)
    return masked


def masked_at_once(x, saliency):
    pixels = x.flatten(1)
    lowest = saliency.topk(pixels.shape[1] // 2, largest=False, sorted=False)
    low = pixels.amin(1, keepdim=True)
    high = pixels.amax(1, keepdim=True)
    values = low + (high - low) * torch.rand_like(pixels)
    chosen = lowest.indices
    masked = pixels.scatter(1, chosen, values.gather(1, chosen))
    return masked.view_as(x)


class Trainer:
    """`fit` over batches in order, with Adam; plain without `mask`."""

    def __init__(self, mask=None):
        self.model, self.mask = mnist_cnn(), mask
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)

    def fit(self, x, y, batch_size):
        x = torch.from_numpy(x).movedim(-1, 1).contiguous()
        y = torch.from_numpy(y).long()
        for part in zip(x.split(batch_size), y.split(batch_size)):
            self.step(*part)

    def step(self, x, y):
        masked = self.mask and self.mask(x, saliency(self.model, x, y))
        self.model.train()
        self.optimizer.zero_grad()
        logits = self.model(x)
        loss = functional.cross_entropy(logits, y)
        if masked is not None:
            loss = loss + functional.kl_div(
                functional.log_softmax(self.model(masked), 1),
                functional.log_softmax(logits, 1),
                reduction="batchmean",
                log_target=True,
            )
        loss.backward()
        self.optimizer.step()


TRAINERS = {
    "direct, plain": lambda: Trainer(),
    "direct, loop": lambda: Trainer(masked_in_a_loop),
    "direct, at once": lambda: Trainer(masked_at_once),
}
