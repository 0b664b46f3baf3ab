"""Finds submissions in a folder and reads them, whatever state they are in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LARGEST = 100_000_000  # bytes of a file that is read


@dataclass
class Submission:
    """One file that was handed in.

    Attributes
    ----------
    key : str
        A file name made of its path, unlike any other's.
    name : str
        Its path within the folder, without ending: how it is called in tables.
    cells : list of str
        Sources of the code cells.
    texts : list of (str, str)
        Kind and source of all cells, in their order.
    problems : list of str
        What is wrong with the file.
    digest : str
        Of its bytes.
    """

    key: str
    name: str
    cells: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    digest: str = ""


def find(folder: Path) -> list[Path]:
    """Return every notebook below the folder, and other files where a folder has no notebook at all, in order."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path.relative_to(folder))]
    with_notebook = {path.parent for path in files if path.suffix == ".ipynb"}
    return [path for path in files if path.suffix == ".ipynb" or path.parent not in with_notebook]


def read(path: Path, folder: Path, lab: str) -> Submission:
    """Read one file. What is wrong with it goes into `Submission.problems`; nothing is raised."""
    inside = path.relative_to(folder)
    name = inside.with_suffix("").as_posix() if inside.suffix == ".ipynb" else inside.as_posix()
    mark = hashlib.sha256(inside.as_posix().encode()).hexdigest()[:8]
    key = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:80] + "-" + mark
    submission = Submission(key, name)
    try:
        if path.stat().st_size > LARGEST:
            submission.problems.append(f"the file has {path.stat().st_size / 1e6:.0f} MB and was not read")
            return submission
        data = path.read_bytes()
    except OSError as error:
        submission.problems.append(f"the file cannot be read: {error.strerror}")
        return submission
    submission.digest = hashlib.sha256(data).hexdigest()[:16]
    for kind, source in _cells_of(data, submission.problems):
        submission.texts.append((kind, source))
        if kind == "code":
            submission.cells.append(source)
    imported = set(re.findall(r"^\s*from coursekit\.labs import (lab\d\d)", "\n".join(submission.cells), re.MULTILINE))
    if submission.cells and lab not in imported:
        found = f"it belongs to {', '.join(sorted(imported))}" if imported else f"it nowhere imports {lab}"
        submission.problems.append(f"not a notebook of {lab}: {found}")
    return submission


def _cells_of(data: bytes, problems: list[str]) -> list[tuple[str, str]]:
    text = data.decode("utf-8-sig", errors="replace")
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        cells = list(_salvage(text))
        problems.append(
            f"the file is cut off or damaged: {len(cells)} cells could be read" if cells else "not a notebook"
        )
        return cells
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        problems.append("not a notebook")
        return []
    return [cell for value in notebook["cells"] if (cell := _cell(value))]


def _salvage(text: str) -> Iterable[tuple[str, str]]:
    """Read whole cells from a notebook that ends in the middle."""
    begin = re.search(r'"cells"\s*:\s*\[', text)
    position, decoder = begin.end() if begin else len(text), json.JSONDecoder()
    while position < len(text):
        position = re.compile(r"[\s,]*").match(text, position).end()
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        if cell := _cell(value):
            yield cell


def _cell(value: object) -> tuple[str, str] | None:
    if not isinstance(value, dict) or value.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = value.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else source
    return (value["cell_type"], source) if isinstance(source, str) else None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def written_answers(submission: Submission, blank: Iterable[str], questions: Iterable[str]) -> dict[str, str]:
    """Return what stands below each written question, without what the blank copy says there.

    Parameters
    ----------
    submission : Submission
    blank : iterable of str
        Sources of the cells of the student's copy as it was handed out.
    questions : iterable of str
        Names such as ``"q7"``; ``## Question 7`` is where it begins.
    """
    given = {" ".join(source.split()) for source in blank}
    found, current, wanted = {}, "", set(questions)
    for _, source in submission.texts:
        if heading := re.match(r"## Question (\d+)", source):
            current = f"q{heading[1]}"
        elif source.startswith("## "):
            current = ""
        if current in wanted and source.strip() and " ".join(source.split()) not in given:
            found.setdefault(current, []).append(source)
    return {question: "\n\n".join(parts) for question, parts in found.items()}
