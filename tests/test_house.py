"""The house: layers, dependencies in step, one version, no third-party traces."""

import ast
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
MODULES = sorted(path for path in (ROOT / "coursekit").glob("*.py") if path.stem != "__init__")
MODULES += sorted(path.parent for path in (ROOT / "coursekit").glob("*/__init__.py"))

# A module may import what stands on lower floors, and on its own floor what stands before it. So, too, inside a folder.
FLOORS = [
    ["arguments"],
    ["runtime", "figures"],
    ["convolution", "photos", "critters", "data"],
    ["receptive", "filters", "training"],
    ["pretrained", "transfer", "attribution", "resnet", "colorization"],
    ["checks"],
]
INSIDE = {
    "colorization": ["cielab", "bins", "networks", "transposed", "metrics", "predict", "stored"],
    "figures": ["picture", "panels", "charts"],
    "critters": ["species", "heads", "scene", "drawing", "files"],
    "data": ["imagefiles", "foldertree", "imagesets", "folders", "downloads", "archives", "datasets", "sources"],
    "checks": [
        *("plain", "holder", "answers", "lab", "compare", "networks"),
        *("lab01", "lab02", "lab03", "lab04", "lab05", "lab06"),
    ],
    "checks/lab03": ["shared", "counting", "loop", "parts", "measuring"],
    "checks/lab04": [
        *("shared", "counting", "preparing", "splitting", "photos", "freezing", "folding", "interval", "probe"),
    ],
    "checks/lab05": ["shared", "counting", "block", "resnet9", "gradients", "paths"],
    "checks/lab06": ["shared", "sizes", "panorama", "checkerboards", "conversions", "measures", "mixture"],
    "pretrained": ["widths", "store", "loading"],
    "resnet": ["blocks", "networks", "dropping"],
    "training": [
        *("history", "batches", "checkpoints", "forward", "optimizers", "processes", "runs", "loop", "rangetest"),
    ],
}
FOLDERS = {  # those of the authors' tools, which stand on top of all, aside
    path.parent.relative_to(ROOT / "coursekit").as_posix(): path.parent
    for path in sorted((ROOT / "coursekit").glob("*/**/__init__.py"))
}
# In conda-forge these go by another name.
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def imports_of(module, package="coursekit"):
    """The modules of a package that a module imports, also inside functions; a folder counts as one module."""
    found = set()
    for path in [module] if module.is_file() else sorted(module.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            found |= {
                name.removeprefix(package + ".").split(".")[0] for name in names if name.startswith(package + ".")
            }
    return found - {module.stem}


def parts_of(folder):
    """The modules and folders of modules that stand in a folder."""
    files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    return sorted(files + [path.parent for path in folder.glob("*/__init__.py")])


def below(floors, name):
    """What a module may import."""
    allowed: set = set()
    for floor in floors:
        if name in floor:
            return allowed | (set(floor[: floor.index(name)]) if floors.index(floor) or len(floors) == 1 else set())
        allowed |= set(floor)
    raise AssertionError(f"{name} has no floor")


def test_every_module_has_a_floor():
    ours = {path.stem for path in MODULES}
    assert sorted(name for floor in FLOORS for name in floor) == sorted(ours)
    assert {name: sorted(order) for name, order in INSIDE.items()} == {
        name: sorted(part.stem for part in parts_of(folder)) for name, folder in FOLDERS.items()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_arrows_point_down(path):
    assert imports_of(path) <= below(FLOORS, path.stem)


@pytest.mark.parametrize("name", FOLDERS)
def test_arrows_point_down_inside_a_folder(name):
    for part in parts_of(FOLDERS[name]):
        found = imports_of(part, "coursekit." + name.replace("/", "."))
        assert found <= below([INSIDE[name]], part.stem), part.stem


def test_nothing_imports_the_tools_of_authors():
    assert [path.stem for path in MODULES if imports_of(path, "tools") - {path.stem}] == []


def requirements(*groups):
    """Name -> lower bound, from the dependencies and the named extras."""
    lines = list(PYPROJECT["project"]["dependencies"])
    for group in groups:
        lines += PYPROJECT["project"]["optional-dependencies"][group]
    return dict(re.fullmatch(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in lines)


def test_dependencies_have_lower_bounds_only():
    for group in [[], *PYPROJECT["project"]["optional-dependencies"]]:
        assert requirements(*([group] if group else []))


def test_the_core_asks_for_no_tool():
    assert not {"jupyterlab", "pytest", "nbval", "ruff", "nbclient"} & requirements().keys()


INSTALLED = ("lab", "dev", "site", "browser", "lightning")  # the extras that `make run` installs


def test_make_installs_these_extras():
    assert f'".[{",".join(INSTALLED)}]"' in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_conda_environment_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    lines = [line for line in environment["dependencies"] if isinstance(line, str) and line != "pip"]
    conda = dict(line.split(">=") for line in lines)
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in requirements("lab", "dev").items()}
    assert conda == {"python": PYPROJECT["project"]["requires-python"].removeprefix(">="), **wanted}


def test_conda_installs_the_rest_with_pip():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--editable .[site,browser,lightning]"]


def version(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def test_constraints_hold_a_tested_version_of_everything():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    for name, bound in requirements(*INSTALLED).items():
        assert version(tested[name]) >= version(bound), name
    assert not [line for line in lines if "@" in line or "file:" in line]


def test_the_version_stands_in_one_place():
    import coursekit

    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "coursekit/__init__.py"
    assert metadata.version("coursekit") == coursekit.__version__


SLOW = {  # what takes seconds to import, and which modules do without it
    "torch": ["coursekit", "coursekit.convolution", "coursekit.critters", "coursekit.checks", "coursekit.photos"],
    "torchvision": ["coursekit.data", "coursekit.filters", "coursekit.training"],
}


@pytest.mark.parametrize("slow", SLOW)
def test_modules_do_not_import_what_takes_long(slow):
    code = f"import sys, {', '.join(SLOW[slow])}; sys.exit({slow!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def tracked():
    """The files of the repository that git knows or would add, as text."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in (".png", ".safetensors") and path.exists() and path != Path(__file__).resolve():
            yield name, path.read_text(encoding="utf-8")


def test_no_file_names_a_machine_or_a_registry():
    bad = re.compile(r"/root/|/home/[a-z]|pypi\.org|files\.pythonhosted|registry\.npmjs")
    found = [name for name, text in tracked() if bad.search(text) and name not in ALLOWED]
    assert found == []


ALLOWED = ("tests/test_notebooks.py", "tools/checks.py")  # they look for such paths


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make run" in readme
    assert "make test" in readme


def test_readme_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)\)", readme)
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_readme_knows_every_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert f"(notebooks/{path.name})" in readme


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == set(re.findall(r"^  make ([a-z-]+)", shown, flags=re.MULTILINE))
