"""Training runs in the two processes of a Fabric, started by `test_fabric.py`; a person may run it too.

    python tests/fabric_run.py OUT AUTOSAVE [--die 3 1] [--strategy ddp_fork]

Each process writes weights and history to ``OUT.RANK``: of a plain network, and of one with batch norm and dropout. The
run of the second is saved to AUTOSAVE, and goes on from there; ``--die`` kills a process in it, here 1 in epoch 3. With
``ddp_fork`` the second process is a copy of the first and imports nothing again, which is quick.
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
    """Random images with labels that can be learned; asked for a sample too often, it kills the process."""

    def __init__(self, samples: int, seed: int, lives: int | None = None) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(samples, 1, 6, 6, generator=generator)
        self.labels = (self.images.mean((1, 2, 3)) > 0.5).long()
        self.lives = lives

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        if self.lives is not None:
            self.lives -= 1
            if self.lives < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.images[index], self.labels[index]


def network(noisy: bool) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if noisy else nn.Identity(), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.Dropout(0.5 if noisy else 0.0), nn.Linear(64, 2))


def run(noisy: bool, lives: int | None = None, **options) -> dict:
    """Train for 4 epochs of 3 batches of 8 samples; the validation data cannot be shared evenly."""
    model, adam = network(noisy), partial(torch.optim.Adam, lr=0.01)
    train, val = Digits(24, 1, lives), Digits(7, 2)
    history = training.fit(model, train, val, epochs=4, batch_size=8, optimizer=adam, keep_best=True, **options)
    return {"weights": model.state_dict(), "rows": list(history), "losses": history.batch_losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("autosave")
    parser.add_argument("--die", nargs=2, type=int, metavar=("EPOCH", "RANK"), default=(0, 0))
    parser.add_argument("--strategy", default="ddp", choices=["ddp", "ddp_fork"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    Fabric(accelerator="cpu", devices=2, strategy=options.strategy).launch(train, options)


def train(fabric: Fabric, options: argparse.Namespace) -> None:
    epoch, rank = options.die
    lives = (epoch - 1) * 12 + 6 if epoch and fabric.global_rank == rank else None
    found = {"plain": run(False, fabric=fabric)}
    found["noisy"] = run(True, lives, fabric=fabric, autosave=options.autosave, resume=True)
    torch.save(found, f"{options.out}.{fabric.global_rank}")


if __name__ == "__main__":
    main()
