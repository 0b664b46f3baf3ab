"""Colours as CIELAB: what the network is given (L) and what it predicts (a and b), and the way back to RGB."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike
from skimage import color
from torch import Tensor
from torch.utils.data import TensorDataset

from coursekit import arguments
from coursekit.data import ImageSet

SCALE = 100.0  # L, a and b are divided by this for the network: L is then 0..1, a and b are within -1.08..0.99
_AT_ONCE = 1 << 20  # pixels: scikit-image works in float64, with several copies
_ADVICE = "Of Lab in bytes take 100 / 255 * L, a - 128.0 and b - 128.0; for the network's units take pairs_to_rgb."


def rgb_to_lab(image: ArrayLike | Tensor) -> np.ndarray:
    """Turn sRGB into CIELAB (D65, 2 degrees), by scikit-image: float32 ``[..., 3]``.

    L is then 0..100, a -86.2..98.3, b -107.9..94.5.

    Parameters
    ----------
    image : array [..., 3]
        Bytes 0..255, or floats 0..1. Other values, NaN, and colours in another axis are a ValueError.
    """
    return _in_pieces(color.rgb2lab, check_rgb(image))


def lab_to_rgb(lab: ArrayLike | Tensor) -> np.ndarray:
    """Turn CIELAB into sRGB, uint8 ``[..., 3]``. Colours that no screen can show are brought to its nearest edge.

    Parameters
    ----------
    lab : array [..., 3]
        L 0..100, a and b within -128..128. Bytes, other values, NaN, and channels in another axis are a ValueError.
    """
    lab = _channels_last("lab", lab)
    if lab.dtype == np.uint8:
        raise ValueError(f"lab holds bytes (uint8); expected L 0..100, a and b -128..128, as floats. {_ADVICE}")
    _check_range("L, the first channel of lab,", lab[..., 0], -0.01, 100.01, f"0..100. {_ADVICE}")
    _check_range("a or b, the other channels of lab,", lab[..., 1:], -128, 128, f"-128..128. {_ADVICE}")
    return _to_bytes(lab)


def lab_pairs(images: ImageSet | Tensor) -> TensorDataset:
    """Make what a colorizer trains on: L / 100 ``[N, 1, H, W]`` as input and ab / 100 ``[N, 2, H, W]`` as target.

    Parameters
    ----------
    images : ImageSet or Tensor
        Colour; a tensor is uint8 ``[N, 3, H, W]``. Gray images are a ValueError: there is nothing to learn from.
    """
    pixels = images.images if isinstance(images, ImageSet) else arguments.as_tensor(images)
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(f"lab_pairs needs colour images [N, 3, H, W]; these have shape {list(pixels.shape)}.")
    lab = torch.from_numpy(rgb_to_lab(pixels.permute(0, 2, 3, 1))).permute(0, 3, 1, 2) / SCALE
    return TensorDataset(lab[:, :1].contiguous(), lab[:, 1:].contiguous())


def pairs_to_rgb(light: Tensor, ab: Tensor) -> np.ndarray:
    """Put L and ab, in the network's units, together to images: uint8 ``[N, H, W, 3]``.

    Parameters
    ----------
    light : Tensor [N, 1, H, W]
        L / 100, 0..1.
    ab : Tensor [N, 2, H, W]
        a / 100 and b / 100. Shapes that do not belong together, other units and NaN are a ValueError.
    """
    arguments.tensor("light", light, "[N, 1, H, W]")
    arguments.tensor("ab", ab, "[N, 2, H, W]")
    if light.ndim != 4 or ab.shape != (len(light), 2, *light.shape[2:]) or light.shape[1] != 1:
        raise ValueError(
            f"light must be [N, 1, H, W] and ab [N, 2, H, W]; they are {list(light.shape)} and {list(ab.shape)}."
        )
    light, ab = light.detach().cpu().float(), ab.detach().cpu().float()
    _check_range("light", light.numpy(), -1e-4, 1 + 1e-4, "L / 100, which is 0..1.")
    most = 5 if ab.abs().median() > 1.1 else np.inf  # a network may guess anything somewhere, but not everywhere
    _check_range("ab", ab.numpy(), -most, most, "a / 100 and b / 100, which are -1.1..1.")
    lab = torch.cat([light, ab], dim=1) * SCALE
    return _to_bytes(lab.permute(0, 2, 3, 1).numpy())


def check_rgb(image: ArrayLike | Tensor) -> np.ndarray:
    """Return an image ``[..., 3]`` as an array, or raise ValueError if its values are not bytes or floats 0..1."""
    image = _channels_last("the image", image)
    if image.dtype != np.uint8:
        _check_range("the image", image, -1e-6, 1 + 1e-6, "bytes (uint8) 0..255 or floats 0..1. Divide by 255.")
    return image


def _channels_last(name: str, values: ArrayLike | Tensor) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim < 1 or array.shape[-1] != 3 or array.size == 0:
        raise ValueError(
            f"{name} must have its three channels in the last axis, [..., 3], and at least one pixel; the shape is "
            f"{array.shape}. Of [3, H, W] take np.moveaxis(x, 0, -1); of a gray image np.stack([x] * 3, axis=-1)."
        )
    return array


def _check_range(name: str, values: np.ndarray, low: float, high: float, expected: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinite values, which are no colours.")
    if values.min() < low or values.max() > high:
        raise ValueError(f"{name} goes from {values.min():g} to {values.max():g}; expected {expected}")


def _to_bytes(lab: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it tells of colours outside sRGB, which we expect
        return _in_pieces(lambda part: (color.lab2rgb(part).clip(0, 1) * 255).round(), lab).astype(np.uint8)


def _in_pieces(function, array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1, 1, 3)  # scikit-image wants an image, and its shape does not matter
    result = np.empty(flat.shape, np.float32)
    for start in range(0, len(flat), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        result[start : start + _AT_ONCE] = function(part if part.dtype == np.uint8 else part.astype(np.float64))
    return result.reshape(array.shape)
