"""Questions 1 and 4: the parameters of a new head, and a body that holds still below it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module
from coursekit.checks.weights import drawn, given, normal


def q1(head_parameters: Function, rng: np.random.Generator) -> None:
    """Parameters of dense layers with batch norm, behind pooled maps."""
    settings = [(512, 1, [], 1), (128, 7, [64], 5), (64, 2, [40, 30], 3)]
    for depth in (1, 1, 2, 3):
        channels, pooled, outputs = rng.integers([40, 2, 1], [300, 8, 12]).tolist()
        settings.append((channels, pooled, rng.integers(10, 200, depth).tolist(), outputs))
    hints = {
        "norm 0": "the batch norms are missing: they learn a scale and a shift for each unit.",
        "norm 4": "a batch norm's running mean and variance are no parameters: no gradient reaches them.",
        "state": "a `state_dict` holds more than parameters: also what batch norms keep, such as how many batches they "
        "have seen.",
        "norm 1": "each hidden unit has a bias, and *two* numbers of its batch norm: one of the three is missing.",
        "bias": "the biases of the linear layers are missing.",
        "last bias": "the biases of the last layer are missing: one for each output.",
        "maps": "the first layer sees every pixel of every pooled map, not one number per map.",
        "line": "the pooled maps have a height *and* a width.",
        "no last": "the last layer, with the outputs, is missing.",
        "last norm": "no batch norm follows the last layer.",
        "features": "each layer sees the units of the one before it, not the features.",
    }
    compare.each_call(head_parameters, settings, _count, hints, f"the list of counts for {len(settings)} heads")


def _count(channels: int, pooled: int, hidden: list[int], outputs: int, slip: str) -> int:
    total, inputs = 0, channels * pooled ** {"maps": 0, "line": 1}.get(slip, 2)
    norm = {"norm 0": 0, "norm 1": 1, "norm 4": 4, "state": 4}.get(slip, 2)
    for units in hidden:
        total += units * (inputs + (slip != "bias") + norm) + (slip == "state")
        inputs = inputs if slip == "features" else units
    more = (slip not in ("bias", "last bias")) + 2 * (slip == "last norm")
    return total + (slip != "no last") * outputs * (inputs + more)


def q4(tiny_body: Function, tiny_head: Function, transfer_net: Function, rng: np.random.Generator) -> None:
    """Ask for a body that training cannot move, in whatever mode the network is, and a head that learns as usual."""
    channels, classes = rng.integers([1, 3], [4, 7]).tolist()
    own_body, own_head = drawn(_body(channels), rng), drawn(_head(classes), rng)
    images = normal(rng, 9, channels, 8, 10)
    for mode in (True, False):
        body = given(tiny_body(channels), "tiny_body(channels)", own_body.state_dict())
        head = given(tiny_head(classes), "tiny_head(classes)", own_head.state_dict())
        body.train(mode)
        _check_net(compare.module(transfer_net(body, head), "transfer_net(...)"), own_body, own_head, images)


def _check_net(net: Module, own_body: nn.Module, own_head: nn.Module, images: Tensor) -> None:
    before = net.state()
    net(images)
    first = net.layers()
    net.load(before)
    net.train(False)
    with torch.no_grad():
        features = own_body(images)
        right = own_head(features)
    hints = {"these are the body's features: send them through the head.": features}
    compare.array(net(images), "what the network gives", right, hints, rtol=1e-4)

    needed = Counter(tuple(value.shape) for part in (own_body, own_head) for value in part.state_dict().values())
    if needed - Counter(tuple(value.shape) for value in before.values()):
        raise Hint(
            "`net.state_dict()` lacks some of the weights: they would not be saved, nor follow `net.to(device)`. Is a "
            "part hidden in a list?"
        )
    trainable = sorted(tuple(p["shape"]) for p in net.parameters().values() if p["trainable"])
    parts = [sorted(tuple(p.shape) for p in part.parameters()) for part in (own_body, own_head)]
    if trainable == sorted(parts[0] + parts[1]):
        raise Hint("an optimizer would still train the body: its parameters ask for gradients.")
    if trainable != parts[1]:
        raise Hint("exactly the head's parameters may be trainable; here it is others, or some are missing.")

    if not net.gradients(images):
        raise Hint("no gradient reaches the head: keep `torch.no_grad()` away from it.")
    before = net.state()
    for mode in (True, False, True):
        net.train(mode)
    net(images)
    _check_modes(net.layers())
    moved = {key for key, value in net.state().items() if not torch.equal(value, before[key])}
    if any(before[key].shape == (6,) for key in moved):
        raise Hint("the body's running mean or variance moves in train mode, without any gradient.")
    if not any(before[key].shape == (24,) for key in moved):
        raise Hint("the head's own batch norm no longer learns its mean and variance.")
    _check_body(first, "before any call of `net.train()` or `net.eval()`")


def _body(channels: int) -> nn.Sequential:
    layers = [nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.25)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def _head(classes: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Linear(24, classes))


def _check_body(layers: list[dict], when: str = "after `net.train()`") -> None:
    on = {layer["kind"]: layer["settings"].get("training") for layer in layers}
    if on.get("BatchNorm2d"):
        again = " again" if when.startswith("after") else ""
        raise Hint(f"{when} the body's batch norm is in train mode{again}, and goes by the batch's own mean.")
    if on.get("Dropout2d"):
        raise Hint(f"{when} the body's *dropout* is on: the same image gives other features each time.")


def _check_modes(layers: list[dict]) -> None:
    _check_body(layers)
    on = {layer["kind"]: layer["settings"].get("training") for layer in layers}
    if on.get("Dropout") is False or on.get("BatchNorm1d") is False:
        raise Hint("after `net.train()` the head must be in train mode; only the body holds still.")
