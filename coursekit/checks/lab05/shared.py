"""What several checks of lab 5 use: hints by name, rows of whole numbers, equal weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module
from coursekit.checks.networks import random_state


def mistakes_of(each: Callable, hints: Mapping[str, str]) -> dict[str, Callable]:
    """Turn the name of a slip and its hint into what `compare.array` wants."""
    return {hint: lambda slip=slip: each(slip) for slip, hint in hints.items()}


def whole_rows(function: Function, name: str, settings: Sequence[tuple], count: int) -> np.ndarray:
    """Call a function with each setting; it must return ``count`` whole numbers."""
    rows = []
    for setting in settings:
        row = function(*setting)
        row = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(row, list | tuple) or len(row) != count:
            raise Hint(f"`{name}` must return {count} numbers in a list or tuple, not {compare.kind(row, show=True)}.")
        rows.append([compare.as_whole(value, f"each number that `{name}` returns") for value in row])
    return np.array(rows)


def copy_state(model: Module, own: nn.Module, rng: np.random.Generator) -> None:
    """Give both the same new weights and running statistics."""
    own.load_state_dict(random_state(own, rng, 0.4))
    model.load(own.state_dict())


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Draw float32 numbers from a normal distribution."""
    return torch.from_numpy(rng.normal(size=shape)).float()
