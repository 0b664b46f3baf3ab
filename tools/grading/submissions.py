"""Finds submissions in a folder and reads them, whatever state they are in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 64_000_000  # bytes of a file that is read
_MOST_TEXT = 1_000_000  # characters of all its cells


def printable(text: str, most: int = 300, *, lines: bool = False) -> str:
    r"""Make a text of a stranger's safe to show: one line (or several), not too long.

    Control characters, halves of characters, and what changes the direction of writing become ``\u202e`` and the like.
    """
    text = text[: 3 * most] if lines else " ".join(text[: 3 * most].split())
    kept = "\n\t" if lines else ""
    text = text.replace("\r\n", "\n").replace("\xa0", " ")
    text = "".join(sign if sign.isprintable() or sign in kept else f"\\u{ord(sign):04x}" for sign in text)
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass
class Cell:
    """One cell as it was handed in: kind, source, id (empty if there is none), pictures that were pasted into it."""

    kind: str
    source: str
    id: str = ""
    attachments: dict = field(default_factory=dict)


@dataclass
class Submission:
    """One file that was handed in."""

    key: str  # a file name made of its path, unlike any other's
    name: str  # how it is called in tables: its path within the folder, without ending
    cells: list[str] = field(default_factory=list)  # sources of the code cells
    texts: list[Cell] = field(default_factory=list)  # all cells
    problems: list[str] = field(default_factory=list)  # what is wrong with the file
    path: str = ""  # within the folder, made printable
    digest: str = ""  # of its bytes; empty if they were not read
    time: float = 0.0  # when it was written last, in seconds since 1970


def find(folder: Path) -> dict[Path, list[Path]]:
    """Return every file below the folder that is handed in, in order, each with the files that lie beside it.

    In a student's own folder with a notebook, all other files lie beside that. Elsewhere each file is one submission.
    Links are not followed. Files of the system's own (``.DS_Store``, ``__MACOSX``) are left out.
    """
    files = []
    for here, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        folders[:] = sorted(name for name in folders if not _is_hidden(name) and name not in links)
        files += [Path(here, name) for name in sorted([*names, *links]) if not _is_hidden(name)]
    files.sort()
    found = {path: [] for path in files if path.suffix.lower() == ".ipynb"}
    owners = {path.parent: path for path in found if path.parent != folder}
    for path in files:
        if path not in found:
            owner = next((owners[parent] for parent in path.parents if parent in owners), None)
            if owner:
                found[owner].append(path)
            else:
                found[path] = []
    return dict(sorted(found.items()))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def read(path: Path, folder: Path, lab: str, beside: Iterable[Path] = ()) -> Submission:
    """Read one file. What is wrong with it goes into `Submission.problems`; nothing is raised."""
    inside = path.relative_to(folder)
    name = inside.with_suffix("").as_posix() if inside.suffix.lower() == ".ipynb" else inside.as_posix()
    mark = hashlib.sha256(os.fsencode(inside)).hexdigest()[:8]
    key = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:80] + "-" + mark
    submission = Submission(key, printable(name), path=printable(inside.as_posix()))
    try:
        data = _bytes(path, submission)
    except OSError as error:
        submission.problems.append(f"the file cannot be read: {error.strerror}")
        return submission
    if data is None:
        return submission
    submission.digest = hashlib.sha256(data).hexdigest()[:32]
    submission.texts = list(_cells(data, path.suffix.lower(), submission.problems))
    submission.cells = [cell.source for cell in submission.texts if cell.kind == "code"]
    if others := [printable(other.name, 60) for other in beside]:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        submission.problems.append(f"beside it, not read: {', '.join(others[:3])}{more}")
    named = set(re.findall(r"\blab\d\d\b", "\n".join(submission.cells)))
    if submission.cells and lab not in named:
        found = f"it belongs to {', '.join(sorted(named))}" if named else f"it nowhere imports {lab}"
        submission.problems.append(f"not a notebook of {lab}: {found}")
    return submission


def _bytes(path: Path, submission: Submission) -> bytes | None:
    """Return what is in a file; None, and a problem, if it is none to read."""
    about = path.lstat()
    submission.time = about.st_mtime
    if stat.S_ISLNK(about.st_mode):
        submission.problems.append("not read: it is a link to another file")
    elif not stat.S_ISREG(about.st_mode):
        submission.problems.append("not read: it is no file")
    elif path.suffix.lower() not in (".ipynb", ".py", ".json", ""):
        advice = " (unpack it)" if path.suffix.lower() in (".zip", ".gz", ".tar", ".rar", ".7z") else ""
        advice = " (lay your own tables beside the folder, not into it)" if path.suffix.lower() == ".csv" else advice
        submission.problems.append(f"not a notebook, but a file {printable(path.suffix, 20)}{advice}")
    elif about.st_size > LARGEST:
        submission.problems.append(f"not read: it has {about.st_size / 1e6:.0f} MB; clear its outputs and save it")
    else:
        return path.read_bytes()
    return None


def _cells(data: bytes, suffix: str, problems: list[str]) -> Iterator[Cell]:
    text = data.decode("utf-8-sig", errors="replace")
    if suffix == ".py":
        problems.append("a script, not a notebook")
        yield from (Cell("code", part) for part in re.split(r"^# (?:%%|In\[.*\]:).*$", text, flags=re.MULTILINE))
        return
    try:
        notebook = json.loads(data)
        values = notebook["cells"] if isinstance(notebook["cells"], list) else []
    except (ValueError, RecursionError):
        values = list(_salvage(text))
        what = f"the file is cut off or damaged: {len(values)} cells could be read" if values else "not a notebook"
        problems.append(what)
    except (KeyError, TypeError):
        values = []
    cells = [cell for value in values if (cell := _cell(value))]
    if not cells and not problems:
        problems.append("not a notebook, or one without cells")
    size = 0
    for cell in cells:
        size += len(cell.source) + 2000  # at most 500 cells, too
        if size > _MOST_TEXT:
            problems.append("more than 1 MB of text, or 500 cells: the rest is left out")
            return
        yield cell


def _salvage(text: str) -> Iterable[object]:
    """Read whole cells from a notebook that ends in the middle."""
    begin = re.search(r'"cells"\s*:\s*\[', text)
    position, decoder = begin.end() if begin else len(text), json.JSONDecoder()
    while position < len(text):
        position = re.compile(r"[\s,]*").match(text, position).end()
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        if _cell(value):
            yield value


def _cell(value: object) -> Cell | None:
    if not isinstance(value, dict) or value.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = value.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else source
    attachments = value.get("attachments")
    attachments = attachments if isinstance(attachments, dict) else {}
    return Cell(value["cell_type"], source, str(value.get("id", "")), attachments) if isinstance(source, str) else None


def written_answers(submission: Submission, blank: Iterable, questions: Iterable[str]) -> dict[str, dict]:
    """Return for each written question ``{"cells": list of (name, Cell), "note": str}``.

    Parameters
    ----------
    submission : Submission
    blank : iterable of cells
        The student's copy as it was handed out.
    questions : iterable of str
        Names such as ``"q7"``; ``## Question 7`` is where it begins.

    Notes
    -----
    A cell belongs to the question in which the copy has a cell of its id, or of its text; one that was added belongs
    where it stands. If nothing is found there, everything that was written anywhere else is shown.
    """
    section, by_id, by_text = "", {}, {}
    for cell in blank:
        heading = re.match(r"## (?:Question (\d+))?", cell.source)
        section = section if not heading else f"q{heading[1]}" if heading[1] else ""
        by_id[cell.get("id", "")] = by_text[" ".join(cell.source.split())] = section
    current, seen, added = "", set(), []
    for number, cell in enumerate(submission.texts, 1):
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
        found[question] = {"cells": mine, "note": note}
    return found
