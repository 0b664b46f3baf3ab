"""CIFAR-10 on two CPU cores: the course's recipe beside the plain network of the lecture.

    python tests/benchmarks/cifar10.py --train DIR [--test DIR] [--epochs N] [--network recipe|osu] [--until 0.795]
    python tests/benchmarks/cifar10.py --train DIR --held-out 0.2 --bfloat16 --curves data/curves/cifar10.json

``DIR`` holds one folder of images per class. Without ``--test``, a part of the training images of each class is held
out. With ``--curves``, loss and accuracy of each epoch are written into that file, which notebook 03 draws; a run
replaces the one of the same network and seed, and an interrupted run leaves the epochs that it finished. With
``--until``, the plain network trains until it is as good as that, at most ``--epochs``; the recipe, whose learning rate
follows a plan over all epochs, is trained afresh with one epoch, two, three, ..., and the last of these counts. The
last line is one JSON object with ``accuracy``, ``epochs`` and ``seconds`` (of training alone).

The recipe is a small residual network after Page (2018) and Jordan (2024): its first layer is fixed and decorrelates
the pixels of a patch; images are shifted and mirrored at random; the learning rate goes up and down once (Smith, 2018);
labels are smoothed; two mirrored views vote.
"""

import argparse
import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from coursekit import training
from coursekit.data import ImageSet, folders


class ShiftAndMirror(nn.Module):
    """In train mode, move each image by up to ``reach`` pixels and mirror half of them; else do nothing."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return images
        n, _, height, width = images.shape
        padded = F.pad(images, [self.reach] * 4, mode="reflect")
        down, right = torch.randint(0, 2 * self.reach + 1, (2, n, 1), device=images.device)
        mirrored = torch.rand(n, 1, device=images.device) < 0.5
        rows = torch.arange(height, device=images.device) + down
        columns = torch.arange(width, device=images.device) + right
        columns = torch.where(mirrored, columns.flip(1), columns)
        image = torch.arange(n, device=images.device)
        picked = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # [N, H, W, C]
        return picked.permute(0, 3, 1, 2)


class Standardize(nn.Module):
    """Subtract the mean of each colour and divide by its standard deviation."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", images.mean((0, 2, 3), keepdim=True))
        self.register_buffer("std", images.std((0, 2, 3), keepdim=True))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def whitening(images: Tensor, size: int = 2, noise: float = 5e-4) -> nn.Conv2d:
    """Return a fixed convolution whose outputs, over the patches of ``images``, are uncorrelated with variance 1.

    Its kernels are the principal components of the patches, each also with the other sign.
    """
    patches = F.unfold(images, size).transpose(1, 2).flatten(0, 1)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    kernels = (components / (variances + noise).sqrt()).T.reshape(-1, images.shape[1], size, size)
    conv = nn.Conv2d(images.shape[1], 2 * len(kernels), size)
    conv.weight.data = torch.cat([kernels, -kernels])
    conv.weight.requires_grad = False
    nn.init.zeros_(conv.bias)
    return conv


def convolution(inputs: int, outputs: int, *between: nn.Module) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, *between, nn.BatchNorm2d(outputs), nn.GELU())


