"""Optimizers and schedulers from what `training.fit` was given: made, or to be made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer, lr_scheduler

Scheduler = lr_scheduler.LRScheduler


def make_optimizer(optimizer: Optimizer | Callable[..., Optimizer], model: nn.Module) -> Optimizer:
    """Return an optimizer of the parameters of ``model`` that can be trained.

    Parameters
    ----------
    optimizer : callable or Optimizer
        What makes one of a list of parameters; or one that holds parameters of this model.

    Raises
    ------
    TypeError
        If what it makes is no optimizer.
    ValueError
        If nothing can be trained, or the optimizer belongs to another model.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            "the model has nothing to train: it has no parameter with requires_grad=True. Unfreeze some layers."
        )
    if not isinstance(optimizer, Optimizer):
        optimizer = optimizer(trainable)
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(
                f"what should make an optimizer of parameters made a {type(optimizer).__name__}: "
                "give torch.optim.Adam, or lambda p: torch.optim.SGD(p, lr=0.1)."
            )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if held.isdisjoint(map(id, trainable)):
        raise ValueError(
            "the optimizer holds no parameter that this model trains. Make it from this model's parameters(), "
            "after the layers to train were chosen; or give fit what makes it: optimizer=torch.optim.Adam."
        )
    return optimizer


def make_scheduler(
    scheduler: Scheduler | Callable[..., Scheduler] | None,
    optimizer: Optimizer,
    epochs: int,
    batches: int | None,
) -> tuple[Scheduler | None, bool]:
    """Return a scheduler of ``optimizer``, and whether it steps after each batch rather than each epoch.

    Parameters
    ----------
    scheduler : callable or LRScheduler, optional
        What makes one of an optimizer, and of ``total_steps`` where it asks for them; or a scheduler.
    epochs, batches : int
        ``batches`` are those of one epoch; None if nobody knows.

    Raises
    ------
    TypeError
        If what it makes is no scheduler.
    ValueError
        If it belongs to another optimizer, or ends before the training does.
    """
    if scheduler is None:
        return None, False
    if told := not isinstance(scheduler, Scheduler):
        asks = inspect.signature(scheduler).parameters
        unset = (None, inspect.Parameter.empty)
        told = "total_steps" in asks and all(asks[n].default in unset for n in ("total_steps", "epochs") if n in asks)
        if told and batches is None:
            raise ValueError(
                "the scheduler asks for total_steps, but the loader does not know how many batches it has."
            )
        scheduler = scheduler(optimizer, total_steps=epochs * batches) if told else scheduler(optimizer)
        if not hasattr(scheduler, "optimizer"):
            raise TypeError(
                f"what should make a scheduler of an optimizer made a {type(scheduler).__name__}: "
                "give lambda opt: StepLR(opt, 10)."
            )
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "the scheduler belongs to another optimizer than fit uses. Give fit both, made for each other; "
            "or give what makes them: scheduler=lambda opt: StepLR(opt, 10)."
        )
    each_batch = told or isinstance(scheduler, lr_scheduler.OneCycleLR | lr_scheduler.CyclicLR)
    if batches and (planned := getattr(scheduler, "total_steps", math.inf)) < epochs * batches:
        raise ValueError(
            f"the schedule ends after total_steps={planned}, but {epochs} epochs of {batches} batches are "
            f"{epochs * batches} steps. Leave total_steps out, as in partial(OneCycleLR, max_lr=0.1): fit fills it in."
        )
    return scheduler, each_batch
