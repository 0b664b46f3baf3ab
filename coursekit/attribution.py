"""Looking inside a network: what its layers give, where it looks, what a channel likes to see, and how right that is.

Nothing here changes a network: not its weights, its gradients, its running statistics, nor its mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from coursekit import arguments
from coursekit.training.forward import eval_mode


def activations(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return what layers give for a batch of images, by forward hooks.

    Parameters
    ----------
    model : nn.Module
        It runs in eval mode, on its own device.
    images : Tensor
        ``[N, C, H, W]``, as the model wants them.
    layers : sequence of str
        Names as in ``model.named_modules()``, such as ``"features.4"`` or ``"layer1.0.conv2"``.

    Returns
    -------
    dict
        Layer to its output, on the CPU.

    Raises
    ------
    TypeError, ValueError
        If a layer does not exist or is not used, or the images are no batch of finite floats.
    """
    images = _check_images(model, images)
    layers = [layers] if isinstance(layers, str) else list(layers)
    with torch.no_grad(), eval_mode(model), _outputs(model, layers) as seen:
        model(images)
    _check_seen(seen, layers)
    return {layer: seen[layer].detach().cpu() for layer in layers}


def grad_cam(
    model: nn.Module, images: Tensor, layer: str, classes: int | Sequence[int] | Tensor | None = None
) -> Tensor:
    """Return a heat map per image: where a layer supports the network's answer (Selvaraju et al., 2017).

    Each channel of the layer is weighted by the mean gradient of the class's logit; the weighted sum, its negative part
    cut off, is stretched over the image. Behind a global average pool and one linear layer it is the class activation
    map of Zhou et al. (2016).

    Parameters
    ----------
    model : nn.Module
        From images to logits ``[N, classes]``, or to one logit ``[N, 1]`` or ``[N]`` of two classes.
    images : Tensor
        ``[N, C, H, W]``, as the model wants them.
    layer : str
        A layer with outputs ``[N, K, h, w]``; late ones say more about what, early ones more about where.
    classes : int, or one per image, optional
        For which class; the network's own answer if not given. With one logit: 1 for it, 0 against it.

    Returns
    -------
    Tensor
        ``[N, H, W]`` on the CPU, from 0 to 1 in each image; all 0 where nothing speaks for the class.

    Raises
    ------
    TypeError, ValueError
        If the layer does not exist or has no maps, a class is out of range, or the images are no batch.
    """
    images = _check_images(model, images)
    with torch.enable_grad(), eval_mode(model), _outputs(model, [layer]) as seen:
        # A gradient of its own for the images lets a frozen network have gradients too.
        logits = model(images.detach().clone().requires_grad_())
        _check_seen(seen, [layer])
        maps = seen[layer]
        if maps.ndim != 4:
            raise ValueError(f"layer {layer!r} gives {list(maps.shape)}; Grad-CAM needs maps [N, K, h, w].")
        (slopes,) = torch.autograd.grad(_chosen(logits, classes).sum(), maps)
    heat = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu().detach()
    heat = F.interpolate(heat.float(), images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    highest = heat.amax(dim=(1, 2), keepdim=True)
    return (heat / highest.where(highest > 0, torch.ones_like(highest))).cpu()


def maximize(
    model: nn.Module,
    layer: str,
    channel: int,
    size: int = 64,
    *,
    steps: int = 60,
    rate: float = 0.05,
    seed: int = 0,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
) -> Tensor:
    """Return a picture that a channel likes: gradient ascent on the pixels, from noise (Erhan et al., 2009).

    Before each step the picture is shifted by up to 4 pixels, and every few steps it is blurred a little; without that
    the channel finds patterns that no eye can read.

    Parameters
    ----------
    model : nn.Module
        From normalized images ``[N, 3, H, W]``.
    layer, channel : str, int
        Whose mean activation is to be large.
    size : int, default 64
        Height and width in pixels, at least 16.
    steps : int, default 60
    rate : float, default 0.05
        Step in units of 0..1, the gradient scaled to a mean square of 1.
    seed : int, default 0
        Of noise and shifts; the same seed gives the same picture.
    mean, std : three floats
        The normalization of the network, as in `Pretrained`.

    Returns
    -------
    Tensor
        ``[3, size, size]`` on the CPU, in 0..1.

    Raises
    ------
    TypeError, ValueError
        If the layer or the channel does not exist, or a number is out of range.
    """
    for name, value, least in (("size", size, 16), ("steps", steps, 1), ("channel", channel, 0)):
        if not arguments.is_whole(value, least):
            raise ValueError(f"{name} must be a whole number from {least}, not {value!r}.")
    if not arguments.finite("rate", rate) > 0:
        raise ValueError(f"rate must be positive, not {rate!r}.")
    mean, std = (_three(name, values) for name, values in (("mean", mean), ("std", std)))
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, since the picture is divided by it, not {std}.")
    generator = torch.Generator().manual_seed(seed)
    device = _device(model)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (mean, std))
    picture = (0.5 + 0.05 * torch.randn(3, size, size, generator=generator)).to(device)
    with torch.enable_grad(), eval_mode(model), _outputs(model, [layer]) as seen:
        for step in range(steps):
            shift = torch.randint(-4, 5, (2,), generator=generator).tolist()
            picture = picture.roll(shift, dims=(1, 2)).detach().requires_grad_()
            model(((picture - mean) / std)[None])
            _check_seen(seen, [layer])
            if channel >= seen[layer].shape[1]:
                raise ValueError(f"layer {layer!r} has channels 0 to {seen[layer].shape[1] - 1}, not {channel}.")
            (slope,) = torch.autograd.grad(seen[layer][:, channel].mean(), picture)
            with torch.no_grad():
                picture = picture + rate * slope / slope.square().mean().sqrt().clamp(min=1e-12)
                if step % 4 == 0 and step < steps - 4:
                    picture = gaussian_blur(picture, 3, 0.6)
                picture = picture.clamp(0, 1).roll([-shift[0], -shift[1]], dims=(1, 2))
    return picture.detach().cpu()


