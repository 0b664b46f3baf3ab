"""The class in tables: who is in it, the marks that a person gave, and what goes back to where grades are kept."""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from coursekit.checks.lab import Lab
from tools.grading.submissions import Submission, printable

Marks = dict[str, dict[str, tuple[float, str]]]  # student to question to points and comment


@dataclass(frozen=True)
class Student:
    """One line of ``roster.csv``: what a file's path contains if it is this student's, the name, the id."""

    pattern: str
    name: str
    id: str

    def handed_in(self, path: str) -> bool:
        """Tell whether a path within the folder is this student's."""
        path, pattern = path.casefold(), self.pattern.casefold()
        if "*" in pattern or "?" in pattern:
            return fnmatch.fnmatchcase(path, pattern)
        return bool(re.search(rf"(?<![^\W_]){re.escape(pattern)}(?![^\W_])", path))


def read_roster(path: Path | None) -> list[Student]:
    """Read ``roster.csv``: columns name, id, and pattern where a path does not contain the id; exit if it is wrong."""
    students: dict[str, Student] = {}
    for number, row in _rows(path, ("name", "id")):
        key = row["id"] or row["name"]
        if not key or key in students:
            sys.exit(f"{path}, line {number}: " + (f"{key} comes twice" if key else "no id and no name"))
        students[key] = Student(row.get("pattern") or key, row["name"] or key, key)
    return list(students.values())


def read_marks(path: Path | None, lab: Lab, students: set[str]) -> Marks:
    """Read ``marks.csv``: columns student, question, points, comment, and lab if it holds several labs' marks.

    A line that cannot count is printed.
    """
    marks: Marks = {}
    for number, row in _rows(path, ("student", "question", "points")):
        student, question = row["student"], lab.find(row["question"])
        if row.get("lab", "") not in ("", lab.name) or not (row["points"] or row.get("comment")):
            continue  # of another lab, or not marked yet
        try:
            points = float(row["points"].replace(",", "."))
        except ValueError:
            points = float("nan")
        if student not in students:
            wrong = f"there is no student {student!r}; see the column `student` of grades.csv"
        elif question is None:
            wrong = f"there is no question {row['question']!r}"
        elif not 0 <= points <= question.points:
            wrong = f"points must be a number from 0 to {question.points}, not {row['points']!r}"
        elif question.name in marks.get(student, {}):
            wrong = f"{question.name} of {student} is marked twice"
        else:
            points = int(points) if points.is_integer() else points
            marks.setdefault(student, {})[question.name] = (points, row.get("comment", ""))
            continue
        print(printable(f"marks.csv, line {number} does not count: {wrong}."))
    return marks


def _rows(path: Path | None, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a table as spreadsheets write them: with commas, semicolons or tabs, in Unicode or Windows' letters."""
    if path is None:
        return []
    try:
        data = path.read_bytes()
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}.")
    try:
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    text = unicodedata.normalize("NFC", text)
    comma = max(",;\t", key=text.split("\n", 1)[0].count)
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=comma, restval="")
    lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or []]
    if missing := [name for name in needed if name not in lines.fieldnames]:
        sys.exit(f"{path} has no column {', '.join(missing)}; its first line must name its columns.")
    rows = [(lines.line_num, {name: line[name].strip() for name in lines.fieldnames}) for line in lines]
    return [(number, row) for number, row in rows if any(row.values())]  # spreadsheets write lines of commas alone


def write(output: Path, rows: list[Submission], lab: Lab) -> None:
    """Write ``grades.csv``, a row for each file, and ``canvas.csv`` and ``moodle.csv``, a row for each student."""
    questions = lab.questions.values()
    most = sum(question.points for question in questions)
    grades, canvas, moodle = [], [{"Student": "    Points Possible", lab.name: most}], []
    for row in rows:
        line: dict[str, object] = {"submission": row.name, "student": row.student, "name": row.who}
        line |= {"counts": "yes" if row.counts else "no", "points": row.points}
        line["of"] = sum(question.points for question in questions if question.check)
        for question in questions:
            if question.check:
                line[question.name] = row.outcome.verdicts.get(question.name, {}).get("points", 0)
            else:
                line[f"{question.name} (by hand, of {question.points})"] = row.marks.get(question.name, [""])[0]
        line |= {"total": row.total, "late (hours)": row.late or "", "seconds": round(row.outcome.seconds, 1)}
        grades.append(line | {"problems": "; ".join(row.all_problems)})
        if row.counts:
            total = row.total if row.path else ""
            comments = [f"{question}: {comment}" for question, (_, comment) in row.marks.items() if comment]
            canvas.append({"Student": row.who, "ID": row.student, lab.name: total})
            moodle.append({"ID number": row.student, "Full name": row.who, "Grade": total})
            moodle[-1]["Feedback comments"] = "; ".join(comments)
    _write(output / "grades.csv", list(grades[0]), grades)
    _write(output / "canvas.csv", ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", lab.name], canvas)
    _write(output / "moodle.csv", ["ID number", "Full name", "Grade", "Feedback comments"], moodle)


def draw_guesses(output: Path, rows: list[Submission], lab: Lab) -> None:
    """Draw into ``guesses.png`` how often each guess was made, for the next lecture; no file if nobody guessed."""
    counts = {}
    for name in lab.questions:
        made = [row.outcome.guesses[name] for row in rows if row.counts and name in row.outcome.guesses]
        counts |= {name: Counter(printable(str(guess), 40) for guess in made)} if made else {}
    (output / "guesses.png").unlink(missing_ok=True)
    if not counts:
        return
    figure = Figure(figsize=(7, 2.4 * len(counts)), layout="constrained")
    panels = figure.subplots(len(counts), 1, squeeze=False)[:, 0]
    for panel, (name, often) in zip(panels, counts.items(), strict=True):
        guesses, students = zip(*often.most_common(12), strict=True)
        panel.barh(range(len(guesses)), students)
        panel.set_yticks(range(len(guesses)), guesses, parse_math=False)
        panel.invert_yaxis()
        panel.set_title(f"{lab.name}, {name}: what {often.total()} students guessed")
    figure.savefig(output / "guesses.png", dpi=150)


def _write(path: Path, header: list[str], rows: list[dict]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, header)
        table.writeheader()
        table.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)
    temporary.replace(path)


def _as_text(value: object) -> object:
    """Keep a spreadsheet from taking a text for a formula, also where it begins a new cell at a comma or semicolon."""
    return re.sub(r"(^|[,;])(?=[=+@＝＋＠－-])", r"\1'", value) if isinstance(value, str) else value
