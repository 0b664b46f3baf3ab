"""Take blocks out of a trained network, to see how much it misses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from coursekit import arguments
from coursekit.resnet.blocks import BasicBlock, Bottleneck, ResidualBlock

_BLOCKS = (BasicBlock, Bottleneck, ResidualBlock)


@contextmanager
def without(model: nn.Module, *names: str) -> Iterator[nn.Module]:
    """Take blocks out of a network for a while: only their shortcuts remain (Veit, Wilber and Belongie, 2016).

    Use it as ``with resnet.without(model, "layer3.1") as damaged:``. The network itself is changed, and afterwards
    as before, also when an error interrupts.

    Parameters
    ----------
    model : nn.Module
    *names : str
        Blocks of this module, by their names in ``model.named_modules()``: ``"layer3.1"`` of a ResNet, ``"4"`` of a
        `tower`. A plain block is replaced by nothing: what comes in goes out.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    ValueError
        If there is no block of that name.
    """
    found = {name: block for name, block in arguments.module(model).named_modules() if isinstance(block, _BLOCKS)}
    for name in names:
        if name not in found:
            known = ", ".join(found) or "none"
            raise ValueError(f"the network has no block {name!r}. It has: {known}.")
    try:
        for name in names:
            _put(model, name, _rest(found[name]))
        yield model
    finally:
        for name in names:
            _put(model, name, found[name])


def _rest(block: nn.Module) -> nn.Module:
    downsample = getattr(block, "downsample", None)
    return nn.Identity() if downsample is None else nn.Sequential(downsample, nn.ReLU())


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
