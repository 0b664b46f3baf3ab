"""Would the course run on Colab? Proved with Colab's versions of everything, from a wheel and in empty folders."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tools.execute import execute
from tools.launch import fork, setup_cell
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


def check(root: Path, paths: list[Path]) -> int:
    """Install with Colab's versions as the setup cell does, and run each notebook alone; return the exit code."""
    folder = (root / "build" / "colab").resolve()
    python = make_environment(folder / "venv")
    words = pip_words(fork(root).for_pip)
    added = added_by(words)
    _pip(python, "uninstall", "--yes", "--quiet", *added)
    before = installed(python)
    shutil.rmtree(folder / "wheel", ignore_errors=True)
    _pip(python, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder / "wheel"), str(root))
    (wheel,) = (folder / "wheel").glob("*.whl")
    _pip(python, *[str(wheel) if word.startswith("coursekit") else word for word in words])
    wrong = differences(before, installed(python), added)
    print("\n".join(wrong) or "The first cell adds what it says, and changes no package.")
    os.environ["JUPYTER_PATH"] = str(folder / "share" / "jupyter")
    for path in paths:
        alone = folder / "runs" / path.stem
        shutil.rmtree(alone, ignore_errors=True)
        alone.mkdir(parents=True)
        result = execute(read(path), name=path.stem, folder=alone, kernel=_KERNEL)
        print(f"{path.stem}: {result.error or f'{result.seconds:.0f} s'}", flush=True)
        wrong += [result.error] if result.error else []
    return 1 if wrong else 0


def pip_words(address: str) -> list[str]:
    """Return what the setup cell gives to pip, ``install`` first."""
    line = next(line for line in setup_cell(address).splitlines() if "%pip" in line)
    return shlex.split(line.partition("%pip")[2].replace("{address}", f"git+{address}"))


def added_by(words: list[str]) -> list[str]:
    """Return the names of the packages that pip is asked for."""
    return [word.split()[0] for word in words[1:] if not word.startswith("-")]


def differences(before: dict[str, str], after: dict[str, str], added: list[str]) -> list[str]:
    """Say in words what an installation did beyond adding these packages; an empty list if nothing."""
    wrong = [f"{name} is missing" for name in added if name not in after]
    wrong += [f"{name} was added" for name in after if name not in before and name not in added]
    for name, version in before.items():
        if after.get(name) != version:
            wrong.append(f"{name}: {version} became {after.get(name, 'nothing')}")
    return wrong


def installed(python: Path) -> dict[str, str]:
    """Return the packages of an environment, with their versions."""
    found = json.loads(_pip(python, "list", "--format", "json"))
    return {package["name"]: package["version"] for package in found}


def make_environment(folder: Path) -> Path:
    """Make an environment with Colab's versions and a kernel in it, unless it is there, and return its Python."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp = folder / "colab.json"
    if not stamp.exists() or json.loads(stamp.read_text(encoding="utf-8")) != COLAB:
        print(f"Making an environment with Colab's versions in {folder}: about 6 GB.", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        wanted = [f"{name}=={version}.*" if version else name for name, version in COLAB.items()]
        _pip(python, "install", "--quiet", "ipykernel", *wanted)
        command = [python, "-m", "ipykernel", "install", "--prefix", folder.parent, "--name", _KERNEL]
        subprocess.run(command, capture_output=True, check=True)
        stamp.write_text(json.dumps(COLAB), encoding="utf-8")
    return python


def _pip(python: Path, *words: str) -> str:
    done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(words[:2])} failed in {python}:\n{done.stderr.strip()}")
    return done.stdout
