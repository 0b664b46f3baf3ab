"""Photos: those that scikit-image and scikit-learn bring, without a look into the network, or files of your own."""

import os
import warnings
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

_FILES = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "clock": "skimage/data/clock_motion.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hubble_deep_field": "skimage/data/hubble_deep_field.jpg",
    "immunohistochemistry": "skimage/data/ihc.png",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "page": "skimage/data/page.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "text": "skimage/data/text.png",
}
_LONGEST = 1024  # pixels of a photo of one's own
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM")  # of Pillow's, those that photos have
_KINDS = {"1": "gray", "L": "gray", "LA": "gray", "P": "palette", "PA": "palette", "CMYK": "CMYK", "LAB": "CIELAB"}
Decoded = tuple[np.ndarray, tuple[str, ...]]  # an image, and what was converted


class ImageFileError(ValueError):
    """A file cannot be read as an image. The message is a short kind, a colon, and the details."""


def photo(name: str | Path, gray: bool = False) -> np.ndarray:
    """Load one of the bundled photos, or a file of your own.

    In colour: ``astronaut`` 512x512, ``chelsea`` (a cat) 300x451, ``china`` (a temple) 427x640, ``coffee`` 400x600,
    ``flower`` 427x640, ``hubble_deep_field`` 872x1000, ``immunohistochemistry`` 512x512, ``motorcycle`` 500x741,
    ``retina`` 1411x1411, ``rocket`` 427x640. Gray: ``brick``, ``camera``, ``grass``, ``gravel``, ``moon`` 512x512,
    ``clock`` 300x400, ``coins`` 303x384, ``page`` 191x384, ``text`` 172x448. Height comes first.

    Parameters
    ----------
    name : str or Path
        One of those above; or the path of an image file, such as ``"me.jpg"``, which is turned upright and made smaller
        if a side has more than 1,024 pixels.
    gray : bool, default False
        Turn colour into gray: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). A photo without colours is gray either way.

    Returns
    -------
    ndarray
        uint8, 0..255, ``[H, W, 3]`` for colour or ``[H, W]`` for gray; yours to change.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is no photo of that name, with the closest one; no such file, or a damaged one.

    Notes
    -----
    Each photo's own source and licence stand in the help of the function of that name in `skimage.data`; for
    ``china`` and ``flower``, which are CC BY 2.0, in scikit-learn's ``datasets/images/README.txt``.
    """
    if isinstance(name, Path) or Path(name).suffix:
        return _own(Path(name).expanduser(), gray)
    if name not in _FILES:
        close = get_close_matches(str(name), _FILES, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no photo {name!r}.{hint} There are: {', '.join(_FILES)}.")
    package, _, file = _FILES[name].partition("/")
    spec = find_spec(package)
    path = Path(spec.origin if spec and spec.origin else "").parent / file
    if not path.is_file():
        raise FileNotFoundError(
            f"the photo {name!r} is not in the installed {package} ({path}). Install a version that brings it: "
            'pip install "scikit-image>=0.24" "scikit-learn>=1.5"'
        )
    with Image.open(path) as image:
        return np.array(image.convert("L" if gray or image.mode == "L" else "RGB"))


def read_image(path: str | os.PathLike, size: int | None = None, resize: str = "squash") -> Decoded:
    """Read one image file, whatever its name; an ImageFileError says why it cannot be read.

    Parameters
    ----------
    size : int, optional
        Height and width of the result in pixels; without it the image stays as large as it is.
    resize : {"squash", "crop"}
        ``"squash"`` scales both sides to ``size`` on their own; ``"crop"`` cuts out the largest square in the middle.
        Both are bilinear with antialiasing.

    Returns
    -------
    ndarray, tuple of str
        uint8 ``[H, W, 3]``, and what was converted: gray and palette become RGB, 16 bits 8, transparent parts white. Of
        several frames the first is taken. EXIF's orientation is applied.
    """
    with warnings.catch_warnings(action="ignore"):
        return decode(Path(path).expanduser(), size, resize)


def decode(path: Path, size: int | None, resize: str) -> Decoded:
    """Return what `read_image` does, which keeps Pillow's warnings away; in threads that is done once for all."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            problem = "not a file: missing, a folder, or a broken link"
        elif path.stat().st_size == 0:
            problem = "empty: 0 bytes"
        else:
            with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                return _to_array(image, path.suffix, size, resize)
    except UnidentifiedImageError:
        head = path.read_bytes()[:512].lower()
        problem = "not an image: or a format such as HEIC that must be exported as JPEG, or damaged at its beginning"
        if b"<html" in head or b"<!doctype html" in head:
            problem = "not an image: a web page, often an error or login page saved in place of the image"
    except PermissionError:
        problem = "no permission: this user may not read it"
    except Exception as error:  # a damaged file makes Pillow raise nearly anything, from OSError to IndexError
        reason = str(error) or type(error).__name__
        problem = f"{'truncated' if 'truncated' in reason.lower() else 'unreadable'}: {reason:.120}"
    raise ImageFileError(problem)


def _to_array(file: ImageFile.ImageFile, suffix: str, size: int | None, resize: str) -> Decoded:
    notes = []
    family = "JPEG" if file.format == "MPO" else file.format
    if Image.registered_extensions().get(suffix.lower()) not in (family, file.format):
        notes.append(f"{family} named {suffix!a}")
    if getattr(file, "is_animated", False):
        notes.append("first of several frames")
    if ";16" in str(file.tile):
        notes.append("16-bit to 8-bit")
    if file.getexif().get(ExifTags.Base.Orientation) in range(2, 9):
        notes.append("turned upright")
    if size:
        file.draft(None, (4 * size, 4 * size))  # a large JPEG shrinks while it decodes, which is quick
    image = ImageOps.exif_transpose(file)
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max() > 65535):
        raise ValueError("more than 16 bits for a colour; save it with 8")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        notes.append("transparent parts to white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    elif image.mode in _KINDS:
        notes.append(f"{_KINDS[image.mode]} to RGB")
    image = image.convert("RGB")
    if size:
        fit = ImageOps.fit if resize == "crop" else Image.Image.resize
        image = fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.array(image), tuple(notes)


def _own(path: Path, gray: bool) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r} in {Path.cwd()}. Put the photo beside the notebook; on Colab, drop it "
            "into the Files panel at the left."
        )
    try:
        pixels, _ = read_image(path)
    except ImageFileError as error:
        raise ValueError(f"{path.name} cannot be read as an image ({error}). Save it as JPEG or PNG first.") from error
    small = Image.fromarray(pixels)
    small.thumbnail((_LONGEST, _LONGEST))
    return np.array(small.convert("L" if gray or (pixels == pixels[..., :1]).all() else "RGB"))
