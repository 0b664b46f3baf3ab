"""Read photos into memory, whatever is in their folder: find the files, decode each, report what became of it.

Every file is decoded once, before training starts: nothing is left out silently, and nothing fails in the middle of it.
"""

import difflib
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from coursekit import arguments, runtime
from coursekit.data.imageset import ImageSet

_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM")  # of Pillow's, those that photos have
_SUFFIXES = {".heic", ".heif", *Image.registered_extensions()}  # of files that claim to be an image
_KINDS = {"1": "gray", "L": "gray", "LA": "gray", "P": "palette", "PA": "palette", "CMYK": "CMYK", "LAB": "CIELAB"}
_SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}
_Decoded = tuple[np.ndarray, tuple[str, ...]]  # an image, and what was converted
_LAYOUT = "Expected in it: cats/1.jpg, dogs/1.jpg and so on, one folder for each class."


class FolderError(ValueError):
    """A folder cannot serve as a data set. The message says what was found, what was expected, what to do."""


class ImageFileError(ValueError):
    """A file cannot be read as an image. The message is a short kind, a colon, and the details."""


@dataclass
class Report:
    """What became of every file of a folder, by name (``class/file``). Its text is a short table."""

    folder: str
    read: int = 0  # how many images
    converted: dict[str, str] = field(default_factory=dict)  # images that are read, but not as they are: what was done
    refused: dict[str, str] = field(default_factory=dict)  # files that should be images of the data set: why not
    ignored: dict[str, str] = field(default_factory=dict)  # no concern of the data set: hidden, of the system, texts

    def summary(self) -> str:
        """Return the counts in one line."""
        return (
            f"{self.folder}: {self.read:,} images read ({len(self.converted):,} of them converted), "
            f"{len(self.refused):,} refused, {len(self.ignored):,} ignored"
        )

    def __str__(self) -> str:
        """Return the counts, and for each kind of trouble how many files and the first names."""
        lines = [self.summary()]
        for what in ("converted", "refused", "ignored"):
            kinds = defaultdict(list)
            for name, reason in getattr(self, what).items():
                kinds[reason.split(": ")[0]].append(name)
            for kind, names in kinds.items():
                more = ", …" if len(names) > 3 else ""
                lines.append(f"  {what:<9} {len(names):>6,}  {kind}: {', '.join(names[:3])}{more}")
        return "\n".join(lines)


class FolderSet(ImageSet):
    """An `ImageSet` that was read from a folder; ``report`` says what became of each file."""

    report: Report

    def __repr__(self) -> str:
        """Describe the set and, in a second line, what was read and what not."""
        return f"{super().__repr__()}\n  {self.report.summary()}; see .report"


def read(root: str | os.PathLike, size: int = 64, *, resize: str = "squash", channels: int = 3) -> FolderSet:
    """Read a folder that has one sub-folder of images for each class, as torchvision's ``ImageFolder`` expects it.

    Files and classes come in the order of their names, as there. When a file is refused, one line says so; ``.report``
    has the names.

    Parameters
    ----------
    root : path
        The folder, laid out as ``root/cats/*.jpg``, ``root/dogs/*.jpg``. A FileNotFoundError, NotADirectoryError or
        FolderError says what is wrong, also where a class has no image or more files were refused than read.
    size, resize, channels
        Every image becomes ``[channels, size, size]``, see `read_image`.
    """
    root = _existing_folder(root)
    report = Report(root.resolve().name)
    classes = find(root, report)
    files = [(path, label) for label, paths in enumerate(classes.values()) for path in paths]
    dataset = read_files(files, classes, report, size, resize, channels)
    if len(report.refused) > report.read:
        raise FolderError(f"more files were refused than read.\n{report}")
    if empty := [name for name, count in dataset.counts().items() if count == 0]:
        raise FolderError(f"no image in {', '.join(empty)}. Add images, or remove the folder.\n{report}")
    if report.refused:
        name, reason = next(iter(report.refused.items()))
        print(f"{report.summary()}. First refused: {name} ({reason}). All are in .report")
    return dataset


def find(root: Path, report: Report) -> dict[str, list[Path]]:
    """Return the files of each class, in the order of names; the report has what is in no class."""
    classes, inner, name = {}, [], report.folder
    for entry in _entries(root, report):
        shown = _shown(entry.name)
        if entry.is_dir():
            classes[shown] = files = []
            for path in _entries(entry, report, entry.name):
                (inner if path.is_dir() else files).append(path)
        elif entry.suffix.lower() in _SUFFIXES:
            report.refused[shown] = "wrong place: not in the folder of a class"
        else:
            report.ignored[shown] = "other file: not an image by its name"
    if not classes:
        found = ", ".join([*report.refused, *report.ignored][:3]) or "nothing"
        advice = "Unpack an archive first; of a class, give the folder above it."
        raise FolderError(f"{name} has no folders in it, but {found}. {advice} {_LAYOUT}")
    if inner and not any(classes.values()):
        instead = " or ".join(f"{name}/{label}" for label in classes)
        raise FolderError(f"the folders in {name} hold folders, no images. Read {instead} instead. {_LAYOUT}")
    if len(classes) == 1:
        raise FolderError(f"{name} has one class only ({', '.join(classes)}); there must be two to tell apart.")
    for path in inner:
        report.refused[_shown(path.parent.name, path.name, "")] = "wrong place: a folder in the folder of a class"
    return classes


