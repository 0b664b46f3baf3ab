"""Question 4: the gradient of a large batch, from parts of it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Module
from coursekit.checks.lab03.shared import pairs
from coursekit.checks.networks import given, random_state

_NOT_IT = "works on each image by itself, so that it does not matter which other images are in the batch."


def q4(
    plain_net: object, norm_net: object, gradient_in_parts: object, fails_with: object, rng: np.random.Generator
) -> None:
    """Compare the gradient of a mean loss from unequal parts; ask for the layer for which there is no such way."""
    gradient_in_parts = compare.function(gradient_in_parts, "gradient_in_parts")
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, classes)]
    own = nn.Sequential(nn.Conv2d(channels, 5, 3), *head)
    own.load_state_dict(state := random_state(own, rng, 0.3))
    plain_net = compare.function(plain_net, "plain_net")
    model = given(plain_net(channels, classes), "plain_net(channels, classes)", state)
    for count, part in ((8, 4), (11, 4), (7, 3)):
        images, labels = pairs(rng, count, channels, classes)
        answer = gradient_in_parts(model, images, labels, part)
        parts = [_gradient(own, x, y) for x, y in zip(images.split(part), labels.split(part), strict=True)]
        sizes = [len(y) for y in labels.split(part)]
        right = _gradient(own, images, labels)
        same = "the gradient from parts"
        mistakes = {
            "this is the claim: a sum of means is larger than the mean over all.": sum(parts),
            "a mean over parts lets the images of a short last part weigh more.": sum(parts) / len(parts),
            "only the last part is in it: the gradients of the others are gone.": parts[-1],
            "only the last part is in it, with its weight: the gradients of the others are gone.": parts[-1]
            * sizes[-1]
            / count,
            "only the first part is in it.": parts[0],
            "the last part may be shorter than `part`: then its weight is smaller.": sum(parts) * part / count,
            "count the parts: `n // part` forgets the short last one.": sum(parts) / (count // part),
            "divide by the number of images: this is the sum over them.": right * count,
            "each part's mean is divided by its own size once more.": sum(
                g / n for g, n in zip(parts, sizes, strict=True)
            ),
            "divided by the number of images, but each part is a mean already: give it its weight.": sum(parts) / count,
            "the last part, shorter than the others, is left out.": sum(
                g * n / count for g, n in zip(parts, sizes, strict=True) if n == part
            ),
        }
        compare.array(answer, same, right, mistakes, rtol=1e-4)
        again = gradient_in_parts(model, images, labels, part)
        compare.array(
            again,
            "the gradient from parts, computed a second time,",
            right,
            {"called twice, it adds the first call's gradients to the second's.": 2 * right},
            rtol=1e-4,
        )
    own.insert(1, nn.BatchNorm2d(5))
    own.load_state_dict(state := random_state(own, rng, 0.3))
    norm_net = compare.function(norm_net, "norm_net")
    model = given(norm_net(channels, classes), "norm_net(channels, classes)", state)
    _compare_sent(gradient_in_parts, model, own, *pairs(rng, 11, channels, classes))
    compare.choice(
        fails_with,
        "`fails_with`",
        "batch norm",
        ("relu", "max pooling", "batch norm", "global average pooling"),
        {
            "relu": f"a ReLU {_NOT_IT}",
            "max pooling": f"max pooling {_NOT_IT}",
            "global average pooling": f"global average pooling {_NOT_IT}",
        },
    )


def _compare_sent(gradient_in_parts: Function, model: Module, own: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Look at what is sent through the network: with batch norm in train mode, this shows in the gradient."""

    def sent(part: int) -> Tensor:
        pieces = zip(images.split(part), labels.split(part), strict=True)
        return sum(_gradient(own, x, y) * len(y) / len(labels) for x, y in pieces)

    still = _gradient(own.eval(), images, labels)
    own.train()
    model.train(True)
    compare.array(
        gradient_in_parts(model, images, labels, 4),
        "the gradient of `norm_net` in train mode, from parts,",
        sent(4),
        {
            "all images go through the network at once: send `part` at a time.": sent(len(labels)),
            "the images go through the network one at a time: send `part` at a time.": lambda: sent(1),
            "leave the network in the mode in which it comes, here in train mode.": still,
        },
        rtol=1e-4,
    )


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(model(images), labels)
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(model.parameters()))])
