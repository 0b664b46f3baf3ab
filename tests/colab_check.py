"""``python -m tests.colab_check``: would the course run on Colab?

Proved with Colab's versions of everything, from a wheel and in empty folders.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from tools.__main__ import find_notebooks
from tools.address import fork
from tools.execute import execute
from tools.launch import PIP
from tools.normalform import read

_KERNEL = "coursekit-colab"


def check(root: Path, paths: list[Path]) -> int:
    """Install with Colab's versions as the setup cell does, and run each notebook alone; return the exit code."""
    folder = (root / "build" / "colab").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    print(f"Making an environment with Colab's versions in {folder}: about 6 GB.", flush=True)
    python = make_environment(folder, colab(root))
    before = installed(python)
    pip(python, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(root))
    (wheel,) = folder.glob("*.whl")
    for package in (str(wheel), *fork(root).extras):
        pip(python, *PIP, package)
    wrong = changed(before, installed(python))
    print("\n".join(wrong) or "The first cell changes no package.")
    os.environ["JUPYTER_PATH"] = str(folder / "share" / "jupyter")
    for path in paths:
        alone = folder / "runs" / path.stem
        alone.mkdir(parents=True)
        result = execute(read(path), name=path.stem, folder=alone, kernel=_KERNEL)
        print(f"{path.stem}: {result.error or f'{result.seconds:.0f} s'}", flush=True)
        wrong += [result.error] if result.error else []
    return 1 if wrong else 0


def colab(root: Path) -> dict[str, str]:
    """Return what Colab brings, as far as the course needs it, with versions; "" is any version."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coursekit"]["colab"]


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Say in words which packages an installation changed or removed; an empty list if none."""
    return [
        f"{name}: {version} became {after.get(name, 'nothing')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def installed(python: Path) -> dict[str, str]:
    """Return the packages of an environment, with their versions."""
    return {package["name"]: package["version"] for package in json.loads(pip(python, "list", "--format", "json"))}


def make_environment(folder: Path, versions: dict[str, str]) -> Path:
    """Make an environment with Colab's versions, and a kernel in it; return its Python."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wanted = [f"{name}=={version}.*" if version else name for name, version in versions.items()]
    pip(python, "install", "--quiet", "ipykernel", *wanted)
    command = [python, "-m", "ipykernel", "install", "--prefix", folder, "--name", _KERNEL]
    subprocess.run(command, capture_output=True, check=True)
    return python


def pip(python: Path, *words: str) -> str:
    """Call the pip of an environment, and return what it prints."""
    done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(words[:2])} failed in {python}:\n{done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(check(Path.cwd(), find_notebooks(Path.cwd(), sys.argv[1:])))
