"""What every figure is in the end: the bytes of a PNG or JPEG, with a description."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 7.0  # inches
DPI = 100  # at which a figure is shown: it is 700 pixels wide, and must be readable there
SHARPNESS = 2  # pixels for each of these, for projectors and phones
LARGE = 300_000  # bytes; a larger picture is full of photos, and is stored as JPEG
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito (2008)
STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


class Picture:
    """A finished picture (``content``, bytes of a PNG or JPEG) and what there is to see in it (``alt``).

    In the course's notebooks the description stands in the cell's metadata, where it does not give the answer away.
    """

    def __init__(self, content: bytes, alt: str = "") -> None:
        self.content, self.alt = content, " ".join(alt.split())
        self.mime = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"

    @property
    def width(self) -> int:
        """The width at which the picture is shown, in pixels of a page."""
        return Image.open(io.BytesIO(self.content)).width // SHARPNESS

    def __repr__(self) -> str:
        """Return the description: what a reader without pictures gets."""
        return f"[Figure: {self.alt}]" if self.alt else "[Figure]"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = {self.mime: base64.b64encode(self.content).decode(), "text/plain": repr(self)}
        return data, {self.mime: {"width": self.width} | ({"alt": self.alt} if self.alt else {})}

    def save(self, path: str | Path) -> Path:
        """Write the file and return its path."""
        path = Path(path).expanduser()
        path.write_bytes(self.content)
        return path


def show(figure: Figure, *, alt: str = "") -> Picture:
    """Turn a matplotlib figure of your own into a `Picture`; ``alt`` says what there is to see."""
    if not isinstance(figure, Figure):
        raise TypeError(f"figure must be a matplotlib Figure, not {type(figure).__name__}. Of axes take axes.figure.")
    frame, buffer = _pixels(figure), io.BytesIO()
    smallest = _smallest(frame)
    smallest.save(buffer, "PNG", optimize=True)
    if buffer.tell() > LARGE:
        buffer = io.BytesIO()
        photos = smallest if smallest.mode == "L" else frame
        photos.save(buffer, "JPEG", quality=88, subsampling=0)  # colours as sharp as brightness
    return Picture(buffer.getvalue(), alt)


def numbers(values: Any) -> np.ndarray:
    """Turn anything like an array into one of numbers, or raise TypeError; a tensor may be on any device."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    values = values.float() if str(getattr(values, "dtype", "")) == "torch.bfloat16" else values  # numpy has none
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"expected numbers to draw, not {array.dtype} ({values!r:.60}).")
    return array if array.dtype == np.uint8 else array.astype(float)


def _pixels(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=SHARPNESS * DPI, facecolor="white")
    return Image.open(buffer).convert("RGB")


def _smallest(frame: Image.Image) -> Image.Image:
    """Change to gray or to a palette where that loses nothing: half the bytes in a notebook full of gray photos."""
    pixels = np.asarray(frame)
    if (pixels == pixels[..., :1]).all():
        return frame.convert("L")
    return frame.quantize(256, dither=Image.Dither.NONE) if frame.getcolors(256) else frame
