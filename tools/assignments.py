"""``make labs``: student and instructor copies and autograder archives, made from the masters and proved to work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

from tools import archives
from tools.checks import repository
from tools.grading.classroom import lab_names, load_lab
from tools.grading.judge import Judge, Limits, Outcome
from tools.grading.sandbox import bubblewrap
from tools.grading.submissions import Submission
from tools.markup import Derived, derive
from coursekit.checks.lab import Lab


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

    Parameters
    ----------
    root : Path
        Of the course.
    names : list of str
        Of labs; all without names.
    zips : bool
        Also make the archives.
    """
    output, fine = root / "build" / "labs", True
    for kind in ("student", "instructor", "autograder"):
        (output / kind).mkdir(parents=True, exist_ok=True)
    for name, path in masters(root, names).items():
        lab, derived = load_lab(name), derive(nbformat.read(path, as_version=4))
        nbformat.write(derived.student, output / "student" / path.name)
        nbformat.write(derived.instructor, output / "instructor" / path.name)
        text = (output / "student" / path.name).read_text(encoding="utf-8")
        wrong = [*disagreements(lab, derived), *leaks(derived, text), *prove(lab, derived, root)]
        print(f"{name}: " + ("the master gets all points, the blank copy none" if not wrong else "NOT AS IT SHOULD BE"))
        for line in wrong:
            print(f"  {line}")
        fine &= not wrong
        if zips:
            archives.gradescope(output / "autograder" / f"{name}-gradescope.zip", name, path, root)
            made = archives.otter(output / "autograder" / f"{name}-otter.zip", path, repository(root))
            print("  archives: Gradescope" + (", otter" if not made else f"; none for otter: {made}"))
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


def prove(lab: Lab, derived: Derived, root: Path) -> list[str]:
    """Grade the solution and the blank copy as submissions: all points for the one, none for the other, no crash."""
    wrong = []
    with Judge(lab_names(), bubblewrap(), Limits()) as judge:
        for notebook, kind in ((derived.instructor, "right"), (derived.student, "open")):
            cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            outcome: Outcome = judge.judge(Submission(kind, kind, cells), lab, seed=1)
            called = "the master" if kind == "right" else "the blank copy"
            wrong += [f"{called}: {problem}" for problem in outcome.problems]
            for name, verdict in outcome.verdicts.items():
                if (verdict["state"] == "right") != (kind == "right") or verdict["state"] == "failed":
                    wrong.append(f"{called}: {name} is {verdict['state']}: {verdict['text']}")
    return wrong
