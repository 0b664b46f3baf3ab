"""How good is a colorization? Four metrics, and no single one is enough.

Images are arrays ``[..., H, W, 3]`` of bytes or of floats 0..1; each metric gives an array ``[...]``, one number per
image. Shapes that differ, other values and NaN are a ValueError.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from skimage import color

from coursekit.colorization.cielab import check_rgb, rgb_to_lab


def mse(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the mean squared error of R, G and B, scaled to 0..1: 0 is best, 1 is black for white."""
    predicted, true = _pair(predicted, true)
    return np.square(predicted - true).mean(axis=(-3, -2, -1))


def psnr(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the peak signal-to-noise ratio in decibels, ``-10 log10(mse)``. Two equal images have infinity."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(predicted, true))


def ciede2000(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the mean colour difference over the pixels (Sharma, Wu and Dalal, 2005), by scikit-image.

    It weighs lightness, chroma and hue as people see them: about 1 is just visible, 2 to 10 visible at a glance.
    """
    predicted, true = _pair(predicted, true)
    return color.deltaE_ciede2000(rgb_to_lab(true), rgb_to_lab(predicted)).mean(axis=(-2, -1))


def colourfulness(image: ArrayLike) -> np.ndarray:
    """Return how colourful an image looks; no truth is needed. Source: M3 of Hasler and Suesstrunk (2003).

    0 is gray; people called 15 slightly, 33 moderately and 59 quite colourful.
    """
    r, g, b = np.moveaxis(255 * _floats(image), -1, 0)
    opponents = np.stack([r - g, (r + g) / 2 - b])
    spread = np.sqrt(opponents.var(axis=(-2, -1)).sum(axis=0))
    mean = np.sqrt(np.square(opponents.mean(axis=(-2, -1))).sum(axis=0))
    return spread + 0.3 * mean


def score(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """Return ``"MSE"``, ``"PSNR"``, ``"CIEDE2000"`` and ``"colourfulness"`` of the predicted images, as means.

    PSNR is that of the mean MSE: the mean of the PSNRs would be infinite as soon as one image is gray and stays so.
    """
    error = float(np.mean(mse(predicted, true)))
    return {
        "MSE": error,
        "PSNR": -10 * math.log10(error) if error else math.inf,
        "CIEDE2000": float(np.mean(ciede2000(predicted, true))),
        "colourfulness": float(np.mean(colourfulness(predicted))),
    }


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = _floats(predicted), _floats(true)
    if predicted.shape != true.shape:
        raise ValueError(f"predicted and true must have one shape, not {predicted.shape} and {true.shape}.")
    return predicted, true


def _floats(image: ArrayLike) -> np.ndarray:
    image = check_rgb(image)
    return image / 255 if image.dtype == np.uint8 else image.astype(np.float64)
