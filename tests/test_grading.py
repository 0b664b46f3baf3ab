"""Grading: what is read of submissions, tables and marks, and what happens where grading cannot go on.

The walls themselves, and what honest and hostile students hand in, are in `test_grading_catalogue`.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unicodedata
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest
from PIL import Image

if not sys.platform.startswith("linux"):
    pytest.skip("grading needs Linux", allow_module_level=True)

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint
from coursekit.checks.lab import Lab
from tests.grading.making import ROOT, answer, blank, find, packed, right, text, with_answers
from tools.grading import classroom, gradebook, gradescope, pages, sandbox, submissions
from tools.grading.judge import Judge
from tools.grading.sandbox import Limits
from tools.grading.submissions import Cell, Outcome, Submission, printable

lab = Lab("lab99", "Test")


@lab.question("Double it", points=2)
def q1(double: Function, rng):
    x = rng.normal(size=5)
    compare.array(double(x), "the result", 2 * x)


@lab.question("A number", points=1, truth="2")
def q2(b):
    if compare.as_number(b, "`b`", whole=True) > 2:
        raise Hint("`b` is too large.")


@lab.question("A slope", points=1)
def q3(slope: Function):
    if compare.as_number(slope(3.0), "the slope") != 6:
        raise Hint("another slope")


lab.written("q4", "Explain", points=3)


# Settings that a notebook leaves on, an answer that spoils everything for those behind it, and cells that wait for one.
LEFT_ON = """
import os, random, sys, warnings
import matplotlib.pyplot as plt
import numpy as np
import torch
os.chdir("/tmp"), random.seed(1), plt.switch_backend("agg"), np.seterr(all="raise")
torch.set_default_dtype(torch.float64), torch.set_grad_enabled(False), warnings.filterwarnings("error")
"""
SPOILER = """
def double(x):
    result = 2 * x
    np.add, torch.tensor, sys.stdout = None, None, None
    sys.setrecursionlimit(200), os.closerange(0, 3), os.chdir("/"), globals().update(b=77, slope=None)
    return result
"""
DONE = """
from coursekit.checks import lab99
number = torch.rand(3), random.random(), np.random.rand()
torch.manual_seed(0), random.seed(0), np.random.seed(0)
first = torch.rand(3).sum(), random.random(), np.random.rand()
torch.manual_seed(0), random.seed(0), np.random.seed(0)
if lab99.done("Q1") and lab99.done(2) and not lab99.done("q9") and not lab99.done("q4"):
    assert first == (torch.rand(3).sum(), random.random(), np.random.rand())
    assert False, "as far as here"
