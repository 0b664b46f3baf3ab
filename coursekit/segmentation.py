"""A class for every pixel: measures, a loss for rare classes, a U-Net; and the pictures that a unit answers to.

Notebook 08 builds each of these on the page. Labels are int64 ``[N, H, W]``, logits ``[N, classes, H, W]``; layers are
named as in ``model.named_modules()``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit import arguments
from coursekit.attribution import gradient, maps_of, prepare, watched
from coursekit.resnet import layers_of, stages
from coursekit.training.forward import copied

RULES = ("gradient", "deconvnet", "guided")
_UP = 48, 32, 24, 16  # channels of the decoder's blocks


def scores(predicted: Tensor, truth: Tensor, classes: int) -> dict[str, Any]:
    """Return how well labels of pixels agree, counted over all pixels of all pictures together.

    Both are whole numbers of one shape, from 0 to ``classes - 1``; else there is a ValueError. Where some pixels have
    no true label, give the others: ``scores(predicted[known], truth[known], classes)``.

    The dict holds "pixel accuracy", "mean IoU", "mean Dice", and for each class, as lists, "recall", "IoU" and "Dice".
    A class that neither of the two has is NaN, and left out of the means.
    """
    arguments.whole("classes", classes)
    for name, labels in (("predicted", predicted), ("truth", truth)):
        arguments.tensor(name, labels, "[N, H, W]")
        if labels.is_floating_point() or labels.shape != truth.shape:
            raise ValueError(
                f"{name} must be whole numbers of the shape of the truth, {list(truth.shape)}, not {labels.dtype} "
                f"{list(labels.shape)}. From logits: logits.argmax(dim=1)"
            )
        if labels.numel() and not (labels.min() >= 0 and labels.max() < classes):
            raise ValueError(
                f"{name} has labels from {labels.min()} to {labels.max()}; there are {classes} classes. Where pixels "
                "have no label, leave them out: scores(predicted[known], truth[known], classes)"
            )
    # On the CPU, since not every device has float64.
    pairs = truth.cpu().long().flatten() * classes + predicted.cpu().long().flatten()
    table = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()  # rows: truth
    right, true, claimed = table.diag(), table.sum(dim=1), table.sum(dim=0)
    by_class = {"recall": right / true, "IoU": right / (true + claimed - right), "Dice": 2 * right / (true + claimed)}
    means = {f"mean {name}": by_class[name].nanmean().item() for name in ("IoU", "Dice")}
    whole = {"pixel accuracy": (right.sum() / table.sum()).item()}
    return whole | means | {name: values.tolist() for name, values in by_class.items()}


def border(labels: Tensor, width: int = 1) -> Tensor:
    """Return which pixels have another label at most ``width`` pixels away (rows or columns): bool ``[N, H, W]``."""
    if arguments.tensor("labels", labels, "[N, H, W]").ndim != 3:
        raise ValueError(f"labels must be [N, H, W], not {list(labels.shape)}. One picture: labels[None]")
    side = 2 * arguments.whole("width", width) + 1
    values = labels[:, None].float()
    highest, lowest = (sign * F.max_pool2d(sign * values, side, stride=1, padding=width) for sign in (1, -1))
    return (highest != lowest)[:, 0]


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 minus the mean Dice of the classes, probabilities in place of decisions (Milletari et al., 2016).

    Sums go over the whole batch. Every class counts alike, however few pixels it has; one that the batch does not have
    adds the greatest loss, 1. Labels of another shape than the logits' ``[N, H, W]`` raise a ValueError.
    """
    if labels.shape != logits[:, 0].shape:
        raise ValueError(f"labels must be {list(logits[:, 0].shape)}, as the logits are, not {list(labels.shape)}.")
    p = logits.softmax(dim=1)
    true = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(p.dtype)
    both, sizes = (p * true).sum(dim=(0, 2, 3)), (p + true).sum(dim=(0, 2, 3))
    return 1 - (2 * both / sizes.clamp(min=1e-6)).mean()


