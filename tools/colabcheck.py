"""Would the course run on Colab? Proved with Colab's versions of everything, from a wheel and in empty folders."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tools import execute
from tools.normalform import read

# What Colab brought in August 2026, as far as the course needs it (its Python was 3.13); "" is any version.
COLAB = {
    "filelock": "",
    "ipywidgets": "7.7",
    "matplotlib": "3.10",
    "numpy": "2.1",
    "pillow": "",
    "platformdirs": "",
    "safetensors": "",
    "scikit-image": "0.25",
    "scikit-learn": "1.6",
    "scipy": "",
    "torch": "2.11",
    "torchvision": "0.26",
    "tqdm": "",
}
_KERNEL = "coursekit-colab"
FOLDER = Path("build") / "colab"


def check(root: Path, paths: list[Path]) -> int:
    """Make the environment if it is missing, install as the setup cell does, run the notebooks; return the exit code.

    Parameters
    ----------
    root : Path
        The course's root folder.
    paths : list of Path
        The notebooks; each runs in an empty folder that has only the notebook in it.
    """
    folder = (root / FOLDER).resolve()
    python = make_environment(folder / "venv")
    wheel = build_wheel(root, folder / "wheel")
    _pip(python, "uninstall", "--yes", "--quiet", *added_by(setup_line(paths[0])))
    before = installed(python)
    line = [str(wheel) if word.startswith("coursekit") else word for word in pip_words(setup_line(paths[0]))]
    _pip(python, *line)
    wrong = differences(before, installed(python), added_by(setup_line(paths[0])))
    print("\n".join(wrong) or "The first cell adds what it says, and changes no package.")
    for path in paths:
        result = run_alone(path, folder / "runs" / path.stem, python)
        print(f"{path.stem}: {result.error or f'{result.seconds:.0f} s'}", flush=True)
        wrong += [result.error] if result.error else []
    return 1 if wrong else 0


def setup_line(path: Path) -> str:
    """Return the ``%pip`` line of a notebook's setup cell."""
    cells = read(path).cells
    return next(
        line.strip() for cell in cells for line in cell.source.splitlines() if line.strip().startswith("%pip install")
    )


def pip_words(line: str) -> list[str]:
    """Return pip's arguments from a ``%pip`` line, ``install`` first."""
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line.removeprefix("%pip "))]


def added_by(line: str) -> list[str]:
    """Return the names of the packages that a ``%pip`` line asks for."""
    return [word.split(" ")[0] for word in pip_words(line)[1:] if not word.startswith("-")]


def differences(before: dict[str, str], after: dict[str, str], added: list[str]) -> list[str]:
    """Say in words what an installation did beyond adding these packages; an empty list if nothing."""
    wrong = [f"{name} is missing" for name in added if name not in after]
    wrong += [f"{name} was removed" for name in before if name not in after]
    wrong += [f"{name} was added" for name in after if name not in before and name not in added]
    wrong += [
        f"{name}: {before[name]} became {after[name]}"
        for name in before
        if after.get(name, before[name]) != before[name]
    ]
    return wrong


def installed(python: Path) -> dict[str, str]:
    """Return the packages of an environment, with their versions."""
    found = json.loads(_pip(python, "list", "--format", "json"))
    return {package["name"]: package["version"] for package in found}


def make_environment(folder: Path) -> Path:
    """Make an environment with Colab's versions, unless it is there, and return its Python."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp = folder / "colab.json"
    if not stamp.exists() or json.loads(stamp.read_text(encoding="utf-8")) != COLAB:
        print(f"Making an environment with Colab's versions in {folder}: about 6 GB.", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        wanted = [f"{name}=={version}.*" if version else name for name, version in COLAB.items()]
        _pip(python, "install", "--quiet", "ipykernel", *wanted)
        stamp.write_text(json.dumps(COLAB), encoding="utf-8")
    return python


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the package's wheel and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    _pip(Path(sys.executable), "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(root))
    return next(folder.glob("*.whl"))


def run_alone(path: Path, folder: Path, python: Path) -> execute.Result:
    """Run a notebook in a folder that has nothing else in it, with another environment's Python."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(path, folder)
    spec = folder.parent.parent / "jupyter" / "kernels" / _KERNEL / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": _KERNEL, "language": "python"}), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(spec.parent.parent.parent)
    notebook = read(path)
    return execute.execute(notebook, name=path.stem, folder=folder, kernel=_KERNEL)


def _pip(python: Path, *words: str) -> str:
    done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(words[:2])} failed in {python}:\n{done.stderr.strip()}")
    return done.stdout
