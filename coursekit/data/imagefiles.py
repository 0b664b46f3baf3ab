"""One image file in, one small array out, whatever the file turns out to be, or an error that says what it is.

Pillow decodes; this module decides what becomes of the files that would surprise a network: gray, palette, CMYK,
16-bit, transparent, turned, animated, damaged, or no image at all.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

_READ = ("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "dib", "tif", "tiff", "webp", "avif")
_OTHERS = ("mpo", "ppm", "pgm", "pbm", "pnm", "pfm", "heic", "heif", "jp2", "svg", "psd", "ico", "raw", "dng")
SUFFIXES = frozenset(f".{ending}" for ending in _READ + _OTHERS)
"""Endings of files that claim to be an image, whether Pillow reads them or not."""

# Only these: some other formats of Pillow start a program (EPS) or are not photos.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "PPM")
_FAMILIES = {"MPO": "JPEG", "DIB": "BMP"}

# EXIF orientation, and the transposition that turns the image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# How a file begins that is no image, in small letters, and what to tell its owner.
_PAGE = "not an image: a web page, often an error or login page that was saved in place of the image"
_BEGINNINGS = (
    (b"version https://git-lfs", "not an image: a Git LFS pointer to it; fetch the data with git lfs pull"),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<svg", "unsupported format: an SVG drawing; save it as PNG"),
    (b"<?xml", "not an image: XML, perhaps an SVG drawing"),
    (b"%pdf", "not an image: a PDF document"),
    (b"pk\x03\x04", "not an image: a ZIP archive or an office document"),
    (b"\xff\xd8\xff", "damaged: it begins as a JPEG, but cannot be decoded"),
    (b"\x89png", "damaged: it begins as a PNG, but cannot be decoded"),
    (b"gif8", "damaged: it begins as a GIF, but cannot be decoded"),
    (b"ii*\0", "damaged: it begins as a TIFF, but cannot be decoded"),
    (b"mm\0*", "damaged: it begins as a TIFF, but cannot be decoded"),
)
_MEDIA = {
    b"avif": "damaged: it begins as an AVIF, but cannot be decoded",
    b"heic": "unsupported format: a HEIC photo; export it as JPEG",
    b"heix": "unsupported format: a HEIC photo; export it as JPEG",
    b"mif1": "unsupported format: a HEIC photo; export it as JPEG",
}


class ImageFileError(ValueError):
    """A file cannot be read as an image. The message is a short kind, a colon, and the details."""


def read_image(
    path: str | os.PathLike, size: int | None, *, resize: str = "squash", channels: int = 3
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read one image file as a uint8 array, square or in its own size.

    Parameters
    ----------
    path : path
        A JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or PNM file; the content decides, not the name.
    size : int
        Height and width of the result in pixels; None keeps the image as large as it is.
    resize : {"squash", "crop"}
        ``"squash"`` scales both sides to ``size`` on their own. ``"crop"`` keeps the shape of things: it cuts out
        the largest square in the middle. Both are bilinear with antialiasing.
    channels : {3, 1}
        Red, green and blue, or gray (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601).

    Returns
    -------
    array : ndarray
        uint8 ``[size, size, 3]``, or ``[size, size]`` for gray; ``[H, W, 3]`` or ``[H, W]`` where `size` is None.
    notes : tuple of str
        What was converted on the way; empty for an ordinary image. Gray and palette become RGB. 16 bits are divided
        by 257. Transparent parts become white. Of several frames the first is taken. EXIF's orientation is applied.
        Colour profiles are ignored.

    Raises
    ------
    ImageFileError
        When the file is empty, truncated, damaged, no image, too large to decode safely, or not permitted.
        Damage that leaves a JPEG decodable (a few wrong bytes in the middle) cannot be noticed by a reader.
    TypeError, ValueError
        When ``size``, ``resize`` or ``channels`` is none of the above.
    """
    check_options(size, resize, channels)
    with strict_pillow():
        return decode(Path(path), size, resize, channels)


