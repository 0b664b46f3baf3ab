"""What stands in for machines that are not here: Windows, macOS, GitHub's, Binder's, containers."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from coursekit import __version__
from tools import launch, release
from tools.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}  # files are ASCII there


def python(*words, folder):
    """Run Python where the system's encoding is not UTF-8; return the exit code, and all that it printed."""
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=os.environ | PLAIN, capture_output=True, timeout=400)
    return done.returncode, (done.stdout + done.stderr).decode("ascii")


COMMANDS_IN_ONE = """
import runpy, sys
for command in ("run", "links", "rules"):
    sys.argv = ["tools", command]
    try:
        runpy.run_module("tools", run_name="__main__")
    except SystemExit as end:
        print(command, "returned", end.code)
"""


def test_another_encoding_changes_nothing(tmp_path):
    """A run, links and rules of a notebook with letters, signs and outputs that are not ASCII."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text("— ü\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('# ü\n[project]\ndependencies = ["rare>=1"]\n', encoding="utf-8")
    source = "import locale, coursekit\nprint(locale.getpreferredencoding(False), 'ü → ∑')\nsession = coursekit.setup()"
    cells = [nbformat.v4.new_markdown_cell("# 1 · ü"), nbformat.v4.new_code_cell(source)]
    path = tmp_path / "notebooks" / "01_ü.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    code, said = python("-c", COMMANDS_IN_ONE, folder=tmp_path)
    assert code == 0, said
    assert re.findall(r"\w+ returned \d", said) == ["run returned 0", "links returned 0", "rules returned 1"]
    assert "has execution count" in said
    (executed,) = (tmp_path / "build" / "notebooks").glob("*.ipynb")
    printed = nbformat.read(executed, as_version=4).cells[1].outputs[0].text
    assert "ü → ∑" in printed
    assert "UTF" not in printed.upper().splitlines()[0], "this test no longer has another encoding"
    assert "— ü" in (tmp_path / "README.md").read_text(encoding="utf-8")


SPAWNED = """
from torch.utils.data import DataLoader

from coursekit import data

if __name__ == "__main__":
    images = data.digits(28).test
    loader = DataLoader(images, batch_size=64, num_workers=1, multiprocessing_context="spawn")
    print(sum(len(batch) for batch, _ in loader) == len(images))
"""


def test_workers_may_be_spawned(tmp_path):
    """As on Windows and macOS: what goes to a worker is pickled, and modules are imported anew."""
    (tmp_path / "script.py").write_text(SPAWNED, encoding="utf-8")
    assert python("script.py", folder=tmp_path) == (0, "True\n")


# GitHub, Binder, containers: their files call what is here


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_the_courses_own_commands_and_hold_no_secret(path):
    text = path.read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow["name"] == path.stem
    assert "secrets." not in text
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    runs = "\n".join(step.get("run", "") for job in flow["jobs"].values() for step in job["steps"])
    made, called = re.findall(r"make ([a-z-]+)", runs), re.findall(r"-m tools ([a-z-]+)", runs)
    assert made or called
    assert {*made} <= targets
    assert {*called} <= COMMANDS.keys()
    for name in re.findall(r"\b\d\d_\w+", runs):
        assert (ROOT / "notebooks" / f"{name}.ipynb").exists()


def test_each_workflow_has_a_badge():
    assert {path.stem for path in WORKFLOWS} == {*launch.WORKFLOWS}


def test_binder_and_the_devcontainer_are_in_step():
    machine = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    needed = PYPROJECT["project"]["dependencies"]
    assert [line.replace("pytorch-cpu", "torch") for line in machine[1:]] == [
        line for line in needed if re.match(r"torch(vision)?>", line)
    ]
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    stages = re.findall(r"^FROM \S+ AS (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert container["build"]["target"] == stages[0]


# A release


def test_a_release_is_named_by_the_changelog_and_the_citation(tmp_path, capsys):
    assert PYPROJECT["tool"]["coursekit"]["index"] in ("", PYPROJECT["project"]["name"])
    for name, text in release.VERSION_LINES.items():
        assert text in (ROOT / name).read_text(encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("## 0.0.1", encoding="utf-8")
    (tmp_path / "CITATION.cff").write_text(release.VERSION_LINES["CITATION.cff"], encoding="utf-8")
    assert release.release(tmp_path) == 1
    assert "CHANGELOG.md must say so" in capsys.readouterr().out
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__), "the first cell compares whole numbers"


@pytest.mark.slow
def test_the_wheel_works_alone(capsys):
    assert release.release(ROOT) == 0
    assert f"coursekit-{__version__}-py3-none-any.whl works" in capsys.readouterr().out


# The README


def test_every_number_of_its_comparison_was_measured():
    """Each row links to a section of the page of measured results, and that section has its numbers."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## How it differs")[2].partition("## ")[0]
    sections = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8").split("\n## ")
    named = {re.sub(r"[^\w -]", "", part.splitlines()[0]).lower().replace(" ", "-"): part for part in sections}
    rows = re.findall(r"^\|(.*)\[[^]]*\]\(docs/measured\.md#([\w-]+)\) \|$", readme, flags=re.MULTILINE)
    assert len(rows) == 6
    for row, anchor in rows:
        numbers = set(re.findall(r"(?<![\w-])\d[\d,.]*\d(?!\w)", row))
        assert numbers, row
        assert numbers <= set(re.findall(r"\d[\d,.]*\d", named[anchor])), row


def test_its_picture_is_drawn_by_the_course():
    from PIL import Image

    from tools import overview

    drawn, edges, glow = overview.stages()
    assert drawn.shape == edges.shape == glow.shape
    with Image.open(ROOT / overview.PICTURE) as picture:
        assert picture.size == drawn.shape[1::-1]
        assert picture.is_animated
        assert picture.info["loop"], "it ends by itself"
