"""Finds submissions in a folder and reads them, whatever state they are in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 64_000_000  # bytes of a file that is read
LONGEST_TEXT = 20_000  # characters of a cell of text; a picture pasted into it takes more
_MOST_TEXT = 1_000_000  # characters of all cells
_ADVICE = dict.fromkeys((".zip", ".gz", ".tar", ".rar", ".7z"), " (unpack it)") | {
    ".csv": " (lay your own tables beside the folder, not into it)",
    ".py": " (hand in the notebook itself)",
}


def printable(text: str, most: int = 300, *, lines: bool = False) -> str:
    r"""Make a text of a stranger's safe to show: one line (or several), not too long.

    Control characters, halves of characters, and what changes the direction of writing become ``\u202e`` and the like.
    """
    text = text[: 3 * most] if lines else " ".join(text[: 3 * most].split())
    kept = "\n\t" if lines else ""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\xa0", " "))  # as keyboards write letters
    text = "".join(sign if sign.isprintable() or sign in kept else f"\\u{ord(sign):04x}" for sign in text)
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass
class Cell:
    """One cell as it was handed in: kind, source, id (empty if there is none)."""

    kind: str
    source: str
    id: str = ""


@dataclass
class Outcome:
    """What came of a submission when it was judged."""

    verdicts: dict[str, dict] = field(default_factory=dict)  # question to {"state", "text", "points"}
    problems: list[str] = field(default_factory=list)  # cells that failed, limits that were met
    guesses: dict[str, object] = field(default_factory=dict)  # before experiments, by question; never graded
    seconds: float = 0.0
    sound: bool = True  # False if the machine failed, or a check, and not the submission


@dataclass
class Submission:
    """One file that was handed in, whose it is, and what came of it: a row of the table."""

    path: str  # within the folder, made printable
    name: str  # how it is called in tables: the path, for a notebook without its ending
    key: str  # a file name made of the path, unlike any other's
    cells: list[Cell] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what is wrong with the file
    digest: str = ""  # of its bytes; empty if they were not read
    time: float = 0.0  # when it was written last, in seconds since 1970
    outcome: Outcome = field(default_factory=Outcome)
    student: str = ""  # the id in the roster, and the name there; without a roster, the file's name
    who: str = ""
    counts: bool = True  # of several attempts one does
    late: float = 0.0  # hours
    marks: dict[str, tuple[float, str]] = field(default_factory=dict)  # question to points and comment of a person
    written: dict[str, tuple[list[tuple[str, Cell]], str]] = field(default_factory=dict)  # see `pages.find_answers`

    @property
    def code(self) -> list[str]:
        """The sources of the code cells."""
        return [cell.source for cell in self.cells if cell.kind == "code"]

    @property
    def all_problems(self) -> list[str]:
        """What is wrong with the file, and what happened when it ran."""
        return list(dict.fromkeys([*self.problems, *self.outcome.problems]))

    @property
    def points(self) -> int:
        """What the checks gave."""
        return sum(verdict["points"] for verdict in self.outcome.verdicts.values())

    @property
    def total(self) -> float:
        """Points of checks and of persons; where both have judged, the person's word counts."""
        reached = {question: verdict["points"] for question, verdict in self.outcome.verdicts.items()}
        return sum((reached | {question: points for question, (points, _) in self.marks.items()}).values())


def find(folder: Path, lab: str) -> list[Submission]:
    """Read every file below the folder that is handed in, in the order of their paths.

    In a student's own folder with a notebook, all other files lie beside that. Elsewhere each file is one submission.
    Links are not followed. Files of the system's own (``.DS_Store``, ``__MACOSX``) are left out.
    """
    files = []
    for here, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        folders[:] = [name for name in folders if not _is_hidden(name) and name not in links]
        files += [Path(here, name) for name in [*names, *links] if not _is_hidden(name)]
    notebooks = {path for path in files if path.suffix.lower() == ".ipynb"}
    owners = {path.parent: path for path in sorted(notebooks, reverse=True) if path.parent != folder}
    beside: dict[Path, list[str]] = {}
    for path in sorted(files):
        owner = None if path in notebooks else next((owners[up] for up in path.parents if up in owners), None)
        beside.setdefault(owner or path, []).extend([printable(path.name, 60)] if owner else [])
    found = []
    for path, others in sorted(beside.items()):
        submission = _read(path, path.relative_to(folder), lab)
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            submission.problems.append(f"beside it, not read: {', '.join(others[:3])}{more}")
        found.append(submission)
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def _read(path: Path, inside: Path, lab: str) -> Submission:
    """Read one file. What is wrong with it goes into `Submission.problems`; nothing is raised."""
    name = inside.with_suffix("").as_posix() if inside.suffix.lower() == ".ipynb" else inside.as_posix()
    mark = hashlib.sha256(os.fsencode(inside)).hexdigest()[:8]
    key = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:80] + "-" + mark
    shown = printable(name)
    submission = Submission(printable(inside.as_posix()), shown, key, student=shown, who=shown)
    try:
        about = path.lstat()
        submission.time = about.st_mtime
        if problem := _why_unread(path.suffix.lower(), about):
            submission.problems.append(problem)
            return submission
        data = path.read_bytes()
    except OSError as error:
        submission.problems.append(f"the file cannot be read: {error.strerror}")
        return submission
    submission.digest = hashlib.sha256(data).hexdigest()[:32]
    submission.cells = _cells(data, submission.problems)
    named = set(re.findall(r"\blab\d\d\b", "\n".join(submission.code)))
    if submission.cells and lab not in named:
        found = f"it belongs to {', '.join(sorted(named))}" if named else f"it nowhere imports {lab}"
        submission.problems.append(f"not a notebook of {lab}: {found}")
    return submission


def _why_unread(suffix: str, about: os.stat_result) -> str:
    if stat.S_ISLNK(about.st_mode):
        return "not read: it is a link to another file"
    if not stat.S_ISREG(about.st_mode):
        return "not read: it is no file"
    if suffix not in (".ipynb", ".json", ""):
        return f"not a notebook, but a file {printable(suffix, 20)}{_ADVICE.get(suffix, '')}"
    if about.st_size > LARGEST:
        return f"not read: it has {about.st_size / 1e6:.0f} MB; clear its outputs and save it"
    return ""


def _cells(data: bytes, problems: list[str]) -> list[Cell]:
    try:
        values = [(value["cell_type"], "".join(value["source"]), value) for value in json.loads(data)["cells"]]
    except (ValueError, RecursionError, LookupError, TypeError):
        values = []
    if not values:
        cut = " (it ends in the middle: save and hand it in again)" if b'"cells"' in data else ""
        problems.append(f"not a notebook, or one without cells{cut}")
    cells, size = [], 0
    for kind, source, value in values:
        source = source if kind == "code" else source[:LONGEST_TEXT]
        size += len(source) + 2000  # at most 500 cells, too
        if size > _MOST_TEXT:
            problems.append("more than 1 MB of text, or 500 cells: the rest is left out")
            break
        cells.append(Cell(kind, source, str(value.get("id", ""))))
    return cells
