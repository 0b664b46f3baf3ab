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
from coursekit.training.batches import (
    OneProcess,
    Processes,
    backward,
    count,
    make_loader,
    means,
    size_without_gradients,
)
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
        Moved to the device, and in eval mode afterwards. A batch norm whose parameters are all frozen stays as it is.
    train, val : Dataset or DataLoader
        Of pairs ``(inputs, labels)``. Samples of a data set are shuffled anew each epoch. Bytes become floats in 0..1.
    optimizer : callable or Optimizer
        What makes one of the parameters to train, as ``torch.optim.Adam`` or ``lambda p: SGD(p, lr=0.1)``; or one.
    scheduler : callable or LRScheduler, optional
        What makes one of the optimizer, as ``lambda opt: StepLR(opt, 10)``; or one. If it takes ``total_steps``, as
        ``partial(OneCycleLR, max_lr=0.1)`` does, it is told them and steps after each batch, else after each epoch.
    loss : callable
        From outputs and labels to the mean loss of the batch. The label that is its ``ignore_index`` is left out.
    metrics : dict, optional
        Name and function from outputs and labels to one number per sample ``[N]``, NaN for one that does not count. By
        default the accuracy, if the labels are class numbers.
    epochs, batch_size, seed : int
        How often to go through ``train``, in batches of so many samples (``val``, which needs no gradients: of at least
        64, unless the images are so large, or so different, that you take fewer than 8). The seed fixes all chance.
    monitor, better : str, optional
        The column that tells which epoch is best, by default "val_loss" or, without ``val``, "loss"; and whether
        "lower" or "higher" numbers of it are better, where its name does not tell.
    keep_best, early_stopping : bool, and int, optional
        End with the weights of the best epoch; stop when so many in a row were no better than it.
    autosave, resume : path, optional, and bool
        A file that always holds a whole checkpoint of the last epoch; and whether to go on from it, if it exists, to
        the same result as without the interruption. Give what makes optimizer and scheduler: those made took steps.
    device : torch.device or str, optional
        That of `coursekit.setup` if not given.
    amp, channels_last : bool (or torch.dtype, which forces it), and bool
        Mixed precision on a GPU, with scaled gradients in float16; and images as ``[N, H, W, C]`` in memory, for speed.
    after_epoch : callable, optional
        Called with the history after each epoch, to print or to draw.
    fabric : lightning.fabric.Fabric, optional
        Train in all of its processes, after `Fabric.launch`. ``batch_size`` is that of all together; the steps are
        those of one process, but for rounding, random numbers, and batch norm, which sees a share only.

    Returns
    -------
    History
        Columns "epoch", "loss", "accuracy" (or ``metrics``), "val_loss" and so on, and "lr", that of the last batch:
        means over samples, those of training while the weights change.

    Raises
    ------
    FloatingPointError
        If the loss or a weight is no longer a finite number. The checkpoint from before is kept.
    CheckpointError, ValueError, TypeError
        If the checkpoint is damaged or of another run; if a setting, data, labels or the model cannot be right.
    """
    arguments.whole("epochs", epochs)
    if resume and autosave is None:
        raise ValueError("resume needs autosave: the file to save to and to go on from.")
    monitor = monitor or ("loss" if val is None else "val_loss")
    measures = {"loss", *(["accuracy"] if metrics is None else metrics)}
    columns = measures if val is None else measures | {f"val_{name}" for name in measures}
    if monitor not in columns:
        raise ValueError(f"there is no column {monitor!r} to monitor; there are {', '.join(sorted(columns))}.")
    if keep_best or early_stopping:
        lower_is_better(monitor, better)
    forward = Forward(model, loss, metrics, fabric.device if fabric else device, amp, channels_last)
    processes = fabric or OneProcess()
    loader = make_loader(train, "train", batch_size, processes, torch.Generator().manual_seed(int(seed)))
    val_loader = None if val is None else make_loader(val, "val", size_without_gradients(batch_size), processes)
    optimizer = make_optimizer(optimizer, model)
    steps = epochs * (count(loader) or 0)
    scheduler, each_batch = make_scheduler(scheduler, optimizer, steps)
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        mode = "min" if lower_is_better(monitor, better) else "max"
        if scheduler.mode != mode:
            raise ValueError(f"ReduceLROnPlateau has another mode than {monitor!r} needs: give it mode={mode!r}.")
    scaler = torch.amp.GradScaler(forward.device.type, init_scale=1024.0, enabled=forward.amp is torch.float16)
    checkpoint = None
    if autosave is not None:
        if loader.persistent_workers:
            raise ValueError("autosave needs a loader with persistent_workers=False: workers' states cannot be saved.")
        parts = {"model": model, "optimizer": optimizer, "scaler": scaler, "scheduler": scheduler}
        settings = {
            "samples of train": count(loader.dataset),
            "samples of val": val_loader and count(val_loader.dataset),
            "batches": count(loader),
            "batch_size": batch_size,
            "metrics": metrics and list(metrics),
            "loss": describe(loss),
            "precision": forward.dtype,
            "optimizer": type(optimizer).__name__,
            "scheduler": type(scheduler).__name__,
            "seed": seed,
            "keep_best": keep_best,
            "monitor": monitor,
            "amp": forward.amp,
            "processes": processes.world_size,
        }
        sources = generators(forward.device, loader, val_loader)
        checkpoint = Checkpoint(Path(autosave).expanduser(), parts, settings, sources, processes)
    forward.model, stepper = processes.setup(model, optimizer)

    history, best = History(), {}
    watched = runtime.progress_bar(show=processes.global_rank == 0, total=steps or None, unit="batch", leave=False)
    with seeded(int(seed) + processes.global_rank, forward.device), watched as bar:
        if checkpoint is not None and resume:
            history, best = checkpoint.resume()
            bar.update(len(history.batch_losses))
        for epoch in range(len(history) + 1, epochs + 1):
            if early_stopping and history and len(history) - 1 - history.best(monitor, better) >= early_stopping:
                break
            train_mode(model)
            measured = []
            for x, y in forward.batches(loader, "train"):
                outputs = forward(x)
                batch_loss = forward.loss(outputs, y)
                measured.append(forward.measure(outputs, y, batch_loss))
                lr = float(optimizer.param_groups[0]["lr"])
                if forward.device.type == "cpu" or len(measured) % 50 == 1:  # a GPU would wait each time
                    _check_finite("the loss", batch_loss, f"epoch {epoch}, batch {len(measured)}", lr, x)
                optimizer.zero_grad()
                backward(scaler.scale(batch_loss), measured[-1]["loss"][1], processes)
                scaler.step(stepper)
                scaler.update()
                if scheduler is not None and each_batch:
                    scheduler.step()  # pyright: ignore[reportCallIssue]
                bar.update()

            row, losses = means(measured, processes)
            if val_loader is not None:
                found = _evaluate(forward, val_loader, "val", processes)
                row |= {f"val_{name}": value for name, value in found.items()}
            ends = [(name, torch.tensor(row[name])) for name in ("loss", "val_loss") if name in row]
            for name, value in [*ends, *model.named_parameters(), *model.named_buffers()]:
                _check_finite(repr(name), value, f"epoch {epoch}", lr)
            history.append({"epoch": epoch, **row, "lr": lr})
            history.batch_losses += losses
            if keep_best and history.best(monitor, better) == len(history) - 1:
                best = copy.deepcopy(model.state_dict())
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(history[monitor][-1])
            elif scheduler is not None and not each_batch:
                scheduler.step()
            if checkpoint is not None:
                checkpoint.save(history, best)
            bar.set_postfix(history[-1])
            if after_epoch is not None and processes.global_rank == 0:
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
    """Return a model's mean loss and metrics over all samples, in eval mode: "loss" and "accuracy", 0..1, or the given.

    Parameters, and errors, are those of `fit`. The model is moved to the device; its modules keep their modes.
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
    """Return a model's outputs, float32 ``[N, ...]``, and labels ``[N, ...]``, on the CPU, in the order of ``data``.

    Parameters, and errors, are those of `fit`. The model is moved to the device; its modules keep their modes.
    """
    forward = Forward(model, device=device, amp=amp)
    loader = make_loader(data, "data", batch_size, OneProcess())
    with eval_mode(model), torch.no_grad():
        pairs = [(forward(x).float().cpu(), forward.labels.cpu()) for x, _ in forward.batches(loader, "data")]
    outputs, labels = zip(*pairs, strict=True)
    return torch.cat(outputs), torch.cat(labels)


@torch.no_grad()
def _evaluate(forward: Forward, loader: DataLoader, name: str, processes: Processes) -> dict[str, float]:
    measured = []
    with eval_mode(forward.model):
        for x, y in forward.batches(loader, name):
            outputs = forward(x)
            measured.append(forward.measure(outputs, y, forward.loss(outputs, y)))
    return means(measured, processes)[0]


def _check_finite(name: str, value: Tensor, when: str, lr: float, x: Tensor | None = None) -> None:
    if value.isfinite().all():
        return
    advice = "Try a lower learning rate."
    if x is not None and not x.isfinite().all():
        advice = "The inputs of this batch hold NaN or infinity: look for them in the data."
    found = value.item() if value.numel() == 1 else "not finite"
    raise FloatingPointError(f"{name} became {found} in {when}, at learning rate {lr:g}. {advice}")
