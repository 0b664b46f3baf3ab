"""Question 2: a training loop with mistakes in it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Hint
from coursekit.checks.lab03.shared import flat, pairs
from coursekit.checks.networks import given, random_state

_AFTER = "a batch's loss is the one just before the step; here it is computed after it."


_BUGS = {
    "epoch": "gradients add up from step to step: it is not enough to set them to zero once in an epoch.",
    "zero": "gradients add up from step to step: they must be set to zero before each `backward`.",
    "mode": "the network may come in eval mode, and then its batch norm learns no mean and variance.",
    "softmax": "`F.cross_entropy` takes logits: it computes the softmax by itself.",
    "last": "the last batch is left out when it is smaller than the others.",
    "after": _AFTER,
}


def q2(tiny_net: object, train: object, rng: np.random.Generator) -> None:
    """Five lines that each do their work; weights and losses must be those of the repaired loop."""
    make, train = compare.function(tiny_net, "tiny_net"), compare.function(train, "train")
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    images, labels = pairs(rng, 22, channels, classes)
    start = random_state(_tiny(channels, classes), rng, 0.3)
    model = given(make(channels, classes), "tiny_net(channels, classes)", start)
    model.train(False)
    losses = train(model, images, labels, 2, 0.3, 8)
    state = model.state()
    if all(torch.equal(state[name], value) for name, value in start.items() if "weight" in name):
        raise Hint("after `train` the weights are still what they were: is there a step of the optimizer?")

    def after(*bugs: str) -> Tensor:
        return flat(_train(_tiny(channels, classes), start, images, labels, bugs)[0])

    mistakes = {}
    for number in range(1, len(_BUGS) + 1):
        for bugs in combinations(_BUGS, number):
            if {"zero", "epoch"} <= set(bugs) or ("after" in bugs and number > 1):
                continue
            hint = _BUGS[bugs[0]] + " " * len(mistakes)  # a key of its own
            mistakes[hint] = lambda bugs=bugs: after(*bugs)
    right, means, late = _train(_tiny(channels, classes), start, images, labels, ())
    try:
        compare.array(flat(state), "the network's state after two epochs", flat(right), mistakes, rtol=1e-4)
    except Hint:
        again = given(make(channels, classes), "tiny_net(channels, classes)", start)
        again.train(False)
        train(again, images, labels, 2, 0.3, 8)
        if not torch.equal(flat(again.state()), flat(state)):
            raise Hint("from the same start, `train` gives other weights each time: are the images shuffled?") from None
        raise
    _check_losses(losses, means, late)


def _check_losses(losses: object, means: list[list[float]], late: list[list[float]]) -> None:
    if isinstance(losses, list | tuple) and any(isinstance(value, Tensor) for value in losses):
        raise Hint("`train` returns tensors, and each may keep the graph of its batch alive: take the numbers out.")
    sizes = np.array([8, 8, 6])
    means = np.array(means)
    compare.array(
        losses,
        "the list of losses",
        means @ sizes / 22,
        {
            "the mean of the batches' losses lets the short last batch weigh too much.": means.mean(axis=1),
            "these are sums over batches; asked for is the mean over images.": means.sum(axis=1),
            "these are sums over images; asked for is their mean.": means @ sizes,
            "these are the losses of each epoch's last batch.": means[:, -1],
            "this is a list of the batches' losses; asked for is one number per epoch.": means.ravel(),
            _AFTER: np.array(late) @ sizes / 22,
        },
        rtol=1e-4,
        lists=True,
    )


def _tiny(channels: int, classes: int) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes)]
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), *head)


def _train(model: nn.Module, start: dict, images: Tensor, labels: Tensor, bugs: tuple[str, ...]):
    model.load_state_dict(start)
    model.train("mode" not in bugs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    means, late = [], []
    for _ in range(2):
        means.append([])
        late.append([])
        if "epoch" in bugs:
            optimizer.zero_grad()
        for first in range(0, len(images) - 8 * ("last" in bugs), 8):
            outputs = model(images[first : first + 8])
            outputs = outputs.softmax(dim=1) if "softmax" in bugs else outputs
            loss = F.cross_entropy(outputs, labels[first : first + 8])
            if not {"zero", "epoch"} & set(bugs):
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            means[-1].append(loss.item())
            with torch.no_grad():
                model.train("after" in bugs)  # then batch norm learns from the batch once more
                late[-1].append(F.cross_entropy(model(images[first : first + 8]), labels[first : first + 8]).item())
                model.train("mode" not in bugs)
    return model.state_dict(), means, late
