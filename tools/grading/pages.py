"""Pages for students, and one page to mark written answers from. The templates escape whatever is put into them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import jinja2
import markupsafe
import mistune
import nbformat

from coursekit.checks.lab import Lab
from tools.grading.submissions import LONGEST_TEXT, Cell, Submission, printable
from tools.markup import derive

_STATES = {"right": "right", "wrong": "not right", "open": "not answered", "failed": "could not be judged"}
_render = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])
_pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)
_pages.filters["shown"] = lambda text: printable(text, LONGEST_TEXT, lines=True)
_pages.filters["markdown"] = lambda text: markupsafe.Markup(_render(text))


def write(output: Path, rows: list[Submission], lab: Lab, root: Path) -> None:
    """Find the written answers, and write ``feedback.zip`` and ``written.html`` below ``output``.

    A heading that is missing in a notebook becomes one of its problems.
    """
    blank, guides = [], {}
    for master in (root / "notebooks" / "labs").glob(f"{lab.name}_*.ipynb"):
        made = derive(nbformat.read(master, as_version=4))
        blank = made.student.cells
        guides = {cell.id.removesuffix("-answer"): cell.source for cell in made.instructor.cells}
    questions = list(lab.questions.values())
    for row in rows:
        row.written = find_answers(row.cells, blank, [question.name for question in questions if not question.check])
        row.problems += [note for _, note in row.written.values() if row.cells and note.startswith("the heading")]
    counting = [row for row in rows if row.counts and row.path]
    shared = {"lab": lab, "questions": questions, "states": _STATES}
    most = sum(question.points for question in questions)
    temporary = output / "feedback.tmp"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in counting:
            page = _pages.get_template("feedback.html").render(shared, row=row, most=most)
            archive.writestr(f"{row.key}.html", page)
    temporary.replace(output / "feedback.zip")
    page = _pages.get_template("written.html").render(shared, rows=counting, guides=guides)
    (output / "written.html").write_text(page, encoding="utf-8")


def find_answers(cells: list[Cell], blank: Iterable, questions: Iterable[str]) -> dict[str, tuple]:
    """Return for each written question the cells of its answer, each with its place, and a note.

    A cell belongs to the question in which the student's copy as it was handed out, ``blank``, has a cell of its id, or
    of its text; one that was added belongs where it stands. ``## Question 7`` is where ``"q7"`` begins. If nothing is
    found there, everything that was written anywhere else is shown.
    """
    section, by_id, by_text = "", {}, {}
    for cell in blank:
        heading = re.match(r"## (?:Question (\d+))?", cell.source)
        section = section if not heading else f"q{heading[1]}" if heading[1] else ""
        by_id[cell.get("id", "")] = by_text[" ".join(cell.source.split())] = section
    current, seen, added = "", set(), []
    for number, cell in enumerate(cells, 1):
        plain = " ".join(cell.source.split())
        heading = re.match(r"## Question (\d+)", cell.source)
        current = by_id.get(cell.id, by_text.get(plain, f"q{heading[1]}" if heading else current))
        seen.add(current)
        if plain and plain not in by_text:
            named = f"cell {number}" + (f" ({printable(cell.id, 40)})" if cell.id else "")
            added.append((current, named, cell))
    found = {}
    for question in questions:
        mine = [(named, cell) for where, named, cell in added if where == question]
        note = "" if question in seen else f"the heading of question {question[1:]} is missing"
        if not mine:
            mine = [(named, cell) for _, named, cell in added if cell.kind != "code"]
            note = "; ".join(filter(None, [note, "shown is all text that was added elsewhere" if mine else ""]))
        found[question] = (mine, note)
    return found
