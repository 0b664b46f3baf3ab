"""Fetch a file so that it is either right or not there; `archives` unpacks it.

What arrives goes to a partial file beside the target, which is renamed only when its length and checksum are
right: no reader ever meets half a file. A broken transfer is continued where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from coursekit import arguments, runtime

_CHUNK = 1 << 18
_ELSEWHERE = (
    "Make room or allow writing there, or set the environment variable COURSEKIT_CACHE to another folder, "
    "or stay with the mini profile, which downloads nothing."
)


class DownloadError(OSError):
    """A file could not be fetched. The message says what happened and what to do."""


class _FailedAttempt(Exception):
    """One source failed in a way that another try, or another source, may put right."""


def fetch(
    urls: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    progress: bool = True,
    timeout: float = 30.0,
) -> Path:
    """Download a file to `path`, unless the right file is there already.

    Size and destination are printed before the transfer begins. One address is tried twice, several once.

    Parameters
    ----------
    urls : str or sequence of str
        The http(s) address, or several addresses (mirrors) of the same file, best first.
    path : path-like
        Where the file is to lie; its folder is made if it is missing.
    sha256, md5 : str, optional
        The checksum in hexadecimal, one of the two; of sha256, the first 8 to 16 digits are enough, as
        torchvision's file names have them. Without one, an existing file of the right size is taken
        as it is, and a broken transfer starts anew: nothing shows whether two parts belong together.
    size : int, optional
        The length in bytes.
    progress : bool, default True
        Print what is done, with a bar where there is a terminal or a notebook.
    timeout : float, default 30
        Seconds that a server may stay silent.

    Returns
    -------
    Path
        `path`. Two calls at once, even from two processes, are safe: the second one waits and finds the file.

    Raises
    ------
    DownloadError
        If the file cannot be had: no network, a server's refusal, a login page, wrong contents, a full disk,
        a folder that cannot be written to. What lay at `path` before is left as it was.
    TypeError, ValueError
        If an argument is not of the form above.
    """
    if not arguments.finite("timeout", timeout) > 0:
        raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}.")
    if size is not None:
        arguments.whole("size", size, 0)
    for name, digits in (("sha256", sha256), ("md5", md5)):
        arguments.of_type(name, digits, str | None, "a text of hexadecimal digits, or None")
    urls = [urls] if isinstance(urls, str) else list(urls)
    if not urls or not all(str(url).startswith(("http://", "https://")) for url in urls):
        raise ValueError(f"urls must be http:// or https:// addresses, at least one, not {urls!r}.")
    if sha256 and md5:
        raise ValueError("give sha256 or md5, not both.")
    algorithm, digest = ("md5", md5) if md5 else ("sha256", sha256)
    form, wanted = ("[0-9a-f]{32}", "32") if md5 else ("[0-9a-f]{8,16}|[0-9a-f]{64}", "64, or the first 8 to 16,")
    if digest and not re.fullmatch(form, digest, flags=re.IGNORECASE):
        raise ValueError(f"{algorithm} must be {wanted} hexadecimal digits, not {digest!r}.")
    path = Path(path).expanduser()
    file = _File(path, size, algorithm, (digest or "").lower(), progress, timeout)
    try:
        if not file.is_right(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path, file.say):
                if not file.is_right(path):  # another process may just have brought it
                    _fetch_from_any(urls, file)
    except DownloadError:
        raise
    except OSError as error:  # the network's own errors were dealt with further down: this is the disk
        raise DownloadError(f"{path.name} could not be stored. {disk_trouble(error, path.parent)}") from error
    return path


@contextmanager
def locked(path: Path, say: Callable[[str], None] = print) -> Iterator[None]:
    """Let one process at a time work on `path`; the system itself frees the lock of one that was killed."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another process is working on {path}: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def disk_trouble(error: OSError, folder: Path) -> str:
    """Say why nothing could be stored in `folder`, and what to do."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"The disk of {folder} is full. {_ELSEWHERE}"
    return f"The folder {folder} cannot be written to ({error.strerror or error}). {_ELSEWHERE}"


@dataclass(frozen=True)
class _File:
    """The file that is wanted, and how to go about it."""

    path: Path
    size: int | None
    algorithm: str
    digest: str  # "" if unknown
    progress: bool
    timeout: float

    @property
    def part(self) -> Path:
        """Where the parts that have arrived are kept."""
        return self.path.with_name(f".{self.path.name}.part")

    def say(self, text: str) -> None:
        """Print, unless it should be silent."""
        if self.progress:
            print(text)

    def is_right(self, path: Path) -> bool:
        """Tell whether the right file lies at `path`."""
        return path.is_file() and self.fault(path) is None

    def fault(self, path: Path) -> str | None:
        """Say what is wrong with the file at `path`, or None."""
        size = path.stat().st_size
        if self.size not in (None, size):
            return f"{size:,} bytes instead of {self.size:,}"
        if self.digest:
            with path.open("rb") as file:
                # Some systems forbid MD5 for security; this is against accidents.
                sum_ = hashlib.file_digest(file, lambda: hashlib.new(self.algorithm, usedforsecurity=False))
            if not sum_.hexdigest().startswith(self.digest):
                return f"{self.algorithm} {sum_.hexdigest()} instead of {self.digest}"
        return None


def _fetch_from_any(urls: list[str], file: _File) -> None:
    there = f"{file.path} is not the expected file: {file.fault(file.path)}" if file.path.exists() else ""
    if there:
        file.say(f"{there}. It is fetched anew.")
    if not file.digest:
        file.part.unlink(missing_ok=True)
    failures: list[str] = []
    for url in urls if len(urls) > 1 else urls * 2:
        if failures:
            file.say(f"That failed: {failures[-1].strip()}\nTrying {url}")
        try:
            # A process that was killed just before the renaming leaves a whole partial file behind.
            if not (file.digest and file.is_right(file.part)):
                _transfer(url, file)
                if fault := file.fault(file.part):
                    file.part.unlink()
                    raise _FailedAttempt(f"the wrong contents arrived: {fault}")
        except _FailedAttempt as failure:
            failures.append(f"\n  {url}: {failure}")
            continue
        os.replace(file.part, file.path)
        return
    known = [f"{file.size:,} bytes"] if file.size is not None else []
    known += [f"{file.algorithm} {file.digest}"] if file.digest else []
    by_hand = f"{file.path}" + (f" ({', '.join(known)})" if known else "")
    raise DownloadError(
        f"{file.path.name} could not be downloaded.{''.join(failures)}\n"
        'What to do: stay with the mini profile, which needs no network (coursekit.setup("mini"), or the '
        "environment variable COURSEKIT_PROFILE=mini); or try again later; or get the file by other means "
        f"and put it at\n  {by_hand}" + (f"\nNow {there}." if there else "")
    )


def _transfer(url: str, file: _File) -> None:
    """Bring the file at `url`, or what is still missing of it, to the partial file."""
    have = file.part.stat().st_size if file.part.exists() else 0
    with _open(url, have, file) as response:
        start = have if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            file.part.unlink()  # so that the next try asks for the whole
            raise _FailedAttempt(f"the server did not send what it was asked for, from byte {start:,} on")
        chunk = _read(response, 512, file.timeout)  # enough to know a web page by
        _refuse_web_page(response, chunk)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else file.size
        if total is not None and file.size not in (None, total):
            if start:  # the rest does not fit to what is here, so the next try asks for the whole
                file.part.unlink()
            raise _FailedAttempt(f"the server offers {total:,} bytes instead of {file.size:,}")
        _check_space(file.path, (total or 0) - start)
        continued = f", continued after {_megabytes(start)}" if start else ""
        file.say(f"Downloading {file.path.name} ({_megabytes(total)}{continued}) to {file.path.parent}")
        look = {"desc": file.path.name, "total": total, "initial": start, "unit": "B", "unit_scale": True}
        bar = runtime.progress_bar(show=file.progress, **look)
        with file.part.open("ab" if start else "wb") as part, bar as shown:
            while chunk and (total is None or part.tell() <= total):
                part.write(chunk)
                shown.update(len(chunk))
                chunk = _read(response, _CHUNK, file.timeout)
            part.flush()
            os.fsync(part.fileno())
            arrived = part.tell()
    if total is not None and arrived < total:
        raise _FailedAttempt(f"the connection ended after {arrived:,} of {total:,} bytes")


def _open(url: str, have: int, file: _File) -> http.client.HTTPResponse:
    headers = {"User-Agent": "coursekit", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=file.timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                file.part.unlink(missing_ok=True)  # longer than the file itself: part of another version
            raise _FailedAttempt(f"the server answered {error.code} ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _FailedAttempt(_network_trouble(error, file.timeout)) from error


def _read(response: http.client.HTTPResponse, most: int, timeout: float) -> bytes:
    try:
        return response.read(most)
    except (OSError, http.client.HTTPException) as error:
        raise _FailedAttempt(_network_trouble(error, timeout)) from error


def _network_trouble(error: Exception, timeout: float) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout:g} s"
    return f"no connection, or a broken one ({cause or type(cause).__name__})"


def _refuse_web_page(response: http.client.HTTPResponse, first: bytes) -> None:
    page = first[:512].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if page or response.headers.get_content_type() == "text/html":
        raise _FailedAttempt(
            f"a web page came instead of the file, from {response.url}; "
            "perhaps this network wants you to log in first: open the address in a browser"
        )


def _check_space(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f"{path.name} needs {_megabytes(needed)} more, but only {_megabytes(free)} are free in "
            f"{path.parent}. {_ELSEWHERE}"
        )


def _megabytes(size: int | None) -> str:
    if size is None:
        return "size unknown"
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"
