"""Image files of every awkward kind, as bytes. All the good ones show the same four squares."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Four squares: red, green; blue, white. Each side differs from the others, so that any turn shows.
SIDE = 40
SQUARES = np.array([[[200, 40, 40], [40, 160, 40]], [[40, 40, 200], [250, 250, 250]]], np.uint8)
COLOUR = Image.fromarray(SQUARES).resize((SIDE, SIDE), Image.Resampling.NEAREST)
GRAY = COLOUR.convert("L")
# EXIF orientation, and how to store an image so that this orientation turns it upright.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    if kind == "JPEG":
        options = {"quality": 95, "subsampling": 0, **options}
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = COLOUR if STORED[orientation] is None else COLOUR.transpose(STORED[orientation])
    return saved(image, kind, exif=exif.tobytes() if kind == "WEBP" else exif)


def gray_16() -> np.ndarray:
    return np.asarray(GRAY).astype(np.uint16) * 257


def see_through(mode: str) -> Image.Image:
    """The squares with the white one see-through, and some colour hidden under it."""
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[SIDE // 2 :, SIDE // 2 :] = 0
    image = COLOUR.convert("RGBA")
    image.paste((10, 90, 10), (SIDE // 2, SIDE // 2, SIDE, SIDE))
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand, for what Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def png_16_rgb() -> bytes:
    rows = (np.asarray(COLOUR).astype(">u2") * 257).astype(">u2").reshape(SIDE, -1)
    return png(SIDE, SIDE, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def png_16_gray(*extra: bytes) -> bytes:
    return png(SIDE, SIDE, 16, 0, b"".join(b"\0" + row.astype(">u2").tobytes() for row in gray_16()), *extra)


def spoilt(data: bytes, at: float = 0.5, length: int = 40) -> bytes:
    """The same bytes, but for some zeros from this share of the file on."""
    start = int(len(data) * at)
    return data[:start] + bytes(length) + data[start + length :]
