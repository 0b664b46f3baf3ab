"""The loop of notebook 03, and what is asked of a trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.data import DataLoader, Dataset

from coursekit import arguments, runtime
from coursekit.training import checkpoints
from coursekit.training.batches import Tally, count, make_loader
from coursekit.training.forward import Forward, Loss, Metrics, eval_mode, train_mode
from coursekit.training.history import History
from coursekit.training.optimizers import Scheduler, make_optimizer, make_scheduler
from coursekit.training.processes import Team
from coursekit.training.runs import Run

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
    keep_best: bool = False,
    early_stopping: int | None = None,
    autosave: str | Path | None = None,
    autosave_every: int | None = None,
    resume: bool = False,
    clip: float | None = None,
    device: torch.device | str | None = None,
    amp: bool | torch.dtype = False,
    channels_last: bool = False,
    compile: bool = False,
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
        ``total_steps``, it is told the number of batches of the whole run: ``partial(OneCycleLR, max_lr=0.1)``.
        One-cycle and cyclic schedules, and all that were told ``total_steps``, step after each batch, the others after
        each epoch; ReduceLROnPlateau is given the value of ``monitor``.
    loss : callable
        From outputs and labels to the mean loss of the batch.
    metrics : dict, optional
        Name and function from outputs and labels to one number per sample ``[N]``. By default the accuracy, if the
        labels are class numbers.
    batch_size : int
        Samples per batch, where data sets are given.
    seed : int
        Fixes the order of the samples, dropout and augmentation. The random states of before are put back at the end.
    monitor : str, optional
        The column that tells which epoch is best: "val_loss", or "loss" without ``val``. Names with "loss" or "error"
        are better when lower, others when higher.
    keep_best : bool
        End with the weights of the best epoch, not with those of the last.
    early_stopping : int, optional
        Stop when so many epochs in a row were no better than the best. Needs ``val``.
    autosave : path, optional
        A file that holds, after each epoch, all that is needed to go on. There is always a whole one.
    autosave_every : int, optional
        Save also each time so many batches of an epoch are done.
    resume : bool
        Go on from ``autosave`` if it exists. The result is the same to the last bit as without the interruption.
    clip : float, optional
        The largest norm the gradient may have; a longer one is scaled down to it.
    device : torch.device or str, optional
        That of `coursekit.setup` if not given.
    amp : bool or torch.dtype
        Mixed precision: compute convolutions and matrix products in bfloat16 where the device has it, in float16 with
        scaled gradients on older GPUs, and as usual elsewhere. A dtype forces it.
    channels_last : bool
        Keep images as ``[N, H, W, C]`` in memory, which most devices convolve faster.
    compile : bool
        Compile the model first. It takes a minute or so, which long runs on a GPU win back.
    after_epoch : callable, optional
        Called with the history after each epoch, to print or to draw; with ``fabric``, in the first process.
    fabric : lightning.fabric.Fabric, optional
        Train in all of its processes, on one machine or many; `Fabric.launch` comes before. ``batch_size`` is that of
        all processes together: each takes its share of every batch, and the steps are those of one process, but for
        rounding, dropout, augmentation, and batch norm, which sees the share only. The loss must be a mean over
        samples. The first process writes ``autosave``, all read it, so the file must be where all can see it.

    Returns
    -------
    History
        Columns "epoch", "loss", "accuracy" (or ``metrics``), the last two also as "val_loss" and so on, and "lr", that
        of the last batch. All are means over samples. Those of training are measured in passing, while
        the weights change.

    Raises
    ------
    FloatingPointError
        If the loss or a weight is no longer a finite number. The checkpoint from before is kept.
    ValueError, TypeError
        If a setting, the data, the labels or the model cannot be right; the message says which and why.
    checkpoints.CheckpointError
        If the checkpoint is damaged, or was made by another model or with other settings.
    """
    monitor = ("loss" if val is None else "val_loss") if monitor is None else monitor
    whole = {"epochs": epochs, "early_stopping": early_stopping, "autosave_every": autosave_every}
    _check_settings(val, autosave, resume, clip, **whole)
    team = Team(fabric)
    if fabric is not None and device is not None:
        raise ValueError("give device or fabric, not both: each process of fabric has its own device.")
    device = device if fabric is None else fabric.device
    forward = Forward(model, loss, metrics, device, amp, channels_last, compile)
    forward.model = team.wrap(forward.model)
    on_cpu = forward.device.type == "cpu"
    loader = team.share(make_loader(train, "train", batch_size, torch.Generator().manual_seed(seed)), "train")
    val_loader = None if val is None else team.share(make_loader(val, "val", batch_size), "val")
    optimizer = make_optimizer(optimizer, model)
    if autosave is not None and getattr(loader, "persistent_workers", False):
        raise ValueError(
            "autosave needs a loader with persistent_workers=False: the workers' random states are out of reach."
        )
    batches = count(loader)
    scheduler, each_batch = make_scheduler(scheduler, optimizer, epochs, batches)
    scaler = torch.amp.GradScaler(forward.device.type, init_scale=1024.0, enabled=forward.amp is torch.float16)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    settings = (
        {name: type(part).__name__ for name, part in parts.items()}
        | {
            "seed": seed,
            "batches per epoch": batches,
            "total_steps": getattr(scheduler, "total_steps", None),
            "keep_best": keep_best,
            "amp": str(forward.amp),
        }
        | ({"processes": team.processes} if team.processes > 1 else {})
    )
    run = Run(model, parts, loader, val_loader, forward.device, settings, team)

    total = epochs * batches if batches else None
    watched = runtime.progress_bar(show=team.leads, total=total, unit="batch", leave=False)
    with checkpoints.seeded(seed + team.rank, forward.device), watched as bar:
        if resume and team.first(Path(autosave).exists()):
            run.load(autosave)
            bar.update(run.epoch * (batches or 0) + run.tally.batches)
        while run.epoch < epochs and not (early_stopping and run.since_best(monitor) >= early_stopping):
            train_mode(model)
            for batch in run.batches():
                outputs, labels, batch_loss = forward(batch, "train", check=run.epoch == 0)
                seen = team.whole(loader, run.tally.batches, len(labels), batch_loss, forward.measure(outputs, labels))
                if not run.tally.batches:
                    run.check_monitor(monitor, ["loss", *seen[2]])
                if on_cpu or run.tally.batches % 50 == 0:  # on a GPU, asking each time would slow it down
                    run.check_loss(seen[1].item(), "loss", batch)
                optimizer.zero_grad()
                team.backward(scaler.scale(batch_loss), loader, run.tally.batches)
                if clip is not None:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                scaler.step(optimizer)
                scaler.update()
                run.lr = float(optimizer.param_groups[0]["lr"])
                if each_batch:
                    scheduler.step()
                run.tally.add(*seen)
                bar.update()
                if autosave_every and run.tally.batches % autosave_every == 0 and run.tally.batches != batches:
                    run.save(autosave)

            team.agree(model)
            row = {"epoch": run.epoch + 1, **run.tally.means("train")}
            if val_loader is not None:
                row |= {f"val_{name}": value for name, value in _evaluate(forward, val_loader, "val", team).items()}
            for name in ("loss", "val_loss"):
                run.check_loss(row.get(name, 0.0), name)
            run.end_epoch(row | {"lr": run.lr}, keep=monitor if keep_best else None)
            bar.set_postfix(row)
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(run.history[monitor][-1])
            elif scheduler is not None and not each_batch:
                scheduler.step()
            if autosave is not None:
                run.save(autosave)
            if after_epoch is not None and team.leads:
                after_epoch(run.history)
    if run.best:
        model.load_state_dict(run.best)
    model.eval()
    return run.history


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

    Parameters are those of `fit`. Each module is in the mode afterwards that it was in before.

    Returns
    -------
    dict
        "loss" and, where labels are class numbers, "accuracy" (0..1); or the given metrics.

    Raises
    ------
    ValueError, TypeError
        As `fit` does for its data.
    """
    forward = Forward(model, loss, metrics, device, amp)
    return _evaluate(forward, make_loader(data, "data", batch_size), "data")


def predict(
    model: nn.Module,
    data: Dataset | DataLoader,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    amp: bool | torch.dtype = False,
) -> tuple[Tensor, Tensor]:
    """Return the outputs of a model for all samples of ``data``, and their labels, in the order of ``data``.

    Returns
    -------
    outputs : Tensor
        float32 ``[N, ...]`` on the CPU, such as logits ``[N, classes]``.
    labels : Tensor
        ``[N, ...]`` on the CPU.

    Raises
    ------
    ValueError, TypeError
        As `fit` does for its data.
    """
    forward = Forward(model, None, None, device, amp)
    pairs = []
    with eval_mode(model), torch.no_grad():
        for batch in make_loader(data, "data", batch_size):
            inputs, labels = forward.pair(batch, "data")
            pairs.append((forward.outputs(inputs, "data").float().cpu(), labels.cpu()))
    outputs, labels = zip(*pairs, strict=True)
    return torch.cat(outputs), torch.cat(labels)


@torch.no_grad()
def _evaluate(forward: Forward, loader: DataLoader, name: str, team: Team | None = None) -> dict[str, float]:
    team, tally = team or Team(), Tally()
    with eval_mode(forward.model):
        for batch in loader:
            outputs, labels, loss = forward(batch, name)
            tally.add(*team.whole(loader, tally.batches, len(labels), loss, forward.measure(outputs, labels)))
    return tally.means(name)


def _check_settings(
    val: object, autosave: str | Path | None, resume: bool, clip: float | None, **whole: int | None
) -> None:
    for name, value in whole.items():
        if (value is not None or name == "epochs") and not arguments.is_whole(value, 1):
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}.")
    if whole["early_stopping"] is not None and val is None:
        raise ValueError("early_stopping needs val: data to tell when the model no longer gets better.")
    if (resume or whole["autosave_every"] is not None) and autosave is None:
        raise ValueError("resume and autosave_every need autosave: the file to save to and to go on from.")
    if clip is not None and not arguments.real("clip", clip) > 0:
        raise ValueError(f"clip must be a positive number, the largest norm of the gradient, not {clip!r}.")
