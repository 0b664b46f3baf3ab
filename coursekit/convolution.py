"""Correlation of images, kernels and output sizes, as notebook 01 builds them.

Images and kernels are numpy arrays of two dimensions, ``[H,W]`` and ``[kH,kW]``; results are float64. For large kernels
`scipy.signal.oaconvolve` is faster.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coursekit import arguments

_Padding = Literal["constant", "symmetric", "wrap"]
_PADDINGS: dict[str, _Padding] = {"fill": "constant", "symm": "symmetric", "wrap": "wrap"}

# In correlation positive where the image gets brighter to the right, and downwards. Convolution turns both signs.
SOBEL_X = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
SOBEL_Y = SOBEL_X.T.copy()
SOBEL_X.flags.writeable = SOBEL_Y.flags.writeable = False


def output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Count the positions that a kernel takes along one axis: the output's size.

    ``(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1``; a kernel that does not fit into the padded image
    is a ValueError. Source: Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning".

    Parameters
    ----------
    size, kernel : int
        Pixels of the image and of the kernel along the axis.
    stride, padding, dilation : int
        Pixels from one position to the next, pixels added on *each* side, and the distance between neighbouring kernel
        elements, as in `torch.nn.Conv2d`.
    """
    for name, value in (("size", size), ("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        arguments.whole(name, value)
    arguments.whole("padding", padding, 0)
    extent = dilation * (kernel - 1) + 1
    if extent > size + 2 * padding:
        raise ValueError(f"a kernel that extends over {extent} pixels does not fit into {size} + 2 x {padding} pixels.")
    return (size + 2 * padding - extent) // stride + 1


def correlate2d(
    image: ArrayLike, kernel: ArrayLike, mode: str = "valid", boundary: str = "fill", *, stride: int = 1
) -> np.ndarray:
    """Slide the kernel over the image and take the sum of products at each position: cross-correlation.

    ``Z[i, j] = sum over m, n of K[m, n] X[i stride + m, j stride + n]``. Modes and boundaries are those of
    `scipy.signal.correlate2d`, which has no stride. For convolution, flip the kernel: ``kernel[::-1, ::-1]``.

    Parameters
    ----------
    image : array [H,W]
    kernel : array [kH,kW]
    mode : {"valid", "same", "full"}
        Only positions where the kernel lies inside the image; as many outputs as the image has pixels; every position
        where the two overlap.
    boundary : {"fill", "symm", "wrap"}
        What lies outside the image: zeros, its mirror image, or its other side. Of no effect in mode ``"valid"``.
    stride : int
        Keep every stride-th position along both axes.

    Returns
    -------
    array of float64
        For mode ``"valid"`` the sizes are those of `output_size` with padding 0; a kernel that does not fit is a
        ValueError, as are other shapes, NaN and infinity.
    """
    image, kernel = _check_array("image", image), _check_array("kernel", kernel)
    pads = {
        "valid": [(0, 0), (0, 0)],
        "same": [((k - 1) // 2, k // 2) for k in kernel.shape],
        "full": [(k - 1, k - 1) for k in kernel.shape],
    }
    for name, value, known in (("mode", mode, pads), ("boundary", boundary, _PADDINGS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}.")
    image = np.pad(image, pads[mode], mode=_PADDINGS[boundary])
    height, width = (output_size(size, k, stride=stride) for size, k in zip(image.shape, kernel.shape, strict=True))
    result = np.zeros((height, width))
    for (m, n), weight in np.ndenumerate(kernel):  # one shifted copy of the image per kernel element
        result += weight * image[m : m + height * stride : stride, n : n + width * stride : stride]
    return result


def uniform_kernel(size: int) -> np.ndarray:
    """Return the [size,size] kernel that takes the plain mean: all entries ``1 / size**2``."""
    arguments.whole("size", size)
    return np.full((size, size), 1 / size**2)


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian [size,size] of standard deviation ``sigma``, in pixels, scaled to sum 1.

    It is sampled at pixel centres around its middle and cut off at the border.
    """
    _check_sigma(sigma)
    distance = np.arange(arguments.whole("size", size)) - (size - 1) / 2
    profile = np.exp(-0.5 * (distance / sigma) ** 2)
    profile /= profile.sum()
    return np.outer(profile, profile)


def gradient(image: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return magnitude and direction of an image's brightness gradient, by Sobel's kernels, mirrored at the border.

    The magnitude ``[H,W]`` is ``sqrt(gx**2 + gy**2)``, in units of brightness times 8 per pixel; the direction
    ``[H,W]`` is an angle in radians, from -pi to pi, towards the brighter side: 0 is right, pi/2 is *down*.
    """
    gx = correlate2d(image, SOBEL_X, "same", "symm")
    gy = correlate2d(image, SOBEL_Y, "same", "symm")
    return np.hypot(gx, gy), np.arctan2(gy, gx)


def gabor_kernel(size: int, frequency: float, theta: float, sigma: float) -> np.ndarray:
    """Return a Gabor kernel [size,size]: a wave under a Gaussian, complex, scaled as the Gaussian of volume 1.

    The real part answers to bars, the imaginary part to edges. Equal to `skimage.filters.gabor_kernel` on the same
    grid. Source: Gabor (1946), Daugman (1985).

    Parameters
    ----------
    size : int
        Pixels along each side, odd.
    frequency : float
        Waves per pixel, above 0 and at most 0.5.
    theta : float
        Direction in which the wave travels, in radians: 0 is right, pi/2 is down.
    sigma : float
        Standard deviation of the Gaussian in pixels.
    """
    if arguments.whole("size", size) % 2 == 0:
        raise ValueError(f"size must be odd, so that the kernel has a middle pixel; got {size}.")
    _check_sigma(sigma)
    if not 0 < frequency <= 0.5:
        raise ValueError(f"frequency must be above 0 and at most 0.5 waves per pixel, not {frequency!r}.")
    y, x = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    envelope = np.exp(-0.5 * (x**2 + y**2) / sigma**2) / (2 * np.pi * sigma**2)
    return envelope * np.exp(2j * np.pi * frequency * (x * np.cos(theta) + y * np.sin(theta)))


def _check_array(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, not {array.dtype}.")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{name} must have two dimensions [H,W] and at least one pixel; its shape is {array.shape}."
            " For a colour image, take one channel or skimage.color.rgb2gray."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values, which would spread over the result.")
    return array


def _check_sigma(sigma: float) -> None:
    if not 0.02 <= sigma <= 10_000:  # narrower ones are zero at all pixels
        raise ValueError(f"sigma must be between 0.02 and 10,000 pixels, not {sigma!r}.")
