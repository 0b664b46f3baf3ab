"""What every figure is in the end: PNG bytes with a description."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from coursekit import arguments

WIDTH = 7.0  # inches
DPI = 100  # so that a figure is 700 pixels wide, and must be readable there
LARGE = 450_000  # bytes; a notebook has room for four such pictures
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito (2008)
STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


class Picture:
    """A finished picture with its description; Jupyter shows it, ``save`` writes it to a file.

    Attributes
    ----------
    png : bytes
        The picture; several frames make it move.
    alt : str
        What there is to see, in words.
    """

    def __init__(self, png: bytes, alt: str) -> None:
        self.png, self.alt = arguments.of_type("png", png, bytes, "the bytes of a picture"), check_alt(alt)

    def __repr__(self) -> str:
        """Return the description: what a reader without pictures gets."""
        return f"[Figure: {self.alt}]"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alt}}

    def save(self, path: str | Path) -> Path:
        """Write the PNG file and return its path."""
        path = Path(path)
        path.write_bytes(self.png)
        return path


def show(figure: Figure, *, alt: str) -> Picture:
    """Turn a matplotlib figure of your own into a `Picture`.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What there is to see, for readers who cannot see it: at least a short sentence.

    Raises
    ------
    ValueError
        If ``alt`` is missing or says next to nothing.
    """
    alt = check_alt(alt)
    return Picture(_encode([_pixels(figure)]), alt)


def animation(frames: Sequence[Figure], *, alt: str, seconds: float = 0.7, loops: int = 4) -> Picture:
    """Make a moving picture that plays in any page: an animated PNG, no script and no network.

    It stops on its last frame after a few rounds, so that nobody has to read beside something that moves for ever.

    Parameters
    ----------
    frames : sequence of matplotlib figures
        All of one size.
    alt : str
        What there is to see, and what changes.
    seconds : float
        How long a frame stays.
    loops : int
        How often it plays; 0 is for ever.

    Raises
    ------
    TypeError, ValueError
        With fewer than two frames, frames of different size, or times that are not positive.
    """
    alt = check_alt(alt)
    seconds, loops = arguments.finite("seconds", seconds), arguments.whole("loops", loops, 0)
    if len(frames) < 2 or not 0.001 <= seconds <= 60 or loops > 10_000:  # a PNG file holds no larger numbers
        raise ValueError("an animation needs two frames or more, 0.001 to 60 seconds for each, and 0 to 10,000 loops.")
    return Picture(_encode([_pixels(frame) for frame in frames], milliseconds=round(1000 * seconds), loops=loops), alt)


def check_alt(alt: str) -> str:
    """Return the description without line breaks, or raise if it says next to nothing."""
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError("alt must say in a few words what there is to see, for readers who cannot see the figure.")
    return " ".join(alt.split())


def check_limits(limits: Sequence[float] | None) -> tuple[float, float] | None:
    """Return the ends of a scale as two numbers, or raise if they are none; None stays None."""
    if limits is None:
        return None
    if not isinstance(limits, Sequence) or isinstance(limits, str) or len(limits) != 2:
        raise TypeError(f"limits must be a pair of numbers (low, high), not {limits!r:.60}.")
    low, high = (arguments.finite("each of limits", limit) for limit in limits)
    if not low < high:
        raise ValueError(f"limits must be (low, high) with low < high, not {limits!r:.60}.")
    return low, high


def _pixels(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    arguments.of_type("figure", figure, Figure, "a matplotlib Figure")
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return Image.open(buffer).convert("RGB")


def _encode(frames: list[Image.Image], milliseconds: int = 0, loops: int = 0) -> bytes:
    """Write PNG bytes that depend on nothing but the pixels."""
    if len({frame.size for frame in frames}) > 1:
        raise ValueError(f"the frames differ in size: {sorted({frame.size for frame in frames})}.")
    buffer = io.BytesIO()
    if len(frames) > 1:
        rest = frames[1:]
        frames[0].save(buffer, "PNG", save_all=True, append_images=rest, duration=milliseconds, loop=loops)
    else:
        _smallest(frames[0]).save(buffer, "PNG", optimize=True)
        if buffer.tell() > LARGE:  # a picture full of photos or noise: a palette of 256 colours is a third of it
            buffer = io.BytesIO()
            frames[0].quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _smallest(frame: Image.Image) -> Image.Image:
    """Change to gray or to a palette where that loses nothing: half the bytes in a notebook full of gray photos."""
    pixels = np.asarray(frame)
    if (pixels == pixels[..., :1]).all():
        return frame.convert("L")
    return frame.quantize(256, dither=Image.Dither.NONE) if frame.getcolors(256) else frame


def numbers(values: ArrayLike) -> np.ndarray:
    """Turn anything like an array into one; a tensor is detached and brought to the CPU first.

    Raises
    ------
    TypeError
        If it holds something other than real numbers.
    """
    values = values.detach().cpu() if hasattr(values, "detach") else values
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"expected numbers to draw, not {array.dtype} ({values!r:.60}).")
    return array if array.dtype == np.uint8 else array.astype(float)
