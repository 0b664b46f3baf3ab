"""Autograder archives: one for otter's containers, one for Gradescope that uses the course's own grader."""

from __future__ import annotations

import copy
import importlib.util
import shutil
import subprocess
import sys
import tempfile
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
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        (source / "notebooks" / "labs").mkdir(parents=True)
        shutil.copy(master, source / "notebooks" / "labs")
        for folder in _FOLDERS:
            shutil.copytree(root / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for file in _FILES:
            shutil.copy(root / file, source)
        for script, text in {"setup.sh": _SETUP, "run_autograder": _RUN.format(name=name)}.items():
            (source / script).write_text(text, encoding="utf-8")
            (source / script).chmod(0o755)
        shutil.make_archive(str(path.with_suffix("")), "zip", source)


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
        shutil.copy(made[0], path)
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
