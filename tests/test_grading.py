"""Grading: a submission that misbehaves costs only itself, and no trick earns points."""

import json
import socket
import sys
import zipfile

import pytest

if sys.platform == "win32":
    pytest.skip("grading needs Linux or macOS", allow_module_level=True)

from coursekit.checks import compare
from coursekit.checks.lab import Lab
from tools.grading.judge import Judge, Limits
from tools.grading.submissions import Submission, find, read, written_answers

LIMITS = Limits(cell_seconds=1.5, question_seconds=2, seconds=120, megabytes=400, processes=15)
GOOD = ["def double(x):\n    return 2 * x", "b = 2", "def triple(x):\n    return 3 * x"]

lab = Lab("lab99", "Test")


@lab.question("Double it", points=2)
def q1(double, rng):
    x = rng.normal(size=5)
    compare.array(compare.function(double, "double")(x), "the result", 2 * x)


@lab.question("A number", points=1)
def q2(b):
    compare.whole(b, "`b`", 2)


@lab.question("Triple it", points=3)
def q3(triple, rng):
    x = rng.normal(size=5)
    compare.array(compare.function(triple, "triple")(x), "the result", 3 * x)


lab.written("q4", "Explain", points=3)


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret")
    (folder / "solution.txt").write_text("precious")
    return folder


@pytest.fixture(scope="module")
def judge(secret):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_TOKEN", "precious")
        with Judge(["lab01"], [secret], LIMITS) as judge:
            yield judge


def judged(judge, cells):
    outcome = judge.judge(Submission("key", "name", cells), lab, seed=7)
    return [verdict["points"] for verdict in outcome.verdicts.values()], outcome


def test_a_right_submission_gets_all_points_and_an_empty_one_none(judge):
    points, outcome = judged(judge, GOOD)
    assert (points, outcome.problems) == ([2, 1, 3], [])
    points, outcome = judged(judge, [])
    assert (points, outcome.problems) == ([0, 0, 0], [])
    assert all(verdict["state"] == "open" for verdict in outcome.verdicts.values())


HARD = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
MISBEHAVES = {
    "raises": ("1 / 0", "cell 2: ZeroDivisionError"),
    "does not parse": ("a b", "cell 2: SyntaxError"),
    "raises an error that has no text": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "cell 2: E",
    ),
    "exits": ("import sys\nsys.exit(3)", "cell 2: SystemExit"),
    "exits at once": ("import os\nos._exit(0)", "cell 2: the process ended"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "cell 2: the process ended"),
    "hangs": ("while True: pass", "cell 2: stopped after"),
    "eats memory": ("x = [bytearray(10**8) for _ in range(1000)]", "cell 2: "),
    "forks": ("import os\nwhile True: os.fork()", "cell 2: PermissionError"),
    "forks by C": ("import ctypes\nwhile True: ctypes.CDLL(None).fork()", "cell 2: "),
    "starts a program": ("import subprocess\nsubprocess.run(['true'])", "cell 2: PermissionError"),
    "closes all files": ("import os\nos.closerange(3, 100)", "cell 2: the process ended"),
    "prints megabytes": ("for _ in range(50_000): print('x' * 1000)", ""),
    "uses magic": ("%matplotlib inline\n!ls\nx = 3", ""),
    "displays": ("display(3)\nget_ipython().run_line_magic('time', '')", ""),
}


@pytest.mark.parametrize("name", MISBEHAVES)
def test_a_bad_cell_costs_itself_alone(judge, name):
    cell, problem = MISBEHAVES[name]
    points, outcome = judged(judge, [GOOD[0], cell, *GOOD[1:]])
    assert points == [2, 1, 3]
    assert any(problem in line for line in outcome.problems) if problem else not outcome.problems


def test_a_cell_that_cannot_be_interrupted_is_left_out(judge, monkeypatch):
    monkeypatch.setattr("tools.grading.session._GRACE", 0.5)
    points, outcome = judged(judge, [GOOD[0], HARD + "while True: pass", *GOOD[1:]])
    assert points == [2, 1, 3]
    assert "could not be interrupted" in outcome.problems[0]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("while True: pass", "stopped after 2 seconds"),
        ("import os; os._exit(0)", "ends the process"),
        ("raise ValueError('no')", "stops with ValueError: no"),
        ("return [0] * 30_000_000", "too large"),
        ("global triple; triple = None; return 2 * x + 1", "values"),
    ],
)
def test_a_bad_answer_costs_itself_alone(judge, body, text):
    points, outcome = judged(judge, [f"def double(x):\n    {body}", *GOOD[1:]])
    assert points == [0, 1, 3]
    assert text in outcome.verdicts["q1"]["text"]


