"""What notebook 01 builds: correlation and convolution of images, kernels, output sizes, filter energies.

Images and kernels are numpy arrays of two dimensions, ``[H,W]`` and ``[kH,kW]``; results are float64. For speed on
large kernels use `scipy.signal.oaconvolve`: here the aim is to be right in every mode and short enough to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import signal

from coursekit import arguments

Mode = Literal["valid", "same", "full"]
Boundary = Literal["fill", "symm", "wrap"]

_PAD_MODE = {"fill": "constant", "symm": "symmetric", "wrap": "wrap"}

# Positive where the image gets brighter to the right (SOBEL_X) and downwards (SOBEL_Y), when *correlated* with it.
# Convolution turns a kernel by 180 degrees, and so turns both signs.
_CACHED = 2**15  # numbers of an image that are worked on at a time: as many as stay in a processor's cache
SOBEL_X = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
SOBEL_Y = SOBEL_X.T.copy()
SOBEL_X.flags.writeable = SOBEL_Y.flags.writeable = False


def output_size(size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Count the positions that a kernel takes along one axis: the output's size.

    Parameters
    ----------
    size, kernel : int
        Pixels of the image and of the kernel along the axis; at least 1.
    stride : int
        Pixels from one position to the next.
    padding : int
        Pixels added on *each* side.
    dilation : int
        Distance between neighbouring kernel elements; 1 is the ordinary kernel.

    Returns
    -------
    int
        ``(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Raises
    ------
    ValueError
        If an argument is not a whole number in its range, or the kernel does not fit into the padded image.

    Notes
    -----
    The formula is worked out in Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning".
    """
    for name, value, least in [
        ("size", size, 1),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ]:
        _check_whole(name, value, least)
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        raise ValueError(
            f"a kernel that reaches over {reach} pixels does not fit into {size} + 2 x {padding} pixels: "
            "take a smaller kernel or dilation, or more padding."
        )
    return (size + 2 * padding - reach) // stride + 1


def correlate2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "valid",
    boundary: Boundary = "fill",
    *,
    stride: int = 1,
    dilation: int = 1,
) -> np.ndarray:
    """Slide the kernel over the image and take the sum of products at each position: cross-correlation.

    ``Z[i, j] = sum over m, n of K[m, n] X[i stride + m dilation, j stride + n dilation]``

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
    dilation : int
        Distance between neighbouring kernel elements.

    Returns
    -------
    array of float64
        For mode ``"valid"`` the sizes are those of `output_size` with padding 0.

    Raises
    ------
    ValueError
        If an array has not two dimensions, is empty or holds NaN or infinity; if an option is unknown; if the kernel
        does not fit (mode ``"valid"``).
    TypeError
        If an array holds something other than real numbers.

    Notes
    -----
    Modes and boundaries are those of `scipy.signal.correlate2d`, which has neither stride nor dilation.
    """
    kernel = _check_array("kernel", kernel)
    return _slide(image, kernel, mode, boundary, stride, dilation, extra_before=False)


def convolve2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "valid",
    boundary: Boundary = "fill",
    *,
    stride: int = 1,
    dilation: int = 1,
) -> np.ndarray:
    """Convolve: turn the kernel by 180 degrees, then correlate.

    ``Z[i, j] = sum over m, n of K[m, n] X[i - m, j - n]``, up to where the output begins. Parameters, result and errors
    are those of `correlate2d`. A kernel of even size has no middle pixel: in mode ``"same"`` this function and
    `correlate2d` then begin one pixel apart, each where its namesake in `scipy.signal` does.
    """
    kernel = _check_array("kernel", kernel)[::-1, ::-1]
    return _slide(image, kernel, mode, boundary, stride, dilation, extra_before=True)


