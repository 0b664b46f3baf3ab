"""How the thin networks that come with the course were trained: ``python -m tools.pretraining --help``.

The source has no cat and no dog in it: 18 other species of critters, and CIFAR-10's eight other classes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.transforms.v2 import functional

from coursekit import critters, data, pretrained, training
from coursekit.data import ImageSet
from tools.pretraining.folding import fold_batch_norm
from tools.pretraining.views import Views

TARGETS = ("cat", "dog")  # what the course transfers to: never part of the source
LAYOUTS = {
    "vgg16": {"width": 0.25, "pooled": 1, "hidden": 256},  # the lecture's classifier would be six times the features
    "resnet18": {"width": 0.25},
}
SIZES = {"vgg16": (48, 64, 64), "resnet18": (64, 96, 96)}  # of the views, in pixels


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
    name: str,
    tasks: dict[str, data.Splits],
    *,
    epochs: int = 12,
    seed: int = 0,
    rate: float = 0.1,
    batch_size: int = 128,
    sizes: Sequence[int] | None = None,
    autosave: str | Path | None = None,
) -> tuple[nn.Module, dict]:
    """Train a thin network on the source tasks; return it, batch norm folded where the lecture has none, and its card.

    ``tasks`` come from `source`; ``sizes`` are those of the views, `SIZES` if not given; ``autosave`` is a file from
    which an interrupted training goes on. The highest learning rate ``rate`` is right for the 5,000 steps of the whole
    source; for some dozen steps it is too high: the loss rises again, or running statistics lag behind.
    """
    sizes = sizes or SIZES[name]
    views = Views([task.train for task in tasks.values()], sizes, normalize)
    torch.manual_seed(seed)
    layout = LAYOUTS[name] | {"classes": len(views.classes)}
    model = pretrained.NETWORKS[name](**layout, **({"batch_norm": True} if name == "vgg16" else {}))
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.2  # half is too much for layers as small as these
    start = time.perf_counter()
    training.fit(
        model,
        views.loader(batch_size, seed),
        epochs=epochs,
        optimizer=sgd,
        scheduler=partial(OneCycleLR, max_lr=rate, pct_start=0.2),
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
    for task in tasks.values():
        accuracies[task.name] = round(accuracy(model, task.test, max(sizes), first), 3)
        first += len(task.classes)
    card = {
        "layout": layout,
        "classes": list(views.classes),
        "size": max(sizes),
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
    return model, card


def normalize(images: Tensor) -> Tensor:
    """Return images in 0..1 minus ImageNet's mean, over its standard deviation."""
    return functional.normalize(images, list(pretrained.MEAN), list(pretrained.STD))


def sgd(parameters: Sequence[nn.Parameter]) -> SGD:
    """Return SGD with momentum; weight decay for kernels and matrices only."""
    parameters = list(parameters)
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    return SGD(groups, lr=0.1, momentum=0.9, nesterov=True)


@torch.no_grad()
def accuracy(model: nn.Module, part: ImageSet, size: int, first: int) -> float:
    """Return the share of images whose largest logit, among all classes of all tasks, is the right one."""
    right = 0
    for batch in torch.arange(len(part)).split(250):
        images = functional.resize(part.images[batch].float() / 255, [size, size])
        right += int((model(normalize(images)).argmax(dim=1) == part.labels[batch] + first).sum())
    return right / len(part)
