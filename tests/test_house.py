"""The house: floors, dependencies in step, one version, no traces of a machine."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.skipif("importlinter" not in PYPROJECT["tool"], reason="pyproject.toml has no contracts")
def test_arrows_point_down():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def requirements():
    """Name -> lower bound, of what the package needs."""
    lines = PYPROJECT["project"]["dependencies"]
    return dict(re.fullmatch(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in lines)


def test_the_package_asks_for_lower_bounds_only_and_for_no_tool():
    assert not {"jupyterlab", "pytest", "nbval", "ruff", "nbclient", "nbformat"} & requirements().keys()


def test_conda_environment_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = dict(line.split(">=") for line in environment["dependencies"] if isinstance(line, str) and ">=" in line)
    assert conda["python"] == PYPROJECT["project"]["requires-python"].removeprefix(">=")
    named = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # in conda-forge these go by another name
    for name, bound in requirements().items():
        assert conda[named.get(name, name)] == bound, name


def test_the_version_stands_in_one_place():
    import coursekit

    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "coursekit/__init__.py"
    assert metadata.version("coursekit") == coursekit.__version__


SLOW = {  # what takes seconds to import, and which modules do without it
    "torch": ["coursekit", "coursekit.convolution", "coursekit.critters", "coursekit.checks", "coursekit.photos"],
    "torchvision": ["coursekit.data", "coursekit.filters", "coursekit.training"],
    "nbclient": ["tools.__main__"],
}


@pytest.mark.parametrize("slow", SLOW)
def test_modules_do_not_import_what_takes_long(slow):
    code = f"import sys, {', '.join(SLOW[slow])}; sys.exit({slow!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def tracked():
    """The files of the repository that git knows or would add, as text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".png", ".safetensors") and path.exists() and path != Path(__file__).resolve():
            yield name, path.read_text(encoding="utf-8")


def test_no_file_names_a_machine_or_a_registry():
    bad = re.compile(r"/root/|/home/[a-z]|pypi\.org|files\.pythonhosted|registry\.npmjs")
    looking_for_them = ("tests/test_notebooks.py", "tools/rules.py")
    assert [name for name, text in tracked() if bad.search(text) and name not in looking_for_them] == []


def test_readme_knows_every_notebook_and_its_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)\)", readme)
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
    assert {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")} <= {*links}


def test_every_target_of_the_readme_is_one_of_the_makefile():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        asked = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        assert asked <= targets, name


def test_every_command_of_the_makefile_is_one_of_the_tools():
    from tools.__main__ import COMMANDS

    asked = set(re.findall(r"-m tools ([a-z-]+)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert asked <= COMMANDS.keys()
