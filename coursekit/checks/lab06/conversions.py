"""Question 4: from bytes to a network's units, and back."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import torch
from skimage import color
from torch import Tensor

from coursekit.checks import compare
from coursekit.checks.answers import Hint


def q4(to_network: object, to_images: object, rng: np.random.Generator) -> None:
    """Compare L and ab in another network's units, and the bytes made of them; both for batches."""
    to_network = compare.function(to_network, "to_network")
    to_images = compare.function(to_images, "to_images")
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 5, 7), dtype=np.uint8))
    pair = to_network(images)
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise Hint(f"`to_network` must return two tensors, light and ab, not {compare.kind(pair)}.")
    for k, (name, channels) in enumerate((("light", 1), ("ab", 2))):
        right = _forth(images)[k]
        wrong_shapes = {
            (2, 5, 7, channels): "the channels must be axis 1, as `nn.Conv2d` wants them.",
            (2, 5, 7): "the axis of the single channel is missing.",
            (2, channels, 7, 5): "rows and columns are exchanged.",
        }
        compare.array(pair[k], f"`{name}`", right, _forth_mistakes(images, k), rtol=1e-5, shapes=wrong_shapes)
        compare.array(pair[k], f"`{name}`", right, rtol=1e-5, dtype=torch.float32)
    # As a network answers: some of these colours no screen can show. (L is high enough for scikit-image not to warn.)
    light = torch.from_numpy(rng.uniform(0, 0.4, (2, 1, 5, 7))).float()
    ab = torch.from_numpy(rng.uniform(-0.7, 0.7, (2, 2, 5, 7))).float()
    for (given, colours), source in (((light, ab), "a network's answer"), (_forth(images), "photos, there and back")):
        _check_back(to_images(given, colours), given, colours, source)


def _check_back(answer: object, light: Tensor, ab: Tensor, source: str) -> None:
    exact = _back(light, ab)
    near = getattr(answer, "dtype", None) == torch.uint8 and answer.shape == exact.shape
    if near and (answer.double() - exact).abs().max() < 0.51:  # float32 may round another way
        return
    shapes = {tuple(exact.movedim(1, -1).shape): "an image's colours must be axis 1 again, as they came."}
    mistakes = {}
    for centre, factor, ending in product((50, 0), (110, 100, 128, 1), (Tensor.round, Tensor.floor)):
        hint = "round to the nearest byte: `.byte()` cuts off what is behind the point."
        hint = hint if factor == 110 else "a and b are multiplied by another number than they were divided by."
        hint = hint if centre else "the 50 that was taken away from L must come back."
        mistakes[hint + " " * len(mistakes)] = ending(_back(light, ab, centre, factor))
    compare.array(answer, f"the images ({source})", exact.round(), mistakes, shapes=shapes, dtype=torch.uint8)


def _forth(images: Tensor, axes: str = "permute", high: float = 255, centre=50, unit=100, factor=110) -> tuple:
    count, _, rows, columns = images.shape
    pixels = np.moveaxis(images.numpy() / high, 1, -1)
    if axes == "reshape there":
        pixels = (images.numpy() / high).reshape(count, rows, columns, 3)
    lab = color.rgb2lab(pixels[..., ::-1] if axes == "bgr" else pixels)
    lab = lab.reshape(count, 3, rows, columns) if axes == "reshape back" else np.moveaxis(lab, -1, 1)
    lab = torch.from_numpy(lab.copy()).float()
    return (lab[:, :1] - centre) / unit, lab[:, 1:] / factor


def _forth_mistakes(images: Tensor, which: int) -> dict[str, object]:
    """Wrong light (or ab) by wrong axes, wrong range and wrong units, also together; the first of them is the hint."""
    first = "L is not in the network's units: take 50 away, then divide by 100."
    units = [("", {})] + [
        (first, {"centre": centre, "unit": unit}) for centre, unit in ((0, 100), (0, 1), (50, 50), (0.5, 1))
    ]
    if which == 1:
        units = [("", {})] + [("a and b are not divided by 110.", {"factor": k}) for k in (100, 128, 127, 255, 1)]
    ranges = {"": 255, "`rgb2lab` wants bytes, or floats from 0 to 1; floats up to 255 make it wrong.": 1}
    ranges["bytes are divided by 255 twice: `rgb2lab` does it for bytes, and not for floats."] = 255**2
    mixed = "`reshape` does not move an axis: it mixes pixels. `permute` or `movedim` moves it."
    orders = {"": "permute", "red and blue are exchanged.": "bgr", mixed: "reshape there", mixed + " ": "reshape back"}
    found = {}
    for (a, axes), (r, high), (u, slip) in product(orders.items(), ranges.items(), units):
        if a or r or u:
            found[(a or r or u) + " " * len(found)] = lambda axes=axes, high=high, slip=slip: _forth(
                images, axes, high, **slip
            )[which]
    return found


def _back(light: Tensor, ab: Tensor, centre: float = 50, factor: float = 110) -> Tensor:
    lab = torch.cat([light.double() * 100 + centre, ab.double() * factor], dim=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(255 * color.lab2rgb(lab.movedim(1, -1).numpy())).movedim(-1, 1)
