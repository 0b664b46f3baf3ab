"""Read photos into memory before training starts: find the files, decode each once, report what became of it."""

import difflib
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from coursekit import arguments, runtime
from coursekit.data.imageset import ImageSet
from coursekit.photos import Decoded, ImageFileError, decode

_SUFFIXES = {".heic", ".heif", *Image.registered_extensions()}  # of files that claim to be an image
_SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}
_LAYOUT = "Expected in it: cats/1.jpg, dogs/1.jpg and so on, one folder for each class."


class FolderError(ValueError):
    """A folder cannot serve as a data set. The message says what was found, what was expected, what to do."""


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


def read(root: str | os.PathLike, size: int = 64, *, resize: str = "squash") -> FolderSet:
    """Read a folder that has one sub-folder of images for each class, as torchvision's ``ImageFolder`` expects it.

    It is laid out as ``root/cats/*.jpg``, ``root/dogs/*.jpg``. Files and classes come in the order of their names, each
    image as ``[3, size, size]``, see `photos.read_image`. When a file is refused, one line says so; see ``.report``. A
    FileNotFoundError, NotADirectoryError or FolderError says what is wrong, also where a class has no image or more
    files were refused than read.
    """
    root = _existing_folder(root)
    report = Report(root.resolve().name)
    classes = find(root, report)
    files = [(path, label) for label, paths in enumerate(classes.values()) for path in paths]
    dataset = read_files(files, classes, report, size, resize)
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
    files: Sequence[tuple[Path, int]], classes: Iterable[str], report: Report, size: int, resize: str
) -> FolderSet:
    """Decode files, each given with its label; the report has what became of them."""
    arguments.whole("size", size)
    if resize not in ("squash", "crop"):
        raise ValueError(f'resize must be "squash" or "crop", not {resize!r}.')
    images, labels, names = torch.empty(len(files), 3, size, size, dtype=torch.uint8), [], []
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))  # Pillow works outside the interpreter's lock
    bar = runtime.progress_bar(desc="reading", total=len(files), unit=" images")
    with warnings.catch_warnings(action="ignore"), pool, bar as shown:
        outcomes = pool.map(lambda file: _outcome(file[0], size, resize), files)
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
            images[len(names)] = torch.from_numpy(array).permute(2, 0, 1)
            labels.append(label)
            names.append(name)
    report.read = len(names)
    dataset = FolderSet(images[: len(names)], torch.tensor(labels, dtype=torch.int64), classes, names)
    dataset.report = report
    return dataset


def _outcome(path: Path, size: int, resize: str) -> Decoded | str:
    try:
        return decode(path, size, resize)
    except ImageFileError as error:
        return str(error)


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
