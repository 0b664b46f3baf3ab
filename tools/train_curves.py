"""``python -m tools curves --cifar DIR`` trains plain and residual networks, and stores curves for notebook 05."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR
from torchvision.transforms.v2.functional import resize

from coursekit import data, resnet, training
from coursekit.data import ImageSet
from tools.pretraining.views import Batched

BLOCKS, WIDTH, SIZE, BATCH, RATE, MARGIN = (3, 15), 32, 24, 128, 0.1, 3
NETWORKS = {"plain": {"residual": False}, "residual": {"residual": True}}
DRAWS = 5  # orders in which blocks are taken out, and paths of each length


def main(arguments: list[str] | None = None) -> None:
    """Read the images, train, and write ``resnet.json`` with its card after each network."""
    parser = argparse.ArgumentParser(prog="python -m tools curves", description=__doc__)
    parser.add_argument("--cifar", metavar="DIR", help="CIFAR-10's class folders; without it, CIFAR-10 is downloaded")
    parser.add_argument("--photos", type=int, default=10_000, help="for training (default: 10000)")
    parser.add_argument("--epochs", type=int, default=40, help="default: 40")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each trains every network once")
    parser.add_argument("--into", type=Path, default=Path("data") / "curves", help="folder (default: data/curves)")
    chosen = parser.parse_args(arguments)
    photos, epochs, seeds = chosen.photos, chosen.epochs, chosen.seeds
    which = " ".join(map(str, seeds))
    images = data.folder(chosen.cifar, size=32).train if chosen.cifar else data.cifar10().train
    images = ImageSet(resize(images.images, [SIZE, SIZE]), images.labels, images.classes)
    card = {
        "what": "errors in per cent of towers of plain and residual blocks; see tools/train_curves.py",
        "source": "CIFAR-10 (Krizhevsky, 2009)",
        "photos": photos,
        "test_photos": photos // 5,
        "width": WIDTH,
        "size": SIZE,
        "epochs": epochs,
        "date": date.today().isoformat(),
        "command": f"python -m tools curves --cifar DIR --photos {photos} --epochs {epochs} --seeds {which}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        "licence": "CC BY 4.0",
    }
    chosen.into.mkdir(parents=True, exist_ok=True)
    runs = []
    for run in train_all(images, photos, epochs, seeds):
        runs.append(run)
        (chosen.into / "resnet.json").write_text(json.dumps({"card": card, "runs": runs}) + "\n", encoding="utf-8")
        print(
            f"{run['network']}, {run['blocks']} blocks, seed {run['seed']}: training error {run['train_error'][-1]} %, "
            f"test error {run['test_error'][-1]} %, {run['seconds']} s",
            flush=True,
        )


def train_all(images: ImageSet, photos: int, epochs: int, seeds: Sequence[int]) -> Iterator[dict]:
    """Train all networks, and yield what is stored of each.

    The first ``photos`` of the images, in an order drawn at random, are for training, a fifth as many for the test.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train_set, test_set = (images.subset(part) for part in order[: photos * 6 // 5].split(photos))
    for seed in seeds:
        for blocks in sorted(BLOCKS, reverse=True):
            for kind in NETWORKS:
                model, run = train(kind, blocks, seed, train_set, test_set, epochs)
                if blocks == max(BLOCKS):
                    run |= errors_without_blocks(model, test_set, seed)
                    if kind == "residual":
                        run["path_gradients"] = path_gradients(model, test_set, seed)
                yield run


class Shifted(Batched):
    """Batches for training as He et al. (2015) augment CIFAR-10: shifted by some pixels, half of them mirrored.

    ``shifted[indices]`` is a batch of bytes ``[B, 3, H, W]`` and its labels; one look-up makes it, which is ten times
    as fast as a transform of each image.
    """

    def __init__(self, images: ImageSet) -> None:
        self.padded = nn.functional.pad(images.images, [MARGIN] * 4)
        self.size, self.labels = images.size, images.labels

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return a batch, drawn from torch's global generator."""
        chosen, count = torch.as_tensor(indices), len(indices)
        top, left = torch.randint(2 * MARGIN + 1, (2, count, 1))
        rows, columns = top + torch.arange(self.size[0]), left + torch.arange(self.size[1])
        mirror = torch.rand(count) < 0.5
        columns[mirror] = columns[mirror].flip(1)
        views = self.padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return views.permute(0, 3, 1, 2), self.labels[chosen]


def train(
    kind: str, blocks: int, seed: int, train: ImageSet, test: ImageSet, epochs: int
) -> tuple[nn.Sequential, dict]:
    """Train one of `NETWORKS` as He et al. (2015) do; return it, and its errors in per cent after each epoch.

    The learning rate is a tenth after half of the epochs, and a hundredth after three quarters.
    """
    torch.manual_seed(seed)
    model = resnet.tower(blocks, len(train.classes), train.channels, WIDTH, **NETWORKS[kind])
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    began = time.perf_counter()
    history = training.fit(
        model,
        Shifted(train).loader(BATCH, seed),
        test,
        epochs=epochs,
        optimizer=partial(SGD, lr=RATE, momentum=0.9, weight_decay=1e-4),
        scheduler=partial(MultiStepLR, milestones=[epochs // 2, epochs * 3 // 4]),
        seed=seed,
        amp=torch.bfloat16,
        channels_last=True,
    )
    run = {
        "network": kind,
        "blocks": blocks,
        "seed": seed,
        "train_error": [_error(value) for value in history["accuracy"]],
        "test_error": [_error(value) for value in history["val_accuracy"]],
        "seconds": round(time.perf_counter() - began),
    }
    return model, run


def errors_without_blocks(model: nn.Sequential, test: ImageSet, seed: int) -> dict:
    """Return the test error without each single block, and without more and more of them, in orders drawn at random."""

    def error(names: Sequence[int]) -> float:
        with resnet.without(model, *map(str, names)):
            return _error(training.evaluate(model, test, amp=torch.bfloat16)["accuracy"])

    blocks, generator = len(model) - 2, torch.Generator().manual_seed(seed)
    orders = [(torch.randperm(blocks, generator=generator) + 1).tolist() for _ in range(DRAWS)]
    return {
        "without_one": [error([block]) for block in range(1, blocks + 1)],
        "without_several": [[error(order[:count]) for count in range(blocks + 1)] for order in orders],
    }


def path_gradients(model: nn.Sequential, test: ImageSet, seed: int) -> list[list[float]]:
    """Return, for each length, the norms of the loss's gradient along some paths of that length, drawn at random.

    The gradient is that for the input of the first block, for 64 images, in eval mode. Source: Veit, Wilber and
    Belongie (2016).
    """
    model.eval()
    images, labels = test.images[:64].float() / 255, test.labels[:64]
    start = model[0](images).detach()
    blocks, generator = len(model) - 2, torch.Generator().manual_seed(seed)

    def norm(branches: set[int]) -> float:
        first = x = start.clone().requires_grad_()
        for index, block in enumerate(model[1:-1]):
            branch = cast(resnet.ResidualBlock, block).branch(x)
            x = nn.functional.relu(x.detach() + branch if index in branches else x + branch.detach())
        nn.functional.cross_entropy(model[-1](x), labels).backward()
        return float(f"{first.grad.norm():.4g}")

    draw = [[torch.randperm(blocks, generator=generator).tolist() for _ in range(DRAWS)] for _ in range(blocks + 1)]
    return [[norm(set(order[:length])) for order in orders] for length, orders in enumerate(draw)]


def _error(accuracy: float) -> float:
    return round(100 * (1 - accuracy), 2)
