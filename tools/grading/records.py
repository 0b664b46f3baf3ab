"""Tables around a class: who is in it, the marks that a person gave, and what goes back to where grades are kept."""

from __future__ import annotations

import csv
import fnmatch
import io
import re
from dataclasses import dataclass
from pathlib import Path

from coursekit.checks.lab import Lab
from tools.grading.submissions import printable


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
    """Read ``roster.csv``: columns name and id, and pattern where a path does not contain the id.

    Raises
    ------
    SystemExit
        If a line has neither id nor name, or an id comes twice.
    """
    students: dict[str, Student] = {}
    for number, row in _rows(path, ("name", "id")):
        name, key = row.get("name", ""), row.get("id", "") or row.get("name", "")
        if not key or key in students:
            raise SystemExit(f"{path}, line {number}: " + ("no id and no name" if not key else f"{key} comes twice"))
        students[key] = Student(row.get("pattern") or key, name or key, key)
    return list(students.values())


def read_marks(path: Path | None, lab: Lab, students: set[str]) -> dict[str, dict[str, tuple[float, str]]]:
    """Read ``marks.csv``: columns student, question, points, comment, and lab if it holds several labs' marks.

    Returns student to question to points and comment. A line that cannot count is printed.
    """
    marks: dict[str, dict[str, tuple[float, str]]] = {}
    for number, row in _rows(path, ("student", "question", "points")):
        student, question = row["student"], lab.questions.get(row["question"])
        if row.get("lab", "") not in ("", lab.name) or not any(row.values()):
            continue
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
            points = int(points) if points == int(points) else points
            marks.setdefault(student, {})[question.name] = (points, row.get("comment", ""))
            continue
        print(printable(f"{path.name}, line {number} does not count: {wrong}."))
    return marks


def _rows(path: Path | None, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a table as spreadsheets write them: commas or semicolons, UTF-8 or Windows' letters."""
    if path is None:
        return []
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SystemExit(f"{path} cannot be read: {error.strerror}.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    first = text.split("\n", 1)[0]
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",")
    header = [(name or "").strip().lower() for name in lines.fieldnames or []]
    if missing := [name for name in needed if name not in header]:
        raise SystemExit(f"{path} has no column {', '.join(missing)}; its first line must name its columns.")
    lines.fieldnames = header
    return [
        (lines.line_num, {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)})
        for row in lines
    ]


def write_tables(output: Path, results: list[dict], lab: Lab) -> None:
    """Write ``grades.csv``, a row for each file, and ``canvas.csv`` and ``moodle.csv``, a row for each student."""
    checked = [question for question in lab.questions.values() if question.check]
    by_hand = [question for question in lab.questions.values() if not question.check]
    header = ["submission", "student", "name", "counts", "points", "of", *(question.name for question in checked)]
    header += [f"{question.name} (by hand, of {question.points})" for question in by_hand]
    header += ["total", "late (hours)", "seconds", "problems"]
    rows = [
        [
            *(result["name"], result["student"], result["who"], "yes" if result["counts"] else "no"),
            *(result["points"], sum(question.points for question in checked)),
            *(result["verdicts"].get(question.name, {}).get("points", 0) for question in checked),
            *(result["marks"].get(question.name, ("", ""))[0] for question in by_hand),
            *(result["total"], result["late"], round(result["seconds"], 1), "; ".join(result["problems"])),
        ]
        for result in results
    ]
    _write(output / "grades.csv", [header, *rows])
    counting = [result for result in results if result["counts"]]
    most = sum(question.points for question in lab.questions.values())
    total = {id(result): "" if result["missing"] else result["total"] for result in counting}
    _write(
        output / "canvas.csv",
        [
            ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", lab.name],
            ["    Points Possible", "", "", "", "", most],
            *([result["who"], result["student"], "", "", "", total[id(result)]] for result in counting),
        ],
    )
    _write(
        output / "moodle.csv",
        [
            ["ID number", "Full name", "Grade", "Feedback comments"],
            *(
                [result["student"], result["who"], total[id(result)], "; ".join(_comments(result))]
                for result in counting
            ),
        ],
    )


def _comments(result: dict) -> list[str]:
    return [f"{question}: {comment}" for question, (_, comment) in result["marks"].items() if comment]


def _write(path: Path, rows: list[list]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_as_text(value) for value in row] for row in rows)
    temporary.replace(path)


def _as_text(value: object) -> object:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
