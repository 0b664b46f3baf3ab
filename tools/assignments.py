"""``make labs``: student and instructor copies and Gradescope archives, made from the masters and proved to work."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

import nbformat

from coursekit.checks.lab import Lab
from tools.grading import gradescope
from tools.grading.classroom import grade, load_lab
from tools.markup import Derived, derive
from tools.normalform import read


def masters(root: Path, names: list[str] | None = None) -> dict[str, Path]:
    """Return the labs' masters by name, such as ``lab01``; all, or those asked for.

    Raises
    ------
    SystemExit
        If a lab has no master, or there is none at all.
    """
    paths = {
        path.stem.split("_")[0]: path for path in sorted((root / "notebooks" / "labs").glob("lab[0-9][0-9]_*.ipynb"))
    }
    if not paths:
        sys.exit("no labs here: run this in the course's root folder, where `notebooks/labs` lies.")
    wanted = [name.split("_")[0] for name in names or paths]
    if unknown := [name for name in wanted if name not in paths]:
        sys.exit(f"unknown lab: {', '.join(unknown)}. There are: {', '.join(paths)}.")
    return {name: paths[name] for name in wanted}


def make(root: Path, names: list[str], *, zips: bool = True) -> bool:
    """Write ``build/labs/student``, ``instructor`` and ``autograder``; return whether all proofs hold.

    Without names, all labs are made; without ``zips``, no archives.
    """
    output, fine = root / "build" / "labs", True
    for kind in ("student", "instructor", "autograder"):
        (output / kind).mkdir(parents=True, exist_ok=True)
    for name, path in masters(root, names).items():
        lab, derived = load_lab(name), derive(read(path))
        nbformat.write(derived.student, output / "student" / path.name)
        nbformat.write(derived.instructor, output / "instructor" / path.name)
        text = (output / "student" / path.name).read_text(encoding="utf-8")
        wrong = [*disagreements(lab, derived), *leaks(derived, text), *prove(name, derived, root)]
        print(f"{name}: " + ("the master gets all points, the blank copy none" if not wrong else "NOT AS IT SHOULD BE"))
        for line in wrong:
            print(f"  {line}")
        fine &= not wrong
        if zips:
            gradescope.write_archive(output / "autograder" / f"{name}-gradescope.zip", name, path, root)
    print(f"See {output}.")
    return fine


def disagreements(lab: Lab, derived: Derived) -> list[str]:
    """Find where a master and its checks do not name the same questions, points and tests."""
    marked = {question.name: question for question in derived.questions}
    if list(marked) != list(lab.questions):
        return [f"the master has the questions {', '.join(marked)}, the checks {', '.join(lab.questions)}"]
    wrong = []
    texts = "\n".join(cell.source for cell in derived.student.cells)
    for name, question in lab.questions.items():
        public, hidden = (f'{lab.name}.test("{name}", globals(){more})' for more in ("", ", hidden=True"))
        if (marked[name].points, marked[name].manual) != (question.points, question.check is None):
            wrong.append(f"{name}: the master and the checks differ in points, or in who marks it")
        if marked[name].tests != ([] if marked[name].manual else [public, f"# HIDDEN\n{hidden}"]):
            wrong.append(f"{name}: the master's test cells are not the two that they should be")
        if question.check and f'{lab.name}.check("{name}")' not in texts:
            wrong.append(f"{name}: the master has no visible check cell")
        if not re.search(
            rf"^## Question {name[1:]}: .*\({question.points} points?, \d+ minutes\)", texts, re.MULTILINE
        ):
            wrong.append(
                f"{name}: there is no heading `## Question {name[1:]}: ... ({question.points} points, N minutes)`"
            )
    return wrong


def leaks(derived: Derived, text: str) -> list[str]:
    """Find lines of a solution, tests or outputs in the text of a student's copy."""
    sources = [line.strip() for cell in derived.student.cells for line in cell.source.splitlines()]
    wrong = []
    for question in derived.questions:
        for line in question.solutions:
            line = re.sub(r"\s*# SOLUTION$", "", line).strip()
            if len(line) > 12 and not line.startswith("#") and line in sources:
                wrong.append(f"{question.name}: a line of the solution stands in the student's copy: {line[:70]!r}")
    for trace in ("# HIDDEN", ".test(", "SOLUTION", '"otter', "Marking"):
        if trace in text:
            wrong.append(f"the student's copy holds {trace!r}")
    if any(cell.get("outputs") for cell in derived.student.cells):
        wrong.append("the student's copy holds outputs")
    return wrong


def prove(name: str, derived: Derived, root: Path) -> list[str]:
    """Grade the solution and the blank copy as submissions: all points for the one, none for the other, no crash."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        handed_in = Path(folder) / "handed in"
        handed_in.mkdir()
        nbformat.write(derived.instructor, handed_in / "master.ipynb")
        nbformat.write(derived.student, handed_in / "blank.ipynb")
        with contextlib.redirect_stdout(io.StringIO()):
            results = grade(handed_in, name, root, Path(folder) / "grades", jobs=1, seed=1)
    for result in results:
        copy = "the master" if "master" in result.name else "the blank copy"
        wrong += [f"{copy}: {problem}" for problem in result.all_problems]
        for question, verdict in result.outcome.verdicts.items():
            if verdict["state"] == "failed" or (verdict["state"] == "right") != (copy == "the master"):
                wrong.append(f"{copy}: {question} is {verdict['state']}: {verdict['text']}")
    return wrong
