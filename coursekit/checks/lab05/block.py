"""Question 2: a residual block with mistakes in it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Hint, Module
from coursekit.checks.lab05.shared import copy_state, mistakes_of, normal


def q2(Block: object, rng: np.random.Generator) -> None:
    """Compare blocks with either kind of shortcut: first their parameters, then their outputs in both modes."""
    make = compare.function(Block, "Block")
    narrow, wide = rng.choice(np.arange(2, 7), 2, replace=False).tolist()
    cases, answers = [], []
    for setting in [(narrow, narrow, 1), (narrow, wide, 1), (wide, wide, 2), (wide, narrow, 3)]:
        block, own = compare.module(make(*setting), f"Block{setting}"), _Block(*setting)
        _same_names(set(block.state()), set(own.state_dict()), f"Block{setting}")
        copy_state(block, own, rng)
        cases.append((block, own, normal(rng, 4, setting[0], 11, 10), f"Block{setting}"))
    for block, _, x, shown in cases:
        for mode in (False, True):  # train mode last: it changes the running statistics
            block.train(mode)
            answers.append(_call(block, x, shown))

    def each(slip: str = "") -> Tensor:
        return torch.cat([own.train(mode)(x, slip).flatten() for _, own, x, _ in cases for mode in (False, True)])

    hints = {"twice": "`bn1` is used twice, and `bn2` never."}
    for slip, hint in {
        "before": "a branch that ends in a ReLU can only add: the last ReLU belongs behind the sum.",
        "both": "one ReLU too many: a branch that ends in a ReLU can only add.",
        "none": "the ReLU behind the sum is missing.",
        "middle": "the ReLU between the two convolutions is missing.",
        "late": "the stride belongs to the first convolution, not to the second.",
        "alone": "the sum with the shortcut is missing.",
    }.items():
        hints |= {slip: hint, f"{slip} twice": hint + " "}  # keys of their own
    shown = [f"{block.shown(x)}, {mode} mode" for block, _, x, _ in cases for mode in ("eval", "train")]
    calls = [call for call, answer in zip(shown, answers, strict=True) for _ in answer]
    compare.array(torch.cat(answers), "the blocks' outputs", each(), mistakes_of(each, hints), rtol=1e-4, calls=calls)


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
