"""How good is a colorization? Four measures, and no single one is enough."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from skimage import color

from coursekit.colorization.cielab import rgb_to_lab


def mse(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the mean squared error of R, G and B, as parts of 1, for each image.

    Parameters
    ----------
    predicted, true : array [..., H, W, 3]
        Bytes 0..255 or floats 0..1, of one shape.

    Returns
    -------
    ndarray [...]
        0 is best; 1 is black for white.

    Raises
    ------
    ValueError
        If the shapes differ, or the values are no colours. So, too, for the other measures.
    """
    predicted, true = _floats(predicted), _floats(true)
    if predicted.shape != true.shape:
        raise ValueError(f"predicted and true must have one shape, not {predicted.shape} and {true.shape}.")
    return np.square(predicted - true).mean(axis=(-3, -2, -1))


def psnr(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the peak signal-to-noise ratio in decibels, ``-10 log10(mse)``, for each image; higher is better.

    Two equal images have infinity.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(predicted, true))


def ciede2000(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """Return the mean colour difference over the pixels of each image, in the formula CIEDE2000.

    It weighs lightness, chroma and hue as people see them: about 1 is just visible, 2 to 10 visible at a glance.
    Source: Sharma, Wu and Dalal (2005), through scikit-image.
    """
    predicted, true = _floats(predicted), _floats(true)
    if predicted.shape != true.shape:
        raise ValueError(f"predicted and true must have one shape, not {predicted.shape} and {true.shape}.")
    difference = color.deltaE_ciede2000(rgb_to_lab(true), rgb_to_lab(predicted))
    return difference.mean(axis=(-2, -1))


def colourfulness(image: ArrayLike) -> np.ndarray:
    """Return how colourful each image looks; no truth is needed.

    0 is gray; people called 15 slightly, 33 moderately and 59 quite colourful. From the spread and the mean of
    R - G and (R + G) / 2 - B. Source: Hasler and Suesstrunk (2003), their M3.

    Parameters
    ----------
    image : array [..., H, W, 3]
        Bytes 0..255 or floats 0..1.

    Returns
    -------
    ndarray [...]
    """
    r, g, b = np.moveaxis(255 * _floats(image), -1, 0)
    opponents = np.stack([r - g, (r + g) / 2 - b])
    spread = np.sqrt(opponents.var(axis=(-2, -1)).sum(axis=0))
    mean = np.sqrt(np.square(opponents.mean(axis=(-2, -1))).sum(axis=0))
    return spread + 0.3 * mean


def score(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """Return all four measures, each the mean over the images; PSNR is that of the mean of the MSE.

    (The mean of the PSNRs would be infinite as soon as one image is gray and stays so.)

    Parameters
    ----------
    predicted, true : array [N, H, W, 3] or [H, W, 3]

    Returns
    -------
    dict
        ``"MSE"``, ``"PSNR"``, ``"CIEDE2000"`` and ``"colourfulness"`` (of the predicted images).
    """
    error = float(np.mean(mse(predicted, true)))
    return {
        "MSE": error,
        "PSNR": -10 * math.log10(error) if error else math.inf,
        "CIEDE2000": float(np.mean(ciede2000(predicted, true))),
        "colourfulness": float(np.mean(colourfulness(predicted))),
    }


def _floats(image: ArrayLike) -> np.ndarray:
    array = np.asarray(image)
    if array.ndim < 3 or array.shape[-1] != 3 or array.size == 0:
        raise ValueError(f"expected images [..., H, W, 3], got the shape {array.shape}.")
    if array.dtype == np.uint8:
        return array / 255
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
        raise ValueError(f"expected bytes 0..255 or floats 0..1 without NaN, got {array.dtype} from {array.min()} to "
                         f"{array.max()}.")  # fmt: skip
    return array.astype(np.float64)
