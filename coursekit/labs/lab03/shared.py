"""What several checks of lab 3 use: networks that the notebook gives, with weights of ours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.labs import compare
from coursekit.labs.answers import Function, Hint, Module


def given(make: Function, name: str, channels: int, classes: int, state: dict[str, Tensor]) -> Module:
    """Make a network that the notebook gives, with these weights."""
    model = compare.module(make(channels, classes), f"{name}(channels, classes)")
    try:
        model.load(state)
    except Hint as hint:
        raise Hint(f"{hint} Leave `{name}` as the notebook gives it.") from None
    return model


def pairs(rng: np.random.Generator, count: int, channels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Draw images and labels."""
    images = torch.from_numpy(rng.normal(size=(count, channels, 7, 8))).float()
    return images, torch.from_numpy(rng.integers(0, classes, count))


def random_state(model: nn.Module, rng: np.random.Generator) -> dict[str, Tensor]:
    """Draw weights of the shapes that the network has."""
    state = {}
    for name, value in model.state_dict().items():
        state[name] = value
        if value.is_floating_point():
            noise = torch.from_numpy(rng.uniform(-0.3, 0.3, tuple(value.shape))).float()
            state[name] = value + noise if value.ndim == 1 else noise
    return {name: value.clone() for name, value in state.items()}


def flat(state: dict[str, Tensor]) -> Tensor:
    """Return all weights and statistics one behind the other."""
    return torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])
