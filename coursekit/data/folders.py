"""Read a folder of the user's own images, whatever is in it.

Every file is decoded once, before training starts, into memory. What had to be converted, and what could not be
read, is listed by file name in a report; nothing is left out silently, and nothing can fail later.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coursekit import arguments, runtime
from coursekit.data import foldertree, imagefiles
from coursekit.data.foldertree import FolderError
from coursekit.data.imagesets import ImageSet

__all__ = ["FolderError", "FolderSet", "Report", "read"]


@dataclass(frozen=True)
class Report:
    """What became of every file of a folder. Its text is a short table.

    Attributes
    ----------
    folder : str
        The name of the folder.
    read : int
        How many images were read.
    converted : mapping of str to str
        Name (``class/file``) of each image that was read but not as it is, and what was done with it.
    refused : mapping of str to str
        Name of each file that should be an image of the data set and is not in it, and why.
    ignored : mapping of str to str
        Name of each file or folder that is no concern of the data set: hidden, of the system, or another kind
        of file.
    unused : int
        How many files were not opened because of ``limit_per_class``.
    """

    folder: str
    read: int = 0
    converted: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    unused: int = 0

    def summary(self) -> str:
        """Return the counts in one line."""
        unused = f", {self.unused:,} not needed" if self.unused else ""
        return (
            f"{self.folder}: {self.read:,} images read ({len(self.converted):,} of them converted), "
            f"{len(self.refused):,} refused, {len(self.ignored):,} ignored{unused}"
        )

    def __str__(self) -> str:
        """Return the counts, and for each kind of trouble how many files and the first names."""
        lines = [self.summary()]
        for what in ("converted", "refused", "ignored"):
            kinds = defaultdict(list)
            for name, reason in getattr(self, what).items():
                for kind in reason.split("; ") if what == "converted" else [reason.split(": ")[0]]:
                    kinds[kind].append(name)
            for kind, names in sorted(kinds.items(), key=lambda item: -len(item[1])):
                more = ", …" if len(names) > 3 else ""
                lines.append(f"  {what:<9} {len(names):>6,}  {kind}: {', '.join(names[:3])}{more}")
        return "\n".join(lines)


class FolderSet(ImageSet):
    """An `ImageSet` that was read from a folder; ``report`` says what became of each file."""

    def __init__(
        self, images: Tensor, labels: Tensor, classes: Iterable[str], names: Iterable[str], report: Report
    ) -> None:
        super().__init__(images, labels, classes, names)
        self.report = arguments.of_type("report", report, Report, "a Report")

    def __repr__(self) -> str:
        """Describe the set and, in a second line, what was read and what not."""
        return f"{super().__repr__()}\n  {self.report.summary()}; see .report"


def read(
    root: str | os.PathLike,
    size: int = 64,
    *,
    resize: str = "squash",
    channels: int = 3,
    limit_per_class: int | None = None,
    allow_empty: bool = False,
    strict: bool = False,
    memory_limit: int = 2 * 1024**3,
    workers: int | None = None,
    progress: bool = True,
) -> FolderSet:
    """Read a folder that has one sub-folder of images for each class, as torchvision's ``ImageFolder`` expects it.

    Files and classes come in natural order (``cat.2`` before ``cat.10``), the same on every computer. When a file
    is refused, one line says so; ``.report`` has the names.

    Parameters
    ----------
    root : path
        The folder, laid out as ``root/cats/*.jpg``, ``root/dogs/*.jpg``.
    size, resize, channels
        Every image becomes ``[channels, size, size]``, see `imagefiles.read_image`.
    limit_per_class : int, optional
        Read only this many images of each class, the first in order that can be read.
    allow_empty : bool
        Accept a class without images.
    strict : bool
        Raise an error when any file is refused.
    memory_limit : int
        Bytes that the images may take: number x channels x size x size. All of it is needed at once.
    workers : int, optional
        Threads that decode; as many as there are cores, at most 8, if not given.
    progress : bool
        Show a progress bar.

    Returns
    -------
    FolderSet
        The images, with ``.report``.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        When there is no folder ``root``.
    FolderError
        When the folder is not laid out as above, has fewer than two classes or an empty one, when more files were
        refused than read, or when the images need more than ``memory_limit``.
    TypeError, ValueError
        When an argument makes no sense.
    """
    imagefiles.check_options(size, resize, channels)
    for name, value in (("limit_per_class", limit_per_class), ("workers", workers)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number from 1 on, or None; got {value!r}")
    tree = foldertree.find(foldertree.existing_folder(root))
    foldertree.check_layout(tree, allow_empty)
    jobs = [(i, file) for i, files in enumerate(tree.classes.values()) for file in files[:limit_per_class]]
    _check_memory(len(jobs), channels, size, memory_limit)

    pixels = np.empty((len(jobs), channels, size, size), np.uint8)
    decoded = _decode([file.path for _, file in jobs], pixels, resize, workers, progress)
    labels, names, converted = [], [], {}
    for i, (notes, (label, file)) in enumerate(zip(decoded, jobs, strict=True)):
        if isinstance(notes, str):
            # A text or a table among the images was never meant to be one, as its name says.
            other = file.path.suffix.lower() not in {"", *imagefiles.SUFFIXES}
            (tree.ignored if other else tree.refused)[file.name] = notes
            continue
        if notes + file.notes:
            converted[file.name] = "; ".join(notes + file.notes)
        pixels[len(names)] = pixels[i]  # close the gap of what was refused; a copy would need the memory twice
        labels.append(label)
        names.append(file.name)

    unused = sum(map(len, tree.classes.values())) - len(jobs)
    report = Report(tree.root.resolve().name, len(names), converted, tree.refused, tree.ignored, unused)
    if tree.refused and (strict or len(tree.refused) > len(names)):
        why = "strict=True refuses the folder" if strict else "more files were refused than read"
        raise FolderError(f"{why}.\n{report}")
    images, labels = torch.from_numpy(pixels[: len(names)]), torch.tensor(labels, dtype=torch.int64)
    dataset = FolderSet(images, labels, tree.classes, names, report)
    foldertree.check_empty(dataset.counts(), tree, allow_empty)
    if tree.refused:
        name, reason = next(iter(tree.refused.items()))
        print(f"{report.summary()}. First refused: {name} ({reason}). All are in .report")
    return dataset


def _check_memory(images: int, channels: int, size: int, limit: int) -> None:
    need = images * channels * size**2
    if need > limit:
        fits = int((limit / images / channels) ** 0.5)
        smaller = f"smaller (size={fits}), fewer (limit_per_class)" if fits else "fewer (limit_per_class)"
        raise FolderError(
            f"{images:,} images of {channels}x{size}x{size} need {need / 1024**3:,.2f} GiB of memory, more than "
            f"memory_limit = {limit / 1024**3:,.2f} GiB. Read them {smaller}, or raise memory_limit if there is memory"
        )


def _decode(
    paths: list[Path], pixels: np.ndarray, resize: str, workers: int | None, progress: bool
) -> list[tuple[str, ...] | str]:
    """Decode each path into its row of ``pixels`` ``[N, C, S, S]``; return its notes, or why it was refused."""
    channels, size = pixels.shape[1:3]

    def decode(i: int) -> tuple[str, ...] | str:
        try:
            array, notes = imagefiles.decode(paths[i], size, resize, channels)
        except imagefiles.ImageFileError as error:
            return str(error)
        pixels[i] = array if channels == 1 else array.transpose(2, 0, 1)
        return notes

    # Threads are enough: Pillow decodes and scales outside the interpreter's lock.
    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8))
    bar = runtime.progress_bar(show=progress, desc="reading", total=len(paths), unit=" images")
    with imagefiles.strict_pillow(), pool, bar as shown:
        outcomes = []
        for outcome in pool.map(decode, range(len(paths))):
            outcomes.append(outcome)
            shown.update()
    return outcomes