"""


@pytest.fixture(scope="module")
def walls():
    return sandbox.bubblewrap()


def test_a_submission_is_judged_question_by_question(walls):
    slope = (
        "def slope(x):\n    x = torch.tensor(x, requires_grad=True)\n    (x * x).backward()\n    return float(x.grad)"
    )
    judge = Judge(walls, Limits(question_seconds=2))
    guess = "guess_q2 = 'three $'"
    outcome = judge.judge([LEFT_ON, SPOILER, "b = 2", slope, LEFT_ON, DONE, guess], lab, 7)
    assert {name: verdict["points"] for name, verdict in outcome.verdicts.items()} == {
        "q1": 2,
        "q2": 1,
        "q3": 1,
    }
    assert outcome.problems == ["cell 6: AssertionError: as far as here"]
    assert outcome.sound
    assert outcome.guesses == {"q2": "three $"}
    spoiler = "def double(x):\n    global b\n    b = 3\n    while True: pass"
    outcome = judge.judge([spoiler, "b = 2", "import os; os._exit(0)"], lab, 7)
    assert "CellTimeoutError" in outcome.verdicts["q1"]["text"]
    assert outcome.verdicts["q2"]["state"] == "right"
    assert outcome.problems == ["cell 3: the process ended; left out"]


@pytest.mark.parametrize(
    ("what", "seconds", "why"),
    [
        ("sys.exit()", 60, sandbox.GONE),
        ("os.fork() and os._exit(0)", 60, sandbox.GONE),
        ("os.fork()", 1, "took too long"),
        ("os.write(channel, b'00')", 1, "took too long"),
        ("os.write(channel, struct.pack('!i', 1001))", 60, "too large"),
        ("x = bytes(b'x' * 300_000_000)", 60, "100 MB"),
        ("for _ in range(9): os.fork() or time.sleep(9)", 60, "more than 5 others"),
        ("", 0, "interrupted"),
    ],
)
def test_a_worker_that_takes_too_much_is_ended(tmp_path, what, seconds, why):
    code = f"import os, struct, sys, time\nchannel = int(sys.argv[1])\n{what}\ntime.sleep(30)"
    (tmp_path / "worker.py").write_text(code)
    stop = threading.Event()
    limits, without = Limits(megabytes=100, processes=5), sandbox.Walls(("env",), str(tmp_path), str(tmp_path))
    with closing(sandbox.Sandbox(without, limits, stop)) as worker:
        worker.watch_memory()
        worker.deadline = time.monotonic() + (seconds or 60)
        if not seconds:
            stop.set()
        with pytest.raises(sandbox.EndedError, match=why):
            worker.receive(1000)


def test_guesses_are_drawn_for_the_next_lecture(tmp_path):
    guesses = {"a": 3, "b": "$x", "c": 3}
    rows = [Submission(name, name, name, outcome=Outcome(guesses={"q2": guess})) for name, guess in guesses.items()]
    gradebook.draw_guesses(tmp_path, rows, lab)
    with Image.open(tmp_path / "guesses.png") as picture:
        assert picture.width > 800
    gradebook.draw_guesses(tmp_path, [Submission("a", "a", "a")], lab)
    assert not (tmp_path / "guesses.png").exists()


# No walls, no grading -------------------------------------------------------------------------------------------------


def test_without_walls_nothing_is_graded(tmp_path):
    """By the very command of the README, as make calls it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_bytes(packed(right()))
    command = [sys.executable, "-m", "tools", "grade", str(tmp_path / "in"), "lab01", "--output", str(tmp_path / "out")]
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not installed" in done.stderr
    assert "docker run" in done.stderr
    assert not (tmp_path / "out").exists()


def test_walls_that_cannot_be_built_are_none(tmp_path, monkeypatch):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'no permission to create a namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SystemExit, match=r"(?s)No submission was run.*no permission to create a namespace"):
        sandbox.bubblewrap()


def test_what_cannot_be_graded_is_said(tmp_path):
    with pytest.raises(SystemExit, match="unknown lab 'lab77'"):
        classroom.grade(tmp_path, "lab77", ROOT)
    with pytest.raises(SystemExit, match="there is no folder"):
        classroom.grade(tmp_path / "none", "lab01", ROOT)
    (tmp_path / "in").mkdir()
    with pytest.raises(SystemExit, match="holds no file"):
        classroom.grade(tmp_path / "in", "lab01", ROOT)
    (tmp_path / "in" / "a.ipynb").write_text("{}")
    with pytest.raises(SystemExit, match="must be written like"):
        classroom.grade(tmp_path / "in", "lab01", ROOT, deadline="tomorrow")


# A class ------------------------------------------------------------------------------------------------------------


class Fake:
    """In place of a judge: knows the points without running anything."""

    judged: list = []  # noqa: RUF012 -- shared on purpose
    error: Exception | None = None

    def __init__(self, *_):
        self.limits, self.stop = Limits(), threading.Event()

    def judge(self, cells, lab, seed):
        Fake.judged.append(cells)
        if Fake.error:
            raise Fake.error
        full = "steps + reach" in "".join(cells)
        verdicts = {name: {"state": "open", "text": "", "points": 0} for name in lab.questions if name != "q7"}
        verdicts["q2"] = {"state": "right" if full else "wrong", "text": "<b>no</b>", "points": 2 * full}
        return Outcome(verdicts)


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "Judge", Fake)
    monkeypatch.setattr(Fake, "judged", [])
    monkeypatch.setattr(Fake, "error", None)
    for name, notebook in {"ana_7/try": blank(), "ana_7/lab": right(), "bo, 12": blank(), "stranger": blank()}.items():
        notebook["cells"].append(text(f"by {name}"))
        path = tmp_path / "in" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(notebook))
    os.utime(tmp_path / "in" / "ana_7" / "lab.ipynb", (1e9, 1e9))
    (tmp_path / "roster.csv").write_text("name;id;pattern\nAna;7;\nBo;12;bo\nCy;3;cy*\n", encoding="utf-8")
    (tmp_path / "marks.csv").write_bytes(
        b"student,question,points,comment\n7,q7,2.5,well \xfcber <i>\n7,q7,1,\nx,q7,1,\n12,q9,1,\n12,q7,9,\n"
        b"12,q7,nan,\n"
    )
    return tmp_path