def read_files(
    files: Sequence[tuple[Path, int]], classes: Iterable[str], report: Report, size: int, resize: str, channels: int = 3
) -> FolderSet:
    """Decode files, each given with its label; the report has what became of them."""
    _check_options(arguments.whole("size", size), resize, channels)
    images, labels, names = torch.empty(len(files), channels, size, size, dtype=torch.uint8), [], []
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))  # Pillow works outside the interpreter's lock
    bar = runtime.progress_bar(desc="reading", total=len(files), unit=" images")
    with warnings.catch_warnings(action="ignore"), pool, bar as shown:
        outcomes = pool.map(lambda file: _decode(file[0], size, resize, channels), files)
        for (path, label), outcome in zip(files, outcomes, strict=True):
            shown.update()
            name = _shown(path.parent.name, path.name)
            if isinstance(outcome, str):  # a text or a table among the images was never meant to be one
                listed = report.refused if path.suffix.lower() in {"", *_SUFFIXES} else report.ignored
                listed[name] = outcome
                continue
            array, notes = outcome
            if notes:
                report.converted[name] = ", ".join(notes)
            images[len(names)] = torch.from_numpy(array.reshape(size, size, channels)).permute(2, 0, 1)
            labels.append(label)
            names.append(name)
    report.read = len(names)
    dataset = FolderSet(images[: len(names)], torch.tensor(labels, dtype=torch.int64), classes, names)
    dataset.report = report
    return dataset


def read_image(
    path: str | os.PathLike, size: int | None = None, *, resize: str = "squash", channels: int = 3
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read one image file: JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or PNM; the content decides, not the name.

    Parameters
    ----------
    path : path
        The file. An ImageFileError says why it cannot be read.
    size : int, optional
        Height and width of the result in pixels; without it the image stays as large as it is.
    resize : {"squash", "crop"}
        ``"squash"`` scales both sides to ``size`` on their own. ``"crop"`` keeps the shape of things: it cuts out
        the largest square in the middle. Both are bilinear with antialiasing.
    channels : {3, 1}
        Red, green and blue, or gray (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601).

    Returns
    -------
    array : ndarray
        uint8 ``[H, W, 3]``, or ``[H, W]`` for gray.
    notes : tuple of str
        What was converted; empty for an ordinary image. Gray and palette become RGB, 16 bits become 8, transparent
        parts become white. Of several frames the first is taken. EXIF's orientation is applied.
    """
    _check_options(size, resize, channels)
    with warnings.catch_warnings(action="ignore"):
        outcome = _decode(Path(path), size, resize, channels)
    if isinstance(outcome, str):
        raise ImageFileError(outcome)
    return outcome


def _check_options(size: int | None, resize: str, channels: int) -> None:
    if size is not None:
        arguments.whole("size", size)
    if resize not in ("squash", "crop") or channels not in (1, 3):
        raise ValueError(f'resize must be "squash" or "crop", channels 3 or 1, not {resize!r} and {channels!r}.')


def _decode(path: Path, size: int | None, resize: str, channels: int) -> _Decoded | str:
    """Return what `read_image` does, or why the file cannot be read."""
    try:
        if not path.is_file():  # a pipe would wait for ever
            return "not a file: missing, a folder, or a broken link"
        if path.stat().st_size == 0:
            return "empty: 0 bytes"
        with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            return _to_array(image, path.suffix, size, resize, channels)
    except UnidentifiedImageError:
        head = path.read_bytes()[:512].lower()
        if b"<html" in head or b"<!doctype html" in head:
            return "not an image: a web page, often an error or login page saved in place of the image"
        return "not an image: or a format such as HEIC that must be exported as JPEG, or damaged at its beginning"
    except PermissionError:
        return "no permission: this user may not read it"
    except Exception as error:  # a damaged file makes Pillow raise nearly anything, from OSError to IndexError
        reason = str(error) or type(error).__name__
        return f"{'truncated' if 'truncated' in reason.lower() else 'unreadable'}: {reason:.120}"


def _to_array(file: ImageFile.ImageFile, suffix: str, size: int | None, resize: str, channels: int) -> _Decoded:
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
    elif image.mode in _KINDS and (channels == 3 or _KINDS[image.mode] != "gray"):
        notes.append(f"{_KINDS[image.mode]} to RGB")
    image = image.convert("RGB" if channels == 3 else "L")
    if size:
        fit = ImageOps.fit if resize == "crop" else Image.Image.resize
        image = fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.array(image), tuple(notes)


def _existing_folder(root: str | os.PathLike) -> Path:
    if not str(root).strip():
        raise ValueError("root must be the path of a folder; it is empty.")
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise NotADirectoryError(f"{path} is a file, not a folder. Unpack an archive first, then give its folder.")
    parent = next(parent for parent in path.absolute().parents if parent.is_dir())
    missing = path.absolute().relative_to(parent).parts[0]
    near = difflib.get_close_matches(missing, os.listdir(parent)) or ["another name, or another folder"]
    raise FileNotFoundError(f"there is no folder {path}: {parent} has no {missing}. Did you mean {' or '.join(near)}?")


def _entries(folder: Path, report: Report, *above: str) -> list[Path]:
    """List a folder in the order of the names; hidden files and those of the system go into the report."""
    entries = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.lower() in _SYSTEM:
            report.ignored[_shown(*above, path.name)] = "hidden or system file"
        else:
            entries.append(path)
    return entries


def _shown(*names: str) -> str:
    return "/".join(names).encode("utf-8", "backslashreplace").decode()  # a name may hold bytes that are no text
