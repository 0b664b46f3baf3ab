"""Networks that have learned something before: thin ones that come with the course, and those that know ImageNet.

`load` gives a network for the profile in force; `vgg16` and `resnet18` build untrained ones of any width, in
torchvision's layout. ``python -m tools.pretraining`` trains and stores the thin ones.

Stored weights are safetensors: tensors and text only, in half precision. ``cards.json`` beside them says of each what
it is and what its bytes must be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.models import WeightsEnum
from torchvision.transforms import v2

from coursekit import arguments, efficientnet, runtime
from coursekit.data.downloads import fetch
from coursekit.widths import resnet18, vgg16

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels: what all these networks expect
CARDS = "cards.json"
FOLDERS = tuple(folder / "weights" for folder in runtime.DATA)


class WeightsError(RuntimeError):
    """A file of weights is missing, damaged, or not the one that its card describes."""


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
    interpolation : str, default "bilinear"
        How photos were resized in its training.
    """

    model: nn.Module
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str
    interpolation: str = "bilinear"

    def normalize(self, images: Tensor) -> Tensor:
        """Return images ``[..., 3, H, W]`` in 0..1 in the form the network expects: minus mean, over std.

        Raises
        ------
        TypeError, ValueError
            If they are not floats, have not three channels, or values outside 0..1, as normalized images have.
        """
        _check_images(images)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (images - mean) / std

    def transforms(self) -> v2.Compose:
        """Return what makes the network's input ``[3, size, size]`` of a photo: array [H,W,3], tensor, or Pillow's.

        As ``weights.transforms()`` of torchvision: resize the shorter side to 8/7 of the size, cut out the middle,
        scale to 0..1, normalize.
        """
        shorter, how = round(self.size * 8 / 7), v2.InterpolationMode(self.interpolation)
        to_floats = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(self.mean, self.std)]
        return v2.Compose([_photo, v2.Resize(shorter, how), v2.CenterCrop(self.size), v2.ToPureTensor(), *to_floats])

    def __repr__(self) -> str:
        """Describe the network in one line."""
        count = sum(parameter.numel() for parameter in self.model.parameters())
        kind = type(self.model).__name__
        return f"{kind} with {count:,} parameters, {len(self.classes)} classes, {self.size} pixels; {self.source}"


def _check_images(images: Tensor) -> None:
    if not arguments.tensor("images", images, "[..., 3, H, W]").is_floating_point():
        raise TypeError(f"images must be floats in 0..1, not {images.dtype}. From bytes: images.float() / 255")
    if images.ndim < 3 or images.shape[-3] != 3:
        last = images.ndim > 2 and images.shape[-1] == 3
        advice = "Channels last: images.movedim(-1, -3)" if last else "From gray: images.expand(-1, 3, -1, -1)"
        raise ValueError(f"images must be [..., 3, H, W], not {list(images.shape)}. {advice}")
    arguments.unit_range("images", images)


def _photo(photo: Any) -> Tensor:
    """Return a photo in any form as an image of torchvision's with three channels, of bytes or of floats in 0..1."""
    photo = photo.convert("RGB") if isinstance(photo, Image.Image) else photo
    photo = np.array(photo, order="C") if isinstance(photo, np.ndarray) else photo
    image = v2.functional.to_image(photo)
    image = image.expand(*image.shape[:-3], 3, -1, -1) if image.shape[-3] == 1 else image
    _check_images(image / 255 if image.dtype == torch.uint8 else image)
    return image


def load(name: str) -> Pretrained:
    """Return a pretrained network in torchvision's layout, so that its parts have the same names.

    VGG16 (Simonyan and Zisserman, 2014) and ResNet18 (He, Zhang, Ren and Sun, 2015) are thin on the mini profile:
    ``data/README.md`` has their cards. On the full one ImageNet's are downloaded once from torchvision, 528 MB and
    45 MB. EfficientNet-Lite0 (Tan and Le, 2019) knows ImageNet on both: its weights are an installed package.

    Parameters
    ----------
    name : {"vgg16", "resnet18", "efficientnet_lite0"}

    Raises
    ------
    ValueError
        If there is no such network.
    WeightsError, DownloadError
        If the file is missing, damaged or cannot be had, with what to do.
    ModuleNotFoundError
        If EfficientNet-Lite0's package is not installed.
    """
    if name == "efficientnet_lite0":
        return _efficientnet()
    if name not in NETWORKS:
        raise ValueError(
            f"there is no pretrained network {name!r}. There are: {', '.join(NETWORKS)}, efficientnet_lite0."
        )
    if runtime.profile() == "full":
        return _imagenet(name)
    model, card = load_thin(name)
    mean, std = tuple(card["mean"]), tuple(card["std"])
    return Pretrained(model, tuple(card["classes"]), card["size"], mean, std, card["source"])


