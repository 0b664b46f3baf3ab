"""Derive student and instructor notebooks from a lab's master, which is written in otter-grader's markup.

The markup (otter assign, version 7): raw cells ``# BEGIN QUESTION``, ``# BEGIN SOLUTION``, ``# BEGIN TESTS`` and their
ends; in code ``# SOLUTION`` behind a line, ``# BEGIN SOLUTION`` ... ``# END SOLUTION`` around lines, and a text between
``# BEGIN PROMPT`` and ``# END PROMPT`` that students get instead. This module knows what the labs use of it.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field

import nbformat
import yaml

from tools.normalform import normalize

ANSWER_HERE = "*Write your answer here.*"
_BLOCK = re.compile(r"# (BEGIN|END) (QUESTION|SOLUTION|TESTS)\b")
_ASSIGNED = re.compile(r"(\s*[\w.]+(?:\[.*?\])?(?:,\s*[\w.]+)*\s*=)(?!=).*# SOLUTION$")
_LEFTOVER = re.compile(r"#\s?(BEGIN|END)?\s?(SOLUTION|PROMPT|TESTS?|QUESTION|HIDDEN)\b")
_FOLLOWS = {  # which marks may come after which
    "": ["BEGIN QUESTION"],
    "END QUESTION": ["BEGIN QUESTION"],
    "BEGIN QUESTION": ["BEGIN SOLUTION", "BEGIN TESTS", "END QUESTION"],
    "BEGIN SOLUTION": ["END SOLUTION"],
    "END SOLUTION": ["BEGIN SOLUTION", "BEGIN TESTS", "END QUESTION"],
    "BEGIN TESTS": ["END TESTS"],
    "END TESTS": ["BEGIN SOLUTION", "BEGIN TESTS", "END QUESTION"],
}


class MarkupError(ValueError):
    """A master is not written as it should be."""


@dataclass
class MarkedQuestion:
    """One question of a master."""

    name: str
    points: int
    manual: bool  # a person marks it
    tests: list[str] = field(default_factory=list)  # sources of the test cells
    solutions: list[str] = field(default_factory=list)  # the lines that no student may see


@dataclass
class Derived:
    """What comes out of a master."""

    student: nbformat.NotebookNode
    instructor: nbformat.NotebookNode
    questions: list[MarkedQuestion]


def derive(master: nbformat.NotebookNode) -> Derived:
    """Derive both notebooks and the list of questions.

    The student's copy has no solution, no test, no output. The instructor's keeps solutions, marking guides, outputs.
    A `MarkupError` says which block is out of order, or where a trace of markup is left in the student's copy.
    """
    student, instructor, questions, last = [], [], [], ""  # the last mark
    for cell in master.cells:
        if cell.cell_type == "raw":
            if not cell.source.startswith("# ASSIGNMENT CONFIG"):
                last = _next(last, cell, questions)
        elif last == "BEGIN TESTS":
            questions[-1].tests.append(cell.source)
        else:
            instructor.append(cell)
            student.append(_without_solution(cell, questions[-1]) if last == "BEGIN SOLUTION" else copy.deepcopy(cell))
    if last != "END QUESTION":
        raise MarkupError("the last question has no `# END QUESTION`.")
    for cell in student:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if _LEFTOVER.search(cell.source):
            raise MarkupError(f"markup is left in the student's copy, outside a solution block: {cell.source[:80]!r}.")
    return Derived(_notebook(student), _notebook(instructor), questions)


def student_lines(source: str) -> list[str]:
    """Return the lines of a code cell that students get: solutions replaced by ``...`` or by the prompt."""
    kept, inside = [], False
    for line in source.splitlines():
        end = line.rstrip()
        if end.endswith("# END SOLUTION"):
            inside = False
        elif inside or end.endswith(("# SOLUTION NO PROMPT", "# BEGIN PROMPT", "# END PROMPT")):
            continue
        elif begin := re.match(r"(\s*)# BEGIN SOLUTION( NO PROMPT)?$", end):
            inside = True
            kept += [] if begin[2] else [begin[1] + "..."]
        elif assigned := _ASSIGNED.match(end):
            kept.append(assigned[1] + " ...")
        elif end.endswith("# SOLUTION"):
            kept.append(line[: len(line) - len(line.lstrip())] + "...")
        else:
            kept.append(line)
    return kept


def _next(last: str, cell: nbformat.NotebookNode, questions: list[MarkedQuestion]) -> str:
    """Return a raw cell's mark, if it may come after the last one; add the question that it begins."""
    if not (found := _BLOCK.match(cell.source)):
        raise MarkupError(f"a raw cell is no markup: {cell.source[:60]!r}.")
    if (mark := f"{found[1]} {found[2]}") not in _FOLLOWS[last]:
        near = questions[-1].name if questions else "(none)"
        raise MarkupError(f"`# {mark}` comes at the wrong place, near question {near}.")
    if mark == "BEGIN QUESTION":
        config = yaml.safe_load(cell.source.split("\n", 1)[1])
        questions.append(MarkedQuestion(config["name"], config["points"], bool(config.get("manual"))))
    return mark


def _without_solution(cell: nbformat.NotebookNode, question: MarkedQuestion) -> nbformat.NotebookNode:
    cell = copy.deepcopy(cell)
    kept = student_lines(cell.source) if cell.cell_type == "code" else [ANSWER_HERE]
    question.solutions += [line for line in cell.source.splitlines() if line.strip() and line not in kept]
    cell.source = re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip("\n")
    return cell


def _notebook(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    notebook = normalize(nbformat.v4.new_notebook(cells=cells))
    nbformat.validate(notebook)
    return notebook
