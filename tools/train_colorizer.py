"""``python -m tools.train_colorizer`` trains the stored colorizer again: ten minutes on two CPU cores."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from coursekit import data, training
from coursekit.colorization import stored
from coursekit.colorization.cielab import lab_pairs, pairs_to_rgb
from coursekit.colorization.metrics import score
from coursekit.data import ImageSet


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
    model, bins = stored.train(train, epochs)
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
        "width": stored.WIDTH,
        "licence": "CC BY 4.0",
        "test": {name: {key: round(value, 4) for key, value in row.items()} for name, row in scores.items()},
    }
    return stored.write(model, bins, card, into)


if __name__ == "__main__":
    main()