class Block(nn.Module):
    """Halve height and width, then add a correction to the result."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = convolution(inputs, outputs, nn.MaxPool2d(2))
        self.refine = convolution(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return x + self.refine(x)


class Scale(nn.Module):
    """Multiply by a constant: small logits at first keep the loss gentle at a high learning rate."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Vote(nn.Module):
    """In eval mode, the mean of the outputs for an image and its mirror image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return self.model(images)
        return (self.model(images) + self.model(images.flip(3))) / 2


def recipe_network(images: Tensor, classes: int, width: int) -> nn.Module:
    standardize = Standardize(images)
    network = nn.Sequential(
        ShiftAndMirror(2),
        standardize,
        whitening(standardize(images)),
        nn.GELU(),
        Block(24, width),
        Block(width, 4 * width),
        Block(4 * width, 4 * width),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes, bias=False),
        Scale(1 / 8),
    )
    return Vote(network)


def osu_network(images: Tensor, classes: int, batch_norm: bool, dropout: bool) -> nn.Module:
    """Two convolutions with ReLU and max pooling, then two dense layers, as OSU's lecture describes its network.

    The lecture gives no widths; 32 and 64 channels and 128 dense units are ours.
    """

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
        drop = [nn.Dropout(0.25)] if dropout else []
        return [nn.Conv2d(inputs, outputs, 3, padding=1), *norm, nn.ReLU(), nn.MaxPool2d(2), *drop]

    dense = [nn.Linear(64 * 8 * 8, 128), *([nn.BatchNorm1d(128)] if batch_norm else []), nn.ReLU()]
    drop = [nn.Dropout(0.5)] if dropout else []
    head = [nn.Flatten(), *dense, *drop, nn.Linear(128, classes)]
    return nn.Sequential(Standardize(images), *block(3, 32), *block(32, 64), *head)


def read(train: Path, test: Path | None, part: float) -> tuple[ImageSet, ImageSet]:
    data = folders.read(train, 32)
    if test is None:
        held_out, kept = data.split(part)
        return kept, held_out
    other = folders.read(test, 32)
    if other.classes != data.classes:
        raise SystemExit(f"{test} has other classes than {train}: {other.classes}, {data.classes}")
    return data, other


def prepare(args: argparse.Namespace, train: ImageSet, epochs: int) -> tuple[nn.Module, dict]:
    """Return a new network, and how it is trained."""
    torch.manual_seed(args.seed)
    sample = train.images[:: max(1, len(train) // 5000)].float() / 255
    settings = {"epochs": epochs, "seed": args.seed, "after_epoch": lambda history: print(history[-1], flush=True)}
    if args.bfloat16:
        settings |= {"amp": torch.bfloat16, "channels_last": True}
    if args.network == "osu":
        model = osu_network(sample, len(train.classes), args.batch_norm, args.dropout)
        return model, settings | {"batch_size": 128, "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3)}
    model = recipe_network(sample, len(train.classes), args.width)
    sgd = partial(torch.optim.SGD, lr=0.3, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = partial(OneCycleLR, max_lr=0.3, pct_start=0.23, anneal_strategy="linear", cycle_momentum=False)
    settings |= {"batch_size": 256, "optimizer": sgd, "scheduler": partial(schedule, div_factor=5)}
    settings = {"amp": True, "channels_last": True} | settings | {"loss": partial(F.cross_entropy, label_smoothing=0.1)}
    return model, settings


def learn(model: nn.Module, train: ImageSet, settings: dict) -> tuple[float, float]:
    """Train, and return seconds of the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    training.fit(model, train, **settings)
    return time.perf_counter() - wall, time.process_time() - cpu


def run(args: argparse.Namespace, train: ImageSet, test: ImageSet) -> tuple[nn.Module, int, float, float, float]:
    """Train for the epochs asked for; return network, epochs, seconds, processor's seconds, accuracy."""
    model, settings = prepare(args, train, args.epochs)
    wall, cpu = learn(model, train, settings)
    return model, args.epochs, wall, cpu, training.evaluate(model, test, amp=settings.get("amp", False))["accuracy"]


