"""Launch links: each opens its own notebook, of the right branch and variant; their address; the first cell."""

import json
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest

from coursekit import __version__
from coursekit.runtime import known_costs
from tests import colab_check
from tools import address, launch
from tools.__main__ import main
from tools.address import Fork

ROOT = Path(__file__).parent.parent
LECTURES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MASTERS = sorted((ROOT / "notebooks" / "labs").glob("*.ipynb"))
STUDENTS = sorted((ROOT / "labs").glob("*.ipynb"))
THERE = address.fork(ROOT).address
PLACE = launch.expected_fork(nbformat.read(LECTURES[0], as_version=4), ROOT)  # that of the links as they were committed


def links_of(path):
    """Where a notebook's links lead: service, owner/repository, branch, file."""
    cells = nbformat.read(path, as_version=4).cells
    found = {}
    for cell in [cell for cell in cells if cell.get("id") == launch.CELL]:
        for link in [part.split(")")[0] for part in cell.source.split("](")[1:]]:
            parts = urlsplit(link)
            if parts.netloc == "colab.research.google.com":
                _, host, owner, name, blob, branch, file = parts.path.split("/", 6)
                assert (host, blob) == ("github", "blob")
                found["colab"] = (f"{owner}/{name}", unquote(branch), unquote(file))
            else:
                assert parts.netloc == "mybinder.org"
                _, version, host, *name, branch = parts.path.split("/")
                assert (version, host) in (("v2", "gh"), ("v2", "git"))
                tree = parse_qs(parts.query)["urlpath"][0]
                found["binder"] = (unquote("/".join(name)), unquote(branch), tree.removeprefix("lab/tree/"))
    return found


