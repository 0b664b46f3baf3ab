"""Derive student and instructor notebooks from a lab's master, which is written in otter-grader's markup.

The markup (otter assign, version 7): raw cells ``# BEGIN QUESTION``, ``# BEGIN SOLUTION``, ``# BEGIN TESTS`` and their
ends; in code ``# SOLUTION`` behind a line, ``# BEGIN SOLUTION`` ... ``# END SOLUTION`` around lines, and a text between
``# BEGIN PROMPT`` and ``# END PROMPT`` that students get instead. This module knows what the labs use of it, so that
neither the site nor the tests need otter; `make labs` holds its results against otter's where otter is installed.
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
_ASSIGNED = re.compile(r"(\s*[\w.]+(?:\[.*?\])?(?:,\s*[\w.]+)*\s*=)(?!=).*#\s?SOLUTION$")
_LEFTOVER = re.compile(r"#\s?(BEGIN|END)?\s?(SOLUTION|PROMPT|TESTS?|QUESTION|HIDDEN)\b")


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

    Raises
    ------
    MarkupError
        If blocks do not begin and end in their order, or a trace of markup is left in the student's copy.
    """
    student, instructor, questions, question, block = [], [], [], None, ""
    for cell in master.cells:
        mark = _BLOCK.match(cell.source) if cell.cell_type == "raw" else None
        if mark:
            question, block = _step(mark, cell, question, block, questions)
        elif cell.cell_type == "raw":
            if not cell.source.startswith("# ASSIGNMENT CONFIG"):
                raise MarkupError(f"a raw cell is no markup: {cell.source[:60]!r}.")
        elif block == "TESTS":
            questions[-1].tests.append(cell.source)
        elif block == "SOLUTION":
            instructor.append(copy.deepcopy(cell))
            student.append(_without_solution(cell, questions[-1]))
        else:
            instructor.append(copy.deepcopy(cell))
            student.append(copy.deepcopy(cell))
    if question or block:
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
        elif re.search(r"#\s?SOLUTION$", end):
            kept.append(line[: len(line) - len(line.lstrip())] + "...")
        else:
            kept.append(line)
    return kept


def _step(mark: re.Match, cell: nbformat.NotebookNode, question, block: str, questions: list) -> tuple:
    begins, kind = mark[1] == "BEGIN", mark[2]
    if kind == "QUESTION" and begins and not question:
        config = yaml.safe_load(cell.source.split("\n", 1)[1])
        question = MarkedQuestion(config["name"], config["points"], bool(config.get("manual")))
        questions.append(question)
        return question, ""
    if kind == "QUESTION" and not begins and question and not block:
        return None, ""
    if kind != "QUESTION" and question and (not block if begins else block == kind):
        return question, kind if begins else ""
    raise MarkupError(f"{mark[0]!r} comes at the wrong place, near question {question.name if question else '(none)'}.")


def _without_solution(cell: nbformat.NotebookNode, question: MarkedQuestion) -> nbformat.NotebookNode:
    cell = copy.deepcopy(cell)
    if cell.cell_type == "markdown":
        question.solutions += [line for line in cell.source.splitlines() if line.strip()]
        cell.source = ANSWER_HERE
        return cell
    kept = student_lines(cell.source)
    question.solutions += [line for line in cell.source.splitlines() if line.strip() and line not in kept]
    cell.source = re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip("\n")
    return cell


def _notebook(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = cells
    notebook = normalize(notebook)
    nbformat.validate(notebook)
    return notebook
