"""The archive for Gradescope, which grades there with the course's own grader."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

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


def write_archive(path: Path, name: str, master: Path, root: Path) -> None:
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
