"""Launch links: each opens its own notebook, of the right branch and variant; and what the first cell does on Colab."""

import json
import sys
import venv
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest

from tests import colab_check
from tools import launch
from tools.__main__ import main

ROOT = Path(__file__).parent.parent
LECTURES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MASTERS = sorted((ROOT / "notebooks" / "labs").glob("*.ipynb"))
STUDENTS = sorted((ROOT / "labs").glob("*.ipynb"))


def links_of(path):
    """Where a notebook's links lead: service, owner/repository, branch, file."""
    cells = nbformat.read(path, as_version=4).cells
    (cell,) = [cell for cell in cells if cell.get("id") == launch.CELL]
    found = {}
    for address in [part.split(")")[0] for part in cell.source.split("](")[1:]]:
        parts = urlsplit(address)
        if parts.netloc == "colab.research.google.com":
            _, host, owner, name, blob, branch, file = parts.path.split("/", 6)
            assert (host, blob) == ("github", "blob")
            found["colab"] = (f"{owner}/{name}", unquote(branch), unquote(file))
        else:
            assert parts.netloc == "mybinder.org"
            _, version, host, owner, name, branch = parts.path.split("/", 5)
            assert (version, host) == ("v2", "gh")
            tree = parse_qs(parts.query)["urlpath"][0]
            found["binder"] = (f"{owner}/{name}", unquote(branch), tree.removeprefix("lab/tree/"))
    return found


