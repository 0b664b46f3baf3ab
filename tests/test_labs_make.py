"""From masters to copies: nothing of a solution is left, and what is handed out works."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tools import archives, execute
from tools import assignments as labs
from tools.checks import repository
from tools.grading import classroom
from tools.markup import ANSWER_HERE, MarkupError, derive, student_lines

ROOT = Path(__file__).parent.parent
MASTERS = sorted((ROOT / "notebooks" / "labs").glob("lab[0-9][0-9]_*.ipynb"))
EACH = pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)


def derived(path):
    return derive(nbformat.read(path, as_version=4))


@EACH
def test_master_and_checks_agree_and_nothing_leaks(path):
    lab, made = classroom.load_lab(path.stem.split("_")[0]), derived(path)
    text = nbformat.writes(made.student)
    assert labs.disagreements(lab, made) == []
    assert labs.leaks(made, text) == []
    assert set(made.student.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in made.student.cells if "slideshow" not in cell.metadata)
    assert ANSWER_HERE in text


@EACH
def test_a_student_can_run_the_blank_copy_to_its_end_out_of_order_and_twice(path, tmp_path):
    """Where the solution leaves out cells, here all are run, and the last first."""
    student = derived(path).student
    code = [cell for cell in student.cells if cell.cell_type == "code"]
    checks = [nbformat.v4.new_code_cell(cell.source) for cell in code if ".check(" in cell.source]
    first = [nbformat.v4.new_code_cell(cell.source) for cell in code[:2]]
    student.cells = [*first, *checks, *code[2:], *[nbformat.v4.new_code_cell(cell.source) for cell in code[2:]]]
    result = execute.execute(student, name=path.stem, folder=tmp_path)
    assert result.error == ""
    shown = "".join(output.get("text", "") for cell in student.cells for output in cell.get("outputs", []))
    assert "not answered yet" in shown
    assert "right\n" not in shown
    assert re.search(r"\n0 of \d+ points", shown)
    assert "failed" not in shown


def raw(text):
    return nbformat.v4.new_raw_cell(text)


def code(text):
    return nbformat.v4.new_code_cell(text)


def question(*cells, end="# END QUESTION"):
    begin = raw("# BEGIN QUESTION\nname: q1\npoints: 2")
    return nbformat.v4.new_notebook(cells=[raw("# ASSIGNMENT CONFIG\nx: 1"), begin, *cells, raw(end)])


def solution(text):
    return [raw("# BEGIN SOLUTION"), code(text), raw("# END SOLUTION")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 3  # SOLUTION", "x = ..."),
        ("x = y == 3  # SOLUTION", "x = ..."),
        ("    return 3  # SOLUTION", "    ..."),
        ("def f():\n    # BEGIN SOLUTION\n    return 3\n    # END SOLUTION", "def f():\n    ..."),
        ("a = 1\n# BEGIN SOLUTION NO PROMPT\nb = 2\n# END SOLUTION\nc = 3", "a = 1\nc = 3"),
        ('# BEGIN SOLUTION NO PROMPT\nb = 2\n# END SOLUTION\n"""  # BEGIN PROMPT\nb = 0\n"""  # END PROMPT', "b = 0"),
        ("x = 3  # SOLUTION NO PROMPT\ny = 2", "y = 2"),
        ("x, y = 3, 4  # SOLUTION", "x, y = ..."),
    ],
)
def test_what_students_get_of_a_cell(source, expected):
    assert "\n".join(student_lines(source)) == expected


def test_derived_copies():
    made = derive(question(*solution("x = 3  # SOLUTION"), raw("# BEGIN TESTS"), code("test"), raw("# END TESTS")))
    assert [cell.source for cell in made.student.cells] == ["x = ..."]
    assert [cell.source for cell in made.instructor.cells] == ["x = 3  # SOLUTION"]
    assert (made.questions[0].name, made.questions[0].points, made.questions[0].tests) == ("q1", 2, ["test"])


@pytest.mark.parametrize(
    ("notebook", "text"),
    [
        (question(raw("# BEGIN SOLUTION")), "wrong place"),
        (question(raw("# END TESTS")), "wrong place"),
        (question(raw("# BEGIN QUESTION\nname: q2\npoints: 1")), "wrong place"),
        (question(end="text"), "no markup"),
        (question(code("x = 3  # SOLUTION")), "markup is left"),
        (nbformat.v4.new_notebook(cells=[raw("# BEGIN QUESTION\nname: q1\npoints: 1")]), "no `# END QUESTION`"),
    ],
)
def test_masters_that_are_written_wrongly_are_refused(notebook, text):
    with pytest.raises(MarkupError, match=text):
        derive(notebook)


def test_leaks_and_disagreements_are_found():
    made = derived(MASTERS[0])
    lab = classroom.load_lab("lab01")
    line = next(line for line in made.questions[2].solutions if "clip" in line)
    made.student.cells[-1].source = line.strip()
    assert any("a line of the solution" in wrong for wrong in labs.leaks(made, ""))
    assert any("HIDDEN" in wrong for wrong in labs.leaks(made, "# HIDDEN"))
    made.questions[0].points = 9
    made.questions[1].tests = []
    found = " ".join(labs.disagreements(lab, made))
    assert "q1: the master and the checks differ" in found
    assert "q2: the master's test cells" in found
    made.questions.pop()
    assert "has the questions" in labs.disagreements(lab, made)[0]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of one lab, in a folder of its own."""
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks" / "labs").mkdir(parents=True)
    shutil.copy(MASTERS[0], root / "notebooks" / "labs")
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_make_labs_writes_copies_and_proves_them(course, capsys):
    assert labs.make(course, ["lab01"], zips=False)
    assert "the master gets all points, the blank copy none" in capsys.readouterr().out
    for kind in ("student", "instructor"):
        assert (course / "build" / "labs" / kind / MASTERS[0].name).exists()
    with pytest.raises(SystemExit, match="unknown lab"):
        labs.make(course, ["lab77"])
    with pytest.raises(SystemExit, match="no labs here"):
        labs.masters(course / "build")


def test_without_otter_the_archive_is_left_out_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in archives.otter(tmp_path / "a.zip", MASTERS[0], repository(ROOT))
    assert not (tmp_path / "a.zip").exists()


def test_otter_takes_the_masters(tmp_path):
    pytest.importorskip("otter", reason="otter-grader is the extra `grading`")
    assert archives.otter(tmp_path / "a.zip", MASTERS[0], repository(ROOT)) == ""
