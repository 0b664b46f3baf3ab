"""Questions 2 and 4: a residual block with mistakes in it, and a ResNet9 with batch norm and ReLU in front."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module, NotAnsweredError
from coursekit.checks.weights import copy_state, normal, random_state

_SWITCHED_OFF = "right in eval mode, but in train mode batch norm must use the batch: who has switched it off?"


def q2(Block: Function, rng: np.random.Generator) -> None:
    """Compare blocks with either kind of shortcut: first their parameters, then their outputs in both modes."""
    narrow, wide = rng.choice(np.arange(2, 7), 2, replace=False).tolist()
    cases, answers = [], []
    for setting in [(narrow, narrow, 1), (narrow, wide, 1), (wide, wide, 2), (wide, narrow, 3)]:
        block, own = compare.module(Block(*setting), f"Block{setting}"), _Block(*setting)
        _same_names(set(block.state()), set(own.state_dict()), f"Block{setting}")
        copy_state(block, own, rng)
        cases.append((block, own, normal(rng, 4, setting[0], 11, 10), f"Block{setting}"))
    for block, _, x, shown in cases:
        for mode in (False, True):  # train mode last: it changes the running statistics
            block.train(mode)
            answers.append(_call(block, x, shown))

    def each(slip: str = "") -> Tensor:
        modes = (False, slip != "eval")
        return torch.cat([own.train(mode)(x, slip).flatten() for _, own, x, _ in cases for mode in modes])

    hints = {
        "before": "a branch that ends in a ReLU can only add: the last ReLU belongs behind the sum.",
        "both": "one ReLU too many: a branch that ends in a ReLU can only add.",
        "none": "the ReLU behind the sum is missing.",
        "middle": "the ReLU between the two convolutions is missing.",
        "late": "the stride belongs to the first convolution, not to the second.",
        "alone": "the sum with the shortcut is missing.",
    }
    hints |= {"twice": "`bn1` is used twice, and `bn2` never."} | {f"{slip} twice": hints[slip] for slip in hints}
    hints["eval"] = _SWITCHED_OFF
    mistakes = compare.mistakes_of(each, hints)
    small = (
        partial(_plain, Block),
        lambda x: F.relu(x + F.relu(x)),
        {"x (one channel; convolutions and norms change nothing)": torch.tensor([[[[1.0, -2, 3], [4, 0, -6]]]])},
    )
    compare.array(torch.cat(answers), "the blocks' outputs", each(), mistakes, rtol=1e-4, small=small)


def _plain(Block: Function, x: Tensor) -> Tensor:
    """Call a block of one channel in which convolutions and batch norms change nothing, in eval mode."""
    block = Block(1, 1, 1)
    one = {name: torch.ones_like(value) for name, value in block.state().items()}
    spot = F.pad(torch.ones(1, 1, 1, 1), [1] * 4)
    zeros = ("bias", "running_mean")
    block.load({k: spot if "conv" in k else 0 * v if k.endswith(zeros) else v for k, v in one.items()})
    block.train(False)
    return block(x)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs, momentum=0), nn.BatchNorm2d(outputs, momentum=0)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs, momentum=0))

    def forward(self, x: Tensor, slip: str = "") -> Tensor:
        slip, twice = slip.removesuffix("twice").strip(), slip.endswith("twice")
        strides = (self.conv1.stride, 1)[:: -1 if slip == "late" else 1]
        branch = self.bn1(F.conv2d(x, self.conv1.weight, stride=strides[0], padding=1))
        branch = branch if slip == "middle" else F.relu(branch)
        branch = F.conv2d(branch, self.conv2.weight, stride=strides[1], padding=1)
        branch = self.bn1(branch) if twice else self.bn2(branch)
        branch = F.relu(branch) if slip in ("before", "both") else branch
        result = branch + (0 if slip == "alone" else self.shortcut(x))
        return result if slip in ("before", "none") else F.relu(result)


def _same_names(has: set[str], needs: set[str], shown: str) -> None:
    if any(name.startswith("shortcut") for name in needs - has):
        raise Hint(f"`{shown}` changes the shape of its input: its shortcut needs a convolution and batch norm.")
    if any(name.startswith("shortcut") for name in has - needs) and not any(n.startswith("shortcut") for n in needs):
        raise Hint(f"`{shown}` keeps the shape of its input: its shortcut is `x` itself, without parameters.")
    for name in sorted(needs - has):
        raise Hint(f"`{shown}` has no `{name}`: leave the names `conv1`, `bn1`, `conv2`, `bn2`, `shortcut`.")
    for name in sorted(has - needs):
        also = " No convolution has a bias." if name.endswith(".bias") else ""
        raise Hint(f"`{shown}` has a `{name}`, for which there is no use.{also}")


def _call(block: Module, x: Tensor, shown: str) -> Tensor:
    try:
        answer = block(x)
    except Hint as hint:
        if "must match the size" in str(hint):
            raise Hint(f"in `{shown}`, branch and shortcut differ in size: follow both on paper.") from None
        raise
    if not isinstance(answer, Tensor):
        raise Hint(f"`{shown}` must give a tensor, not {compare.kind(answer)}.")
    return answer.flatten()


def q4(ResNet9: Function, rng: np.random.Generator) -> None:
    """Look at the layers first, then load weights into them, and compare the logits in both modes."""
    channels, width, classes = int(rng.choice([1, 2, 4])), int(rng.integers(3, 7)), int(rng.integers(2, 9))
    shown = f"ResNet9({classes}, {channels}, {width})"
    model = compare.module(ResNet9(classes, channels, width), shown)
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
        "end": "the ReLU behind the last batch norm is missing.",
        "late": "the pooling stands in front of the second convolution of the table, not behind it.",
        "one pool": "the pooling in front of the last residual layer is missing.",
        "no pool": "the pooling in front of the second convolution of the table is missing.",
        "maximum": "the head takes the mean of each map, not its maximum.",
        "softmax": "logits are asked for: no softmax at the end.",
        "eval": _SWITCHED_OFF,
    }
    mistakes = compare.mistakes_of(each, hints)
    compare.array(
        torch.cat(answers), "the logits", each(), mistakes, rtol=1e-4, small=partial(_part, model, own, shown)
    )


def _part(model: Module, own: _Nine, shown: str) -> str:
    """Switch off the branches of the residual layers: say whether the network is right without them."""
    with torch.no_grad():
        for k in (2, 5, 7):
            own.get_parameter(f"convs.{k}.weight").zero_()
    _give_weights(model, own, shown)
    model.train(False)
    x = torch.ones(1, own.get_parameter("convs.0.weight").shape[1], 9, 9)
    fine = torch.allclose(model(x), own.eval()(x), rtol=1e-3, atol=1e-4)
    where = "wrong, too: look at everything but the branches"
    where = "right: look into the branches, and at what train mode changes" if fine else where
    return f" A simpler case: 9 x 9 ones, the last convolution of each branch 0, eval mode. There it is {where}."


class _Nine(nn.Module):
    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        ends = [channels, *3 * [width], *5 * [2 * width]]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(ends))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k * width, momentum=0) for k in (1, 1, 2, 2, 2, 2, 2))
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor, slip: str = "") -> Tensor:
        convs, norms = iter(self.convs), iter(self.norms)
        pool = F.max_pool2d
        x = next(convs)(x)
        x = _residual(x, convs, norms, slip)
        x = next(convs)(x if slip in ("late", "no pool") else pool(x, 2))
        x = _residual(pool(x, 2) if slip == "late" else x, convs, norms, slip)
        x = _residual(x if slip == "one pool" else pool(x, 2), convs, norms, slip)
        x = next(norms)(x) if slip == "end" else F.relu(next(norms)(x))
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
    branch = next(convs)(active(middle))
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
            if shape != tuple(part.state_dict()["weight"].shape):
                raise Hint(
                    f"in `{shown}`, the weight of {kind} number {number} has the wrong shape {list(shape)}. {_ORDER}"
                )
            given |= {f"{layer['name']}.{key}": value for key, value in part.state_dict().items()}
    model.load(given)
