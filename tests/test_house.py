"""The house: floors, one version, no traces of a machine."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_arrows_point_down():
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_version_stands_in_one_place():
    import coursekit

    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "coursekit/__init__.py"
    assert metadata.version("coursekit") == coursekit.__version__


WITHOUT = {  # which modules do without what takes seconds to import
    "coursekit, coursekit.convolution, coursekit.critters, coursekit.checks, coursekit.photos": {"torch"},
    "coursekit.data, coursekit.filters, coursekit.training": {"torchvision", "lightning"},
    "tools.__main__": {"nbclient"},
    "tools.launch": {"torch", "nbclient", "matplotlib"},
}


@pytest.mark.parametrize("modules", WITHOUT)
def test_modules_do_not_import_what_takes_long(modules):
    code = f"import sys, {modules}; print(*sorted({WITHOUT[modules]} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def tracked():
    """The files of the repository that git knows or would add, as text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".webp", ".safetensors") and path.exists() and path != Path(__file__).resolve():
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
