"""Question 4: a ResNet9 with batch norm and ReLU in front."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Hint, Module, NotAnsweredError
from coursekit.checks.lab05.shared import mistakes_of, normal
from coursekit.checks.networks import random_state


def q4(ResNet9: object, rng: np.random.Generator) -> None:
    """Look at the layers first, then load weights into them, and compare the logits in both modes."""
    make = compare.function(ResNet9, "ResNet9")
    channels, width, classes = int(rng.choice([1, 2, 4])), int(rng.integers(3, 7)), int(rng.integers(2, 9))
    shown = f"ResNet9({classes}, {channels}, {width})"
    model = compare.module(make(classes, channels, width), shown)
    if not model.parameters():
        hidden = "A plain list hides layers: use `nn.Sequential` or `nn.ModuleList`."
        raise NotAnsweredError(f"`{shown}` has no layers yet. {hidden}")
    own = _Nine(classes, channels, width)
    own.load_state_dict(random_state(own, rng, 0.4))
    _give_weights(model, own, shown)
    cases = list(product((False, True), [normal(rng, 3, channels, 8, 13), normal(rng, 2, channels, 13, 10)]))
    answers = []
    for mode, x in cases:
        model.train(mode)
        answers.append(model(x))
        if not isinstance(answers[-1], Tensor) or answers[-1].shape != (len(x), classes):
            raise Hint(f"`{shown}` must give a tensor [images, classes].")

    def each(slip: str = "") -> Tensor:
        return torch.cat([own.train(mode and slip != "eval")(x, slip) for mode, x in cases])

    hints = {
        "relu": "nothing stands behind the sum of a residual layer: not even a ReLU.",
        "no sum": "the residual layers do not add their input.",
        "active": "what is added is `x` itself, not what came out of its batch norm and ReLU.",
        "swapped": "batch norm comes first, then the ReLU.",
        "order": "batch norm and ReLU stand *in front of* their convolution.",
        "after": "batch norm and ReLU stand *in front of* their convolution, also in front of the first one.",
        "one relu": "each batch norm is followed by a ReLU; here, one in each residual layer is missing.",
        "start": "the first convolution is followed directly by the residual layer: no ReLU.",
        "end": "the ReLU behind the last batch norm is missing.",
        "no norm": "the last batch norm is made, but not used.",
        "late": "the pooling stands in front of the second convolution of the table, not behind it.",
        "one pool": "the pooling in front of the last residual layer is missing.",
        "behind": "the last pooling stands in front of the last residual layer, not behind it.",
        "ceil": "the pooling rounds odd sizes down.",
        "no pool": "the pooling in front of the second convolution of the table is missing.",
        "mean pool": "the pooling inside takes the maximum, not the mean.",
        "maximum": "the head takes the mean of each map, not its maximum.",
        "softmax": "logits are asked for: no softmax at the end.",
        "eval": "right in eval mode, but in train mode batch norm must use the batch: who has switched it off?",
    }
    compare.array(torch.cat(answers), "the logits", each(), mistakes_of(each, hints), rtol=1e-4)


class _Nine(nn.Module):
    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        ends = [channels, *3 * [width], *5 * [2 * width]]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(ends))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k * width, momentum=0) for k in (1, 1, 2, 2, 2, 2, 2))
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor, slip: str = "") -> Tensor:
        convs, norms = iter(self.convs), iter(self.norms)
        pool = partial(F.avg_pool2d if slip == "mean pool" else F.max_pool2d, ceil_mode=slip == "ceil")
        x = next(convs)(x)
        x = _residual(F.relu(x) if slip == "start" else x, convs, norms, slip)
        x = next(convs)(x if slip in ("late", "no pool") else pool(x, 2))
        x = _residual(pool(x, 2) if slip == "late" else x, convs, norms, slip)
        x = _residual(x if slip in ("one pool", "behind") else pool(x, 2), convs, norms, slip)
        x = pool(x, 2) if slip == "behind" else x
        x = x if slip == "no norm" else next(norms)(x)
        x = x if slip == "end" else F.relu(x)
        x = self.linear(x.amax(dim=(2, 3)) if slip == "maximum" else x.mean(dim=(2, 3)))
        return x.softmax(dim=1) if slip == "softmax" else x


def _residual(x: Tensor, convs: Iterator[nn.Module], norms: Iterator[nn.Module], slip: str) -> Tensor:
    def active(x: Tensor) -> Tensor:
        norm = next(norms)
        return norm(F.relu(x)) if slip == "swapped" else F.relu(norm(x))

    if slip in ("order", "after"):
        middle = active(next(convs)(x))
        branch = next(norms)(next(convs)(middle))
        return x + (branch if slip == "order" else F.relu(branch))
    first = active(x)
    middle = next(convs)(first)
    branch = next(convs)(next(norms)(middle) if slip == "one relu" else active(middle))
    result = {"no sum": 0, "active": first}.get(slip, x) + branch
    return F.relu(result) if slip == "relu" else result


_ORDER = "Are the layers made in the order in which an image passes?"


def _give_weights(model: Module, own: _Nine, shown: str) -> None:
    """Load the weights of ``own``, layer by layer of each kind, so that the student's names do not matter."""
    layers, shapes, given = model.layers(), model.parameters(), {}
    for kind, parts in (("Conv2d", own.convs), ("BatchNorm2d", own.norms), ("Linear", [own.linear])):
        found = [layer for layer in layers if layer["kind"] == kind]
        if kind == "Conv2d" and any(layer["settings"]["bias"] for layer in found):
            raise Hint("the convolutions are to have no bias.")
        if len(found) != len(parts):
            norms = " Each residual layer has two of its own, and one stands in front of the head."
            raise Hint(f"`{shown}` has {len(found)} layers of kind {kind}.{norms * (kind == 'BatchNorm2d')}")
        for number, (layer, part) in enumerate(zip(found, parts, strict=True), start=1):
            shape = tuple(shapes[layer["name"] + ".weight"]["shape"])
            if shape != tuple(part.weight.shape):
                raise Hint(
                    f"in `{shown}`, the weight of {kind} number {number} has the wrong shape {list(shape)}. {_ORDER}"
                )
            given |= {f"{layer['name']}.{key}": value for key, value in part.state_dict().items()}
    model.load(given)