@pytest.mark.parametrize("path", [*LECTURES, *MASTERS, *STUDENTS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_link_opens_its_own_notebook(path):
    place = launch.fork(ROOT)
    file = path.relative_to(ROOT).as_posix().replace("notebooks/labs/", "labs/")
    assert links_of(path) == dict.fromkeys(("colab", "binder"), (place.name, place.branch, file))
    assert (ROOT / file).exists()


@pytest.mark.parametrize("path", [*LECTURES, *MASTERS], ids=lambda path: path.stem)
def test_links_stand_below_the_title_and_on_no_slide(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type != "raw"]
    assert cells[0].source.startswith("# ")
    assert cells[1].id == launch.CELL
    assert cells[1].metadata.slideshow.slide_type == "skip"


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_readme_has_the_same_link(path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in readme.splitlines() if f"(notebooks/{path.name})" in line]
    assert launch.colab(launch.fork(ROOT), path.relative_to(ROOT)) in row


def test_readme_clones_the_same_address():
    assert f"git clone {launch.fork(ROOT).address} " in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_students_copies_are_those_of_the_masters():
    assert [path.name for path in STUDENTS] == [path.name for path in MASTERS]
    for master, student in zip(MASTERS, STUDENTS, strict=True):
        assert student.read_text(encoding="utf-8") == launch.student_copy(master), f"run `make links` for {master.name}"


# A course of another address, branch and form


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A fork with one notebook, on a branch with a slash and a name with a space."""
    settings = (
        '[project.urls]\nRepository = "https://github.com/ana/her-course.git/"\n[tool.coursekit]\nbranch = "y/27"\n'
    )
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "README.md").write_text("git clone old x\n| [1](notebooks/01_a b.ipynb) | text | 5 |\n")
    cells = [nbformat.v4.new_markdown_cell("# 1 · A"), nbformat.v4.new_code_cell("old")]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_a b.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_points_a_fork_to_itself(course, capsys):
    path = course / "notebooks" / "01_a b.ipynb"
    assert main(["links"]) == 0
    wanted = ("ana/her-course", "y/27", "notebooks/01_a b.ipynb")
    binder = links_of(path)["binder"]
    assert binder == wanted
    source = nbformat.read(path, as_version=4).cells[1].source
    assert "/github/ana/her-course/blob/y/27/notebooks/01_a%20b.ipynb" in source
    assert "/gh/ana/her-course/y%2F27?" in source
    readme = (course / "README.md").read_text()
    assert "/github/ana/her-course/blob/y/27/notebooks/01_a%20b.ipynb" in readme
    assert readme.startswith("git clone https://github.com/ana/her-course x\n")
    before = path.read_bytes(), (course / "README.md").read_bytes()
    capsys.readouterr()
    assert main(["links"]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert (path.read_bytes(), (course / "README.md").read_bytes()) == before


LEFT = {  # what other editors leave of the cell with the links
    "tag": {"metadata": {"tags": ["launch"], "collapsed": True}, "source": ["[old](x)"]},
    "text": {"metadata": {"vscode": {}}, "source": ["[Open in Colab](old)"]},
    "id": {"metadata": {}, "source": "", "id": "launch"},
}


@pytest.mark.parametrize("left", LEFT)
def test_the_cell_with_the_links_is_found_after_another_editor(course, left):
    """Also where an earlier version had added it twice."""
    path = course / "notebooks" / "01_a b.ipynb"
    links = {"cell_type": "markdown"} | LEFT[left]
    others = [
        {"cell_type": "markdown", "metadata": {}, "source": "# 1"},
        {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": None},
    ]
    if minor := 5 * ("id" in links):
        others = [cell | {"id": str(index)} for index, cell in enumerate(others)]
    raw = {"nbformat": 4, "nbformat_minor": minor, "metadata": {"colab": {}}}
    again = [] if minor else [links]
    path.write_text(json.dumps(raw | {"cells": [others[0], links, others[1], *again]}))
    assert main(["links"]) == 0
    notebook = nbformat.read(path, as_version=4)
    assert [cell.source[:15] for cell in notebook.cells] == ["# 1", "[Open in Colab]", "1"]
    assert nbformat.validate(notebook) is None
    before = path.read_bytes()
    assert main(["links"]) == 0
    assert path.read_bytes() == before


def test_links_of_a_notebook_without_code_or_title(course):
    for cells in ([nbformat.v4.new_markdown_cell("# 1")], [nbformat.v4.new_code_cell("1")], []):
        notebook = nbformat.v4.new_notebook(cells=cells)
        launch.set_setup_cell(notebook, "coursekit.setup()")
        assert launch.set_links(notebook, "a")
        assert not launch.set_links(notebook, "a")
        assert len(notebook.cells) == len(cells) + 1
        assert notebook.cells[0].source != "coursekit.setup()", "a cell of somebody's is overwritten"


def test_the_students_copy_of_a_master_without_ids_is_a_valid_notebook(tmp_path):
    raw = json.loads(MASTERS[0].read_text(encoding="utf-8"))
    for cell in raw["cells"]:
        del cell["id"]
    (tmp_path / MASTERS[0].name).write_text(json.dumps(raw | {"nbformat_minor": 4}), encoding="utf-8")
    text = launch.student_copy(tmp_path / MASTERS[0].name)
    assert text == launch.student_copy(tmp_path / MASTERS[0].name)
    assert nbformat.validate(nbformat.reads(text, as_version=4)) is None


def test_links_move_back_below_the_title(course):
    notebook = nbformat.read(course / "notebooks" / "01_a b.ipynb", as_version=4)
    assert launch.set_links(notebook, "a")
    notebook.cells.reverse()
    assert launch.set_links(notebook, "b")
    assert [cell.source for cell in notebook.cells] == ["old", "# 1 · A", "b"]
    assert not launch.set_links(notebook, "b")


# Colab: what its first cell does to the packages that are there


def wheel(folder, name, version, *requires):
    """A wheel with nothing in it but what pip reads."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
def test_the_first_cell_adds_two_packages_and_changes_none(tmp_path):
    """Colab's versions, as empty packages; what is installed wants newer ones of everything, and does not get them."""
    environment, wheels = tmp_path / "env", tmp_path / "wheels"
    wheels.mkdir()
    venv.create(environment, with_pip=True)
    (packages,) = [*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")]
    for name, version in colab_check.COLAB.items():
        with zipfile.ZipFile(wheel(wheels, name.replace("-", "_"), version or "1.0")) as archive:
            archive.extractall(packages)
    newer = [f"{name}>=99" for name in colab_check.COLAB]
    ours = wheel(wheels, "coursekit", "0.1", *newer)
    wheel(wheels, "torchinfo", "1.8", *newer)
    words = colab_check.pip_words(launch.fork(ROOT).for_pip)
    words = [str(ours) if word.startswith("coursekit") else word for word in words]
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    before = colab_check.installed(python)
    assert len(before) >= len(colab_check.COLAB)
    colab_check.pip(python, *words, "--no-index", "--find-links", str(wheels))
    after = colab_check.installed(python)
    assert colab_check.changed(before, after) == []
    assert after.keys() - before.keys() == {"coursekit", "torchinfo"}


def test_what_the_package_needs_is_on_colab_or_installed_by_the_first_cell():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {line.split(">=")[0]: line.split(">=")[1] for line in settings["project"]["dependencies"]}
    assert needed.keys() <= {*colab_check.COLAB, *colab_check.pip_words(launch.fork(ROOT).for_pip)}
    for name, version in colab_check.COLAB.items():
        if version and name in needed:
            assert [int(part) for part in version.split(".")] >= [int(part) for part in needed[name].split(".")][:2]


def test_changes_are_told_in_words():
    before, after = {"torch": "2.11", "numpy": "2.1", "old": "1"}, {"torch": "2.15", "numpy": "2.1", "new": "1"}
    assert colab_check.changed(before, after) == ["torch: 2.11 became 2.15", "old: 1 became nothing"]
    assert colab_check.changed(before, before | {"coursekit": "1"}) == []


def test_the_setup_cells_line_for_pip_is_read():
    words = colab_check.pip_words("https://github.com/a/b@main")
    assert words[:3] == ["install", "--quiet", "--no-deps"]
    assert words[3:] == ["coursekit @ git+https://github.com/a/b@main", "torchinfo"]
