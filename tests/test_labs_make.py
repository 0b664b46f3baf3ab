"""From masters to copies: nothing of a solution is left, and what is handed out works."""

import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest

from tools.__main__ import MASTERS as MASTERS_OF_LABS
from tools.__main__ import find_notebooks
from tools.grading import gradescope
from tools.grading.submissions import Outcome, Submission
from tools.markup import ANSWER_HERE, MarkupError, derive, student_lines

ROOT = Path(__file__).parent.parent
MASTERS = sorted((ROOT / "notebooks" / "labs").glob("lab[0-9][0-9]_*.ipynb"))
EACH = pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def assignments():
    from tools import assignments  # which imports the grader

    return assignments


def derived(path):
    return derive(nbformat.read(path, as_version=4))


@EACH
def test_master_and_checks_agree_and_nothing_leaks(assignments, path):
    lab, made = assignments.load_lab(path.stem.split("_")[0]), derived(path)
    assert [*assignments.disagreements(lab, made), *assignments.leaks(made)] == []
    assert set(made.student.metadata) == {"kernelspec", "language_info"}
    assert all(cell.metadata.keys() <= {"slideshow", "mystnb", "tags"} for cell in made.student.cells)
    assert ANSWER_HERE in nbformat.writes(made.student)


@pytest.mark.parametrize(
    ("path", "times"),
    [(MASTERS[0], 1), *(pytest.param(path, 2, marks=pytest.mark.slow) for path in MASTERS)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_a_student_can_run_the_blank_copy_to_its_end_out_of_order_and_twice(path, times, tmp_path):
    """Where the solution leaves out cells, here all are run, and the checks first; twice at night."""
    from tools import execute

    student = derived(path).student
    code = [cell for cell in student.cells if cell.cell_type == "code"]
    checks = [nbformat.v4.new_code_cell(cell.source) for cell in code if ".check(" in cell.source]
    again = [nbformat.v4.new_code_cell(cell.source) for _ in range(times - 1) for cell in code[2:]]
    student.cells = [*code[:2], *checks, *code[2:], *again]
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


def test_leaks_and_disagreements_are_found(assignments):
    made = derived(MASTERS[0])
    lab = assignments.load_lab("lab01")
    line = next(line for line in made.questions[2].solutions if "clip" in line)
    made.student.cells[-1].source = line.strip()
    made.student.cells[-2].source = "# HIDDEN"
    found = " ".join(assignments.leaks(made))
    assert "a line of the solution" in found
    assert "holds '# HIDDEN'" in found
    made.questions[0].points = 9
    made.questions[1].tests = []
    found = " ".join(assignments.disagreements(lab, made))
    assert "q1: the master gives 9 points, the checks 2" in found
    assert "q2: the master's test cells" in found
    made.questions.pop()
    assert "has the questions" in next(assignments.disagreements(lab, made))


def test_make_labs_writes_copies(assignments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(assignments, "prove", lambda *_: [])
    monkeypatch.setattr(gradescope, "write_archive", lambda path, *_: path.touch())
    (tmp_path / "notebooks" / "labs").mkdir(parents=True)
    shutil.copy(MASTERS[0], tmp_path / "notebooks" / "labs")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert assignments.make(tmp_path, find_notebooks(tmp_path, ["lab01"], MASTERS_OF_LABS)) == 0
    assert "the master gets all points, the blank copy none" in capsys.readouterr().out
    assert (tmp_path / "build" / "labs" / "instructor" / MASTERS[0].name).exists()
    assert (tmp_path / "build" / "labs" / "autograder" / "lab01-gradescope.zip").exists()
    with pytest.raises(SystemExit, match="unknown notebook: lab77"):
        find_notebooks(tmp_path, ["lab77"], MASTERS_OF_LABS)


@pytest.mark.slow
@EACH
def test_the_solution_gets_all_points_and_the_blank_copy_none(assignments, path):
    assert list(assignments.prove(path.stem.split("_")[0], derived(path), ROOT)) == []


def test_a_solution_that_fails_and_a_blank_copy_that_passes_are_told(assignments, monkeypatch):
    def verdicts(state):
        return {"q1": {"state": state, "text": "why", "points": 0}}

    def graded(master, blank):
        problems = ["cell 3 fails"] * (master == "wrong")
        results = [
            Submission("master", "master", "m", outcome=Outcome(verdicts(master), problems)),
            Submission("blank", "blank", "b", outcome=Outcome(verdicts(blank))),
        ]
        monkeypatch.setattr(assignments, "grade", lambda *_, **__: results)
        return list(assignments.prove("lab01", derived(MASTERS[0]), ROOT))

    assert graded("right", "open") == []
    assert graded("wrong", "open") == ["the master: cell 3 fails", "the master: q1 is wrong: why"]
    assert graded("right", "right") == ["the blank copy: q1 is right: why"]
    assert graded("right", "failed") == ["the blank copy: q1 is failed: why"]


def test_the_archive_for_gradescope_holds_what_it_needs(tmp_path):
    gradescope.write_archive(tmp_path / "a.zip", "lab01", MASTERS[0], ROOT)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        assert b"tools.grading.gradescope lab01" in archive.read("run_autograder")
    needed = {
        "setup.sh",
        "pyproject.toml",
        "coursekit/checks/lab01.py",
        "tools/grading/gradescope.py",
        "data/README.md",
    }
    assert needed <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    assert [name for name in names if name.endswith(".ipynb")] == [
        f"notebooks/labs/{MASTERS[0].name}",
        "tools/template.ipynb",
    ]
