"""Where this course is published. The address finds itself; without one there are no links, and pages say so."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from coursekit import __version__

_GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Fork:
    """Where this course is published; what is unknown is ""."""

    address: str = ""  # without a slash at its end
    branch: str = "main"  # the readers'
    index: str = ""  # the package's name on the package index
    extras: tuple[str, ...] = ()  # what Colab lacks

    @property
    def name(self) -> str:
        """Owner and repository, as in ``owner/repository``; "" where it is not on GitHub, which Colab wants."""
        return self.address.removeprefix(_GITHUB) if self.address.startswith(_GITHUB) else ""

    @property
    def for_pip(self) -> str:
        """What pip installs the package from, or "" if nothing is known."""
        if self.index:
            return f"{self.index}=={__version__}"
        return f"git+{self.address}@{self.branch}" if self.address else ""

    @property
    def files(self) -> str:
        """What the addresses of the repository's files begin with, or "" if it is unknown."""
        return f"{self.address}/blob/{self.branch}" if self.name else ""

    @property
    def site(self) -> str:
        """Where GitHub shows the site, once its owner has switched pages on."""
        owner, _, repository = self.name.partition("/")
        return f"https://{owner.lower()}.github.io/{repository}" if owner else ""


def fork(root: Path) -> Fork:
    """Find the course's address: in ``pyproject.toml``, else in GitHub's automation, else git's remote ``origin``."""
    found = settings(root)
    project, ours = found.get("project", {}), found.get("tool", {}).get("coursekit", {})
    needs = (re.split(r"[^\w.-]", line)[0] for line in project.get("dependencies", ()))
    extras = tuple(name for name in needs if name not in ours.get("colab", {}))
    address = next(filter(None, [configured_address(root), *known_addresses(root)]), "")
    return Fork(address, ours.get("branch", "main"), ours.get("index", ""), extras)


def configured_address(root: Path) -> str:
    """Return the address that ``pyproject.toml`` names, or "" if it names none; exit if it cannot be one."""
    address = settings(root).get("project", {}).get("urls", {}).get("Repository", "")
    if address and not public_address(address):
        raise SystemExit(f"pyproject.toml: {address!r} is no address such as {_GITHUB}owner/repository.")
    return public_address(address)


def known_addresses(root: Path) -> list[str]:
    """Return the addresses that this copy of the course comes from, as far as GitHub's automation and git know them."""
    automation = f"{os.environ.get('GITHUB_SERVER_URL', _GITHUB)}/{os.environ.get('GITHUB_REPOSITORY', '')}"
    origin = ""
    if (root / ".git").exists():  # it is no folder of another repository
        command = ["git", "-C", str(root), "remote", "get-url", "origin"]
        with contextlib.suppress(FileNotFoundError):  # git is not installed
            origin = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return list(filter(None, map(public_address, (automation, origin))))


def public_address(remote: str) -> str:
    """Return a remote's address as readers open it, without passwords; "" for a path and a host that only some see."""
    remote = re.sub(r"^(?:[\w.-]+@)?([\w.-]+\.[a-z]+):(?!//)", r"ssh://\1/", remote)  # git@github.com:owner/repository
    parts = urlsplit(remote)
    path = parts.path.strip("/").removesuffix(".git")
    public = re.fullmatch(r"(?:[\w-]+\.)+[a-z]{2,}", parts.hostname or "") and re.fullmatch(r"[\w.~/-]+", path)
    return f"https://{parts.hostname}/{path}" if parts.scheme in ("https", "http", "ssh", "git") and public else ""


def settings(root: Path) -> dict:
    """Return what stands in ``pyproject.toml``."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
