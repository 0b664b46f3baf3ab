"""A class of honest and hostile students, graded by the README's command: each gets what is due.

By day one small class that meets every wall, by night (``slow``) everybody, in classes that free processes share.
"""

import csv
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("grading needs Linux", allow_module_level=True)

from tests.grading.honest import HONEST
from tests.grading.hostile import HOSTILE, MARK, SECRET, write_links
from tests.grading.making import ROOT

EVERY = [*HONEST, *HOSTILE]
BY_DAY = [case for case in EVERY if case.quick]
CLASSES = [EVERY[start::12] for start in range(12)]


class Graded:
    """What came of it: the table's rows by name, what was printed, and what the traps caught."""

    def __init__(self, base: Path, cases: list, *options: str) -> None:
        folder, trap = base / "handed in", base / "trap"
        folder.mkdir(), trap.mkdir()
        (trap / "secret.txt").write_text(SECRET)
        self.links = write_links(folder)
        with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as local:
            local.bind(str(trap / "socket"))
            local.listen()
            self.mark = f"{MARK}{os.getpid()}"
            for case in cases:
                content = case.content.replace(b"{trap}", str(trap).encode()).replace(MARK.encode(), self.mark.encode())
                content = content.replace(b"{port}", str(port.getsockname()[1]).encode())
                (folder / (case.name + case.suffix)).write_bytes(content)
            (base / "marks.csv").write_text(f"student,question,points,comment\n{cases[0].name},q7,2.5,well argued\n")
            command = [sys.executable, "-m", "tools", "grade", str(folder), "lab01", "--output", str(base / "out")]
            done = subprocess.run(
                [*command, "--seconds", "15", *options],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MY_TOKEN": SECRET},
                capture_output=True,
                timeout=3000,
            )
            self.printed, self.errors, self.code = done.stdout, done.stderr, done.returncode
            self.called = []
            for listener in (port, local):
                listener.settimeout(0)
                try:
                    self.called.append(listener.accept())
                except BlockingIOError:
                    continue
        self.trap, self.output = trap, base / "out"
        with (self.output / "grades.csv").open(encoding="utf-8", newline="") as file:
            self.rows = {row["submission"]: row for row in csv.DictReader(file)}


def name_of(case):
    return case.name if case.suffix.lower() == ".ipynb" else case.name + case.suffix


def _split(part):
    start, _, said = part.rpartition(" … ")
    return start, said


def what_is_wrong(graded, case):
    """Compare what came of a submission with what is due; return "" or both."""
    row = graded.rows[name_of(case)]
    parts = (case.problem,) if isinstance(case.problem, str) else case.problem
    problems = re.split("; (?=cell)", row["problems"])
    fine = (
        case.points in (-1, int(row["points"]))
        and all(any(said in one for one in problems if start in one) for start, said in map(_split, parts))
        and (row["problems"] == "" or case.problem or case.name.startswith("hostile"))
        and "\x1b" not in row["problems"]
        and len(row["problems"]) < 20_000
    )
    return "" if fine else f"{case.name}: {row['points']} of {case.points} points; {parts}: {row['problems']}"


def check_house(graded):
    """What holds for the house as a whole: no secret got out, nothing was called, changed or left running."""
    assert graded.code == 0, graded.errors.decode()
    pages = [path for path in graded.output.rglob("*") if path.is_file()]
    assert pages
    for text in [graded.printed, graded.errors, *(path.read_bytes() for path in pages)]:
        assert SECRET.encode() not in text
    assert (graded.trap / "secret.txt").read_text() == SECRET
    assert sorted(path.name for path in graded.trap.iterdir()) == ["secret.txt", "socket"]
    assert graded.called == []
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(graded.mark.encode() in line for line in running)
    assert not any(b"/course/worker.py" in line and str(graded.output).encode() in line for line in running)
    printed = graded.printed.decode("utf-8")
    assert all(sign.isprintable() or sign == "\n" for sign in printed)
    for name, problem in graded.links.items():
        assert problem in graded.rows[name]["problems"], name
        assert graded.rows[name]["points"] == "0"


def grade(base, cases):
    graded = Graded(base, cases)
    assert [wrong for case in cases if (wrong := what_is_wrong(graded, case))] == []
    check_house(graded)
    row = graded.rows[name_of(cases[0])]
    assert (row["q7 (by hand, of 3)"], row["total"]) == ("2.5", f"{int(row['points']) + 2.5}")


def test_by_day(tmp_path):
    grade(tmp_path, BY_DAY)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(len(CLASSES)))
def test_by_night(tmp_path, number):
    grade(tmp_path, CLASSES[number])


def test_the_catalogue_is_large_enough():
    assert len(HONEST) >= 40
    assert len(HOSTILE) >= 60
    assert len({case.name for case in EVERY}) == len(EVERY)
