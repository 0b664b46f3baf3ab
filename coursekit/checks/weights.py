"""What checks of several labs do with networks: draw weights and images, and put weights into a student's network."""

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


def drawn(own: nn.Module, rng: np.random.Generator, reach: float = 0.6) -> nn.Module:
    """Put random weights into a network of ours, and return it in eval mode."""
    own.load_state_dict(random_state(own, rng, reach))
    return own.eval()


def copy_state(model: Module, own: nn.Module, rng: np.random.Generator) -> None:
    """Give both the same new weights and running statistics."""
    own.load_state_dict(random_state(own, rng, 0.4))
    model.load(own.state_dict())


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    """Draw float32 numbers from a normal distribution."""
    return torch.from_numpy(rng.normal(size=shape)).float()
