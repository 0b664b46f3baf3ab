"""What a notebook says about itself: title, question, objectives, minutes, remarks on slides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools import normalform


@dataclass(frozen=True)
class Remark:
    """A blockquote that begins with "The slide says"."""

    lectures: tuple[str, ...]  # short names, such as "OSU"
    text: str  # in one line, without the marks of the quotation and the lecture's name
    heading: str  # the nearest one above it


@dataclass(frozen=True)
class Summary:
    """A notebook in short; what it does not say is empty or 0."""

    name: str
    title: str
    question: str  # the sentence in bold below the title
    objectives: tuple[str, ...]  # the list "After this notebook you can"
    needs: str  # what stands after "You need"; Markdown
    minutes: int  # to teach it
    predictions: int  # places that ask the reader to predict something
    remarks: tuple[Remark, ...]


def read(path: Path) -> Summary:
    """Read a notebook's summary out of its Markdown cells."""
    cells = normalform.read(path).cells
    return summarize(path.stem, [cell.source for cell in cells if cell.cell_type == "markdown"])


def summarize(name: str, texts: list[str]) -> Summary:
    """Summarize Markdown cells."""
    first = texts[0] if texts else ""
    objectives = re.search(r"you can\n\n((?:[-*] .*(?:\n  .*)*\n?)+)", first)
    items = re.split(r"^[-*] ", objectives[1], flags=re.MULTILINE)[1:] if objectives else []
    return Summary(
        name=name,
        title=_find(r"^# (.+)$", first) or name,
        question=_find(r"^\*\*(.+)\*\*$", first),
        objectives=tuple(" ".join(item.split()).rstrip(";.") for item in items),
        needs=_find(r"\*You need\*:?\s+([^.]+)\.", first),
        minutes=int(_find(r"(\d+) minutes", first) or 0),
        predictions="\n\n".join(texts).count("**Predict.**"),
        remarks=tuple(_remarks("\n\n".join(texts))),
    )


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _remarks(text: str) -> list[Remark]:
    found, heading = [], ""
    for part in re.split(r"\n\n+", text):
        heading = _find(r"\A#+ (.+)$", part) or heading
        if remark := re.match(r"> \*\*The slides? says?\*\* \(([^)]+)\)", part):
            quoted = re.sub(r"^> ?", "", part[remark.end() :], flags=re.MULTILINE)
            lectures = tuple(remark[1].split(", "))
            found.append(Remark(lectures, " ".join(f"The slide says{quoted}".split()), heading))
    return found