READ_CHECK = """
def double(x):
    import gc, sys
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if getattr(value, "shape", None) == x.shape and value is not x:
                return value
        frame = frame.f_back
    return next((o for o in gc.get_objects() if getattr(o, "shape", None) == x.shape and o is not x), None)
"""
CHEATS = {
    "a constant": "import numpy as np\nseen = []\ndef double(x):\n    seen.append(2 * x)\n    return seen[0] * 0 + 1.0",
    "always equal": (
        "class Yes:\n    shape = (5,)\n    def __eq__(self, other): return True\n    __sub__ = __le__ = __eq__\n"
        "def double(x):\n    return Yes()"
    ),
    "patched numpy": "import numpy as np\nnp.allclose = np.all = lambda *a, **k: True\ndef double(x): return x",
    "patched checks": (
        "from coursekit.checks import lab01\nimport coursekit.checks.plain, coursekit.checks.holder\n"
        "lab01.check = lab01.test = lambda *a: True\n"
        "import sys\nsys.modules['coursekit.checks.compare'] = sys\ndef double(x): return x"
    ),
    "the check's memory": READ_CHECK,
    "seeds": "import numpy as np\nnp.random.seed(0)\ndouble = lambda x: 2 * np.random.default_rng(7).normal(size=5)",
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_trick_earns_points(judge, name):
    points, outcome = judged(judge, [CHEATS[name], *GOOD[1:]])
    assert points == [0, 1, 3]
    assert outcome.verdicts["q1"]["state"] in ("wrong", "open")


def test_forged_answers_are_not_believed(judge):
    forge = "import coursekit.checks.holder as h\nh.Holder.serve = lambda self, request: b'forged'"
    points, outcome = judged(judge, [*GOOD, forge])
    assert points == [0, 0, 0]
    assert outcome.verdicts["q1"]["state"] == "failed"


def test_labs_are_there_but_do_nothing(judge):
    cell = "from coursekit.checks import lab01\nlab01.check('q1')\nlab01.progress()\nassert not lab01.done('q1')"
    points, outcome = judged(judge, [cell, *GOOD])
    assert (points, outcome.problems) == ([2, 1, 3], [])


def refused(judge, cell):
    """Whether a cell that must not succeed fails."""
    _, outcome = judged(judge, [cell])
    return any("PermissionError" in problem or "OSError" in problem for problem in outcome.problems)


def test_files_of_others_can_neither_be_read_nor_changed(judge, secret, tmp_path):
    target = tmp_path / "mine.txt"
    target.write_text("precious")
    path = str(secret / "solution.txt")
    for cell in (
        f"open({path!r}).read()",
        f"open({str(target)!r}, 'w')",
        f"import os\nos.remove({str(target)!r})",
        f"import os\nos.rename({str(target)!r}, 'here')",
        f"import pathlib\npathlib.Path({str(tmp_path / 'new')!r}).mkdir()",
    ):
        assert refused(judge, cell) or "FileNotFoundError" in str(judged(judge, [cell])[1].problems), cell
    judged(judge, [f"import shutil\nshutil.rmtree({str(tmp_path)!r}, ignore_errors=True)"])
    _, outcome = judged(judge, [f"import ctypes\nctypes.CDLL(None).unlink({str(target).encode()!r})"])
    if not outcome.unconfined:  # Python's guard alone does not see calls in C
        assert target.read_text() == "precious"


def test_a_submission_has_a_folder_of_its_own_and_no_secrets(judge):
    cell = (
        "import os, pathlib, tempfile\npathlib.Path('note.txt').write_text('x')\n"
        "assert tempfile.mkdtemp().startswith(os.getcwd())\nassert os.path.expanduser('~') == os.getcwd()\n"
        "assert 'MY_TOKEN' not in os.environ"
    )
    points, outcome = judged(judge, [cell, *GOOD])
    assert (points, outcome.problems) == ([2, 1, 3], [])
    _, outcome = judged(judge, ["assert not __import__('os').path.exists('note.txt')"])
    assert outcome.problems == []


def test_there_is_no_network(judge):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert refused(judge, f"import socket\nsocket.create_connection({address!r}, 2)")


# Reading submissions -------------------------------------------------------------------------------------------------


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": kind, "source": source, "outputs": []} for kind, source in cells]})


def one(tmp_path, text, name="a.ipynb"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, tmp_path, "lab01")


def test_notebooks_are_read_in_any_state(tmp_path):
    good = notebook(("markdown", "# x"), ("code", "from coursekit.checks import lab01"), ("code", ["a = 1\n", "b = 2"]))
    submission = one(tmp_path, good)
    assert submission.cells == ["from coursekit.checks import lab01", "a = 1\nb = 2"]
    assert submission.problems == []
    cut = one(tmp_path, good[:-30])
    assert cut.cells == submission.cells[:1]
    assert "cut off" in cut.problems[0]
    for bad in ("", "no", "[]", '{"cells": 3}', b"\xff\xfe\x00", '{"cells": [3, {"cell_type": "code", "source": 5}]}'):
        assert one(tmp_path, bad).cells == []
    assert one(tmp_path, "no").problems == ["not a notebook"]
    other = one(tmp_path, notebook(("code", "from coursekit.checks import lab02")))
    assert "it belongs to lab02" in other.problems[0]
    assert "nowhere imports" in one(tmp_path, notebook(("code", "x = 1"))).problems[0]


def test_every_file_has_a_key_of_its_own(tmp_path):
    names = ["ana/lab01.ipynb", "bo/lab01.ipynb", "ana_lab01.ipynb", "é.ipynb", "è.ipynb"]
    keys = {one(tmp_path, "no", name).key for name in names}
    assert len(keys) == len(names)


def test_what_counts_as_a_submission(tmp_path):
    for name in (
        "a/x.ipynb",
        "a/picture.png",
        "b/essay.pdf",
        ".hidden/y.ipynb",
        "c/.ipynb_checkpoints/z.ipynb",
        "w.ipynb",
    ):
        one(tmp_path, "no", name)
    assert [path.relative_to(tmp_path).as_posix() for path in find(tmp_path)] == ["a/x.ipynb", "b/essay.pdf", "w.ipynb"]


def test_written_answers_are_cut_out(tmp_path):
    blank = ["## Question 4: explain", "Text", "*Write your answer here.*", "## Where you stand"]
    cells = [
        "## Question 3: x",
        "no",
        "## Question 4: explain",
        "Text",
        "Since $a$.",
        "And more.",
        "## Where you stand",
        "bye",
    ]
    submission = one(tmp_path, notebook(*[("markdown", cell) for cell in cells]))
    assert written_answers(submission, blank, ["q4"]) == {"q4": "Since $a$.\n\nAnd more."}


# Gradescope ----------------------------------------------------------------------------------------------------------


def test_gradescope_archive_grades_a_submission(tmp_path, monkeypatch):
    from pathlib import Path

    from tools import archives
    from tools.grading import gradescope

    root = Path(__file__).parent.parent
    master = root / "notebooks" / "labs" / "lab01_convolution.ipynb"
    archives.gradescope(tmp_path / "a.zip", "lab01", master, root)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {"setup.sh", "run_autograder", "pyproject.toml", "coursekit/checks/lab01.py"} <= set(archive.namelist())
        assert {"coursekit/checks/lab04/__init__.py", "coursekit/checks/lab04/probe.py"} <= set(archive.namelist())
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        archive.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    gradescope.main("lab01", tmp_path)
    assert json.loads((tmp_path / "results" / "results.json").read_text())["score"] == 0
    cells = ["from coursekit.checks import lab01", "by_hand_correlation = by_hand_convolution = [[1]]"]
    (tmp_path / "submission" / "x.ipynb").write_text(notebook(*[("code", cell) for cell in cells]))
    gradescope.main("lab01", tmp_path)
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert [test["score"] for test in results["tests"]] == [0] * 6
    assert "shape" in results["tests"][0]["output"]
