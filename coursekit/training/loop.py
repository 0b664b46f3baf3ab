"""The loop of notebook 03, and what is asked of a trained model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader, Dataset

from coursekit import arguments, runtime
from coursekit.training.batches import OneProcess, backward, count, make_loader, means, size
from coursekit.training.checkpoints import Checkpoint, describe, generators, seeded
from coursekit.training.forward import Forward, Loss, Metrics, eval_mode, train_mode
from coursekit.training.history import History, lower_is_better
from coursekit.training.optimizers import Scheduler, make_optimizer, make_scheduler

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def fit(
    model: nn.Module,
    train: Dataset | DataLoader,
    val: Dataset | DataLoader | None = None,
    *,
    epochs: int,
    optimizer: Optimizer | Callable[..., Optimizer] = torch.optim.Adam,
    scheduler: Scheduler | Callable[..., Scheduler] | None = None,
    loss: Loss = F.cross_entropy,
    metrics: Metrics | None = None,
    batch_size: int = 64,
    seed: int = 0,
    monitor: str | None = None,
    better: str | None = None,
    keep_best: bool = False,
    early_stopping: int | None = None,
    autosave: str | Path | None = None,
    resume: bool = False,
    device: torch.device | str | None = None,
    amp: bool | torch.dtype = False,
    channels_last: bool = False,
    after_epoch: Callable[[History], object] | None = None,
    fabric: Fabric | None = None,
) -> History:
    """Train ``model`` in place, and return the history, one row per epoch.

    Parameters
    ----------
    model : nn.Module
        It is moved to the device, and is in eval mode afterwards. What has ``requires_grad=False`` stays as it is; a
        batch norm whose parameters are all frozen also keeps its running mean and variance.
    train, val : Dataset or DataLoader
        Of pairs ``(inputs, labels)``. A data set is cut into batches of ``batch_size``, those of ``train`` shuffled
        anew each epoch; a loader is used as it is. Images of bytes become floats in 0..1.
    epochs : int
        How often to go through ``train``.
    optimizer : callable or Optimizer
        What makes an optimizer of the parameters that can be trained, such as ``torch.optim.Adam`` or
        ``lambda p: torch.optim.SGD(p, lr=0.1)``; or an optimizer of this model.
    scheduler : callable or LRScheduler, optional
        What makes a scheduler of the optimizer, such as ``lambda opt: StepLR(opt, 10)``; or a scheduler. If it takes
        ``total_steps``, it is told the number of batches of the whole run: ``partial(OneCycleLR, max_lr=0.1)``. Then it
        steps after each batch, as one-cycle and cyclic ones do, others after each epoch.
    loss : callable
        From outputs and labels to the mean loss of the batch. The label that is its ``ignore_index`` is left out.
    metrics : dict, optional
        Name and function from outputs and labels to one number per sample ``[N]``, NaN for one that does not count. By
        default the accuracy, if the labels are class numbers.
    batch_size : int
        Samples per batch, where data sets are given.
    seed : int
        Fixes the order of the samples, dropout and augmentation. The random states of before are put back at the end.
    monitor : str, optional
        The column that tells which epoch is best: "val_loss", or "loss" without ``val``.
    better : {"lower", "higher"}, optional
        Which numbers of ``monitor`` are better, where its name does not tell; see `History.best`.
    keep_best : bool
        End with the weights of the best epoch, not with those of the last.
    early_stopping : int, optional
        Stop when so many epochs in a row were no better than the best. Needs ``val``.
    autosave : path, optional
        A file that holds, after each epoch, all that is needed to go on. There is always a whole one.
    resume : bool
        Go on from ``autosave`` if it exists. The result is the same to the last bit as without the interruption.
    device : torch.device or str, optional
        That of `coursekit.setup` if not given.
    amp : bool or torch.dtype
        Mixed precision: compute convolutions and matrix products in bfloat16 where the device has it, in float16 with
        scaled gradients on older GPUs, and as usual elsewhere. A dtype forces it.
    channels_last : bool
        Keep images as ``[N, H, W, C]`` in memory, which most devices convolve faster.
    after_epoch : callable, optional
        Called with the history after each epoch, to print or to draw.
    fabric : lightning.fabric.Fabric, optional
        Train in all of its processes and on its devices, after `Fabric.launch`. ``batch_size`` is that of all together;
        the steps are those of one process, but for rounding, random numbers, and batch norm, which sees a share only.

    Returns
    -------
    History
        Columns "epoch", "loss", "accuracy" (or ``metrics``), the last two also as "val_loss" and so on, and "lr", that
        of the last batch. All are means over samples; those of training are taken while the weights change.

    Raises
    ------
    FloatingPointError
        If the loss or a weight is no longer a finite number. The checkpoint from before is kept.
    ValueError, TypeError
        If a setting, the data, the labels or the model cannot be right; the message says which and why.
    CheckpointError
        If the checkpoint is damaged, or was made by another model or with other settings.
    """
    monitor = monitor or ("loss" if val is None else "val_loss")
    _check_settings(val, epochs, metrics, monitor, better, keep_best, early_stopping, autosave, resume)
    forward = Forward(model, loss, metrics, fabric.device if fabric else device, amp, channels_last)
    fabric = fabric or OneProcess()
    loader = make_loader(train, "train", batch_size, fabric, torch.Generator().manual_seed(int(seed)))
    val_loader = None if val is None else make_loader(val, "val", batch_size, fabric)
    optimizer = make_optimizer(optimizer, model)
    scheduler, each_batch = make_scheduler(scheduler, optimizer, epochs, count(loader))
    scaler = torch.amp.GradScaler(forward.device.type, init_scale=1024.0, enabled=forward.amp is torch.float16)
    parts = {"model": model, "optimizer": optimizer, "scaler": scaler} | ({"scheduler": scheduler} if scheduler else {})
    settings = {
        "train": size(loader),
        "val": None if val is None else size(val_loader),
        "metrics": None if metrics is None else list(metrics),
        "loss": describe(loss),
        "optimizer": type(optimizer).__name__,
        "scheduler": type(scheduler).__name__,
        "seed": seed,
        "keep_best": keep_best,
        "monitor": monitor,
        "amp": str(forward.amp),
        "processes": fabric.world_size,
    }
    sources = generators(forward.device, loader, val_loader)
    checkpoint = autosave and Checkpoint(Path(autosave), parts, settings, sources, fabric)
    if autosave and loader.persistent_workers:
        raise ValueError("autosave needs a loader with persistent_workers=False: it cannot save the workers' states.")
    forward.model, stepper = fabric.setup(model, optimizer)

    history, best = History(), {}
    total = epochs * count(loader) if count(loader) else None
    watched = runtime.progress_bar(show=fabric.global_rank == 0, total=total, unit="batch", leave=False)
    with seeded(int(seed) + fabric.global_rank, forward.device), watched as bar:
        if resume:
            history, best = checkpoint.resume()
            bar.update(len(history.batch_losses))
        first = len(history) + 1
        for epoch in range(first, epochs + 1):
            if early_stopping and history and len(history) - 1 - history.best(monitor, better) >= early_stopping:
                break
            train_mode(model)
            batches = []
            for batch in loader:
                x, y = forward.to_device(batch, "train")
                optimizer.zero_grad()
                outputs = forward(x, "train")
                if epoch == first:
                    forward.check(outputs, y, "train")
                batch_loss = forward.loss(outputs, y, "train")
                batches.append(forward.measure(outputs, y, batch_loss))
                lr = float(optimizer.param_groups[0]["lr"])
                if forward.device.type == "cpu" or len(batches) % 50 == 1:  # a GPU would wait each time
                    _check_finite("the loss", batch_loss, f"epoch {epoch}, batch {len(batches)}", lr, x)
                backward(scaler.scale(batch_loss), batches[-1]["loss"][1], fabric)
                scaler.step(stepper)
                scaler.update()
                if each_batch:
                    scheduler.step()
                bar.update()

            row, losses = means(batches, "train", fabric)
            if val_loader is not None:
                measured = _evaluate(forward, val_loader, "val", fabric)
                row |= {f"val_{name}": value for name, value in measured.items()}
            end = {name: row[name] for name in ("loss", "val_loss") if name in row}
            for name, value in [*end.items(), *model.named_parameters(), *model.named_buffers()]:
                _check_finite(f"{name!r}", value, f"epoch {epoch}", lr)
            history.append({"epoch": epoch, **row, "lr": lr})
            history.batch_losses += losses
            if keep_best and history.best(monitor, better) == len(history) - 1:
                best = {name: copy.deepcopy(value) for name, value in model.state_dict().items()}
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(history[-1][monitor])
            elif scheduler is not None and not each_batch:
                scheduler.step()
            if checkpoint is not None:
                checkpoint.save(history, best)
            bar.set_postfix(history[-1])
            if after_epoch is not None and fabric.global_rank == 0:
                after_epoch(history)
    if best:
        model.load_state_dict(best)
    model.eval()
    return history


def evaluate(
    model: nn.Module,
    data: Dataset | DataLoader,
    *,
    loss: Loss = F.cross_entropy,
    metrics: Metrics | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    amp: bool | torch.dtype = False,
) -> dict[str, float]:
    """Return the mean loss and metrics of a model over all samples of ``data``, in eval mode and without gradients.

    Parameters, and errors, are those of `fit`. The model is moved to the device; its modules keep their modes.

    Returns
    -------
    dict
        "loss" and, where labels are class numbers, "accuracy" (0..1); or the given metrics.
    """
    forward = Forward(model, loss, metrics, device, amp)
    return _evaluate(forward, make_loader(data, "data", batch_size, OneProcess()), "data", OneProcess())


def predict(
    model: nn.Module,
    data: Dataset | DataLoader,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    amp: bool | torch.dtype = False,
) -> tuple[Tensor, Tensor]:
    """Return the outputs of a model for all samples of ``data``, and their labels, in the order of ``data``.

    Parameters, and errors, are those of `fit`. The model is moved to the device; its modules keep their modes.

    Returns
    -------
    outputs : Tensor
        float32 ``[N, ...]`` on the CPU, such as logits ``[N, classes]``.
    labels : Tensor
        ``[N, ...]`` on the CPU.
    """
    forward = Forward(model, device=device, amp=amp)
    pairs = []
    with eval_mode(model), torch.no_grad():
        for batch in make_loader(data, "data", batch_size, OneProcess()):
            x, _ = forward.to_device(batch, "data")
            pairs.append((forward(x, "data").float().cpu(), batch[1].cpu()))
    outputs, labels = zip(*pairs, strict=True)
    return torch.cat(outputs), torch.cat(labels)


@torch.no_grad()
def _evaluate(forward: Forward, loader: DataLoader, name: str, fabric: Fabric | OneProcess) -> dict[str, float]:
    batches = []
    with eval_mode(forward.model):
        for batch in loader:
            x, y = forward.to_device(batch, name)
            outputs = forward(x, name)
            forward.check(outputs, y, name)
            batches.append(forward.measure(outputs, y, forward.loss(outputs, y, name)))
    return means(batches, name, fabric)[0]


def _check_settings(val, epochs, metrics, monitor, better, keep_best, early_stopping, autosave, resume) -> None:
    arguments.whole("epochs", epochs)
    if resume and autosave is None:
        raise ValueError("resume needs autosave: the file to save to and to go on from.")
    if early_stopping is not None:
        arguments.whole("early_stopping", early_stopping)
        if val is None:
            raise ValueError("early_stopping needs val: data to tell when the model no longer gets better.")
    measured = ["loss", *(["accuracy"] if metrics is None else metrics)]
    columns = measured if val is None else measured + [f"val_{name}" for name in measured]
    if monitor not in columns:
        raise ValueError(f"there is no column {monitor!r} to monitor; there are {', '.join(columns)}.")
    if keep_best or early_stopping:
        lower_is_better(monitor, better)


def _check_finite(name: str, value: Tensor | float, when: str, lr: float, x: Tensor | None = None) -> None:
    value = torch.as_tensor(value)
    if value.isfinite().all():
        return
    advice = "Try a lower learning rate."
    if x is not None and not x.isfinite().all():
        advice = "The inputs of this batch hold NaN or infinity: look for them in the data."
    found = value.item() if value.numel() == 1 else "not finite"
    raise FloatingPointError(
        f"{name} became {found} in {when}, at learning rate {lr:g}. {advice} "
        "The last autosave, if any, was left as it was."
    )
