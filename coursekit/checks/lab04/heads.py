"""Question 4: a body that holds still below a new head."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module
from coursekit.checks.weights import drawn, given, normal


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
    needed = Counter(tuple(value.shape) for part in (own_body, own_head) for value in part.state_dict().values())
    if needed - Counter(tuple(value.shape) for value in before.values()):
        raise Hint(
            "`net.state_dict()` lacks some of the weights: they would not be saved, nor follow `net.to(device)`. Is "
            "the head missing, or a part hidden in a list?"
        )
    net(images)
    first = net.layers()
    net.load(before)
    net.train(False)
    with torch.no_grad():
        features = own_body(images)
        right = own_head(features)
    _check_body(net.layers(), "after `net.eval()`")
    hints = {"these are the body's features: send them through the head.": features}
    hints["these are shares: what the head gives needs no softmax."] = right.softmax(dim=1)
    compare.array(net(images), "what the network gives", right, hints, rtol=1e-4)

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