def curve(args: argparse.Namespace, train: ImageSet, test: ImageSet) -> tuple:
    """Train and test epoch by epoch; after each, what was found so far is in the file."""
    model, settings = prepare(args, train, args.epochs)
    begin, wall = time.process_time(), time.perf_counter()

    def after(history: training.History) -> None:
        print(history[-1], flush=True)
        columns = {name: [round(value, 4) for value in history[name]] for name in history.columns if name != "epoch"}
        size, date = sum(p.numel() for p in model.parameters()), f"{datetime.now(UTC):%Y-%m-%d}"
        found = {"network": name_of(args), "seed": args.seed, "epochs": len(history), "of": args.epochs}
        found |= {"parameters": size, "images": [len(train), len(test)], "date": date}
        found |= {"precision": "bfloat16" if args.bfloat16 else "float32", "torch": torch.__version__.partition("+")[0]}
        found["cpu_seconds"] = round(time.process_time() - begin, 1)
        store(args.curves, found | columns)

    last = training.fit(model, train, test, **settings | {"after_epoch": after})[-1]
    return model, args.epochs, time.perf_counter() - wall, time.process_time() - begin, last["val_accuracy"]


def store(path: Path, run: dict) -> None:
    """Put a run into the file, in place of one of the same network and seed; several processes may write to it."""
    with FileLock(f"{path}.lock"):
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
        others = [other for other in runs if (other["network"], other["seed"]) != (run["network"], run["seed"])]
        runs = sorted([*others, run], key=lambda run: (run["network"], run["seed"]))
        lines = ",\n".join(json.dumps(run) for run in runs)
        path.write_text(f'{{"runs": [\n{lines}\n]}}\n', encoding="utf-8")


def name_of(args: argparse.Namespace) -> str:
    return args.network + " + batch norm" * args.batch_norm + " + dropout" * args.dropout


def until_plain(args: argparse.Namespace, train: ImageSet, test: ImageSet) -> tuple:
    """Train epoch by epoch until the accuracy is reached; the optimizer goes on where it was."""
    model, settings = prepare(args, train, 1)
    wall = cpu = accuracy = 0.0
    for epoch in range(1, args.epochs + 1):
        more_wall, more_cpu = learn(model, train, settings | {"seed": args.seed + epoch})
        wall, cpu = wall + more_wall, cpu + more_cpu
        accuracy = training.evaluate(model, test)["accuracy"]
        print(f"epoch {epoch}: {accuracy:.1%} after {wall:.0f} s", flush=True)
        if accuracy >= args.until:
            break
    return model, epoch, wall, cpu, accuracy


def until_recipe(args: argparse.Namespace, train: ImageSet, test: ImageSet) -> tuple:
    """Find the smallest number of epochs with which the recipe gets there."""
    for epochs in range(1, args.epochs + 1):
        args_now = argparse.Namespace(**{**vars(args), "epochs": epochs})
        found = run(args_now, train, test)
        print(f"{epochs} epochs: {found[-1]:.1%} after {found[2]:.0f} s", flush=True)
        if found[-1] >= args.until:
            break
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--train", type=Path, required=True)
    options.add_argument("--test", type=Path)
    options.add_argument("--held-out", type=float, default=0.1, help="without --test: this part of each class")
    options.add_argument("--curves", type=Path, help="a JSON file for loss and accuracy of each epoch")
    options.add_argument("--bfloat16", action="store_true", help="mixed precision also where there is no GPU")
    options.add_argument("--epochs", type=int, default=5, help="with --until: at most")
    options.add_argument("--until", type=float, help="stop at this accuracy")
    options.add_argument("--network", choices=("recipe", "osu"), default="recipe")
    options.add_argument("--batch-norm", action="store_true", help="of the OSU network")
    options.add_argument("--dropout", action="store_true", help="of the OSU network")
    options.add_argument("--width", type=int, default=32, help="of the recipe's network")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()

    begin = time.perf_counter()
    train, test = read(args.train, args.test, args.held_out)
    print(f"read {len(train)} + {len(test)} images in {time.perf_counter() - begin:.1f} s", flush=True)

    if args.curves is not None:
        attempt = curve
    else:
        attempt = run if args.until is None else until_plain if args.network == "osu" else until_recipe
    model, epochs, wall, cpu, accuracy = attempt(args, train, test)
    result = {
        "accuracy": round(accuracy, 4),
        "epochs": epochs,
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "network": name_of(args),
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
