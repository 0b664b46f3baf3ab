"""Which learning rates a model learns at."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from coursekit.training import checkpoints
from coursekit.training.batches import make_loader
from coursekit.training.forward import Forward, Loss, train_mode
from coursekit.training.history import History
from coursekit.training.optimizers import make_optimizer


def lr_range_test(
    model: nn.Module,
    train: Dataset | DataLoader,
    *,
    optimizer: Callable[..., Optimizer] = torch.optim.Adam,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    loss: Loss = F.cross_entropy,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> History:
    """Train a copy of ``model`` while the learning rate grows, to see which rates it learns at (Smith, 2017).

    The rate grows by the same factor from batch to batch. It ends early when the smoothed loss is four times its lowest
    value, or no longer finite. The model, the loader and the random states stay as they were.

    Parameters
    ----------
    model, train, loss, batch_size, seed, device
        As for `fit`.
    optimizer : callable
        What makes an optimizer of the parameters. Its own learning rate does not matter.
    low, high : float
        The first and the last rate, ``0 < low < high``.
    steps : int
        Number of batches, at least 2.

    Returns
    -------
    History
        One row per batch: "lr", "loss" (before the step at that rate) and "smooth", its running mean.

    Raises
    ------
    ValueError, TypeError
        If a setting is out of range, and as `fit` does for its data.
    """
    if not (0 < low < high < math.inf) or steps < 2:
        raise ValueError(f"expected 0 < low < high and steps >= 2, not low={low}, high={high}, steps={steps}.")
    if isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be what makes one, such as torch.optim.SGD: the test trains a copy of the model."
        )
    model = copy.deepcopy(model)
    forward = Forward(model, loss, device=device)
    optimizer = make_optimizer(optimizer, model)
    loader = make_loader(train, "train", batch_size, torch.Generator().manual_seed(seed))
    history, mean, lowest = History(), 0.0, math.inf
    with checkpoints.seeded(seed, forward.device, loader):
        train_mode(model)
        for step, batch in enumerate(itertools.islice(_endless(loader), steps)):
            lr = low * (high / low) ** (step / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = lr
            _, _, batch_loss = forward(batch, "train")
            value = batch_loss.item()
            mean = 0.9 * mean + 0.1 * value
            smooth = mean / (1 - 0.9 ** (step + 1))  # without the pull of the zero that the mean began with
            if not math.isfinite(value):
                break
            history.rows.append({"lr": lr, "loss": value, "smooth": smooth})
            if smooth > 4 * lowest:  # this row belongs to the curve: it shows where learning ends
                break
            lowest = min(lowest, smooth)
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
    return history


def _endless(loader: DataLoader) -> Iterator:
    while True:
        yield from loader
