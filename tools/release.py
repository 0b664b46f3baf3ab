"""The package's wheel, built and checked. Publishing it is its owner's act; a class gets it beside a notebook, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from coursekit import __version__
from tools.address import fork
from tools.site import modules

VERSION_LINES = {"CHANGELOG.md": f"## {__version__}", "CITATION.cff": f"version: {__version__}\n"}
_CHECK = """
import importlib, sys
import coursekit
from coursekit import pretrained
assert coursekit.__file__.startswith(sys.argv[1]), f"not the wheel's package was imported, but {coursekit.__file__}"
for name in sys.argv[2:]:
    importlib.import_module(f"coursekit.{name}")
assert pretrained.weights_folder().is_relative_to(sys.argv[1]), "the weights are not in the wheel"
pretrained.resnet18()
"""


def release(root: Path) -> int:
    """Build the wheel into ``dist``, unpack it in an empty folder, and use it there; return the exit code."""
    old = [name for name, line in VERSION_LINES.items() if line not in (root / name).read_text(encoding="utf-8")]
    if old:
        print(f"coursekit/__init__.py says version {__version__}; {' and '.join(old)} must say so, too.")
        return 1
    dist, unpacked = root / "dist", (root / "build" / "release").resolve()
    for folder in (dist, unpacked):
        shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", dist, root], check=True)
    (wheel,) = dist.glob("*.whl")
    shutil.unpack_archive(wheel, unpacked, "zip")
    command = [sys.executable, "-P", "-c", _CHECK, str(unpacked), *modules()]
    if subprocess.run(command, cwd=unpacked, env={**os.environ, "PYTHONPATH": str(unpacked)}, check=False).returncode:
        return 1
    print(f"{wheel.relative_to(root)} works ({wheel.stat().st_size / 1e6:.1f} MB). A notebook beside it installs it.")
    if not fork(root).index:
        print(
            "On the package index `coursekit` is another project's name: CONTRIBUTING.md says how to publish this one."
        )
    return 0
