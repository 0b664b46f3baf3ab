"""What checks of several labs do with networks: draw weights, and put them into a network that the notebook gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Hint, Module


def random_state(model: nn.Module, rng: np.random.Generator, reach: float) -> dict[str, Tensor]:
    """Draw weights and running statistics of the shapes that the network has.

    They lie within ``reach`` of 0, and those with one dimension within ``reach`` of what they were.
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in state.items():
        if value.is_floating_point():
            noise = torch.from_numpy(rng.uniform(-reach, reach, tuple(value.shape))).float()
            state[name] = value + noise if value.ndim == 1 else noise
    return state


def given(made: object, name: str, state: Mapping[str, Tensor]) -> Module:
    """Put weights into a network that the notebook gives; ``name`` is how it was made, such as ``"net(3)"``."""
    model = compare.module(made, name)
    try:
        model.load(dict(state))
    except Hint as hint:
        raise Hint(f"{hint} Leave `{name.split('(')[0]}` as the notebook gives it.") from None
    return model
