"""How the thin networks that come with the course were trained: ``python -m tools.pretraining --help``.

The source has no cat and no dog in it: 18 other species of critters, and CIFAR-10's eight other classes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import TensorDataset
from torchvision.transforms.v2 import functional

from coursekit import critters, data, pretrained, runtime, training
from coursekit.data import ImageSet
from tools.pretraining.storing import write_weights
from tools.pretraining.views import Views

TARGETS = ("cat", "dog")  # what the course transfers to: never part of the source
LAYOUTS = {
    "vgg16": {"width": 0.25, "pooled": 1, "hidden": 256},  # the lecture's classifier would be six times the features
    "resnet18": {"width": 0.25},
}
SIZES = {"vgg16": (48, 64, 64), "resnet18": (64, 96, 96)}  # of the views, in pixels
BATCH, RATE = 128, 0.1  # the rate is right for thousands of steps, and too high for some dozen

normalize = partial(functional.normalize, mean=list(pretrained.MEAN), std=list(pretrained.STD))


def main(arguments: list[str] | None = None) -> None:
    """Train the networks named, or all of them, and store them with their cards."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretraining", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"of {', '.join(LAYOUTS)}; default: all")
    parser.add_argument("--cifar", metavar="DIR", help="CIFAR-10's class folders; without it, CIFAR-10 is downloaded")
    parser.add_argument("--critters-only", action="store_true", help="without CIFAR-10")
    parser.add_argument("--pictures", type=int, default=20_000, help="how many critters (default: 20000)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("data") / "weights", help="folder (default: data/weights)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(LAYOUTS):
        parser.error(f"there is no network {', '.join(sorted(unknown))}")
    runtime.setup("full" if not (options.cifar or options.critters_only) else "mini", seed=options.seed)
    tasks = source(options.cifar, options.pictures, options.seed, photos=not options.critters_only)
    for name in options.names or LAYOUTS:
        saved = runtime.cache_dir() / "pretraining" / f"{name}-{options.seed}-{options.epochs}-{options.pictures}.pt"
        model, card = train(name, tasks, options.epochs, options.seed, saved)
        card = write_weights(name, model, card, options.into)
        print(f"{name}: {card['accuracy']}, {card['bytes']:,} bytes, {card['minutes']} minutes")
        saved.unlink(missing_ok=True)


def source(cifar: str | Path | None, pictures: int, seed: int, *, photos: bool = True) -> dict[str, data.Splits]:
    """Return the source tasks by name, each with a fortieth held out: ``pictures`` critters and, with photos, CIFAR-10.

    ``cifar`` is a folder with CIFAR-10's class folders; without it, CIFAR-10 is downloaded.
    """
    species = [name for name in critters.SPECIES if name not in TARGETS]
    sets = {"critters": data.critters(pictures, 40, 64, seed, species=species).train}
    if photos:
        everything = data.cifar10().train if cifar is None else data.folder(cifar, size=32, test_fraction=0.01).train
        kept = [name for name in everything.classes if name not in TARGETS]
        labels = torch.tensor([kept.index(name) if name in kept else -1 for name in everything.classes])
        chosen = everything.subset((labels[everything.labels] >= 0).nonzero()[:, 0])
        sets["CIFAR-10"] = ImageSet(chosen.images, labels[chosen.labels], kept)
    return {name: data.Splits(*part.split(0.975, seed), name, name) for name, part in sets.items()}


def train(
    name: str, tasks: dict[str, data.Splits], epochs: int, seed: int = 0, autosave: Path | None = None
) -> tuple[nn.Module, dict]:
    """Train a thin network on the tasks of `source`; return it and its card.

    In a VGG16 batch norm is folded into the convolutions, since the lecture's has none. ``autosave`` is a file from
    which an interrupted training goes on.
    """
    views = Views([task.train for task in tasks.values()], SIZES[name], normalize)
    torch.manual_seed(seed)
    layout = LAYOUTS[name] | {"classes": len(views.classes)}
    model = pretrained.NETWORKS[name](**layout, **({"batch_norm": True} if name == "vgg16" else {}))
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.2  # half is too much for layers as small as these
    start = time.perf_counter()
    training.fit(
        model,
        views.loader(BATCH, seed),
        epochs=epochs,
        optimizer=sgd,
        scheduler=partial(OneCycleLR, max_lr=RATE, pct_start=0.2),
        loss=partial(F.cross_entropy, label_smoothing=0.1),
        seed=seed,
        amp=True,
        channels_last=True,
        autosave=autosave,
        resume=autosave is not None,
        after_epoch=lambda history: print(f"epoch {len(history)}: loss {history['loss'][-1]:.3f}", flush=True),
    )
    minutes = (time.perf_counter() - start) / 60
    if name == "vgg16":
        model = fold_batch_norm(model)
    first, accuracies = 0, {}
    for task in tasks.values():  # an answer is right among the classes of all tasks
        images = functional.resize(task.test.images.float() / 255, [max(SIZES[name])] * 2)
        found = training.evaluate(model, TensorDataset(normalize(images), task.test.labels + first))
        accuracies[task.name] = round(found["accuracy"], 3)
        first += len(task.classes)
    return model, {
        "layout": layout,
        "classes": list(views.classes),
        "size": max(SIZES[name]),
        "mean": pretrained.MEAN,
        "std": pretrained.STD,
        "source": " and ".join(f"{len(task.classes)} classes of {name}" for name, task in tasks.items()),
        "images": len(views),
        "epochs": epochs,
        "seed": seed,
        "minutes": round(minutes),
        "accuracy": accuracies,
        "licence": "CC BY 4.0",
    }


def sgd(parameters: Iterable[nn.Parameter]) -> SGD:
    """Return SGD with momentum; weight decay for kernels and matrices only."""
    groups = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.ndim > 1].append(parameter)
    decays = [{"params": groups[True], "weight_decay": 5e-4}, {"params": groups[False], "weight_decay": 0.0}]
    return SGD(decays, lr=0.1, momentum=0.9, nesterov=True)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode, in which each batch norm is part of the convolution before it.

    After training, a batch norm multiplies each channel by a number and adds another; so does a convolution with other
    weights and another bias. Only pairs that follow each other in an `nn.Sequential` are folded, as in VGG; the layers
    behind move up, so that torchvision's ``vgg16_bn`` gets the names of its ``vgg16``. Outputs stay, up to rounding.
    """
    model = copy.deepcopy(model).eval()
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        layers: list[nn.Module] = []
        for layer in sequence:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
            else:
                layers.append(layer)
        del sequence[:]
        sequence.extend(layers)
    return model
