"""``make labs``: instructor copies and Gradescope archives, made from the masters and proved to work."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

from coursekit.checks.lab import Lab
from tools.grading import gradescope
from tools.grading.classroom import grade, load_lab
from tools.markup import Derived, derive
from tools.normalform import read


def make(root: Path, masters: list[Path]) -> int:
    """Write ``build/labs/instructor`` and ``build/labs/autograder``; return 0 if all proofs hold, else 1."""
    output, failed = root / "build" / "labs", 0
    for kind in ("instructor", "autograder"):
        (output / kind).mkdir(parents=True, exist_ok=True)
    for path in masters:
        name, derived = path.stem.partition("_")[0], derive(read(path))
        nbformat.write(derived.instructor, output / "instructor" / path.name)
        wrong = [*disagreements(load_lab(name), derived), *leaks(derived), *prove(name, derived, root)]
        print(f"{name}: " + ("NOT AS IT SHOULD BE" if wrong else "the master gets all points, the blank copy none"))
        print("".join(f"  {line}\n" for line in wrong), end="")
        failed |= bool(wrong)
        gradescope.write_archive(output / "autograder" / f"{name}-gradescope.zip", name, path, root)
    print(f"See {output}.")
    return int(failed)


def disagreements(lab: Lab, derived: Derived) -> Iterator[str]:
    """Find where a master and its checks do not name the same questions, points and tests."""
    marked = {question.name: question for question in derived.questions}
    if list(marked) != list(lab.questions):
        yield f"the master has the questions {', '.join(marked)}, the checks {', '.join(lab.questions)}"
        return
    texts = "\n".join(cell.source for cell in derived.student.cells)
    for name, question in lab.questions.items():
        points, by_hand = question.points, question.check is None
        public, hidden = (f'{lab.name}.test("{name}", globals(){more})' for more in ("", ", hidden=True"))
        if marked[name].points != points:
            yield f"{name}: the master gives {marked[name].points:g} points, the checks {points:g}"
        if marked[name].manual != by_hand:
            yield f"{name}: only one of the master and the checks says that it is marked by hand"
        if marked[name].tests != ([] if by_hand else [public, f"# HIDDEN\n{hidden}"]):
            yield f"{name}: the master's test cells are not the two that they should be"
        if not by_hand and f'{lab.name}.check("{name}")' not in texts:
            yield f"{name}: the master has no visible check cell"
        number = name.removeprefix("q")
        if not re.search(rf"^## Question {number}: .*\({points} points?, \d+ minutes\)", texts, re.MULTILINE):
            yield f"{name}: there is no heading `## Question {number}: ... ({points} points, N minutes)`"


def leaks(derived: Derived) -> Iterator[str]:
    """Find lines of a solution, tests or outputs in a student's copy."""
    cells, text = derived.student.cells, nbformat.writes(derived.student)
    sources = {line.strip() for cell in cells for line in cell.source.splitlines()}
    for question in derived.questions:
        for line in question.solutions:
            line = line.removesuffix("# SOLUTION").strip()
            if len(line) > 12 and not line.startswith("#") and line in sources:
                yield f"{question.name}: a line of the solution stands in the student's copy: {line[:70]!r}"
    for trace in ("# HIDDEN", ".test(", "SOLUTION", '"otter', "Marking"):
        if trace in text:
            yield f"the student's copy holds {trace!r}"
    if any(cell.get("outputs") for cell in cells):
        yield "the student's copy holds outputs"


def prove(name: str, derived: Derived, root: Path) -> Iterator[str]:
    """Grade the solution and the blank copy as submissions: all points for the one, none for the other, no crash."""
    with tempfile.TemporaryDirectory() as folder:
        handed_in = Path(folder) / "handed in"
        handed_in.mkdir()
        nbformat.write(derived.instructor, handed_in / "master.ipynb")
        nbformat.write(derived.student, handed_in / "blank.ipynb")
        with contextlib.redirect_stdout(io.StringIO()):
            results = grade(handed_in, name, root, Path(folder) / "grades", jobs=1, seed=1)
    for result in results:
        copy = "the master" if "master" in result.name else "the blank copy"
        yield from (f"{copy}: {problem}" for problem in result.all_problems)
        for question, verdict in result.outcome.verdicts.items():
            if verdict["state"] == "failed" or (verdict["state"] == "right") != (copy == "the master"):
                yield f"{copy}: {question} is {verdict['state']}: {verdict['text']}"