def _slide(image, kernel, mode, boundary, stride, dilation, *, extra_before: bool) -> np.ndarray:
    image = _check_array("image", image)
    for name, value, known in [("mode", mode, ("valid", "same", "full")), ("boundary", boundary, tuple(_PAD_MODE))]:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}.")
    _check_whole("stride", stride, 1)
    _check_whole("dilation", dilation, 1)
    reach = [dilation * (size - 1) + 1 for size in kernel.shape]
    if mode == "valid":
        for size, k in zip(image.shape, kernel.shape, strict=True):
            output_size(size, k, stride=stride, dilation=dilation)
    elif mode == "full":
        image = np.pad(image, [(r - 1, r - 1) for r in reach], mode=_PAD_MODE[boundary])
    else:
        pads = [(r // 2, (r - 1) // 2) if extra_before else ((r - 1) // 2, r // 2) for r in reach]
        image = np.pad(image, pads, mode=_PAD_MODE[boundary])
    height, width = ((size - r) // stride + 1 for size, r in zip(image.shape, reach, strict=True))
    result = np.zeros((height, width))
    rows_at_once = min(height, max(1, _CACHED // width))
    product = np.empty((rows_at_once, width))
    for top in range(0, height, rows_at_once):
        strip = result[top : top + rows_at_once]
        for (m, n), weight in np.ndenumerate(kernel):  # one shifted copy of the image per kernel element
            first = top * stride + m * dilation
            rows = slice(first, first + (len(strip) - 1) * stride + 1, stride)
            columns = slice(n * dilation, n * dilation + (width - 1) * stride + 1, stride)
            strip += np.multiply(image[rows, columns], weight, out=product[: len(strip)])
    return result


def uniform_kernel(size: int) -> np.ndarray:
    """Return the [size,size] kernel that takes the plain mean: all entries ``1 / size**2``."""
    _check_whole("size", size, 1)
    return np.full((size, size), 1 / size**2)


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian [size,size], sampled at pixel centres around its middle and scaled to sum 1.

    Parameters
    ----------
    size : int
        Pixels along each side. `gaussian_mass` tells what the cut costs.
    sigma : float
        Standard deviation in pixels, above 0.
    """
    _check_whole("size", size, 1)
    _check_positive("sigma", sigma)
    distance = np.arange(size) - (size - 1) / 2
    profile = _profile(distance, sigma)
    profile /= profile.sum()
    return np.outer(profile, profile)


def gaussian_mass(size: int, sigma: float) -> float:
    """Return the share of a two-dimensional sampled Gaussian that a [size,size] kernel keeps, between 0 and 1.

    The rest is cut off, and `gaussian_kernel` hides that by scaling to sum 1. ``size`` must be odd, so that the kernel
    has a middle pixel.
    """
    _check_whole("size", size, 1)
    _check_positive("sigma", sigma)
    if size % 2 == 0:
        raise ValueError(f"size must be odd, so that the kernel has a middle pixel; got {size}.")
    far = max(size, int(np.ceil(10 * sigma)))  # beyond it nothing is left that a float could hold
    distance = np.arange(-far, far + 1)
    profile = _profile(distance, sigma)
    return float((profile[abs(distance) <= size // 2].sum() / profile.sum()) ** 2)


def _profile(distance: np.ndarray, sigma: float) -> np.ndarray:
    """Return a Gaussian's values; one too narrow for floats is all at the pixels nearest to its middle."""
    with np.errstate(over="ignore"):
        profile = np.exp(-0.5 * (distance / sigma) ** 2)
    return profile if profile.any() else (abs(distance) == abs(distance).min()).astype(float)


def gradient(image: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return magnitude and direction of the brightness gradient by Sobel's kernels, mirrored at the border.

    Parameters
    ----------
    image : array [H,W]

    Returns
    -------
    magnitude : array [H,W]
        ``sqrt(gx**2 + gy**2)``, in units of brightness times 8 per pixel.
    direction : array [H,W]
        Angle in radians, from -pi to pi, towards the brighter side: 0 is right, pi/2 is *down*.
    """
    gx = correlate2d(image, SOBEL_X, "same", "symm")
    gy = correlate2d(image, SOBEL_Y, "same", "symm")
    return np.hypot(gx, gy), np.arctan2(gy, gx)


def gabor_kernel(size: int, frequency: float, theta: float, sigma: float) -> np.ndarray:
    """Return a Gabor kernel [size,size]: a wave under a Gaussian, complex, scaled as the Gaussian of volume 1.

    Parameters
    ----------
    size : int
        Pixels along each side, odd.
    frequency : float
        Waves per pixel, above 0 and at most 0.5.
    theta : float
        Direction in which the wave travels, in radians: 0 is right, pi/2 is down.
    sigma : float
        Standard deviation of the Gaussian in pixels, above 0.

    Notes
    -----
    The real part answers to bars, the imaginary part to edges. Equal to `skimage.filters.gabor_kernel` on the same grid
    (Gabor, 1946; Daugman, 1985).
    """
    _check_whole("size", size, 1)
    _check_positive("sigma", sigma)
    _check_positive("frequency", frequency)
    theta, sigma, frequency = arguments.finite("theta", theta), float(sigma), float(frequency)
    if size % 2 == 0 or frequency > 0.5:
        raise ValueError(f"size must be odd and frequency at most 0.5 waves per pixel; got {size} and {frequency}.")
    y, x = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    if not 1e-100 < sigma < 1e100:
        raise ValueError(f"sigma must be between 1e-100 and 1e100, so that its square is a number; got {sigma!r}.")
    envelope = np.exp(-0.5 * (x**2 + y**2) / sigma**2) / (2 * np.pi * sigma**2)
    return envelope * np.exp(2j * np.pi * frequency * (x * np.cos(theta) + y * np.sin(theta)))


def filter_energies(image: ArrayLike, bank: Sequence[np.ndarray]) -> np.ndarray:
    """Describe a texture by one number per filter: the mean squared response of the image without its mean.

    Parameters
    ----------
    image : array [H,W]
    bank : sequence of arrays [kH,kW]
        Real or complex kernels; a complex one gives the squared modulus, which does not depend on the wave's phase.

    Returns
    -------
    array [number of filters]

    Raises
    ------
    ValueError
        If the bank is empty, or a kernel does not fit into the image.
    """
    image = _check_array("image", image)
    image = image - image.mean()
    if not len(bank):
        raise ValueError("the bank is empty: give at least one kernel.")
    for size, most in [(k, h) for kernel in bank for k, h in zip(np.shape(kernel), image.shape, strict=True)]:
        output_size(most, size)  # says so where a kernel does not fit
    responses = (signal.correlate(image, kernel, "valid") for kernel in bank)
    return np.array([np.mean(np.abs(response) ** 2) for response in responses])


def _check_array(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, not {array.dtype}.")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{name} must have two dimensions [H,W] and at least one pixel; its shape is {array.shape}."
            + (" For a colour image, take one channel or skimage.color.rgb2gray." if array.ndim == 3 else "")
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values, which would spread over the result.")
    return array


def _check_whole(name: str, value: int, least: int) -> bool:
    if not arguments.is_whole(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return True


def _check_positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}.")
