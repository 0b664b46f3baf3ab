"""Question 5: how much of the gradient arrives."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Chart, Function, Hint
from coursekit.checks.weights import copy_state, normal


def q5(
    deep_net: Function,
    gradient_norms: Function,
    with_skip: object,
    without_skip: object,
    figure: Chart,
    rng: np.random.Generator,
) -> None:
    """Compare norms of the gradient for the input of each part of a chain; look at those measured and drawn."""
    for skip in (True, False):
        blocks, channels, classes = rng.integers(2, 6, 3).tolist()
        model = compare.module(deep_net(blocks, skip, channels, 4, classes), "deep_net(...)")
        own = _deep(blocks, skip, channels, classes)
        copy_state(model, own, rng)
        images, labels = normal(rng, 7, channels, 6, 8), torch.from_numpy(rng.integers(0, classes, 7))
        _compare_norms(gradient_norms(model, images, labels), own, images, labels)
    _check_chart(with_skip, without_skip, figure)


def _compare_norms(answer: object, own: nn.Sequential, images: Tensor, labels: Tensor) -> None:
    values = [images.requires_grad_()]
    for part in own:
        values.append(part(values[-1]))
    loss = F.cross_entropy(values[-1], labels)

    def norms(of: Sequence[Tensor], loss: Tensor = loss) -> np.ndarray:
        return np.array([g.norm().item() for g in torch.autograd.grad(loss, of, retain_graph=True)])

    def weights(least: int) -> list[float]:
        return [float(np.linalg.norm(norms([w for w in part.parameters() if w.ndim > least]))) for part in own]

    right, parts = norms(values[:-1]), len(own)
    gradients = torch.autograd.grad(loss, values[:-1], retain_graph=True)
    single = np.array([g.flatten(1).norm(dim=1).sum().item() for g in gradients])
    mistakes = {
        "these are gradients for the *parameters* of each part, not for its input.": weights(0),
        "these are gradients for the *weights* of each part, not for its input.": weights(1),
        "these belong to the *output* of each part; asked for is its input.": norms(values[1:]),
        "the order is reversed: the first number belongs to the images.": right[::-1],
        "these are norms of the values on their way, not of gradients.": [v.norm().item() for v in values[:-1]],
        "these are the norms squared.": right**2,
        "take one norm over the whole batch; this is the mean of one norm for each image.": single / len(images),
        "take one norm over the whole batch; this is the sum of one norm for each image.": single,
        "a norm is the root of the *sum* of squares, not of their mean.": right
        / [v.numel() ** 0.5 for v in values[:-1]],
        "the loss is the mean over the images, not the sum.": right * len(images),
        "this is the gradient of the sum of the logits: take that of the loss.": norms(values[:-1], values[-1].sum()),
    }
    shapes = {
        (parts - 1,): "one number is missing: each part counts, the first and the last one too.",
        (parts - 2,): "two numbers are missing: each part counts, the first and the last one too.",
        (parts + 1,): "one number too many: the logits are the input of no part.",
    }
    compare.array(answer, "the result of `gradient_norms`", right, mistakes, rtol=1e-4, shapes=shapes)


def _deep(blocks: int, skip: bool, channels: int, classes: int) -> nn.Sequential:
    class Skip(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    block = Skip if skip else nn.Sequential
    start = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.AvgPool2d(2))
    middle = [block(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(blocks)]
    return nn.Sequential(start, *middle, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)))


def _check_chart(with_skip: object, without_skip: object, figure: Chart) -> None:
    curves: dict[str, np.ndarray] = {}
    for name, curve in (("with_skip", with_skip), ("without_skip", without_skip)):
        curves[name] = values = compare.as_array(curve, f"`{name}`", (-1,))
        if len(values) < 22:
            raise Hint(f"`{name}` must hold one number for each part of a network with 20 blocks or more.")
        if np.any(values < 0):
            raise Hint(f"`{name}` holds a number that is no norm: it is negative.")
        if np.any(values == 0):
            raise Hint(f"`{name}` holds zeros: so small a gradient does not fit into 32 bits. Take fewer blocks.")
    if len({len(values) for values in curves.values()}) > 1:
        raise Hint("compare networks of the same depth: `with_skip` and `without_skip` differ in length.")
    left, lost = (values[1] / values[-1] for values in curves.values())  # behind the start, against the head
    if left < lost:
        raise Hint("more of the gradient arrives in `without_skip` than in `with_skip`: did you swap the two?")
    if left < 100 * lost:
        raise Hint("`with_skip` and `without_skip` hardly differ: was one of the networks made with `skip=False`?")
    places = []
    for name, values in curves.items():
        found = [axis for axis in figure.axes if _shows(axis, values)]
        if not found:
            raise Hint(f"no curve of `figure` shows `{name}`, with all its numbers.")
        if not any(axis["yscale"] == "log" for axis in found):
            raise Hint("make the axis of the norms logarithmic: they span many powers of ten.")
        places.append(found)
    if any(one is two and len(one["legend"]) < 2 for one, two in product(*places)):
        raise Hint("`figure` needs a legend: which curve is which?")


def _shows(axis: dict, values: np.ndarray) -> bool:
    drawn = [line["y"] for line in axis["lines"] if line["y"].shape == values.shape]
    return any(np.allclose(y, values, rtol=1e-3, atol=0) for y in drawn)
