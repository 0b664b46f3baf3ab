"""One batch through a model: device, precision, loss and metrics, and errors that name their cause.

`training.fit`, `evaluate` and `predict` share this; they differ in what they do with the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from coursekit import arguments, runtime

Loss = Callable[[Tensor, Tensor], Tensor]
Metrics = dict[str, Callable[[Tensor, Tensor], Tensor]]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
IGNORED = -100  # the label that torch's cross_entropy leaves out


class Forward:
    """One batch through a model, on the right device and in the right precision, with loss and metrics.

    Parameters
    ----------
    model : nn.Module
        Moved to the device.
    loss : callable
        From outputs and labels to a scalar, the mean over the batch.
    metrics : dict, optional
        Name and function from outputs and labels to one number per sample ``[N]``. Without it: "accuracy" where the
        labels are class numbers, nothing otherwise.
    device : torch.device or str, optional
        Without it that of `coursekit.setup`.
    amp : bool or torch.dtype
        Mixed precision, see `training.fit`.
    channels_last : bool
        Keep images as ``[N, H, W, C]`` in memory.
    compile : bool
        Run the model through `torch.compile`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        metrics: Metrics | None = None,
        device: torch.device | str | None = None,
        amp: bool | torch.dtype = False,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        arguments.module(model)
        for name, metric in arguments.mapping(
            "metrics", {} if metrics is None else metrics, '{"error": function}'
        ).items():
            if not isinstance(name, str) or not callable(metric):
                raise TypeError(f"metrics must be names and functions; {name!r:.40} is {metric!r:.40}.")
        self.device = runtime.device() if device is None else torch.device(device)
        self.channels_last = channels_last
        model.to(self.device, memory_format=torch.channels_last if channels_last else torch.preserve_format)
        self.model = torch.compile(model) if compile else model
        self.loss, self.metrics = loss, metrics
        self.dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        self.amp = _precision(amp, self.device)
        self.autocast = torch.autocast(self.device.type, self.amp) if self.amp else nullcontext()

    def __call__(self, batch: tuple[Tensor, Tensor], name: str, check: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs, labels (both on the device) and the loss of a batch of the data called ``name``.

        With ``check``, outputs and labels are looked at first, since a GPU reports a wrong label only as a failed
        assertion somewhere later.

        Raises
        ------
        TypeError
            If the batch is not a pair of tensors.
        ValueError
            If the model cannot take the inputs, or the labels do not fit the outputs.
        """
        inputs, labels = self.pair(batch, name)
        outputs = self.outputs(inputs, name)
        if check:
            _check(outputs, labels, name)
        labels = labels.to(self.device, self.dtype if labels.is_floating_point() else torch.int64)
        try:
            with self.autocast:
                loss = self.loss(outputs, labels)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"the loss cannot compare outputs of shape {tuple(outputs.shape)} with labels of {name} of shape "
                f"{tuple(labels.shape)} and type {labels.dtype}: {error}"
            ) from error
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"loss must return one number as a tensor, the mean over the batch, not {found}.")
        return outputs, labels, loss

    def pair(self, batch: tuple[Tensor, Tensor], name: str) -> tuple[Tensor, Tensor]:
        """Return the batch, if it is a pair of tensors."""
        several = isinstance(batch, list | tuple)
        if not several or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
            parts = [type(part).__name__ for part in batch] if several else type(batch).__name__
            raise TypeError(f"a batch of {name} must be a pair of tensors (inputs, labels), not {parts}.")
        return batch

    def outputs(self, inputs: Tensor, name: str) -> Tensor:
        """Return the model's outputs. Inputs of bytes are divided by 255, others take the model's precision."""
        x = inputs.to(self.device, non_blocking=True)
        if x.dtype == torch.uint8:
            x = x.to(self.dtype).div_(255)
        elif x.is_floating_point():
            x = x.to(self.dtype)
        if self.channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        try:
            with self.autocast:
                return self.model(x)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"the model cannot take a batch of {name} of shape {tuple(x.shape)} and type {x.dtype}: {error}"
            ) from error

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the sum of each metric over the batch, as scalars on the device."""
        metrics = self.metrics
        if metrics is None:
            metrics = {"accuracy": correct} if _are_classes(outputs, labels) else {}
        return {name: metric(outputs.detach(), labels).sum(dtype=torch.float32) for name, metric in metrics.items()}


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set eval mode for a while, then put each module back into the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def train_mode(model: nn.Module) -> None:
    """Set train mode, except for frozen batch norms: in it, they would go on to change their running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            parameters = list(module.parameters())
            module.training = not parameters or any(p.requires_grad for p in parameters)


def correct(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the share of right answers of each sample: 0 or 1 for one label, in between for one per pixel.

    Parameters
    ----------
    outputs : Tensor
        Logits ``[N, classes, ...]``.
    labels : Tensor
        Class numbers ``[N, ...]``.
    """
    right = outputs.argmax(1) == labels
    return right if right.ndim == 1 else right.flatten(1).float().mean(1)


def _are_classes(outputs: Tensor, labels: Tensor) -> bool:
    return not labels.is_floating_point() and outputs.ndim == labels.ndim + 1 and outputs.shape[1] > 1


def _check(outputs: Tensor, labels: Tensor, name: str) -> None:
    """Find what a loss would report late or in riddles."""
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model must return one tensor, not {type(outputs).__name__}.")
    if len(labels) == 0:
        raise ValueError(f"{name} gave a batch without samples.")
    if len(outputs) != len(labels):
        raise ValueError(
            f"the model gave {len(outputs)} outputs for the {len(labels)} samples of a batch of {name} "
            f"(outputs have shape {tuple(outputs.shape)}): the first dimension must stay the batch. "
            "Is a Flatten layer missing, or did a reshape mix samples and features?"
        )
    if _are_classes(outputs, labels):
        low, high = (int(extreme) for extreme in labels.aminmax())
        if low == IGNORED:
            low = int(torch.where(labels == IGNORED, 0, labels).min())
        if low < 0 or high >= outputs.shape[1]:
            raise ValueError(
                f"labels of {name} out of range: they go from {low} to {high}, but the model "
                f"has {outputs.shape[1]} outputs, so they must lie in 0..{outputs.shape[1] - 1}. "
                "Number the classes from 0, or give the last layer one output per class."
            )


def _precision(amp: bool | torch.dtype, device: torch.device) -> torch.dtype | None:
    """Return the short type to compute in, None for full precision only."""
    if amp in (torch.bfloat16, torch.float16):
        return amp
    if amp is not True and amp is not False:
        raise TypeError(f"amp must be True, False, torch.bfloat16 or torch.float16, not {amp!r}.")
    if not amp:
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "cpu":  # in torch these two questions have no public name yet
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return torch.bfloat16 if any(getattr(torch.cpu, test, bool)() for test in tests) else None
    return None
