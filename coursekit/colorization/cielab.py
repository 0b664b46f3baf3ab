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

SCALE = 100.0
"""L, a and b are divided by this for the network: L is then 0..1, a and b are within -1.08..0.99."""

_AT_ONCE = 1 << 20  # pixels: scikit-image works in float64, with several copies


def rgb_to_lab(image: ArrayLike | Tensor) -> np.ndarray:
    """Turn sRGB into CIELAB (D65, 2 degrees), by scikit-image.

    Parameters
    ----------
    image : array [..., 3]
        Bytes 0..255, or floats 0..1. For a tensor ``[N, 3, H, W]`` move the colours to the end first.

    Returns
    -------
    ndarray
        float32 ``[..., 3]``: L 0..100, a -86.2..98.3, b -107.9..94.5 for sRGB.

    Raises
    ------
    ValueError
        If the last axis has not three colours, there is no pixel, or values are NaN or outside the range.
    """
    image = _checked(image)
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):  # also where they are NaN
            raise ValueError(
                f"the image holds values from {low:g} to {high:g}; expected bytes 0..255 or floats 0..1, no NaN. "
                "Divide by 255, or replace NaN."
            )
    return _in_pieces(color.rgb2lab, image)


def lab_to_rgb(lab: ArrayLike | Tensor) -> np.ndarray:
    """Turn CIELAB into sRGB bytes. Colours that no screen can show are brought to its nearest edge, each of R, G, B.

    Parameters
    ----------
    lab : array [..., 3]
        L 0..100 and a, b in the units of CIELAB.

    Returns
    -------
    ndarray
        uint8 ``[..., 3]``.

    Raises
    ------
    ValueError
        If the last axis has not L, a and b, there is no pixel, or values are NaN or infinite.
    """
    lab = _checked(lab)
    if not np.isfinite(lab).all():
        raise ValueError("lab holds NaN or infinite values, which are no colours.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it tells of colours outside sRGB, which we expect
        return _in_pieces(lambda part: (color.lab2rgb(part).clip(0, 1) * 255).round(), lab).astype(np.uint8)


def lab_pairs(images: ImageSet | Tensor) -> TensorDataset:
    """Make what a colorizer trains on: for each image its lightness as input, its a and b as target.

    Parameters
    ----------
    images : ImageSet or Tensor
        Colour; a tensor is uint8 ``[N, 3, H, W]``.

    Returns
    -------
    TensorDataset
        Of L / 100 ``[N, 1, H, W]``, 0..1, and ab / 100 ``[N, 2, H, W]``, float32.

    Raises
    ------
    ValueError
        If the images are gray: there is nothing to learn from.
    """
    pixels = images.images if isinstance(images, ImageSet) else arguments.as_tensor(images)
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(f"lab_pairs needs colour images [N, 3, H, W]; these have shape {list(pixels.shape)}.")
    lab = torch.from_numpy(rgb_to_lab(pixels.permute(0, 2, 3, 1))).permute(0, 3, 1, 2) / SCALE
    return TensorDataset(lab[:, :1].contiguous(), lab[:, 1:].contiguous())


def pairs_to_rgb(light: Tensor, ab: Tensor) -> np.ndarray:
    """Put L and ab, in the network's units, together to images.

    Parameters
    ----------
    light : Tensor [N, 1, H, W]
    ab : Tensor [N, 2, H, W]

    Returns
    -------
    ndarray
        uint8 ``[N, H, W, 3]``.

    Raises
    ------
    TypeError, ValueError
        If they are no tensors whose shapes belong together, or values are NaN.
    """
    arguments.tensor("light", light, "[N, 1, H, W]")
    arguments.tensor("ab", ab, "[N, 2, H, W]")
    if light.ndim != 4 or ab.shape != (len(light), 2, *light.shape[2:]) or light.shape[1] != 1:
        raise ValueError(
            f"light must be [N, 1, H, W] and ab [N, 2, H, W]; they are {list(light.shape)} and {list(ab.shape)}."
        )
    lab = torch.cat([light.detach().cpu().float(), ab.detach().cpu().float()], dim=1) * SCALE
    return lab_to_rgb(lab.permute(0, 2, 3, 1))


def _checked(values: ArrayLike | Tensor) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim < 1 or array.shape[-1] != 3 or array.size == 0:
        raise ValueError(f"expected colours in the last axis, [..., 3], and at least one pixel; got {array.shape}.")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"expected bytes (uint8) or floats, got {array.dtype}.")
    return array


def _in_pieces(function, array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1, 1, 3)  # scikit-image wants an image, and its shape does not matter
    result = np.empty(flat.shape, np.float32)
    for start in range(0, len(flat), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        result[start : start + _AT_ONCE] = function(part if part.dtype == np.uint8 else part.astype(np.float64))
    return result.reshape(array.shape)
