"""What several checks of lab 3 use: images and labels, weights in one row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pairs(rng: np.random.Generator, count: int, channels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Draw images and labels."""
    images = torch.from_numpy(rng.normal(size=(count, channels, 7, 8))).float()
    return images, torch.from_numpy(rng.integers(0, classes, count))


def flat(state: dict[str, Tensor]) -> Tensor:
    """Return all weights and statistics one behind the other."""
    return torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])
