"""Training in several processes at once: each computes its share of every batch, and all take the same step.

The processes come from Lightning Fabric, which starts them on one machine or many and connects them (Falcon and others,
2019). Nothing here imports it: `Team` is given one, or None, and is then a team of one that changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Sampler

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_STRATEGIES = ("SingleDeviceStrategy", "DDPStrategy")  # those in which every process holds the whole model
_NEEDED = ("world_size", "global_rank", "device", "strategy", "setup_module", "backward", "all_reduce", "broadcast")


class Team:
    """The processes that train together, seen from one of them.

    Parameters
    ----------
    fabric : lightning.fabric.Fabric, optional
        Launched. Without it there is one process, and every method gives back what it was given.

    Attributes
    ----------
    processes, rank : int
        How many there are, and which one this is, from 0.

    Raises
    ------
    TypeError
        If ``fabric`` is no Fabric.
    ValueError
        If it has not been launched, its strategy splits the model itself, or it scales losses or casts weights.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self.fabric = fabric
        if fabric is not None and not all(hasattr(fabric, name) for name in _NEEDED):
            raise TypeError(
                f"fabric must be a Fabric of Lightning, not {type(fabric).__name__}: "
                "fabric = lightning.fabric.Fabric(devices=2); fabric.launch()."
            )
        self.processes = fabric.world_size if fabric else 1
        self.rank = fabric.global_rank if fabric else 0
        if fabric and type(fabric.strategy).__name__ not in _STRATEGIES:
            raise ValueError(
                f"fit cannot use {type(fabric.strategy).__name__}: every process must hold the whole model. "
                'Choose Fabric(strategy="ddp").'
            )
        precision = getattr(getattr(fabric, "strategy", None), "precision", None)
        if fabric and getattr(precision, "precision", "32-true") != "32-true":  # it would scale each loss once more
            raise ValueError(
                f"fit has a mixed precision of its own, and cannot use Fabric(precision={precision.precision!r}): "
                "leave precision out, and say fit(..., amp=True)."
            )
        if self.processes > 1 and not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            raise ValueError("the processes have not been started: call fabric.launch() before fit.")

    @property
    def leads(self) -> bool:
        """Whether this process writes files, shows progress and calls back: one of them does."""
        return self.rank == 0

    def share(self, loader: DataLoader, name: str) -> DataLoader:
        """Return a loader of this process's share of each batch: every p-th sample, for p processes.

        The batches are those of a single process, so that each sample is seen exactly once in an epoch, and the same
        step is taken. A sampler of your own must give the same order in each process.

        Raises
        ------
        ValueError
            If the loader of the data called ``name`` cannot be shared: it does not know its samples, or its sampler
            draws at random without a generator, and so another order in each process.
        """
        if self.processes == 1:
            return loader
        batches = loader.sampler if loader.batch_size is None and loader.batch_sampler is None else loader.batch_sampler
        order = getattr(batches, "sampler", None)
        if isinstance(loader.dataset, IterableDataset) or batches is None:
            raise ValueError(f"{name} cannot be shared among processes: a stream has no numbered samples.")
        if getattr(order, "generator", order) is None:  # torch's random samplers have one; that in order has no such
            raise ValueError(
                f"each process would shuffle {name} differently: give fit the data set itself, or its "
                f"{type(order).__name__} a generator=torch.Generator()."
            )
        shares = Shares(batches, self.rank, self.processes)
        how = {key: getattr(loader, key) for key in ("num_workers", "pin_memory", "timeout", "worker_init_fn")}
        how |= {"collate_fn": loader.collate_fn, "generator": loader.generator}
        if loader.batch_size is None and loader.batch_sampler is None:
            return DataLoader(loader.dataset, batch_size=None, sampler=shares, **how)
        return DataLoader(loader.dataset, batch_sampler=shares, **how)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model in a form that adds up the gradients of all processes. Its parameters stay the same ones."""
        if self.fabric is None:
            return model
        learns = any(parameter.requires_grad for parameter in model.parameters())
        return self.fabric.setup_module(model) if learns else model

    def backward(self, loss: Tensor, loader: DataLoader, batch: int) -> None:
        """Compute gradients. The mean over processes becomes the mean over the samples of the whole batch."""
        if self.processes > 1:
            own, total = shares_of(loader).sizes[batch]
            loss = loss * (own * self.processes / total)
        if self.fabric is None:
            loss.backward()
        else:
            self.fabric.backward(loss)

    def whole(
        self, loader: DataLoader, batch: int, size: int, loss: Tensor, metrics: dict[str, Tensor]
    ) -> tuple[int, Tensor, dict[str, Tensor]]:
        """Return size, mean loss and summed metrics of the whole batch, from those of the shares."""
        if self.processes == 1:
            return size, loss, metrics
        own, total = shares_of(loader).sizes[batch]
        zero = own == 0  # it computed on a borrowed sample, which counts elsewhere
        parts = [loss.detach() * own, *(value * (not zero) for value in metrics.values())]
        sums = self.fabric.all_reduce(torch.stack([part.to(torch.float64) for part in parts]), reduce_op="sum")
        return total, sums[0] / total, dict(zip(metrics, sums[1:], strict=True))

    @torch.no_grad()
    def agree(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers: the running statistics of batch norms, each taken of a share."""
        if self.processes > 1:
            for buffer in model.buffers():
                buffer.copy_(self.fabric.broadcast(buffer, src=0))

    def gather(self, value: object) -> list:
        """Return what each process passed, in the order of their ranks."""
        if self.processes == 1:
            return [value]
        values: list = [None] * self.processes
        torch.distributed.all_gather_object(values, value)
        return values

    def first(self, value: object) -> object:
        """Return what the first process passed."""
        return value if self.processes == 1 else self.fabric.broadcast(value, src=0)


class Shares(Sampler[list[int]]):
    """Each batch of another sampler, cut among processes.

    Where a batch has fewer samples than there are processes, some borrow one, with a size of 0: nobody may be missing
    when gradients are added up.

    Attributes
    ----------
    sizes : list of (int, int)
        Samples of this process and of all, for each batch of this epoch that was drawn so far.
    """

    def __init__(self, batches: Sampler[list[int]], rank: int, processes: int) -> None:
        self.batches, self.rank, self.processes = batches, rank, processes
        self.sampler = getattr(batches, "sampler", None)  # where checkpoints look for generators
        self.sizes: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        """Draw the batches of an epoch, and give this process's share of each."""
        self.sizes = []
        for batch in self.batches:
            own = list(batch)[self.rank :: self.processes]
            self.sizes.append((len(own), len(batch)))
            yield own or list(batch)[:1]

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.batches)


def shares_of(loader: DataLoader) -> Shares:
    """Return the sampler that `Team.share` put into a loader."""
    return loader.sampler if isinstance(loader.sampler, Shares) else loader.batch_sampler
