"""Autograder archives: one for otter's containers, one for Gradescope that uses the course's own grader."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import yaml

from tools.normalform import read

_FILES = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT.md")
_FOLDERS = ("coursekit", "tools", "data")

_SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image.
set -e
apt-get update -qq
apt-get install -y -qq python3 python3-venv python3-pip
python3 -m venv /autograder/venv
cd /autograder/source
/autograder/venv/bin/python -m pip install --quiet --upgrade pip
/autograder/venv/bin/python -m pip install --quiet --editable . --group dev
"""

_RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission.
cd /autograder/source
exec /autograder/venv/bin/python -m tools.grading.gradescope {name} /autograder
"""


def gradescope(path: Path, name: str, master: Path, root: Path) -> None:
    """Write the archive to upload to Gradescope to ``path``: package, tools and data, the lab's master, two scripts."""
    files = {name: (root / name).read_bytes() for name in _FILES if (root / name).exists()}
    for file in [file for folder in _FOLDERS for file in (root / folder).rglob("*")]:
        if file.is_file() and "__pycache__" not in file.parts:
            files[file.relative_to(root).as_posix()] = file.read_bytes()
    files[f"notebooks/labs/{master.name}"] = master.read_bytes()
    files |= {"setup.sh": _SETUP.encode(), "run_autograder": _RUN.format(name=name).encode()}
    _write(path, files)


def otter(path: Path, master: Path, address: str) -> str:
    """Have otter write its archive to ``path``; return an empty text, or why there is none.

    Otter's containers install `coursekit` from the repository's ``address``.
    """
    if importlib.util.find_spec("otter") is None:
        return "otter-grader is not installed (it is the dependency group `grading`)"
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(_with_requirements(read(master), address), Path(folder) / master.name)
        command = [sys.executable, "-m", "otter", "assign", master.name, "out", "--no-run-tests"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        made = sorted(Path(folder, "out", "autograder").glob("*.zip"))
        if done.returncode or not made:
            return "otter assign failed: " + " ".join((done.stderr or done.stdout).split())[-300:]
        with zipfile.ZipFile(made[0]) as archive:
            _write(path, {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")})
    return ""


def _with_requirements(master: nbformat.NotebookNode, address: str) -> nbformat.NotebookNode:
    """Tell otter what its containers need: the master itself does not name the repository."""
    master = copy.deepcopy(master)
    first, lines = master.cells[0], master.cells[0].source.splitlines()
    config = yaml.safe_load("\n".join(lines[1:])) | {
        "requirements": [f"coursekit @ git+{address}"],
        "generate": {"pdf": False, "show_stdout": True},
    }
    first.source = lines[0] + "\n" + yaml.safe_dump(config)
    return master


def _write(path: Path, files: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on the files only."""
    temporary = path.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            script = name in ("setup.sh", "run_autograder") or name.endswith(".sh")
            entry.external_attr = (0o100755 if script else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    temporary.replace(path)