class UNet(nn.Module):
    """An encoder of a ResNet's stages, a decoder, and skip connections (Ronneberger, Fischer and Brox, 2015).

    From normalized images ``[N, 3, H, W]``, H and W multiples of 32 (else there is a ValueError), to logits
    ``[N, classes, H, W]``. The decoder's last maps, ``decode(encode(images))``, have half of the height and width.

    Parameters
    ----------
    resnet : nn.Module
        In torchvision's layout, as of `pretrained.resnet18`, of any width; it is copied, and stays as it is.
    classes : int
    skips : bool
        Whether blocks of the decoder get the encoder's maps of their size.
    """

    def __init__(self, resnet: nn.Module, classes: int, *, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips
        self.down, (*sides, inputs) = stages(layers_of(resnet))
        self.up = nn.ModuleList()
        for side, channels in zip(reversed(sides), _UP, strict=True):
            self.up.append(nn.Sequential(*_conv(inputs + skips * side, channels), *_conv(channels, channels)))
            inputs = channels
        self.head = nn.Conv2d(inputs, arguments.whole("classes", classes), 1)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the five stages, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""
        if any(side % 32 for side in images.shape[-2:]):
            raise ValueError(f"images must have sides that are multiples of 32, not {list(images.shape[-2:])}.")
        maps = []
        for stage in self.down:
            images = stage(images)
            maps.append(images)
        return maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Return the decoder's last maps, at half the size of the images."""
        *sides, x = maps
        for block, side in zip(self.up, reversed(sides), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = block(torch.cat([x, side], dim=1) if self.skips else x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at the size of the images."""
        return F.interpolate(self.head(self.decode(self.encode(images))), scale_factor=2, mode="bilinear")


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


class _Rectify(torch.autograd.Function):
    """A ReLU whose way back follows one of the `RULES`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: str, top: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule, ctx.top = rule, top
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        if ctx.rule != "deconvnet":
            slope = slope * ((x > 0) & (x < ctx.top))
        return (slope if ctx.rule == "gradient" else slope.clamp(min=0)), None, None


class _Rectifier(nn.Module):
    def __init__(self, rule: str, top: float) -> None:
        super().__init__()
        self.rule, self.top = rule, top

    def forward(self, x: Tensor) -> Tensor:
        return _Rectify.apply(x, self.rule, self.top)  # pyright: ignore[reportReturnType]


@torch.inference_mode(False)
def backproject(
    model: nn.Module,
    images: Tensor,
    layer: str,
    channel: int,
    rule: str = "guided",
    place: tuple[int, int] | None = None,
) -> Tensor:
    """Return which pixels raise a channel, and which lower it: ``[N, C, H, W]`` on the CPU.

    Parameters
    ----------
    model : nn.Module
        Its ReLU and ReLU6 must be modules. It stays as it is. A ValueError says that there are none for a rule.
    images : Tensor
        Normalized, ``[N, C, H, W]``.
    layer, channel : str, int
        A layer with maps ``[N, K, h, w]``, and one of its K channels.
    rule : {"gradient", "deconvnet", "guided"}
        What a ReLU lets back: where its input was positive; what is positive itself (Zeiler and Fergus, 2014); both
        (Springenberg et al., 2015).
    place : (int, int), optional
        Row and column in the layer's maps; by default where the channel is strongest in each picture.
    """
    if rule not in RULES:
        raise ValueError(f"there is no rule {rule!r}; there are {', '.join(RULES)}.")
    model, images = prepare(model, images)
    model = copied(model)
    parts = list(model.named_modules(remove_duplicate=False))  # one ReLU may stand in several places
    rectifiers = {name: part for name, part in parts if isinstance(part, nn.ReLU | nn.ReLU6)}
    if rule != "gradient" and not rectifiers:
        raise ValueError(f"the rule {rule!r} is about nn.ReLU and nn.ReLU6, and the model has none as a module.")
    for name, part in rectifiers.items():
        model.set_submodule(name, _Rectifier(rule, 6.0 if isinstance(part, nn.ReLU6) else torch.inf))
    images = images.detach().clone().requires_grad_()
    with torch.enable_grad(), watched(model, [layer]) as seen:
        model(images)
        maps = maps_of(seen, layer)[:, channel]
        value = maps.amax(dim=(1, 2)) if place is None else maps[:, place[0], place[1]]
        return gradient(value.sum(), images, layer).detach().cpu()