def check_options(size: int | None, resize: str, channels: int) -> None:
    """Raise TypeError or ValueError where the arguments of `read_image` make no sense."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, Integral)):
        raise TypeError(f"size must be a whole number of pixels, got {size!r}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if resize not in ("squash", "crop"):
        raise ValueError(f'resize must be "squash" or "crop", got {resize!r}')
    if channels not in (1, 3):
        raise ValueError(f"channels must be 3 (colour) or 1 (gray), got {channels!r}")


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse truncated files and decompression bombs, and print no warning.

    These are settings of the whole process, so a caller that decodes in threads enters this once, around them.
    """
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.init()
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode(path: Path, size: int | None, resize: str, channels: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Do what `read_image` does, for a caller that has entered `strict_pillow`."""
    try:
        # A pipe or a device would wait for ever, so the kind of file is known before it is opened.
        if not path.is_file():
            raise ImageFileError(f"not a file: {'a folder' if path.is_dir() else 'a broken link, a pipe or a device'}")
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ImageFileError("empty: 0 bytes")
            return _decode(file, path.suffix, size, resize, channels)
    except ImageFileError as error:
        message = str(error)
    except PermissionError:
        message = "no permission: this user may not read it"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        message = f"too many pixels: over PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS:,}; save it smaller"
    except Exception as error:  # a damaged file makes Pillow raise nearly anything, from OSError to IndexError
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"{'truncated' if 'truncated' in reason.lower() else 'damaged'}: {reason:.120}"
    # Raised here, it does not carry the first error along, which would keep the half-read image in memory.
    raise ImageFileError(message)


def _decode(file: BinaryIO, suffix: str, size: int | None, resize: str, channels: int) -> tuple[np.ndarray, tuple]:
    try:
        image = Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        file.seek(0)
        raise ImageFileError(_what_it_is(file.read(512))) from None
    notes = []
    family = _FAMILIES.get(image.format, image.format)
    claimed = Image.registered_extensions().get(suffix.lower())
    if _FAMILIES.get(claimed, claimed) != family:
        notes.append(f"{family} named {ascii(suffix)[1:-1]}" if suffix else f"{family} without an ending")
    if getattr(image, "is_animated", False):
        notes.append("first of several frames")
    if image.format == "TIFF" and _orientation(image) in _UPRIGHT:
        notes.append("turned upright")  # Pillow will do so when it loads a TIFF
    if image.mode == "RGB" and any("16" in _raw_mode(tile) for tile in image.tile):
        notes.append("16-bit to 8-bit")

    # JPEG shrinks while it decodes, which is quick; twice the wanted size leaves the antialiasing its work.
    draft = image.draft(None, (2 * size, 2 * size)) if size else None
    image.load()
    width, height = draft[1][2:] if draft else image.size
    orientation = _UPRIGHT.get(_orientation(image))
    image = _to_8_bit(image, notes, channels)

    # To cut out the middle and to turn can change places, and a small image is turned quickly.
    if size:
        side = min(width, height)
        left, top = ((width - side) / 2, (height - side) / 2) if resize == "crop" else (0, 0)
        image = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, width - left, height - top))
    if orientation is not None:
        image = image.transpose(orientation)
        notes.append("turned upright")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB" if channels == 3 else "L")), tuple(notes)


def _to_8_bit(image: Image.Image, notes: list[str], channels: int) -> Image.Image:
    """Return the image in a mode that can be scaled: L, RGB or RGBA."""
    mode = image.mode
    if mode == "LAB":
        raise ImageFileError("unsupported colours: CIELAB; save it as RGB")
    if mode in ("I", "F") or mode.startswith("I;16"):
        values, key = np.asarray(image), image.info.get("transparency")
        image = Image.fromarray(np.where(values == key, np.uint8(255), _scale(values, notes)))
        if isinstance(key, int):
            notes.append("transparent parts to white")
    if channels == 3 and image.mode in ("1", "L", "LA", "La"):
        notes.append("gray to RGB")
    if mode in ("P", "PA", "CMYK"):
        notes.append("CMYK to RGB" if mode == "CMYK" else "palette to RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            notes.append("transparent parts to white")
            return image
    wanted = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _scale(values: np.ndarray, notes: list[str]) -> np.ndarray:
    """Bring gray values of 16 bits, 32 bits or floating point to 0..255."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageFileError("damaged: some pixels are NaN or infinite")
    whole = values.dtype.kind in "ui"
    if low >= 0 and high <= (65535 if whole else 255):
        low, high = 0, 65535 if whole else 1 if high <= 1 else 255
        notes.append("16-bit to 8-bit" if whole else "floating point to 8-bit")
    else:  # no convention says what black and white are
        notes.append("32-bit values stretched to 8-bit")
    return ((values - low) * (255 / max(high - low, 1e-30))).round().astype(np.uint8)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data do not spoil the pixels
        return None


def _raw_mode(tile: tuple) -> str:
    return str(tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3])


def _what_it_is(head: bytes) -> str:
    if not any(head):
        return "damaged: only zero bytes, perhaps an interrupted download"
    if head[4:8] == b"ftyp":
        return _MEDIA.get(head[8:12], "not an image: a video or sound file")
    for beginning, message in _BEGINNINGS:
        if head.lstrip(b"\xef\xbb\xbf\r\n\t ").lower().startswith(beginning):
            return message
    text = "\ufffd" not in head[: max(len(head) - 3, 1)].decode("utf-8", "replace") and min(head) > 8
    return f"not an image: {'text' if text else 'unknown content'}"
