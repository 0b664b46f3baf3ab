"""``python -m tools.train_colorizer`` trains the stored colorizer again: ten minutes on two CPU cores."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from coursekit import data, training
from coursekit.colorization import Bins, Colorizer, lab_pairs, pairs_to_rgb, score, stored
from coursekit.data import ImageSet
from tools.pretraining.storing import write_weights

WIDTH = 0.5
_BATCH, _LARGER = 64, 1.5


def main(arguments: list[str] | None = None) -> None:
    """Read the images, keep some for the test, train, judge, store weights and card."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_colorizer", description=__doc__)
    parser.add_argument("--cifar", metavar="DIR", help="CIFAR-10's class folders; without it, CIFAR-10 is downloaded")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--into", type=Path, default=Path("data/weights"), help="where weights and card are written")
    chosen = parser.parse_args(arguments)
    images = data.folder(chosen.cifar, size=32, test_fraction=0.1) if chosen.cifar else data.cifar10()
    make(images.train, images.test, "CIFAR-10 (Krizhevsky, 2009)", chosen.epochs, chosen.into)


def make(train: ImageSet, test: ImageSet, source: str, epochs: int, into: Path) -> dict:
    """Train on one set, judge on the other, store, and return the card."""
    model, bins = train_colorizer(train, epochs)
    some = test.images[:: len(test) // 1000 + 1]  # of every class: a folder is read class by class
    judged = lab_pairs(some)
    logits = training.predict(model, judged)[0]
    true = some.permute(0, 2, 3, 1).numpy()
    constant = lab_pairs(train.images[:: len(train) // 1000 + 1]).tensors[1].mean((0, 2, 3))[:, None, None]
    answers = {
        "all gray": torch.zeros_like(judged.tensors[1]),
        "constant": constant.expand_as(judged.tensors[1]),
        "mean": bins.decode(logits),
        "annealed mean": bins.decode(logits, 0.38),
    }
    scores = {name: score(pairs_to_rgb(judged.tensors[0], ab), true) for name, ab in answers.items()}
    card = {
        "source": source,
        "images": len(train),
        "epochs": epochs,
        "seed": 0,
        "width": WIDTH,
        "licence": "CC BY 4.0",
        "test": {name: {key: round(value, 4) for key, value in row.items()} for name, row in scores.items()},
    }
    return write(model, bins, card, into)


def train_colorizer(images: ImageSet, epochs: int = 4, width: float = WIDTH, seed: int = 0) -> tuple[Colorizer, Bins]:
    """Train a colorizer as a classifier over ab bins, one cycle of the learning rate, mirrored and at two sizes."""
    light, ab = lab_pairs(images).tensors
    bins = Bins.of(ab[:: len(ab) // 10_000 + 1], least=2e-4)  # some million pixels tell which colours there are
    batches = Batches(light, bins.encode(ab).to(torch.int16), seed)
    torch.manual_seed(seed)
    model = stored.network(width, len(bins))
    training.fit(
        model,
        DataLoader(batches, batch_size=None),
        epochs=epochs,
        optimizer=partial(AdamW, weight_decay=0.01),
        scheduler=partial(OneCycleLR, max_lr=6e-3),
        metrics={},
        channels_last=True,
        after_epoch=lambda history: print(f"epoch {len(history)}: loss {history['loss'][-1]:.4f}", flush=True),
    )
    return model, bins


def write(model: Colorizer, bins: Bins, card: dict, into: Path) -> dict:
    """Store a trained colorizer with its bins in half precision, and return its card."""
    whole = nn.Module()
    for name, module in model.named_children():
        whole.add_module(name, module)
    whole.register_buffer("centres", bins.centres)
    whole.register_buffer("shares", bins.shares)
    return write_weights(stored.NAME, whole, card, into)


class Batches(Dataset):
    """Whole batches of lightness and bins: drawn at random, half of them mirrored, half of them enlarged."""

    def __init__(self, light: Tensor, labels: Tensor, seed: int) -> None:
        self.light, self.labels = light, labels
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """Return the number of whole batches."""
        return len(self.light) // _BATCH

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one batch; the first one of an epoch shuffles the images."""
        if index == 0:
            self.order = torch.randperm(len(self.light), generator=self.generator)
        rows = self.order[index * _BATCH : (index + 1) * _BATCH]
        light, labels = self.light[rows], self.labels[rows].long()
        mirror, enlarge = (torch.rand(2, generator=self.generator) < 0.5).tolist()
        if mirror:
            light, labels = light.flip(3), labels.flip(2)
        if enlarge:
            light = F.interpolate(light, scale_factor=_LARGER, mode="bilinear")
            labels = F.interpolate(labels[:, None].float(), scale_factor=_LARGER, mode="nearest")[:, 0].long()
        return light, labels


if __name__ == "__main__":
    main()
