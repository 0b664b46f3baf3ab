"""Batches through a model: device, precision, loss and metrics, and errors that name their cause."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from coursekit import arguments, runtime
from coursekit.training.batches import Measured

Loss = Callable[[Tensor, Tensor], Tensor]
Metrics = dict[str, Callable[[Tensor, Tensor], Tensor]]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_BINARY = (F.binary_cross_entropy, F.binary_cross_entropy_with_logits, nn.BCELoss, nn.BCEWithLogitsLoss)
OF_FLOATS = (*_BINARY, F.huber_loss, nn.HuberLoss)  # they refuse labels that are whole numbers
OF_CLASSES = (F.cross_entropy, F.nll_loss, nn.CrossEntropyLoss, nn.NLLLoss)


class Forward:
    """A model with its device, precision, loss and metrics, as `training.fit` describes them."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss = F.cross_entropy,
        metrics: Metrics | None = None,
        device: torch.device | str | None = None,
        amp: bool | torch.dtype = False,
        channels_last: bool = False,
    ) -> None:
        arguments.module(model)
        if metrics is not None and not (isinstance(metrics, dict) and all(map(callable, metrics.values()))):
            raise TypeError(f'metrics must be a dict of names and functions, {{"error": function}}, not {metrics!r}.')
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(f"loss must be a function or module, as F.mse_loss or nn.MSELoss(), not {loss!r:.80}.")
        self.model, self.loss_function, self.metrics = model, loss, metrics
        self.device = runtime.device(device)
        self.layout = torch.channels_last if channels_last else torch.preserve_format
        model.to(self.device, memory_format=self.layout)  # pyright: ignore[reportCallIssue]: torch documents it
        self.dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        self.amp = _precision(amp, self.device)
        self.autocast = torch.autocast(self.device.type, self.amp) if self.amp else nullcontext()
        function = getattr(loss, "func", loss)  # what is inside of a partial
        self.kind = type(function) if isinstance(function, nn.Module) else function
        keywords = getattr(loss, "keywords", {})
        if keywords.get("reduction", getattr(function, "reduction", "mean")) == "sum":
            raise ValueError('the loss is a sum; it must be the mean over the batch: leave out reduction="sum".')
        self.ignored = keywords.get("ignore_index", getattr(function, "ignore_index", -100))  # as cross_entropy

    def batches(self, loader: DataLoader, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give inputs (bytes as floats in 0..1) and labels on the device; errors call the data ``name``."""
        batch = None
        for batch in loader:
            several = isinstance(batch, list | tuple)
            if not several or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
                found = [type(part).__name__ for part in batch] if several else type(batch).__name__
                raise TypeError(f"a batch of {name} must be a pair of tensors (inputs, labels), not {found}.")
            self.name, self.labels = name, batch[1]  # here, on the CPU, to look at labels lets no GPU wait
            x, y = (part.to(self.device, non_blocking=True) for part in batch)
            if x.dtype == torch.uint8:
                x = x.to(self.dtype).div_(255)
            elif x.is_floating_point():
                x = x.to(self.dtype)
            if x.ndim == 4 and self.layout == torch.channels_last:
                x = x.contiguous(memory_format=self.layout)
            yield x, y.to(self.dtype if y.is_floating_point() else torch.int64)
        if batch is None:
            raise ValueError(f"{name} gave no batch. A stream that can be read only once lasts for one epoch.")

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``model(x)``."""
        problem = f"the model cannot take a batch of {self.name} of shape {tuple(x.shape)} and type {x.dtype}"
        if len(x) == 1 and self.model.training:
            problem += " (for batch norm one sample is too few: take another batch_size, or a loader with drop_last)"
        with _explained(problem), self.autocast:
            outputs = self.model(x)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"the model must return one tensor, not {type(outputs).__name__}.")
        if outputs.shape[:1] != x.shape[:1]:
            found = f"outputs of shape {tuple(outputs.shape)} for {len(x)} samples"
            raise ValueError(f"the model gave {found}; the first axis must be theirs. Look at its view and squeeze.")
        return outputs

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return ``loss(outputs, y)``."""
        self._check(outputs, y)
        shapes = f"outputs of shape {tuple(outputs.shape)} with labels of {self.name} of shape {tuple(y.shape)}"
        with _explained(f"the loss cannot compare {shapes} and type {y.dtype}"), self.autocast:
            loss = self.loss_function(outputs, y.to(self.dtype) if self.kind in OF_FLOATS else y)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"loss must return one number as a tensor, the mean over the batch, not {found}.")
        return loss

    def measure(self, outputs: Tensor, y: Tensor, loss: Tensor) -> Measured:
        """Return the loss and the sum of each metric, and with each the number of samples that it is taken over."""
        samples = len(y)
        if not y.is_floating_point():
            samples = samples * (y != self.ignored).float().mean()  # the loss leaves out the others
        found: Measured = {"loss": (loss.detach(), samples)}
        metrics = self.metrics
        if metrics is None:
            metrics = {"accuracy": self._correct} if _are_classes(outputs, y) else {}
        for name, metric in metrics.items():
            values = torch.as_tensor(metric(outputs.detach(), y), dtype=torch.float32)
            if values.shape != y.shape[:1]:
                raise ValueError(
                    f"metric {name!r} must give one number per sample, shape ({len(y)},), not {tuple(values.shape)}: "
                    "leave out .mean() or .sum(); from one per pixel take .flatten(1).mean(1)."
                )
            is_number = ~values.isnan()
            found[name] = torch.where(is_number, values, 0).sum(), is_number.sum()
        return found

    def _correct(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the share of right answers of each sample, NaN where the loss leaves out all of its labels."""
        right = (outputs.argmax(1) == y).float().masked_fill(y == self.ignored, torch.nan)
        return right if right.ndim == 1 else right.flatten(1).nanmean(1)

    def _check(self, outputs: Tensor, y: Tensor) -> None:
        """Find what a loss would report late, in riddles, or not at all."""
        shape, wanted = tuple(outputs.shape), tuple(y.shape)
        if self.kind in OF_CLASSES and (len(shape) == 1 or shape[1] == 1):
            raise ValueError(
                f"outputs have shape {shape}, one per sample, and cross-entropy compares classes. Take two outputs; or "
                "a binary loss, F.binary_cross_entropy_with_logits, and float labels of the outputs' shape."
            )
        of_torch = getattr(self.kind, "__module__", "") in ("torch.nn.functional", "torch.nn.modules.loss")
        alike = outputs.squeeze().shape == y.squeeze().shape
        if of_torch and self.kind not in OF_CLASSES and shape != wanted and alike:
            raise ValueError(
                f"outputs have shape {shape}, but labels of {self.name} {wanted}, so that the loss would compare each "
                "with each. Make them the same, as by labels[:, None] or outputs[:, 0]."
            )
        if _are_classes(outputs, y) and len(y):
            labels = self.labels.long()
            low, high = (int(extreme) for extreme in torch.where(labels == self.ignored, 0, labels).aminmax())
            if low < 0 or high >= shape[1]:
                raise ValueError(
                    f"labels of {self.name} out of range: they go from {low} to {high}, but {shape[1]} outputs mean "
                    f"0..{shape[1] - 1}. Number the classes from 0, or give the last layer one output per class. "
                    "To leave a label out: nn.CrossEntropyLoss(ignore_index=255)."
                )


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


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy, also of a model that keeps a tensor of its last forward pass, which torch does not copy."""
    attributes = [value for module in model.modules() for value in vars(module).values()]
    return copy.deepcopy(model, {id(x): x.detach() for x in attributes if isinstance(x, Tensor) and not x.is_leaf})


def train_mode(model: nn.Module) -> None:
    """Set train mode, except for frozen batch norms: in it, they would go on to change their running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            parameters = list(module.parameters())
            module.training = not parameters or any(p.requires_grad for p in parameters)


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{problem}: {error}") from error


def _are_classes(outputs: Tensor, y: Tensor) -> bool:
    return not y.is_floating_point() and outputs.ndim == y.ndim + 1 and outputs.shape[1] > 1


def _precision(amp: bool | torch.dtype, device: torch.device) -> torch.dtype | None:
    """Return the short type to compute in, None for full precision only."""
    if isinstance(amp, torch.dtype) and amp in (torch.bfloat16, torch.float16):
        return amp
    if not isinstance(amp, bool):
        raise TypeError(f"amp must be True, False, torch.bfloat16 or torch.float16, not {amp!r}.")
    if not amp or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
