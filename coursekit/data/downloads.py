"""Fetch a file, or unpack an archive, so that it is whole or not there at all; a broken transfer is continued."""

import gzip
import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from coursekit import runtime

_TIMEOUT = 30.0  # seconds that a server may stay silent
_CHUNK = 1 << 16  # bytes


class DownloadError(OSError):
    """A file could not be fetched or unpacked. The message says what happened and what to do."""


def fetch(urls: str | Iterable[str], path: str | os.PathLike[str], *, sha256: str = "", md5: str = "") -> Path:
    """Download a file to `path`, unless the right file is there already, and return `path`.

    Two calls at once, even from two processes, are safe: the second one waits and finds the file. A DownloadError says
    why it cannot be had (no network, a server's refusal, a login page, wrong contents, a full disk, a folder that is
    read-only) and what to do; what lay at `path` before is then left as it was.

    Parameters
    ----------
    urls : str or iterable of str
        The address, or several addresses (mirrors) of the same file, best first. Each is tried twice.
    path : path-like
        Where the file is to lie; its folder is made if it is missing.
    sha256, md5 : str
        The checksum in hexadecimal, one of the two; its first digits are enough, as torchvision's file names have them.
    """
    if bool(sha256) == bool(md5):
        raise ValueError("give the checksum of the file, either sha256 or md5.")
    algorithm, digest = ("sha256", sha256.lower()) if sha256 else ("md5", md5.lower())
    path = Path(path).expanduser()
    part = path.with_name(f".{path.name}.part")
    failures = []
    try:
        if path.is_file() and _checksum(path, algorithm).startswith(digest):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):  # the system frees the lock of a process that was killed
            if path.is_file() and _checksum(path, algorithm).startswith(digest):
                return path  # another process has just brought it
            for url in ([urls] if isinstance(urls, str) else list(urls)) * 2:
                failure = _transfer(url, part, path.name)
                if not failure:
                    found = _checksum(part, algorithm)
                    if found.startswith(digest):
                        os.replace(part, path)
                        return path
                    part.unlink()
                    failure = f"the wrong contents arrived, {algorithm} {found} instead of {digest}"
                failures.append(f"{url}: {failure}")
    except OSError as error:
        raise _disk_trouble(path, error) from error
    there = " The file that is there now is another one." if path.exists() else ""
    raise DownloadError(
        "\n  ".join([f"{path.name} could not be downloaded.", *failures]) + "\n"
        'What to do: stay with the mini profile, which needs no network (coursekit.setup("mini"), or the '
        "environment variable COURSEKIT_PROFILE=mini); or try again later; or get the file by other means "
        f"and put it at\n  {path} ({algorithm} {digest}).{there}"
    )


def unpack(archives: Iterable[Path], folder: Path) -> None:
    """Unpack archives that `fetch` has checked into one folder, unless that folder exists already.

    Everything goes to a temporary folder, which gets its name when the last file is written: a folder that exists is
    complete. Two calls at once, even from two processes, are safe. Archives end in .zip, .tar, .tar.gz, .tgz, or .gz
    (one packed file). A DownloadError says it if the disk is full or cannot be written to.
    """
    temporary = folder.with_name(f".{folder.name}.unpacking")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if folder.exists():
                return
            shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
            temporary.mkdir()
            try:
                for archive in archives:
                    print(f"Unpacking {archive.name} to {folder}")
                    _unpack_one(archive, temporary)
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise _disk_trouble(folder, error) from error


def _unpack_one(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    elif archive.name.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    else:
        with gzip.open(archive) as source, (folder / archive.stem).open("wb") as target:
            shutil.copyfileobj(source, target)


def _transfer(url: str, part: Path, name: str) -> str:
    """Bring the file at `url`, or what is still missing of it, to the partial file; return what went wrong, or ""."""
    import requests  # here, because only a download needs it

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                return ""  # all of it is here; the checksum tells whether it is right
            response.raise_for_status()
            if "text/html" in response.headers.get("Content-Type", ""):
                advice = "perhaps this network wants you to log in first: open the address in a browser"
                return f"a web page came instead of the file, from {response.url}; {advice}"
            start = have if response.status_code == requests.codes.partial_content else 0
            total = start + int(response.headers.get("Content-Length", 0)) or None
            print(f"Downloading {name} ({f'{total / 1e6:,.1f} MB' if total else 'size unknown'}) to {part.parent}")
            bar = runtime.progress_bar(desc=name, total=total, initial=start, unit="B", unit_scale=True)
            with part.open("ab" if start else "wb") as file, bar as shown:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    shown.update(len(chunk))
    except requests.RequestException as error:  # no network, a broken connection, silence, or the server's refusal
        return str(error) or type(error).__name__
    return ""


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:  # some systems forbid MD5 for security; this is against accidents
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _disk_trouble(path: Path, error: OSError) -> DownloadError:
    return DownloadError(
        f"{path.name} could not be stored in {path.parent} ({error.strerror or error}). Make room or allow writing "
        "there, or set the environment variable COURSEKIT_CACHE to another folder, or stay with the mini profile, "
        "which downloads nothing."
    )
