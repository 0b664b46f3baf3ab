"""Batches out of a data set, and sums over batches that come out right however the data were cut."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from coursekit import arguments
from coursekit.data import ImageSet


def make_loader(
    data: Dataset | DataLoader, name: str, batch_size: int, shuffle: torch.Generator | None = None
) -> DataLoader:
    """Return ``data`` as a loader of batches ``(inputs, labels)``.

    A loader is returned as it is. Data in memory (`ImageSet`, `TensorDataset` and subsets of them) are indexed by a
    whole batch at once, which is faster than one by one; the batches are the same.

    Parameters
    ----------
    data : Dataset or DataLoader
    name : str
        What to call it in an error.
    batch_size : int
    shuffle : torch.Generator, optional
        Draws the order of the samples anew for each pass; without it they keep theirs. The global generator is left
        alone either way, so that looking at validation data does not change the training.

    Raises
    ------
    TypeError
        If ``data`` is neither a data set nor a loader.
    ValueError
        If there is no batch in it, or ``batch_size`` is not a whole number from 1.
    """
    if not arguments.is_whole(batch_size, 1):
        raise ValueError(f"batch_size must be a whole number from 1, not {batch_size!r}.")
    batch_size = int(batch_size)  # torch takes Python's numbers only
    generator = torch.Generator() if shuffle is None else shuffle
    if isinstance(data, DataLoader):
        loader = data
    elif not isinstance(data, Dataset):
        raise TypeError(
            f"{name} must be a Dataset or a DataLoader, not {type(data).__name__}. "
            "Two tensors become a data set by torch.utils.data.TensorDataset(images, labels)."
        )
    elif isinstance(data, IterableDataset):
        loader = DataLoader(data, batch_size, generator=generator)
    elif len(data) == 0:
        raise ValueError(f"{name} is empty: the data set has no sample.")
    else:
        order = SequentialSampler(data) if shuffle is None else RandomSampler(data, generator=generator)
        fetch = _in_memory(data)
        if fetch is None:
            loader = DataLoader(data, batch_size, sampler=order, generator=generator)
        else:
            batches = BatchSampler(order, batch_size, drop_last=False)
            loader = DataLoader(_Fetch(fetch), batch_size=None, sampler=batches, generator=generator)
    if count(loader) == 0:
        raise ValueError(
            f"{name} is empty: the loader gives no batch. With drop_last=True it needs at least batch_size samples."
        )
    return loader


def count(loader: DataLoader) -> int | None:
    """Return the number of batches, or None where only going through them would tell."""
    try:
        return len(loader)
    except TypeError:
        return None


class _Fetch(Dataset):
    """A data set whose index is a list: all samples of a batch at once."""

    def __init__(self, fetch: Callable[[list[int]], tuple[Tensor, Tensor]]) -> None:
        self.fetch = fetch

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        return self.fetch(indices)


def _in_memory(data: Dataset) -> Callable[[list[int]], tuple[Tensor, Tensor]] | None:
    """Return a function from indices to a batch, if all samples lie in memory as tensors."""
    if type(data) is TensorDataset:
        return data.__getitem__
    if type(data) is Subset and (inner := _in_memory(data.dataset)):
        return lambda indices: inner([data.indices[i] for i in indices])
    if isinstance(data, ImageSet) and type(data).__getitem__ is ImageSet.__getitem__:

        def fetch(indices: list[int]) -> tuple[Tensor, Tensor]:
            images = data.images[indices].float().div_(255)
            if data.transform:
                images = torch.stack([data.transform(image) for image in images])
            return images, data.labels[indices]

        return fetch
    return None


class Tally:
    """Sums over the samples of an epoch, so that a short last batch weighs what it should.

    The numbers stay on the device until somebody asks, since asking makes a GPU wait.
    """

    def __init__(self, samples: int = 0, sums: dict[str, float] | None = None, losses: list[float] = ()) -> None:
        self.samples, self.sums, self.losses = samples, dict(sums or {}), list(losses)
        self._waiting: list[tuple[int, dict[str, Tensor]]] = []

    @property
    def batches(self) -> int:
        """How many batches were added."""
        return len(self.losses) + len(self._waiting)

    def add(self, size: int, loss: Tensor, metrics: dict[str, Tensor]) -> None:
        """Add a batch of ``size`` samples, its mean loss and its summed metrics."""
        self._waiting.append((size, {"loss": loss.detach(), **metrics}))

    def state(self) -> dict:
        """Return what the constructor needs to go on from here, as plain numbers."""
        self._settle()
        return {"samples": self.samples, "sums": self.sums, "losses": self.losses}

    def means(self, name: str) -> dict[str, float]:
        """Return the mean of loss and metrics over all samples of the data called ``name``."""
        self._settle()
        if not self.samples:
            raise ValueError(f"{name} is empty: the loader gave no batch.")
        return {name: total / self.samples for name, total in self.sums.items()}

    def _settle(self) -> None:
        for size, row in self._waiting:
            values = {name: value.item() for name, value in row.items()}
            self.losses.append(values["loss"])
            values["loss"] *= size
            self.samples += size
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
        self._waiting = []
