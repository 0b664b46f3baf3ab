"""A training run in the processes of a Fabric, started by `test_fabric.py`; a person may run it too.

    python tests/fabric_run.py OUT [--processes 2] [--samples 21] [--norm] [--dropout] [--autosave FILE] [--die 3 1]

Each process writes weights, history and the samples that it saw to ``OUT.RANK``. ``--die`` kills a process with SIGKILL
(epoch 3, process 1) when the epoch has begun; started again with the same autosave, the run goes on.
"""

import argparse
import os
import signal
from functools import partial

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import Dataset

from coursekit import training


class Digits(Dataset):
    """Random images with labels that can be learned; it notes which samples were asked for."""

    def __init__(self, samples: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(samples, 1, 6, 6, generator=generator)
        self.labels = (self.images.mean((1, 2, 3)) > 0.5).long()
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        self.seen.append(index)
        return self.images[index], self.labels[index]


def network(norm: bool, dropout: bool) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.Dropout(0.5 if dropout else 0.0), nn.Linear(64, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--samples", type=int, default=21)
    parser.add_argument("--norm", action="store_true")
    parser.add_argument("--dropout", action="store_true")
    parser.add_argument("--autosave")
    parser.add_argument("--die", nargs=2, type=int, metavar=("EPOCH", "RANK"), default=(0, 0))
    options = parser.parse_args()
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=options.processes, strategy="ddp" if options.processes > 1 else "auto")
    fabric.launch()

    train, val = Digits(options.samples, 1), Digits(7, 2)
    epoch, rank = options.die
    if epoch and fabric.global_rank == rank:
        ask = train.__class__.__getitem__

        def until(self, index):
            if len(self.seen) > (epoch - 1) * (len(self) // options.processes) + 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return ask(self, index)

        Digits.__getitem__ = until
    model = network(options.norm, options.dropout)
    history = training.fit(
        model,
        train,
        val,
        epochs=4,
        batch_size=8,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        keep_best=True,
        autosave=options.autosave,
        resume=bool(options.autosave),
        fabric=fabric,
    )
    result = {"weights": model.state_dict(), "rows": list(history), "losses": history.batch_losses, "seen": train.seen}
    torch.save(result, f"{options.out}.{fabric.global_rank}")


if __name__ == "__main__":
    main()
