"""Looking inside a network: what its layers give, where it looks, what a channel likes to see, and how right that is.

Nothing here changes a network: not its weights, gradients, running statistics, modes, nor its device. Images come as
the model wants them, ``[N, C, H, W]``; layers are named as in ``model.named_modules()``, such as ``"features.4"``. A
layer that does not run exactly once in the forward pass is refused, as are gradients that the model cuts off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from coursekit import arguments
from coursekit.training.forward import eval_mode


def activations(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return what layers give for a batch of images, by forward hooks: name of the layer to its output, on the CPU."""
    model, images = prepare(model, images)
    layers = [layers] if isinstance(layers, str) else list(layers)
    with torch.no_grad(), watched(model, layers) as seen:
        model(images)
        _check_seen(seen, layers)
    return {layer: seen[layer].detach().cpu() for layer in layers}


@torch.inference_mode(False)
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
    layer : str
        A layer with outputs ``[N, K, h, w]``; late ones say more about what, early ones more about where.
    classes : int, or one per image, optional
        For which class; the network's own answer if not given. With one logit: 1 for it, 0 against it.

    Returns
    -------
    Tensor
        ``[N, H, W]`` on the CPU, from 0 to 1 in each image; all 0 where nothing speaks for the class.
    """
    model, images = prepare(model, images)
    with torch.enable_grad(), watched(model, [layer]) as seen:
        # A gradient of its own for the images lets a frozen network have gradients too.
        logits = model(images.detach().clone().requires_grad_())
        maps = maps_of(seen, layer)
        slopes = gradient(_chosen(logits, classes).sum(), maps, layer)
    heat = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu().detach()
    heat = F.interpolate(heat.float(), images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    highest = heat.amax(dim=(1, 2), keepdim=True)
    return (heat / highest.where(highest > 0, torch.ones_like(highest))).cpu()


@torch.inference_mode(False)
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
    """Return a picture ``[3, size, size]`` that a channel likes: gradient ascent from noise (Erhan et al., 2009).

    Before each step the picture is shifted by up to 4 pixels, and every few steps it is blurred a little; without that
    the channel finds patterns that no eye can read. The same seed gives the same picture; it is in 0..1, on the CPU.

    Parameters
    ----------
    model : nn.Module
        From normalized images ``[N, 3, H, W]``.
    layer, channel : str, int
        Whose mean activation is to be large.
    size : int, default 64
        Height and width in pixels.
    steps, rate : int, float
        How many steps; how long, in units of 0..1, the gradient scaled to a mean square of 1.
    mean, std : three floats
        The normalization of the network, as in `Pretrained`.
    """
    model, like = _unwrapped(model)
    center, spread = (torch.tensor(values).to(like)[:, None, None] for values in (mean, std))
    generator = torch.Generator().manual_seed(int(seed))
    picture = (0.5 + 0.05 * torch.randn(3, size, size, generator=generator)).to(like)
    with torch.enable_grad(), watched(model, [layer]) as seen:
        for step in range(steps):
            shift = torch.randint(-4, 5, (2,), generator=generator).tolist()
            picture = picture.roll(shift, dims=(1, 2)).detach().requires_grad_()
            seen.clear()
            model(((picture - center) / spread)[None])
            _check_seen(seen, [layer])
            if not 0 <= channel < seen[layer].shape[1]:
                raise ValueError(f"layer {layer!r} has channels 0 to {seen[layer].shape[1] - 1}, not {channel}.")
            slope = gradient(seen[layer][:, channel].mean(), picture, layer)
            with torch.no_grad():
                picture = picture + rate * slope / slope.square().mean().sqrt().clamp(min=1e-12)
                if step % 4 == 0 and step < steps - 4:
                    picture = gaussian_blur(picture, [3, 3], [0.6, 0.6])
                picture = picture.clamp(0, 1).roll([-shift[0], -shift[1]], dims=(1, 2))
    return picture.detach().float().cpu()


def hottest(cams: Tensor) -> Tensor:
    """Return row and column of the hottest pixel of each heat map ``[N, H, W]``, as int64 ``[N, 2]``."""
    _check(cams)
    where = cams.flatten(1).argmax(dim=1)
    return torch.stack([where // cams.shape[2], where % cams.shape[2]], dim=1)


def pointing_game(cams: Tensor, masks: Tensor) -> float:
    """Return the share of heat maps ``[N, H, W]`` whose hottest pixel lies on the object (Zhang et al., 2016).

    ``masks``, bool ``[N, H, W]``, say where that is. A map that is 0 everywhere points at nothing, and is a miss.
    """
    _check(cams, masks)
    points = hottest(cams)
    hits = masks[torch.arange(len(masks)), points[:, 0], points[:, 1]] & (cams.amax(dim=(1, 2)) > 0)
    return hits.float().mean().item()


def energy_inside(cams: Tensor, masks: Tensor) -> float:
    """Return the mean share of a heat map that lies on the object (Wang et al., 2020); shapes as `pointing_game`."""
    _check(cams, masks)
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
    y, x = torch.meshgrid(*(torch.arange(length) + 0.5 for length in size), indexing="ij")
    masks = torch.zeros(len(points), *size, dtype=torch.bool)
    for mask, places in zip(masks, points, strict=True):
        for px, py in places:
            mask |= (x - px) ** 2 + (y - py) ** 2 <= radius**2
    return masks


@contextmanager
def watched(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of layers in eval mode; copies, since a ReLU in place would write into them."""
    modules = {name.replace("_orig_mod.", ""): part for name, part in model.named_modules(remove_duplicate=False)}
    unknown = [layer for layer in layers if not layer or layer not in modules]
    if unknown or not layers:
        some = [name for name in modules if name][:8]
        raise ValueError(f"there is no layer {', '.join(map(repr, unknown)) or '(none given)'}. Some of them: {some}.")
    seen: dict[str, Tensor] = {}

    def keep(layer: str, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(f"layer {layer!r} gives a {type(output).__name__}, not a tensor.")
        if layer in seen:
            raise ValueError(f"layer {layer!r} runs more than once; make a layer of its own for each place.")
        seen[layer] = output
        return output.clone()  # what comes behind works on the copy

    hooks = {layer: lambda module, inputs, output, layer=layer: keep(layer, output) for layer in layers}
    handles = [modules[layer].register_forward_hook(hook) for layer, hook in hooks.items()]
    # Hooks inside compiled code are not called, so it runs as it was written.
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    try:
        with eval_mode(model), eager:
            yield seen
    finally:
        for handle in handles:
            handle.remove()


def _check_seen(seen: dict[str, Tensor], layers: Sequence[str]) -> None:
    if missing := [layer for layer in layers if layer not in seen]:
        raise ValueError(f"the model has, but does not use, the layer {', '.join(map(repr, missing))}.")


def maps_of(seen: dict[str, Tensor], layer: str) -> Tensor:
    """Return the maps ``[N, K, h, w]`` that a layer gave; ValueError if it gave something else."""
    _check_seen(seen, [layer])
    if seen[layer].ndim != 4:
        raise ValueError(f"layer {layer!r} gives {list(seen[layer].shape)}; maps [N, K, h, w] are needed here.")
    return seen[layer]


def gradient(value: Tensor, where: Tensor, layer: str) -> Tensor:
    """Return the gradient of a number; ValueError if the model cuts it off."""
    tracked = value.requires_grad and where.requires_grad
    (found,) = torch.autograd.grad(value, where, allow_unused=True) if tracked else (None,)
    if found is None:
        raise ValueError(f"no gradient gets through at layer {layer!r}: the forward uses torch.no_grad() or detach().")
    return found


def _chosen(logits: Tensor, classes: int | Sequence[int] | Tensor | None) -> Tensor:
    if not isinstance(logits, Tensor):
        raise TypeError(f"the model must return one tensor, its logits, not {type(logits).__name__}.")
    logits = logits[:, None] if logits.ndim == 1 else logits
    if logits.ndim != 2:
        raise ValueError(f"the model must give logits [N, classes], not {list(logits.shape)}.")
    if logits.shape[1] == 1:  # one logit stands for two classes
        logits = torch.cat([-logits, logits], dim=1)
    classes = logits.argmax(dim=1) if classes is None else arguments.as_tensor(classes).to(logits.device)
    classes = classes.expand(len(logits)) if classes.ndim == 0 else classes
    wanted = range(logits.shape[1])
    if classes.shape != (len(logits),) or not all(label in wanted for label in classes.tolist()):
        raise ValueError(f"classes must be one whole number, or {len(logits)}, each from 0 to {wanted[-1]}.")
    classes = classes.long()
    return logits.gather(1, classes[:, None])


def _unwrapped(model: nn.Module) -> tuple[nn.Module, Tensor]:
    """Return a model, out of its wrapping if it is compiled, and a tensor of its device and type of numbers."""
    model = getattr(arguments.module(model), "_orig_mod", model)
    return model, next((p.detach() for p in model.parameters() if p.is_floating_point()), torch.empty(0))


def prepare(model: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """Return a model out of its wrapping, and images of its device and type of numbers, after a look at them."""
    model, like = _unwrapped(model)
    arguments.tensor("images", images, "[N, C, H, W]", floats=True)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"images must be a batch [N, C, H, W], not {list(images.shape)}. One image: image[None]")
    if not torch.isfinite(images).all():
        raise ValueError("images hold values that are not finite (NaN or infinite).")
    return model, images.to(like)


def _check(cams: Tensor, masks: Tensor | None = None) -> None:
    if arguments.tensor("cams", cams, "[N, H, W]").ndim != 3 or not (cams >= 0).all():
        raise ValueError(f"cams must be [N, H, W] without negative numbers or NaN; the shape is {list(cams.shape)}.")
    if masks is not None and (masks.shape != cams.shape or masks.dtype != torch.bool):
        raise ValueError(f"masks must be bool {list(cams.shape)} like cams, not {masks.dtype} {list(masks.shape)}.")
