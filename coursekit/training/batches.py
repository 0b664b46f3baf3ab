"""Batches out of a data set, shared among processes where there are several, and means over batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

from coursekit import arguments

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Measured = dict[str, tuple[Tensor, Tensor | float]]
Processes: TypeAlias = "Fabric | OneProcess"


class OneProcess:
    """What is asked of a Lightning Fabric (Falcon and others, 2019), where there is none: each step by one process."""

    world_size, global_rank = 1, 0

    def setup(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Return both as they are; Fabric's are such that processes share their gradients."""
        return model, optimizer

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients; Fabric's are the mean over processes."""
        loss.backward()

    def all_reduce(self, data: Tensor, reduce_op: str) -> Tensor:
        """Return the numbers of the one process."""
        return data


class Shares(BatchSampler):
    """Batches, and of each one this process's share: every p-th sample, for p processes."""

    def __init__(self, order: Iterable[int], batch_size: int, processes: Processes) -> None:
        super().__init__(order, batch_size, drop_last=False)
        self.rank, self.processes = processes.global_rank, processes.world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Give the shares; where a batch has too few samples for all, some take the first one once more."""
        for batch in super().__iter__():
            yield batch[self.rank :: self.processes] or batch[:1]


def make_loader(
    data: Dataset | DataLoader, name: str, batch_size: int, processes: Processes, shuffle: torch.Generator | None = None
) -> DataLoader:
    """Return ``data``, called ``name`` in errors, as a loader of batches, shuffled anew in each pass by ``shuffle``.

    The global generator is left alone, so that looking at validation data does not change the training.
    """
    batch_size = arguments.whole("batch_size", batch_size)
    if not isinstance(data, Dataset | DataLoader):
        raise TypeError(
            f"{name} must be a Dataset or a DataLoader, not {type(data).__name__}. "
            "Two tensors become a data set by torch.utils.data.TensorDataset(images, labels)."
        )
    if count(data) == 0:
        raise ValueError(f"{name} is empty: it has no sample, or with drop_last=True fewer than batch_size.")
    if processes.world_size > 1 and isinstance(data, DataLoader | IterableDataset):
        raise ValueError(f"{name} cannot be shared among processes: give a data set, whose samples have numbers.")
    if isinstance(data, DataLoader):
        return data
    generator = shuffle or torch.Generator()
    if isinstance(data, IterableDataset):
        return DataLoader(data, batch_size, generator=generator)
    numbers = range(len(data))  # pyright: ignore[reportArgumentType]
    order = RandomSampler(numbers, generator=shuffle) if shuffle else numbers
    return DataLoader(data, batch_sampler=Shares(order, batch_size, processes), generator=generator)


def size_without_gradients(batch_size: int) -> int:
    """Return the batch size of validation: at least 64, unless images are so large or different that one takes few."""
    return max(batch_size, 64) if batch_size >= 8 else batch_size


def count(data: Dataset | DataLoader) -> int | None:
    """Return the number of samples or batches, or None where only going through them would tell."""
    try:
        return len(data)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return None


def backward(loss: Tensor, samples: float | Tensor, processes: Processes) -> None:
    """Compute gradients of the mean over all samples; Fabric takes the mean over processes, whose shares may differ."""
    if processes.world_size > 1:
        own = torch.as_tensor(samples, dtype=torch.float32, device=loss.device)
        total = cast(Tensor, processes.all_reduce(own.clone(), reduce_op="sum"))
        loss = loss * (own * processes.world_size / total)
    processes.backward(loss)


def means(batches: list[Measured], processes: Processes) -> tuple[dict[str, float], list[float]]:
    """Return loss and metrics over all samples, so that a short last batch weighs what it should; and batches' losses.

    Each batch has a mean loss and the sums of its metrics, and with each the number of samples.
    """
    rows = [[float(number) for pair in batch.values() for number in pair] for batch in batches]
    losses = [row[0] for row in rows]
    for row in rows:
        row[0] = row[0] * row[1] if row[1] else 0.0
    rows = cast(Tensor, processes.all_reduce(torch.tensor(rows, dtype=torch.float64), reduce_op="sum")).tolist()
    if processes.world_size > 1:
        losses = [row[0] / row[1] for row in rows]
    sums = [sum(column) for column in zip(*rows, strict=True)]
    pairs = zip(batches[0], sums[::2], sums[1::2], strict=True)
    return {column: total / samples if samples else math.nan for column, total, samples in pairs}, losses
