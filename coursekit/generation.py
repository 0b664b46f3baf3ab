"""Networks that make pictures of 28 x 28, and a distance to score them by: what notebook 9 builds and shows."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit import arguments, pretrained

NAME, SIDE, STEPS, LATENT = "generation", 28, 200, 32


def load(name: str) -> nn.Module:
    """Return a network that the course has trained on its digits, in eval mode on the CPU; else raise WeightsError.

    ``"classifier"``, ``"generator"`` or ``"denoiser"``; ``python -m tools.train_generator`` trains them again.
    """
    makers = {"classifier": classifier, "generator": Generator, "denoiser": Denoiser}
    if name not in makers:
        raise ValueError(f"there is no stored network {name!r}; there are {', '.join(makers)}.")
    weights, _ = pretrained.read_weights(NAME)
    model = makers[name]()
    model.load_state_dict({key.removeprefix(f"{name}."): w for key, w in weights.items() if key.startswith(f"{name}.")})
    return model.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def classifier(classes: int = 10) -> nn.Sequential:
    """Return notebook 3's network, untrained; without its last layer it gives the features of `frechet`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


def frechet(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet distance of two Gaussians, fitted to features ``[N, K]`` and ``[M, K]``.

    It shrinks as N and M grow, so compare only with the same numbers of samples. Source: Heusel et al. (2017).
    A ValueError says if these are not features of at least two images each, as many for all.
    """
    a, b = (arguments.as_tensor(features).detach().cpu().double() for features in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        shapes = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"features must be [N, K] and [M, K], of two images or more, not {shapes}; flatten images.")
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features hold NaN or infinite values: look at the images, or at what made them.")
    first, second = a.T.cov(), b.T.cov()
    root = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()  # the trace of the matrix's root
    return float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * root)


class Generator(nn.Module):
    """From random numbers ``[N, 32]`` and classes ``[N]`` to images ``[N, 1, 28, 28]`` in -1..1."""

    def __init__(self, classes: int = 10, hidden: int = 192) -> None:
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            nn.Linear(LATENT + classes, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, SIDE**2), nn.Tanh(), nn.Unflatten(1, (1, SIDE, SIDE)),
        )  # fmt: skip

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Make one image of each wanted class."""
        return self.layers(torch.cat([z, F.one_hot(labels, self.classes)], dim=1))


class Block(nn.Module):
    """Two convolutions with a shortcut; between them the embedding scales and shifts each channel."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.scale_shift = nn.Linear(embedding, 2 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """From ``[N, inputs, H, W]`` and embeddings of step and class ``[N, embedding]`` to ``[N, outputs, H, W]``."""
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class Denoiser(nn.Module):
    """A small U-Net that says which noise is in an image; class number ``classes`` means that no class is told."""

    def __init__(self, width: int = 24, classes: int = 10) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("bars", alpha_bars(), persistent=False)
        self.time = nn.Sequential(nn.Linear(32, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))
        self.label = nn.Embedding(classes + 1, 2 * width)
        self.stem = nn.Conv2d(1, width, 4, stride=2, padding=1)
        self.first = Block(width, width, 2 * width)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.middle = nn.ModuleList([Block(2 * width, 2 * width, 2 * width) for _ in range(2)])
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.last = Block(2 * width, width, 2 * width)
        self.wide = nn.Conv2d(width, 8, 3, padding=1)
        self.out = nn.Conv2d(9, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """From noisy images ``[N, 1, 28, 28]``, steps ``[N]`` (1 to STEPS) and classes ``[N]`` to their noise."""
        angles = t[:, None] / STEPS * torch.pi * 2 ** torch.linspace(-1, 7, 16, device=x.device)
        embedding = F.silu(self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.label(labels))
        fine = self.first(self.stem(x), embedding)
        y = self.down(fine)
        for block in self.middle:
            y = block(y, embedding)
        y = self.last(torch.cat([self.up(F.interpolate(y, scale_factor=2)), fine], dim=1), embedding)
        y = F.silu(self.wide(F.interpolate(y, scale_factor=2)))
        bars = self.get_buffer("bars")[t][:, None, None, None]
        return (1 - bars).sqrt() * x + bars.sqrt() * self.out(torch.cat([y, x], dim=1))


def alpha_bars(steps: int = STEPS) -> Tensor:
    """Return which share of the image's variance is left after 0, 1, …, ``steps`` steps: 1 at first, then nearly 0.

    The betas are those of Ho, Jain and Abbeel (2020), for 1000 steps; with fewer steps, each is larger.
    """
    betas = torch.linspace(0.1, 20, steps) / steps
    return torch.cat([torch.ones(1), (1 - betas).cumprod(0)])


def denoising_loss(model: Denoiser, images: Tensor, labels: Tensor, dropped: float = 0.15) -> Tensor:
    """Return the squared error, over alpha bar, of the noise in images ``[N, 1, 28, 28]`` of 0..1.

    Classes are ``[N]``; a share ``dropped`` of them is not told, so that the network also learns to do without.
    """
    arguments.unit_range("images", images)
    t = torch.randint(1, STEPS + 1, labels.shape, device=images.device)
    bars = alpha_bars().to(images.device)[t][:, None, None, None]
    noise = torch.randn_like(images)
    labels = labels.where(torch.rand(labels.shape, device=images.device) >= dropped, model.classes)
    error = model(bars.sqrt() * (2 * images - 1) + (1 - bars).sqrt() * noise, t, labels) - noise
    return (error.square() / bars).mean()  # "velocity" weights: Salimans and Ho (2022)


@torch.no_grad()
def sample(
    model: Denoiser,
    labels: Tensor,
    *,
    steps: int = 20,
    guidance: float = 1.0,
    eta: float = 0.0,
    seed: int = 0,
    trace: list[tuple[int, Tensor, Tensor]] | None = None,
) -> Tensor:
    """Turn noise into images ``[N, 1, 28, 28]`` in -1..1 of the wanted classes ``[N]``, step by step.

    A ValueError says that there are not so many steps.

    Parameters
    ----------
    model : Denoiser
        In eval mode, on the device of the labels.
    steps : int
        How many of the STEPS steps are taken, evenly spaced (Song, Meng and Ermon, 2021).
    guidance : float
        0: no class is told; 1: it is told; more: the difference between both is enlarged (Ho and Salimans, 2022).
    eta : float
        How much new noise each step adds: 0 none (DDIM), 1 as much as DDPM.
    seed : int
        Of the noise, which is drawn on the CPU: the same on all devices.
    trace : list, optional
        Gets ``(t, image, guess of the clean image)`` of each step.
    """
    if not 1 <= steps <= STEPS:
        raise ValueError(f"steps must be a number from 1 to {STEPS}, not {steps}.")
    bars, random = alpha_bars().tolist(), torch.Generator().manual_seed(int(seed))
    x = torch.randn(len(labels), 1, SIDE, SIDE, generator=random).to(labels.device)
    unconditional = torch.full_like(labels, model.classes)
    times = torch.linspace(STEPS, 0, steps + 1).round().int().tolist()
    for now, then in pairwise(times):
        t = torch.full_like(labels, now)
        noise = model(x, t, labels if guidance else unconditional)
        if guidance not in (0, 1):
            without = model(x, t, unconditional)
            noise = without + guidance * (noise - without)
        bar, before = bars[now], bars[then]
        clean = ((x - (1 - bar) ** 0.5 * noise) / bar**0.5).clamp(-1, 1)
        if trace is not None:
            trace.append((now, x, clean))
        sigma = eta * ((1 - before) / (1 - bar) * (1 - bar / before)) ** 0.5
        direction = (x - bar**0.5 * clean) / (1 - bar) ** 0.5
        x = before**0.5 * clean + max(1 - before - sigma**2, 0) ** 0.5 * direction
        if sigma:
            x = x + sigma * torch.randn(x.shape, generator=random).to(x.device)
    return x
