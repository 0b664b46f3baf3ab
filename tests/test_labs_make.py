"""From masters to copies: nothing of a solution is left, and what is handed out works."""

import csv
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tools import archives, execute, labs
from tools.checks import repository
from tools.grading import classroom, feedback
from tools.grading.judge import Limits
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


def test_a_class_is_graded_and_grading_goes_on_where_it_stopped(course, capsys, monkeypatch):
    made, folder, output = derived(MASTERS[0]), course / "handed in", course / "grades"
    good, blank = nbformat.writes(made.instructor), nbformat.writes(made.student)
    half = json.loads(good)
    half["cells"] = [cell for cell in half["cells"] if cell["id"] not in ("q2-answer", "q3-answer")]
    given = {"ana/lab": good, "bo/lab": blank, "half": json.dumps(half), "cut": good[:-3000], "=1+1": "no notebook"}
    for name, text in given.items():
        (folder / f"{name}.ipynb").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
    results = classroom.grade(folder, "lab01", course, output, jobs=1, limits=Limits(cell_seconds=20))
    points = {result["name"]: result["points"] for result in results}
    assert points == {"ana/lab": 17, "bo/lab": 0, "half": 12, "cut": 17, "=1+1": 0}
    with (output / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert [rows["half"][name] for name in ("points", "of", "q1", "q2", "q3")] == ["12", "17", "2", "0", "0"]
    assert "cut off" in rows["cut"]["problems"]
    assert rows["'=1+1"]["problems"] == "not a notebook"
    pages = sorted((output / "feedback").glob("*.html"))
    assert len(pages) == 5
    assert "learns" in (output / "written.html").read_text(encoding="utf-8")
    assert "hardest" in (output / "index.html").read_text(encoding="utf-8").lower()
    assert (output / "class.png").read_bytes().startswith(b"\x89PNG")

    class Nobody:
        def __init__(self, *_):
            pass

        def judge(self, *_, **__):
            raise RuntimeError("nothing is left to be graded")

        def close(self):
            pass

    monkeypatch.setattr(classroom, "Judge", Nobody)
    assert classroom.grade(folder, "lab01", course, output, jobs=1, limits=Limits(cell_seconds=20)) == results
    assert "5 submissions are graded already, 0 to go" in capsys.readouterr().out
    (folder / "new.ipynb").write_text(blank, encoding="utf-8")
    again = classroom.grade(folder, "lab01", course, output, jobs=1, limits=Limits(cell_seconds=20))
    assert [result["problems"] for result in again if result["name"] == "new"] == [
        ["not graded, RuntimeError: nothing is left to be graded"]
    ]


def test_a_change_in_a_labs_checks_has_it_graded_anew(tmp_path, monkeypatch):
    names, folder = classroom.lab_names(), tmp_path / "labs"
    shutil.copytree(Path(classroom.labs.__file__).parent, folder)
    (folder / "lab77" / "__pycache__").mkdir(parents=True)  # what git leaves of a lab that is gone
    monkeypatch.setattr(classroom.labs, "__file__", str(folder / "__init__.py"))
    assert classroom.lab_names() == names == [path.stem.split("_")[0] for path in MASTERS]
    lab = classroom.load_lab("lab04")
    before = classroom._version(lab, Limits(), 1)
    for name in ("lab01.py", "lab05/paths.py", "lab05/__init__.py"):
        (folder / name).write_text("", encoding="utf-8")
        assert classroom._version(lab, Limits(), 1) == before, name
    for name in ("compare.py", "lab04/__init__.py", "lab04/probe.py"):
        (folder / name).write_text("", encoding="utf-8")
        assert classroom._version(lab, Limits(), 1) != before, name
        before = classroom._version(lab, Limits(), 1)


def test_what_cannot_be_graded_is_said(course, tmp_path):
    with pytest.raises(SystemExit, match="unknown lab 'lab77'"):
        classroom.grade(tmp_path, "lab77", course)
    with pytest.raises(SystemExit, match="there is no folder"):
        classroom.grade(tmp_path / "none", "lab01", course)
    with pytest.raises(SystemExit, match="holds no file"):
        classroom.grade(tmp_path, "lab01", course)


def test_feedback_shows_text_and_never_runs_it():
    lab = classroom.load_lab("lab01")
    verdicts = {"q1": {"state": "wrong", "text": "<script>1</script>", "points": 0}}
    result = {"key": "k", "name": "<b>", "points": 0, "verdicts": verdicts, "problems": ["<i>"], "written": {}}
    page = feedback.student_page(result, lab)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<i>" not in page


def test_without_otter_the_archive_is_left_out_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in archives.otter(tmp_path / "a.zip", MASTERS[0], repository(ROOT))
    assert not (tmp_path / "a.zip").exists()


def test_otter_takes_the_masters(tmp_path):
    pytest.importorskip("otter", reason="otter-grader is the extra `grading`")
    assert archives.otter(tmp_path / "a.zip", MASTERS[0], repository(ROOT)) == ""