@pytest.mark.parametrize("path", [*LECTURES, *MASTERS, *STUDENTS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_link_opens_its_own_notebook_and_all_lead_to_one_address(path):
    file = path.relative_to(ROOT).as_posix().replace("notebooks/labs/", "labs/")
    fits = known_costs()[path.stem.removeprefix("lab")]["megabytes"] <= launch.BINDER_MEGABYTES
    services = ["colab", *(["binder"] if fits else [])] if PLACE.address else []
    assert links_of(path) == dict.fromkeys(services, (PLACE.name, PLACE.branch, file))
    assert launch.expected_fork(nbformat.read(path, as_version=4), ROOT) == PLACE
    assert (ROOT / file).exists()


def test_links_lead_to_where_this_copy_comes_from():
    """Of a fork that has not run `make links` yet this is told, and nothing fails."""
    if THERE not in ("", PLACE.address):
        pytest.skip(f"links lead to {PLACE.address or 'nowhere'}, this copy comes from {THERE}: run `make links`")


@pytest.mark.parametrize("path", [*LECTURES, *MASTERS], ids=lambda path: path.stem)
def test_links_stand_below_the_title_and_on_no_slide(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type != "raw"]
    assert cells[0].source.startswith("# ")
    assert [cell.id for cell in cells].count(launch.CELL) == bool(PLACE.address)
    if PLACE.address:
        assert cells[1].id == launch.CELL
        assert cells[1].metadata.slideshow.slide_type == "skip"


def test_readme_has_the_same_links():
    """Where there is no address, it has none, and says so."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert launch.update_readme(readme, PLACE) == readme
    for path in (*LECTURES, *STUDENTS):
        assert f"({path.relative_to(ROOT).as_posix()})" in readme
        assert not PLACE.name or launch.colab(PLACE, path.relative_to(ROOT)) in readme
    assert (launch.NO_ADDRESS in readme) != bool(PLACE.name)
    assert PLACE.address or not {"colab.research", "mybinder", "badge.svg"} & set(readme.replace("/", " ").split())


def test_the_students_copies_are_those_of_the_masters():
    assert [path.name for path in STUDENTS] == [path.name for path in MASTERS]
    for master, student in zip(MASTERS, STUDENTS, strict=True):
        assert student.read_text(encoding="utf-8") == launch.student_copy(master), f"run `make links` for {master.name}"


# Where the address comes from


REMOTES = {
    "git@github.com:Ana/her-course.git": "https://github.com/Ana/her-course",
    "ssh://git@github.com:22/ana/c": "https://github.com/ana/c",
    "github.com:ana/c.git": "https://github.com/ana/c",
    "https://github.com/ana/c.git/": "https://github.com/ana/c",
    "https://ana:ghp_secret@github.com/ana/c": "https://github.com/ana/c",
    "https://x-access-token@gitlab.example.org/group/team/c.git": "https://gitlab.example.org/group/team/c",
    "http://github.com/ana/c": "https://github.com/ana/c",
    **dict.fromkeys(["", "/srv/git/c.git", "../c", "file:///srv/c.git", "C:\\courses\\c", "C:/courses/c"], ""),
    **dict.fromkeys(["http://localhost:3000/a/c", "git@intranet:a/c", "http://u@127.0.0.1:80/git/a/c"], ""),
    **dict.fromkeys(["https://github.com/a/c`rm`", 'https://github.com/a"b/c', "https://github.com/", "[x]"], ""),
}


@pytest.mark.parametrize("remote", REMOTES)
def test_a_remote_becomes_an_address_or_none(remote):
    assert address.public_address(remote) == REMOTES[remote]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A copy of a course without an address: two notebooks, a README, a branch with a slash."""
    settings = (
        '[project]\ndependencies = ["numpy>=1", "rare_one>=2"]\n[tool.coursekit]\nbranch = "y/27"\ncolab.numpy = ""\n'
    )
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    rows = "| [1](notebooks/01_convolution.ipynb) | text | [lab](labs/lab01_convolution.ipynb) | 5 |\n"
    (tmp_path / "README.md").write_text(f"<!-- launch -->\n<!-- end -->\ngit clone old x\n{rows}", encoding="utf-8")
    cells = [nbformat.v4.new_markdown_cell("# 1 · A"), nbformat.v4.new_code_cell("old\ncoursekit.setup()")]
    (tmp_path / "notebooks").mkdir()
    for name in ("01_convolution", "04_vgg16_transfer"):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def name_it(course, where):
    settings = (course / "pyproject.toml").read_text(encoding="utf-8")
    text = f'{settings}[project.urls]\nRepository = "{where}"\n'
    (course / "pyproject.toml").write_text(text, encoding="utf-8")


def test_what_counts_more(course, monkeypatch):
    """pyproject.toml before GitHub's automation before git."""
    assert address.fork(course).address == ""
    git(course, "init")
    assert address.fork(course).address == ""
    git(course, "remote", "add", "origin", "https://github.com/a/git")
    assert address.fork(course) == Fork("https://github.com/a/git", "y/27", extras=("rare_one",))
    (course / "inside").mkdir()
    assert address.known_addresses(course / "inside") == [], "the course is a folder of another repository"
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/automation")
    assert address.fork(course).address == "https://github.com/a/automation"
    name_it(course, "https://github.com/organization/repository")
    assert address.fork(course).address == "https://github.com/organization/repository"


def test_an_impossible_address_is_refused(course):
    name_it(course, "github.com/a/b")
    with pytest.raises(SystemExit, match="is no address such as"):
        main(["links"])


# What one command makes of it


def test_one_command_points_a_fork_to_itself(course, capsys):
    first, fourth = (course / "notebooks" / f"{name}.ipynb" for name in ("01_convolution", "04_vgg16_transfer"))
    git(course, "init")
    git(course, "remote", "add", "origin", "git@github.com:Ana/her-course.git")
    assert main(["links"]) == 0
    assert links_of(first)["binder"] == ("Ana/her-course", "y/27", "notebooks/01_convolution.ipynb")
    text = nbformat.read(first, as_version=4).cells[1].source
    assert "/github/Ana/her-course/blob/y/27/notebooks/01_convolution.ipynb" in text
    assert "/gh/Ana/her-course/y%2F27?" in text
    assert "Binder" not in nbformat.read(fourth, as_version=4).cells[1].source, "it needs more than 2 GB"
    cell = nbformat.read(first, as_version=4).cells[2].source
    assert '"git+https://github.com/Ana/her-course@y/27"' in cell
    assert '(sources[0], "rare_one")' in cell
    readme = (course / "README.md").read_text(encoding="utf-8")
    for part in ("notebooks/01_convolution.ipynb", "labs/lab01_convolution.ipynb", "actions/workflows/site.yml"):
        assert part in readme.replace("https://github.com/Ana/her-course/", "")
    assert "git clone https://github.com/Ana/her-course x\n" in readme
    assert "https://ana.github.io/her-course/slides/01_convolution.html" in readme
    before = first.read_bytes(), (course / "README.md").read_bytes()
    capsys.readouterr()
    assert main(["links"]) == 0
    assert "01_convolution.ipynb: unchanged" in capsys.readouterr().out
    assert (first.read_bytes(), (course / "README.md").read_bytes()) == before


def test_without_an_address_every_link_goes_and_pages_say_so(course, capsys):
    git(course, "init")
    assert main(["links"]) == 0
    before = (course / "README.md").read_bytes()
    git(course, "remote", "add", "origin", "https://github.com/ana/c")
    assert main(["links"]) == 0
    git(course, "remote", "set-url", "origin", str(course))
    capsys.readouterr()
    assert main(["links"]) == 0
    assert launch.NO_ADDRESS in capsys.readouterr().out
    assert (course / "README.md").read_bytes() == before
    assert launch.NO_ADDRESS in before.decode()
    for path in (course / "notebooks").glob("*.ipynb"):
        assert "http" not in path.read_text(encoding="utf-8")


def test_a_fork_of_a_fork_is_told_and_an_address_in_pyproject_is_kept(course, capsys):
    git(course, "init")
    git(course, "remote", "add", "origin", "https://github.com/ben/c")
    name_it(course, "https://github.com/ana/c")
    assert main(["links"]) == 0
    said = capsys.readouterr().out
    assert "Links lead to https://github.com/ana/c" in said
    assert "this copy comes from https://github.com/ben/c" in said


def test_only_an_address_in_pyproject_makes_a_notebook_wrong(course):
    """So that a fork's tests, and those of a clone from a path, pass before `make links`."""
    path = course / "notebooks" / "01_convolution.ipynb"
    git(course, "init")
    git(course, "remote", "add", "origin", "https://github.com/ana/c")
    assert main(["links"]) == 0
    git(course, "remote", "set-url", "origin", "https://github.com/ben/c")
    notebook = nbformat.read(path, as_version=4)
    assert launch.expected_fork(notebook, course).address == "https://github.com/ana/c"
    name_it(course, "https://github.com/cleo/c")
    assert launch.setup_cell(launch.expected_fork(notebook, course)) != notebook.cells[2].source


def test_elsewhere_than_on_github_binder_alone_opens_it(course):
    name_it(course, "https://git.example.org/team/c")
    assert main(["links"]) == 0
    place = ("https://git.example.org/team/c", "y/27", "notebooks/01_convolution.ipynb")
    assert links_of(course / "notebooks" / "01_convolution.ipynb") == {"binder": place}


LEFT = {  # what other editors leave of the cell with the links
    "tag": {"metadata": {"tags": ["launch"], "collapsed": True}, "source": ["[old](x)"]},
    "text": {"metadata": {"vscode": {}}, "source": ["[Open in Colab](old)"]},
    "id": {"metadata": {}, "source": "", "id": "launch"},
}


@pytest.mark.parametrize("left", LEFT)
def test_the_cell_with_the_links_is_found_after_another_editor(course, left):
    """Also where an earlier version had added it twice."""
    name_it(course, "https://github.com/ana/c")
    path = course / "notebooks" / "01_convolution.ipynb"
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
    notebook = nbformat.read(course / "notebooks" / "01_convolution.ipynb", as_version=4)
    assert launch.set_links(notebook, "a")
    notebook.cells.reverse()
    assert launch.set_links(notebook, "b")
    assert [cell.source for cell in notebook.cells] == ["old\ncoursekit.setup()", "# 1 · A", "b"]
    assert not launch.set_links(notebook, "b")


# The first cell, in an empty folder


def wheel(folder, name, version, *requires, code=""):
    """A wheel with nothing in it but what pip reads, or also a module of that name."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
        if code:
            archive.writestr(f"{name}.py", code)
    return path


ALONE = """
import importlib.util, sys
sys.path += [{target!r}, {packages!r}]
real = importlib.util.find_spec

def find_spec(name):
    spec = real(name)  # an editable installation leaves a folder without code, which has no origin
    return spec if name not in {absent!r} and spec and spec.origin else None

importlib.util.find_spec = find_spec
from IPython.core.interactiveshell import InteractiveShell
sys.exit(not InteractiveShell.instance().run_cell(open("cell.py", encoding="utf-8").read()).success)
"""


def run_alone(folder, place, *, absent=()):
    """Run the first cell in a folder, without package and index; return whether it worked, and what it said."""
    (
        target := folder / "installed"
    ).mkdir()  # where pip puts what it installs, and not into the environment of these tests
    (folder / "cell.py").write_text(launch.setup_cell(place), encoding="utf-8")
    code = ALONE.format(target=str(target), packages=sysconfig.get_path("purelib"), absent=absent)
    environment = {"PIP_TARGET": str(target), "PIP_NO_INDEX": "1", "HOME": str(folder), "PATH": "", "SYSTEMROOT": ""}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


KIT = "__version__ = {!r}\ndef setup(): print('the kit speaks')"


@pytest.mark.parametrize("place", [Fork(), Fork("https://github.com/ana/c", extras=("rare_one",))], ids=["no", "an"])
def test_alone_the_first_cell_says_in_a_sentence_what_to_do(place, tmp_path):
    """Neither with an address that cannot be reached nor without one is there a traceback, or anything of pip's."""
    worked, said = run_alone(tmp_path, place)
    assert not worked
    assert said.startswith(
        f"UsageError: coursekit is missing here: put the course's package, coursekit-{__version__}-py3-none-any.whl"
    )
    assert said.count("\n") == 1


def test_it_takes_the_wheel_beside_it_before_any_address(tmp_path):
    wheel(tmp_path, "coursekit", "9.10.0", code=KIT.format("9.10.0"))
    worked, said = run_alone(tmp_path, Fork("https://github.com/ana/c", extras=("rare_one",)))
    assert worked, said
    assert "the kit speaks" in said


@pytest.mark.parametrize(("version", "works"), [("0.0.9", False), (__version__, True), ("0.10.0", True)])
def test_it_says_when_the_package_is_older_than_the_notebook(version, works, tmp_path):
    (tmp_path / "coursekit.py").write_text(KIT.format(version), encoding="utf-8")
    worked, said = run_alone(tmp_path, Fork())
    assert worked == works
    assert ("the kit speaks" in said) == works
    assert works or f"needs coursekit {__version__} or newer, not {version}" in said


def test_it_says_that_torch_is_missing_and_finds_the_folder_of_the_course(tmp_path):
    (tmp_path / "coursekit.py").write_text(KIT.format(__version__), encoding="utf-8")
    (tmp_path / "notebooks").mkdir()
    assert run_alone(tmp_path / "notebooks", Fork()) == (True, "the kit speaks\n")
    (tmp_path / "labs").mkdir()
    worked, said = run_alone(tmp_path / "labs", Fork(), absent=("torch",))
    assert not worked
    assert said.startswith("UsageError: torch is missing here")


def test_once_released_it_installs_that_release_by_name():
    cell = launch.setup_cell(Fork("https://github.com/ana/c", index="a-name"))
    assert f'home = "a-name=={__version__}"  # or git+https://github.com/ana/c@main' in cell
    assert f"a_name-{__version__}-py3-none-any.whl" in cell
    assert launch._WRITTEN.findall(cell) == ["https://github.com/ana/c"]


def test_an_address_of_eighty_letters_keeps_the_line_length():
    """Else linting fails in such a fork."""
    cell = launch.setup_cell(Fork(f"https://github.com/{'a' * 39}/{'b' * 40}", extras=("torchinfo", "x" * 32)))
    assert max(map(len, cell.splitlines())) <= 120


# Colab: what its first cell does to the packages that are there


@pytest.mark.slow
def test_the_first_cell_adds_what_is_missing_and_changes_none(tmp_path):
    """Colab's versions, as empty packages; what is installed wants newer ones of everything, and does not get them."""
    environment, wheels = tmp_path / "env", tmp_path / "wheels"
    wheels.mkdir()
    venv.create(environment, with_pip=True)
    (packages,) = [*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")]
    there = colab_check.colab(ROOT)
    for name, version in there.items():
        with zipfile.ZipFile(wheel(wheels, name.replace("-", "_"), version or "1.0")) as archive:
            archive.extractall(packages)
    newer = [f"{name}>=99" for name in there]
    ours = wheel(wheels, "coursekit", "0.1", *newer)
    place = address.fork(ROOT)
    for name in place.extras:
        wheel(wheels, name.replace("-", "_"), "99", *newer)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    before = colab_check.installed(python)
    assert len(before) >= len(there)
    for package in (str(ours), *place.extras):
        colab_check.pip(python, *launch.PIP, package, "--no-index", "--find-links", str(wheels))
    after = colab_check.installed(python)
    assert colab_check.changed(before, after) == []
    assert after.keys() - before.keys() == {"coursekit", *place.extras}


def test_what_colab_brings_is_new_enough():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {line.split(">=")[0]: line.split(">=")[1] for line in settings["project"]["dependencies"]}
    assert "torchinfo" in address.fork(ROOT).extras
    for name, version in colab_check.colab(ROOT).items():
        if version and name in needed:
            assert [int(part) for part in version.split(".")] >= [int(part) for part in needed[name].split(".")][:2]


def test_changes_are_told_in_words():
    before, after = {"torch": "2.11", "numpy": "2.1", "old": "1"}, {"torch": "2.15", "numpy": "2.1", "new": "1"}
    assert colab_check.changed(before, after) == ["torch: 2.11 became 2.15", "old: 1 became nothing"]
    assert colab_check.changed(before, before | {"coursekit": "1"}) == []