def load_thin(name: str) -> tuple[nn.Module, dict]:
    """Return the thin network of a name that `load` takes, in eval mode, and its card, whatever the profile."""
    weights, card = read_weights(name)
    model = NETWORKS[name](**card["layout"])
    model.load_state_dict(weights)
    return model.eval(), card


def _efficientnet() -> Pretrained:
    try:
        model = efficientnet.load()
    except ValueError as error:
        raise WeightsError(str(error)) from None
    known = efficientnet.CLASSES, efficientnet.SIZE, efficientnet.MEAN, efficientnet.STD
    return Pretrained(model, *known, f"ImageNet, through {efficientnet.PACKAGE}", "bicubic")


def _imagenet(name: str) -> Pretrained:
    weights = _IMAGENET[name]
    model = read_torchvision(NETWORKS[name](), weights, name)
    return Pretrained(model, tuple(weights.meta["categories"]), 224, MEAN, STD, "ImageNet, through torchvision")


def read_torchvision(model: nn.Module, weights: WeightsEnum, name: str) -> nn.Module:
    """Read torchvision's weights into the network that is called ``name`` in errors; return it in eval mode.

    They are downloaded once. A file that holds others is a `WeightsError`.
    """
    file = weights.url.rsplit("/", 1)[1]
    digits = file.removesuffix(".pth").rsplit("-", 1)[1]  # torchvision's names end in the checksum's first digits
    path = fetch(weights.url, runtime.cache_dir() / "weights" / file, sha256=digits)
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # torch's own errors advise to trust the file
        raise WeightsError(f"{path} holds no weights of {name}. Delete it and run this again.") from None
    return model.eval()


NETWORKS: dict[str, Callable[..., nn.Module]] = {"vgg16": vgg16, "resnet18": resnet18}
_IMAGENET = {
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
    "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
}


def read_weights(name: str, where: Path | None = None) -> tuple[dict[str, Tensor], dict]:
    """Return stored weights of a folder (the package's if not given) in single precision, and their card.

    A missing card or file, and a file whose bytes are not those that the card promises, are a `WeightsError`.
    """
    where = where or weights_folder()
    cards = read_cards(where)
    if name not in cards:
        raise WeightsError(f"there are no weights called {name!r}. There are: {', '.join(sorted(cards))}.")
    path, card = where / f"{name}.safetensors", cards[name]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({error.strerror}). Get a fresh copy of the course.") from error
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise WeightsError(
            f"{path} is not the file that its card describes: it is damaged ({len(data):,} of {card['bytes']:,} bytes) "
            "or was replaced. Get a fresh copy of the course."
        )
    tensors = safetensors.torch.load(data)
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}, card


def stored_features(name: str = "cats_vs_dogs") -> tuple[TensorDataset, dict]:
    """Return features ``[N, K]`` and labels ``[N]`` that come with the course, and their card; else a `WeightsError`.

    ``python -m tools.features`` has computed them from photos, which are not part of the course.
    """
    tensors, card = read_weights(name, weights_folder().parent / "features")
    return TensorDataset(tensors["features"], tensors["labels"]), card


def weights_folder() -> Path:
    """Return the folder of the weights that came with the package, or raise `WeightsError` if it is not there."""
    for path in FOLDERS:
        if (path / CARDS).is_file():
            return path
    raise WeightsError(f"the weights of the course are missing: no {CARDS} in any of {', '.join(map(str, FOLDERS))}.")


def read_cards(where: Path | None = None) -> dict[str, dict]:
    """Return the cards by name: those of the package's own weights, or of another folder."""
    path = (where or weights_folder()) / CARDS
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path} ({error}). Get a fresh copy of the course.") from error