def hottest(cams: Tensor) -> Tensor:
    """Return row and column of the hottest pixel of each heat map ``[N, H, W]``, as int64 ``[N, 2]``."""
    cams = _check_cams(cams)
    where = cams.flatten(1).argmax(dim=1)
    return torch.stack([where // cams.shape[2], where % cams.shape[2]], dim=1)


def pointing_game(cams: Tensor, masks: Tensor) -> float:
    """Return the share of heat maps whose hottest pixel lies on the object (Zhang et al., 2016).

    Parameters
    ----------
    cams : Tensor
        ``[N, H, W]``. A map that is 0 everywhere points at nothing, and is a miss.
    masks : Tensor
        bool ``[N, H, W]``: where the object is.
    """
    masks = _check_masks(cams, masks)
    points = hottest(cams)
    hits = masks[torch.arange(len(masks)), points[:, 0], points[:, 1]] & (cams.amax(dim=(1, 2)) > 0)
    return hits.float().mean().item()


def energy_inside(cams: Tensor, masks: Tensor) -> float:
    """Return the mean share of a heat map that lies on the object (Wang et al., 2020); shapes as `pointing_game`."""
    masks = _check_masks(cams, masks)
    total = cams.sum(dim=(1, 2))
    return ((cams * masks).sum(dim=(1, 2)) / total.clamp(min=1e-12)).mean().item()


def near(points: Sequence[Sequence[tuple[float, float]]], radius: float, size: tuple[int, int]) -> Tensor:
    """Return masks of what is near given points: bool ``[N, H, W]``, for scoring parts such as ears.

    Parameters
    ----------
    points : N lists of (x, y)
        In pixels, as in `critters.Critter.parts`: 0 is the edge, so the first pixel's centre is at 0.5. An empty list
        gives an empty mask.
    radius : float
        In pixels.
    size : (int, int)
        Height and width of the masks.
    """
    radius = arguments.real("radius", radius)
    if not radius > 0:
        raise ValueError(f"radius must be positive, not {radius!r}.")
    if not isinstance(size, Sequence) or len(size) != 2 or not all(arguments.is_whole(side, 1) for side in size):
        raise ValueError(f"size must be (height, width) in pixels, not {size!r:.80}.")
    y, x = torch.meshgrid(*(torch.arange(length) + 0.5 for length in size), indexing="ij")
    masks = torch.zeros(len(points), *size, dtype=torch.bool)
    for mask, places in zip(masks, points, strict=True):
        for px, py in places:
            mask |= (x - px) ** 2 + (y - py) ** 2 <= radius**2
    return masks


def _three(name: str, values: Sequence[float]) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 3:
        raise ValueError(f"{name} must be three numbers, of red, green and blue, not {values!r:.80}.")
    return [arguments.finite(name, value) for value in values]


@contextmanager
def _outputs(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of layers while the context lasts; copies, since a ReLU in place would write into them."""
    modules = dict(model.named_modules())
    unknown = [layer for layer in layers if layer not in modules or not layer]
    if unknown or not layers:
        some = [name for name in modules if name][:8]
        raise ValueError(f"there is no layer {', '.join(map(repr, unknown)) or '(none given)'}. Some of them: {some}.")
    seen: dict[str, Tensor] = {}
    handles = []

    def hook(layer: str):
        def keep(module: nn.Module, inputs: tuple, output: object) -> object:
            if not isinstance(output, Tensor):
                raise TypeError(f"layer {layer!r} gives a {type(output).__name__}, not a tensor.")
            seen[layer] = output
            return output.clone()  # what comes behind works on the copy

        return keep

    try:
        handles = [modules[layer].register_forward_hook(hook(layer)) for layer in layers]
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _check_seen(seen: dict[str, Tensor], layers: Sequence[str]) -> None:
    if missing := [layer for layer in layers if layer not in seen]:
        raise ValueError(f"the model has, but does not use, the layer {', '.join(map(repr, missing))}.")


def _chosen(logits: Tensor, classes: int | Sequence[int] | Tensor | None) -> Tensor:
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.ndim != 2:
        raise ValueError(f"the model must give logits [N, classes], not {list(logits.shape)}.")
    if logits.shape[1] == 1:  # one logit stands for two classes
        logits = torch.cat([-logits, logits], dim=1)
    if classes is None:
        classes = logits.argmax(dim=1)
    classes = arguments.as_tensor(classes).to(logits.device)
    if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
        raise TypeError(f"classes must be whole numbers, not {classes.dtype}.")
    classes = classes.long().expand(len(logits)) if classes.ndim == 0 else classes.long()
    if classes.shape != (len(logits),) or not ((classes >= 0) & (classes < logits.shape[1])).all():
        raise ValueError(f"classes must be one number, or {len(logits)}, each from 0 to {logits.shape[1] - 1}.")
    return logits.gather(1, classes[:, None])


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in arguments.module(model).parameters()), torch.device("cpu"))


def _check_images(model: nn.Module, images: Tensor) -> Tensor:
    device = _device(model)
    if not isinstance(images, Tensor) or not images.is_floating_point():
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a float tensor [N, C, H, W], not {found}.")
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be a batch [N, C, H, W], not {list(images.shape)}. One image: image[None]")
    if not torch.isfinite(images).all():
        raise ValueError("images hold values that are not finite (NaN or infinite).")
    return images.to(device)


def _check_cams(cams: Tensor) -> Tensor:
    if not isinstance(cams, Tensor) or cams.ndim != 3 or 0 in cams.shape:
        found = list(cams.shape) if isinstance(cams, Tensor) else type(cams).__name__
        raise ValueError(f"cams must be a tensor [N, H, W], one map per image, not {found}.")
    if not torch.isfinite(cams).all() or cams.min() < 0:
        raise ValueError("cams must be finite and not negative.")
    return cams


def _check_masks(cams: Tensor, masks: Tensor) -> Tensor:
    cams, masks = _check_cams(cams), arguments.as_tensor(masks)
    if masks.shape != cams.shape or masks.dtype != torch.bool:
        raise ValueError(f"masks must be bool {list(cams.shape)} like cams, not {masks.dtype} {list(masks.shape)}.")
    return masks
