"""Question 2: from photos to what a network expects."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from coursekit.checks import compare

_BUGS = {
    "reshape": "a reshape only cuts the numbers into other pieces: the axes must change places.",
    "order": "mean and std are those of pixels in 0..1: bring the pixels there *before* you subtract and divide.",
    "twice": "the pixels are divided by 255 twice: once is enough.",
    "twice early": "the pixels are divided by 255 twice: once is enough.",
    "blue": "red and blue have changed places: the pictures already come as red, green, blue.",
}


def q2(prepare: object, rng: np.random.Generator) -> None:
    """From bytes with the channels last to what a network expects, three mistakes away."""
    prepare = compare.function(prepare, "prepare")
    shape = (int(rng.integers(2, 5)), *rng.choice(np.arange(5, 12), 2, replace=False).tolist(), 3)
    images = (rng.integers(0, 256, shape) * [0.9, 0.6, 0.3] + [0, 40, 120]).astype(np.uint8)
    mean, std = tuple(rng.uniform(0.3, 0.6, 3).tolist()), tuple(rng.uniform(0.15, 0.35, 3).tolist())
    answer = prepare(images, mean, std)
    mistakes: dict[str, object] = {}
    for number in (3, 2, 1):
        for bugs in combinations(_BUGS, number):
            if len({"order", "twice", "twice early"} & set(bugs)) > 1:
                continue
            mistakes[_BUGS[bugs[0]] + " " * len(mistakes)] = _prepare(images, mean, std, bugs)  # a key of its own
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    m, s = (torch.tensor(values, dtype=torch.double)[:, None, None] for values in (mean, std))
    right = (pixels / 255 - m) / s
    own = (pixels / 255 - (pixels / 255).mean((0, 2, 3), True)) / (pixels / 255).std((0, 2, 3), keepdim=True)
    n, height, width, _ = shape
    compare.array(
        answer,
        "the batch",
        right.float(),
        {
            **mistakes,
            "the pixels are still in 0..255.": (pixels - m) / s,
            "the pixels must be in 0..1, and then minus the mean, over the std.": pixels / 255,
            "the std is missing.": pixels / 255 - m,
            "white is 255, and must become 1.": (pixels / 256 - m) / s,
            "divide by the std.": (pixels / 255 - m) * s,
            "these are the batch's own mean and std; the network wants those of *its* training.": own,
        },
        rtol=1e-5,
        dtype=torch.float32,
        shapes={
            (n, height, width, 3): "the channels must come second: [N, 3, H, W].",
            (n, 3, width, height): "height and width have changed places.",
        },
    )


def _prepare(images: np.ndarray, mean: tuple, std: tuple, bugs: tuple[str, ...]) -> Tensor:
    n, height, width, channels = images.shape
    pixels = torch.from_numpy(images).double()
    pixels = pixels.flip(3) if "blue" in bugs else pixels
    pixels = pixels.reshape(n, channels, height, width) if "reshape" in bugs else pixels.permute(0, 3, 1, 2)
    m, s = (torch.tensor(values)[:, None, None] for values in (mean, std))
    if "order" in bugs:
        return (pixels - m) / s / 255
    pixels = (pixels / (255**2 if "twice early" in bugs else 255) - m) / s
    return pixels / 255 if "twice" in bugs else pixels
