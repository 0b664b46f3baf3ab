"""Unpack archives from the network: whole or not at all, and never outside of their folder."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from coursekit import arguments
from coursekit.data.downloads import DownloadError, disk_trouble, locked

_CHUNK = 1 << 20
_SMALL = 64 * 2**20  # the ratio says nothing about small archives: a page of zeros packs to nearly nothing
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # zipfile's error for an encrypted member, or a packing method it lacks
    ValueError,
    FileExistsError,  # one name for a file and a folder, and the two after it
    IsADirectoryError,
    NotADirectoryError,
)
# name, and how to open the contents (None: a folder)
_Member = tuple[str, Callable[[], BinaryIO] | None]


def unpack(
    archives: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    max_bytes: int = 8 * 2**30,
    max_ratio: float = 200.0,
    max_files: int = 200_000,
    progress: bool = True,
) -> Path:
    """Unpack one archive, or several into the same folder, unless that folder exists already.

    Everything goes to a temporary folder first, which gets its name when the last file is written: a folder
    that exists is complete. Only plain files and folders are made; permissions and owners are ignored.

    Parameters
    ----------
    archives : path-like or iterable of path-like
        Files ending in .zip, .tar, .tar.gz, .tgz, or .gz (one packed file).
    folder : path-like
        The folder to make.
    max_bytes : int, default 8 GiB
        Limit for each archive's contents.
    max_ratio : float, default 200
        Limit for contents over archive, where the contents are more than 64 MiB. Real data stays far below.
    max_files : int, default 200,000
        Limit for the number of files and folders of each archive.
    progress : bool, default True
        Print a line for each archive.

    Returns
    -------
    Path
        `folder`. Two calls at once, even from two processes, are safe.

    Raises
    ------
    DownloadError
        If an archive is missing, damaged, of an unknown kind or larger than the limits, if it holds a link, a
        device or a name that leads out of the folder, or if the disk is full or cannot be written to. Nothing
        is left of an archive that was refused.
    TypeError, ValueError
        If an argument is none of the above.
    """
    limits = {"max_bytes": max_bytes, "max_ratio": max_ratio, "max_files": max_files}
    for name, value in limits.items():
        if not arguments.real(name, value) > 0:
            raise ValueError(f"{name} must be above 0, not {value!r}.")
    archives = [archives] if isinstance(archives, str | os.PathLike) else archives
    folder = Path(folder).expanduser()
    if folder.exists():
        return folder
    temporary = folder.with_name(f".{folder.name}.unpacking")
    say = print if progress else lambda text: None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder, say):
            if folder.exists():  # another process may just have made it
                return folder
            shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
            try:
                temporary.mkdir()
                for archive in map(Path, archives):
                    say(f"Unpacking {archive.name} to {folder}")
                    _unpack_one(archive, temporary, max_bytes, max_ratio, max_files)
                os.rename(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{folder.name} could not be unpacked. {disk_trouble(error, folder.parent)}") from error
    return folder


def _unpack_one(archive: Path, folder: Path, max_bytes: int, max_ratio: float, max_files: int) -> None:
    if not archive.is_file():
        raise DownloadError(f"there is no archive {archive}. Download it first.")
    limit = min(max_bytes, max(_SMALL, max_ratio * archive.stat().st_size))
    written = 0
    try:
        for number, (name, open_member) in enumerate(_members(archive), start=1):
            if number > max_files:
                raise _refusal(archive, f"it holds more than {max_files:,} files")
            target = folder / _safe_name(name, archive)
            if open_member is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_member() as source, target.open("wb") as file:
                # What is counted is what arrives: an archive can lie about its sizes.
                while chunk := source.read(_CHUNK):
                    written += len(chunk)
                    if written > limit:
                        raise _refusal(archive, f"unpacked it is more than {limit / 1e6:,.0f} MB")
                    file.write(chunk)
    except _DAMAGED as error:
        raise DownloadError(
            f"{archive} is damaged or not what its name says ({error}). Delete it and run this again."
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _refusal(archive, f"the name {name[:60]!r}... is too long") from error
        raise


def _members(archive: Path) -> Iterator[_Member]:
    name = archive.name.lower()
    if name.endswith(".zip"):
        yield from _zip_members(archive)
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        yield from _tar_members(archive)
    elif name.endswith(".gz"):
        yield archive.stem, lambda: gzip.open(archive)  # noqa: SIM115 -- closed by _unpack_one
    else:
        raise DownloadError(f"{archive.name}: this kind of archive is not known; .zip, .tar, .tar.gz, .tgz, .gz are.")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, f"{info.filename!r} is a link or a device")
            yield info.filename, None if info.is_dir() else lambda info=info: opened.open(info)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if not (info.isfile() or info.isdir()):
                raise _refusal(archive, f"{info.name!r} is a link or a device")
            yield info.name, None if info.isdir() else lambda info=info: opened.extractfile(info)


def _safe_name(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    outside = ".." in path.parts or path.is_absolute() or PureWindowsPath(name).drive
    if outside or "\0" in name:
        raise _refusal(archive, f"{name!r} would be written outside of the folder")
    return path


def _refusal(archive: Path, cause: str) -> DownloadError:
    return DownloadError(f"{archive} is refused: {cause}. It is not what was expected: delete it, do not open it.")
