"""Optimizers and schedulers from what `training.fit` was given; and which learning rates a model learns at."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader, Dataset

from coursekit import arguments
from coursekit.training.batches import OneProcess, make_loader
from coursekit.training.checkpoints import seeded
from coursekit.training.forward import Forward, Loss, copied, train_mode
from coursekit.training.history import History

Scheduler = lr_scheduler.LRScheduler


def make_optimizer(optimizer: Optimizer | Callable[..., Optimizer], model: nn.Module) -> Optimizer:
    """Return an optimizer of the parameters of ``model`` that can be trained, made if it is not made yet."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("the model has nothing to train: no parameter has requires_grad=True. Unfreeze some layers.")
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise TypeError(f"optimizer must be one, or what makes it, as torch.optim.Adam; not {optimizer!r}.")
        optimizer = optimizer(trainable)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held.isdisjoint(map(id, trainable)) or not held.issubset(map(id, model.parameters())):
        raise ValueError(
            "the optimizer holds no parameter that this model trains, or also others, as of a head that was replaced. "
            "Make it after the layers to train were chosen; or give fit what makes it: optimizer=torch.optim.Adam."
        )
    return optimizer


def make_scheduler(
    scheduler: Scheduler | Callable[..., Scheduler] | None, optimizer: Optimizer, steps: int
) -> tuple[Scheduler | None, bool]:
    """Return a scheduler, told the run's ``steps`` (0: unknown) if it asks; and whether it steps after each batch."""
    if scheduler is None:
        return None, False
    told = False
    if not isinstance(scheduler, Scheduler):
        asks = inspect.signature(scheduler).parameters
        told = "total_steps" in asks and asks["total_steps"].default in (None, inspect.Parameter.empty)
        if told and not steps:
            raise ValueError("the scheduler asks for total_steps, but nobody knows how many batches the loader has.")
        scheduler = scheduler(optimizer, total_steps=steps) if told else scheduler(optimizer)
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "the scheduler belongs to another optimizer than fit uses. Give fit both, made for each other; "
            "or give what makes them: scheduler=lambda opt: StepLR(opt, 10)."
        )
    planned = getattr(scheduler, "total_steps", math.inf)
    if planned < steps:
        raise ValueError(
            f"the schedule ends after total_steps={planned}, but the run has {steps}: epochs times batches. "
            "Leave total_steps out, as in partial(OneCycleLR, max_lr=0.1): fit fills it in."
        )
    return scheduler, told or isinstance(scheduler, lr_scheduler.OneCycleLR | lr_scheduler.CyclicLR)


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

    The rate grows by the same factor from batch to batch, from ``low`` to ``high`` in so many ``steps``. It ends early
    when the smoothed loss is four times its lowest value, or no longer finite. The model, the loader and the random
    states stay as they were. ``optimizer`` is what makes one; other parameters, and errors, are those of `fit`. The
    history has one row per batch: "lr", "loss" (before the step at that rate) and "smooth", its running mean.
    """
    if not (0 < low < high < math.inf) or steps < 2:
        raise ValueError(f"expected 0 < low < high and steps >= 2, not low={low}, high={high}, steps={steps}.")
    forward = Forward(copied(arguments.module(model)), loss, device=device)
    learner = make_optimizer(optimizer, forward.model)
    loader = make_loader(train, "train", batch_size, OneProcess(), torch.Generator().manual_seed(int(seed)))
    history, mean, lowest = History(), 0.0, math.inf
    with seeded(int(seed), forward.device, loader):
        train_mode(forward.model)
        batches = (pair for _ in range(steps) for pair in forward.batches(loader, "train"))
        for step, (x, y) in zip(range(steps), batches, strict=False):
            lr = low * (high / low) ** (step / (steps - 1))
            for group in learner.param_groups:
                group["lr"] = lr
            batch_loss = forward.loss(forward(x), y)
            value = batch_loss.item()
            mean = 0.9 * mean + 0.1 * value
            smooth = mean / (1 - 0.9 ** (step + 1))  # without the pull of the zero that the mean began with
            if not math.isfinite(value):
                break
            history.append({"lr": lr, "loss": value, "smooth": smooth})
            if smooth > 4 * lowest:  # this row belongs to the curve: it shows where learning ends
                break
            lowest = min(lowest, smooth)
            learner.zero_grad()
            batch_loss.backward()
            learner.step()
    return history
