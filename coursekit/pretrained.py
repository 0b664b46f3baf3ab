"""Networks that have learned something before: thin ones that come with the course, ImageNet's on the full profile.

`load` gives a network for the profile in force; `vgg16` and `resnet18` build untrained ones of any width, in
torchvision's layout. ``python -m tools.pretraining`` trains and stores those that come with the course.

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

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

import coursekit
from coursekit import arguments, runtime
from coursekit.data.downloads import fetch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels: what all these networks expect
CARDS = "cards.json"
_HERE = Path(coursekit.__file__).parent
FOLDERS = (_HERE / "_data" / "weights", _HERE.parent / "data" / "weights")  # in a wheel, in the repository


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
        TypeError, ValueError
            If they are not floats, have not three channels, or values outside 0..1, as normalized images have.
        """
        if not arguments.tensor("images", images, "[..., 3, H, W]").is_floating_point():
            raise TypeError(f"images must be floats in 0..1, not {images.dtype}. From bytes: images.float() / 255")
        if images.ndim < 3 or images.shape[-3] != 3:
            last = images.ndim > 2 and images.shape[-1] == 3
            advice = "Channels last: images.movedim(-1, -3)" if last else "From gray: images.expand(-1, 3, -1, -1)"
            raise ValueError(f"images must be [..., 3, H, W], not {list(images.shape)}. {advice}")
        if images.numel():
            low, high = (extreme.item() for extreme in images.aminmax())
            if not (low >= -1e-3 and high <= 1 + 1e-3):  # so that NaN is refused, too
                raise ValueError(
                    f"images must lie in 0..1, these go from {low:.3g} to {high:.3g}. Divide bytes by 255; "
                    "images that are normalized already are not to be normalized again."
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

    ``data/README.md`` has the cards of the thin ones. ImageNet's are downloaded once from torchvision, 528 MB for
    VGG16 (Simonyan and Zisserman, 2014) and 45 MB for ResNet18 (He, Zhang, Ren and Sun, 2015). Both have torchvision's
    layout, so that their parts have the same names.

    Parameters
    ----------
    name : {"vgg16", "resnet18"}

    Raises
    ------
    ValueError
        If there is no such network.
    WeightsError, DownloadError
        If the file is missing, damaged or cannot be had, with what to do.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no pretrained network {name!r}. There are: {', '.join(NETWORKS)}.")
    if runtime.profile() == "full":
        return _imagenet(name)
    weights, card = read_weights(name)
    model = NETWORKS[name](**card["layout"])
    model.load_state_dict(weights)
    mean, std = tuple(card["mean"]), tuple(card["std"])
    return Pretrained(model.eval(), tuple(card["classes"]), card["size"], mean, std, card["source"])


def _imagenet(name: str) -> Pretrained:
    weights = _IMAGENET[name]
    file = weights.url.rsplit("/", 1)[1]
    digits = file.removesuffix(".pth").rsplit("-", 1)[1]  # torchvision's names end in the checksum's first digits
    path = fetch(weights.url, runtime.cache_dir() / "weights" / file, sha256=digits)
    model = NETWORKS[name]()
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # torch's own errors advise to trust the file
        raise WeightsError(f"{path} holds no weights of {name}. Delete it and run this again.") from None
    return Pretrained(model.eval(), tuple(weights.meta["categories"]), 224, MEAN, STD, "ImageNet, through torchvision")


def vgg16(
    width: float = 1.0, classes: int = 1000, *, batch_norm: bool = False, pooled: int = 7, hidden: int | None = None
) -> nn.Module:
    """Return an untrained VGG16 (Simonyan and Zisserman, 2014), from ``[N, 3, H, W]`` to logits ``[N, classes]``.

    It has the names of `torchvision.models.vgg16`: ``features``, ``avgpool`` and ``classifier``. With the defaults it
    takes its weights: 138,357,544 parameters. Images are at least 32 x 32.

    Parameters
    ----------
    width : float, default 1.0
        Factor for the channels of every layer, 0 < width <= 4. The three input channels stay.
    classes : int, default 1000
        Outputs of the last layer.
    batch_norm : bool, default False
        Put a batch norm after each convolution, as `torchvision.models.vgg16_bn` does.
    pooled : int, default 7
        ``avgpool`` makes maps of this height and width, whatever the image's size.
    hidden : int, optional
        Units of the two hidden layers of ``classifier``; 4096 times the width if not given.
    """
    features = _channels(512, width)
    hidden = _channels(4096, width) if hidden is None else hidden
    arguments.whole("classes", classes)
    make = torchvision.models.vgg16_bn if batch_norm else torchvision.models.vgg16
    with torch.device("meta"):  # no memory for the 138 million weights that are thrown away
        model = make(weights=None, init_weights=False)
    model.avgpool = nn.AdaptiveAvgPool2d(pooled)
    model.classifier[0] = nn.Linear(features * pooled**2, hidden)
    model.classifier[3] = nn.Linear(hidden, hidden)
    model.classifier[6] = nn.Linear(hidden, classes)
    _narrow(model.features, width)
    return model


def resnet18(width: float = 1.0, classes: int = 1000) -> nn.Module:
    """Return an untrained ResNet18 (He, Zhang, Ren and Sun, 2015), from ``[N, 3, H, W]`` to logits ``[N, classes]``.

    It has the names of `torchvision.models.resnet18`: ``conv1``, ``bn1``, ``layer1`` to ``layer4``, ``fc``. With the
    defaults it takes its weights: 11,689,512 parameters. `vgg16` explains width and classes.
    """
    with torch.device("meta"):
        model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Linear(_channels(512, width), arguments.whole("classes", classes))
    _narrow(model, width)
    return model


NETWORKS: dict[str, Callable[..., nn.Module]] = {"vgg16": vgg16, "resnet18": resnet18}
_IMAGENET = {
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
    "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
}


def _channels(count: int, width: float) -> int:
    if not 0 < width <= 4:
        raise ValueError(f"width must be above 0 and at most 4, not {width!r}.")
    return max(1, round(count * width))


def _narrow(model: nn.Module, width: float) -> None:
    """Put layers of the scaled number of channels in place of those on the device "meta"; initialize them."""
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            new = nn.BatchNorm2d(_channels(layer.num_features, width), layer.eps, layer.momentum)
        elif isinstance(layer, nn.Conv2d):
            inputs = 3 if layer.in_channels == 3 else _channels(layer.in_channels, width)
            outputs = _channels(layer.out_channels, width)
            how: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding")}
            new = nn.Conv2d(inputs, outputs, bias=layer.bias is not None, **how)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
            if new.bias is not None:
                nn.init.zeros_(new.bias)
        else:
            continue
        model.set_submodule(path, new)


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
