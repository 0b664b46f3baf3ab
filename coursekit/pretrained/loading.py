"""Pretrained networks for the profile in force: thin ones that come with the course, or ImageNet's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torchvision
from torch import Tensor, nn

from coursekit import runtime
from coursekit.data.downloads import fetch
from coursekit.pretrained import store, widths

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels: what all these networks expect
NETWORKS: dict[str, Callable[..., nn.Module]] = {"vgg16": widths.vgg16, "resnet18": widths.resnet18}
_IMAGENET = {
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
    "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
}


@dataclass(frozen=True, repr=False)
class Pretrained:
    """A trained network, and what one must know to use it.

    Attributes
    ----------
    model : nn.Module
        In eval mode, on the CPU. From normalized images ``[N, 3, H, W]`` to logits ``[N, classes]``.
    classes : tuple of str
        The name of each output.
    size : int
        Height and width in pixels of the images that it was trained on.
    mean, std : tuple of float
        Of the red, green and blue pixels it was trained on, in 0..1: see `normalize`.
    source : str
        What it was trained on, and by whom.
    """

    model: nn.Module
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str

    def normalize(self, images: Tensor) -> Tensor:
        """Return images ``[..., 3, H, W]`` in 0..1 in the form the network expects: minus mean, over std.

        Raises
        ------
        TypeError
            If they are not floats.
        ValueError
            If they do not have three channels.
        """
        if not isinstance(images, Tensor) or not images.is_floating_point():
            found = str(images.dtype) if isinstance(images, Tensor) else type(images).__name__
            raise TypeError(f"images must be floats in 0..1, not {found}. From bytes: images.float() / 255")
        if images.ndim < 3 or images.shape[-3] != 3:
            raise ValueError(
                f"images must be [..., 3, H, W], not {list(images.shape)}. From gray: images.expand(-1, 3, -1, -1)"
            )
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (images - mean) / std

    def __repr__(self) -> str:
        """Describe the network in one line."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        kind = type(self.model).__name__
        return f"{kind} with {count:,} parameters, {len(self.classes)} classes, {self.size} pixels; {self.source}"


def load(name: str) -> Pretrained:
    """Return a pretrained network: thin on the mini profile, ImageNet's on the full one.

    ==============  =====================================  ==========================================
    name            mini, comes with the course            full, downloaded once from torchvision
    ==============  =====================================  ==========================================
    ``vgg16``       see its card in ``data/README.md``     528 MB (Simonyan and Zisserman, 2014)
    ``resnet18``    see its card in ``data/README.md``     45 MB (He, Zhang, Ren and Sun, 2015)
    ==============  =====================================  ==========================================

    Parameters
    ----------
    name : str
        The left column. Both have torchvision's layout, so that their parts have the same names on both profiles.

    Raises
    ------
    ValueError
        If there is no such network.
    WeightsError
        If the file that came with the course is missing or damaged.
    DownloadError
        On the full profile, if the weights cannot be had, with what to do.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no pretrained network {name!r}. There are: {', '.join(NETWORKS)}.")
    if runtime.profile() == "full":
        return _imagenet(name)
    weights, card = store.read(name)
    model = NETWORKS[name](**card["layout"])
    model.load_state_dict(weights)
    mean, std = tuple(card["mean"]), tuple(card["std"])
    return Pretrained(model.eval(), tuple(card["classes"]), card["size"], mean, std, card["source"])


def _imagenet(name: str) -> Pretrained:
    weights = _IMAGENET[name]
    file = weights.url.rsplit("/", 1)[1]
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", file)[1]  # torchvision's names end in the checksum's first digits
    path = fetch(weights.url, runtime.cache_dir() / "weights" / file, sha256=digits)
    model = NETWORKS[name]()
    model.load_state_dict(store.read_torch(path))
    return Pretrained(model.eval(), tuple(weights.meta["categories"]), 224, MEAN, STD, "ImageNet, through torchvision")