def table(course, name="grades"):
    with (course / "out" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def grade(course, **options):
    return classroom.grade(course / "in", "lab01", ROOT, course / "out", jobs=1, **options)


def test_a_class_from_roster_to_upload(course, capsys):
    kept = {name: (course / name).read_bytes() for name in ("roster.csv", "marks.csv")}
    grade(course, deadline="2001-09-09 00:00")
    rows = {row["submission"]: row for row in table(course)}
    assert [rows["ana_7/lab"][name] for name in ("student", "name", "counts", "points", "total")] == [
        *("7", "Ana", "yes", "2", "4.5"),
    ]
    assert rows["ana_7/try"]["counts"] == "no"
    assert float(rows["ana_7/lab"]["late (hours)"]) > 0
    assert "of nobody" in rows["stranger"]["problems"]
    assert (rows[""]["name"], rows[""]["problems"]) == ("Cy", "nothing was handed in")
    assert {row["ID"]: row["lab01"] for row in table(course, "canvas")[1:]} == {
        "7": "4.5", "12": "0", "stranger": "0", "3": "",
    }  # fmt: skip
    assert table(course, "moodle")[0]["Feedback comments"] == "q7: well über <i>"
    said = capsys.readouterr().out
    for line in ("line 3", "line 4", "line 5", "line 6", "line 7"):
        assert f"marks.csv, {line} does not count" in said
    with zipfile.ZipFile(course / "out" / "feedback.zip") as archive:
        assert len(archive.namelist()) == 3
        page = next(archive.read(name).decode() for name in archive.namelist() if "ana" in name)
    assert "well über &lt;i&gt;" in page
    written = (course / "out" / "written.html").read_text(encoding="utf-8")
    assert "Marking" in written
    assert "q7-answer" in written
    assert {name: (course / name).read_bytes() for name in kept} == kept
    grade(course, count="last")
    assert next(row for row in table(course) if row["submission"] == "ana_7/try")["counts"] == "yes"


def test_results_are_kept_but_not_those_of_a_machine_that_failed(course, monkeypatch):
    Fake.error = OSError(28, "No space left on device")
    assert all("No space left" in "".join(row.all_problems) for row in grade(course) if row.path)
    Fake.error, Fake.judged = None, []
    first = grade(course)
    assert len(Fake.judged) == 4
    assert grade(course) == first
    assert len(Fake.judged) == 4
    monkeypatch.setattr(classroom, "_version", lambda *_: "another grader")
    grade(course)
    assert len(Fake.judged) == 8


def test_what_a_result_depends_on(tmp_path, monkeypatch):
    monkeypatch.setattr(classroom.coursekit, "__path__", [str(tmp_path)])
    before = classroom._version(Limits(), 1)
    assert classroom._version(Limits(), 1) == before
    assert classroom._version(Limits(seconds=3), 1) != before
    (tmp_path / "lab05").mkdir()
    (tmp_path / "lab05" / "q1.py").write_text("x", encoding="utf-8")
    assert classroom._version(Limits(), 1) != before


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_an_interrupted_run_writes_what_is_there_and_ends_every_sandbox(tmp_path, number):
    (tmp_path / "in").mkdir()
    for file in range(3):
        cell = f"smallest_image = {file}" + "\nimport time\ntime.sleep(600)" * (file > 0)
        (tmp_path / "in" / f"s{file}.ipynb").write_bytes(with_answers(q2=cell))
    (tmp_path / "in" / "z.pdf").write_text("x", encoding="utf-8")
    command = [sys.executable, "-m", "tools", "grade", str(tmp_path / "in"), "lab01", "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--jobs", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # tests in the background ignore Ctrl-C
    )
    while not list(tmp_path.glob("out/results/*.json")):
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"goes on from there" in said
    assert psutil.wait_procs(family, timeout=90)[1] == []  # what was just starting ends when it hears nobody
    rows = table(tmp_path)
    assert [row["points"] for row in rows] == ["15", "0", "0", "0"]
    assert "interrupted" in rows[2]["problems"]


# Reading submissions -------------------------------------------------------------------------------------------------


def one(tmp_path, data, name="a.ipynb"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return submissions.find(path.parent, "lab01")[0]


def test_every_file_is_a_submission_or_lies_beside_one(tmp_path):
    for name in (
        *("a/x.ipynb", "a/p.png", "a/photos/q.png", "b/e.pdf", ".h/y.ipynb", "c/.DS_Store", "w.IPYNB", "v.zip"),
        *("ana/lab01.ipynb", "bo/lab01.ipynb", "ana_lab01.ipynb", "é.ipynb", "è.ipynb"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("no")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = {row.path: row for row in submissions.find(tmp_path, "lab01")}
    assert list(found) == [
        *("a/x.ipynb", "ana/lab01.ipynb", "ana_lab01.ipynb", "b/e.pdf", "bo/lab01.ipynb", "loop", "v.zip", "w.IPYNB"),
        *("è.ipynb", "é.ipynb"),
    ]
    assert [path for path, row in found.items() if "beside it" in row.problems[-1]] == ["a/x.ipynb"]
    assert "p.png, q.png" in found["a/x.ipynb"].problems[-1]
    assert len({row.key for row in found.values()}) == len(found)


def test_a_notebook_of_this_lab_is_known_by_any_import(tmp_path):
    for line in ("from coursekit.checks import (\n  lab01)", "import coursekit.labs.lab01 as lab01"):
        cells = [{"cell_type": "code", "source": line}]
        assert one(tmp_path, json.dumps({"cells": cells})).problems == []


def test_texts_of_strangers_are_made_printable():
    assert printable("a\x1b[2J\u202eb\ud83d\x00 \n c\xa0d\u2028e") == "a\\u001b[2J\\u202eb\\ud83d\\u0000 c d e"
    assert printable("a\nb\x07", lines=True) == "a\nb\\u0007"
    assert len(printable("x" * 1000)) == 300
    assert printable("Übung 数 🐱") == "Übung 数 🐱"


def answers_of(change):
    notebook = right()
    find(notebook, "q7-answer")["source"] = "*Write your answer here.*"
    change(notebook["cells"], next(k for k, cell in enumerate(notebook["cells"]) if cell["id"] == "q7-answer"))
    cells = [Cell(cell["cell_type"], "".join(cell["source"]), cell.get("id", "")) for cell in notebook["cells"]]
    copy = [{**cell, "source": "".join(cell["source"])} for cell in blank()["cells"]]
    copy = [type("Blank", (dict,), {"source": cell["source"], "id": cell["id"]})(cell) for cell in copy]
    found, note = pages.find_answers(cells, copy, ["q7"])["q7"]
    return [cell.source for _, cell in found if "mine" in cell.source], note


def _without_heading(cells, at):
    cells[at]["source"] = "mine"
    del cells[at - 2 : at]


def _nowhere_near(cells, at):
    cells.insert(0, text("mine"))
    del cells[at - 1 : at + 2]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda cells, at: cells[at].update(source="mine"), ""),
        (lambda cells, at: cells[at].update(source="## My answer\nmine"), ""),
        (lambda cells, at: cells.insert(at + 1, text("## My answer\n\nmine")), ""),
        (lambda cells, at: cells[at].update(source="mine", cell_type="code"), ""),
        (lambda cells, at: [cell.update(id="") for cell in cells] and cells[at].update(source="mine"), ""),
        (lambda cells, at: cells[at - 1].update(source="Text, and mine"), ""),
        (_without_heading, ""),
        (_nowhere_near, "the heading of question 7 is missing; shown is all text"),
        (lambda cells, at: cells.append(text("mine")), "shown is all text"),
    ],
)
def test_written_answers_are_found_wherever_they_stand(change, note):
    found, said = answers_of(change)
    assert len(found) == 1
    assert said.startswith(note) if note else said == ""


def test_pages_show_what_strangers_wrote_and_run_none_of_it(tmp_path):
    row = submissions.Submission("<b>", "<b>", "k", student="<b>", who="<b>", outcome=Outcome(problems=["<b>"]))
    for kind in ("markdown", "code"):
        row.cells.append(Cell(kind, "**x** <script>1</script> [a](javascript:1)\x1b", "q7-answer"))
    pages.write(tmp_path, [row], classroom.load_lab("lab01"), ROOT)
    with zipfile.ZipFile(tmp_path / "feedback.zip") as archive:
        shown = [(tmp_path / "written.html").read_text(encoding="utf-8"), archive.read("k.html").decode()]
    assert "<strong>x</strong>" in shown[0]
    for page in shown:
        assert "default-src 'none'" in page
        assert not any(part in page for part in ("<script>", "<b><", 'href="javascript:', "\x1b"))
        assert "&lt;b&gt;" in page


def test_a_roster_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / "roster.csv"
    for rows, wrong in (
        ("a,b\n", "no column name"),
        ("name,id\nA,1\nB,1\n", "1 comes twice"),
        ("name,id,pattern\n,,x\n", "no id"),
    ):
        path.write_text(rows, encoding="utf-8")
        with pytest.raises(SystemExit, match=wrong):
            gradebook.read_roster(path)
    student = gradebook.Student("12", "A", "12")
    assert student.handed_in("mueller_12_lab.ipynb")
    assert not student.handed_in("mueller_123_lab.ipynb")


def test_tables_are_read_as_spreadsheets_write_them(tmp_path, capsys):
    path = tmp_path / "table.csv"
    table = 'Name;ID;Note\n"Müller, Ana";007;x;y\n;;\nBo;8\n'
    for written in (table, table.replace(";", "\t"), unicodedata.normalize("NFD", table)):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", *["cp1252"] * ("ü" in written)):
            path.write_bytes(written.encode(encoding))
            students = gradebook.read_roster(path)
            assert [(student.name, student.id) for student in students] == [("Müller, Ana", "007"), ("Bo", "8")]
    path.write_bytes("student;question;points;comment\nMüller;Q2;1,5;well\nMüller;7;;\n".encode("utf-16"))
    marks = gradebook.read_marks(path, classroom.load_lab("lab01"), {"Müller"})
    assert marks == {"Müller": {"q2": (1.5, "well")}}
    assert capsys.readouterr().out == ""
    assert submissions.printable(unicodedata.normalize("NFD", "Müller")) == "Müller"  # as macOS names files


# Gradescope ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def autograder(tmp_path):
    (tmp_path / "source" / "notebooks" / "labs").mkdir(parents=True)
    (tmp_path / "submission").mkdir()
    return tmp_path


def test_gradescope_refuses_without_a_user_of_its_own(autograder, monkeypatch):
    (autograder / "submission" / "x.ipynb").write_bytes(packed(right()))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="nothing was graded"):
        gradescope.main("lab01", autograder)
    assert not (autograder / "results" / "results.json").exists()


def test_gradescope_says_that_nothing_was_handed_in(autograder):
    gradescope.main("lab01", autograder)
    assert json.loads((autograder / "results" / "results.json").read_text())["score"] == 0


def _readable_by_all():
    return all(parent.stat().st_mode & 0o001 for parent in Path(os.path.realpath(sys.executable)).parents)


@pytest.mark.skipif(os.geteuid() != 0 or not _readable_by_all(), reason="needs root, and a Python that all may run")
def test_gradescope_grades_as_another_user(autograder):
    trick = "open('/autograder/results/results.json', 'w')"
    (autograder / "submission" / "x.ipynb").write_bytes(with_answers(q2=answer("q2-answer") + "\n" + trick))
    autograder.chmod(0o755)
    gradescope.main("lab01", autograder)
    results = json.loads((autograder / "results" / "results.json").read_text())
    assert sum(test["score"] for test in results["tests"]) == 17
    assert "Error" in results["output"]
