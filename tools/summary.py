"""What a notebook says about itself: title, question, objectives, minutes, remarks on slides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

_REMARK = re.compile(r"^> \*\*The slides? says?\*\* \((?P<who>[^)]+)\)(?P<rest>.*(?:\n>.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Remark:
    """A blockquote that begins with "The slide says", and the heading that it stands under.

    Attributes
    ----------
    lectures : tuple of str
        Short names of the lectures, such as ``"OSU"``.
    text : str
        The remark in one line, without the marks of the quotation and the lecture's name.
    heading : str
        The nearest heading above it.
    """

    lectures: tuple[str, ...]
    text: str
    heading: str


@dataclass(frozen=True)
class Summary:
    """A notebook in short.

    Attributes
    ----------
    name : str
        The file's name without ending.
    title, question : str
        The first heading, and the sentence in bold below it.
    objectives : tuple of str
        The list "After this notebook you can".
    needs : str
        What stands after "You need"; Markdown.
    minutes : int
        To teach it; 0 where the notebook does not say.
    predictions : int
        How many places ask the reader to predict something.
    remarks : tuple of Remark
    """

    name: str
    title: str
    question: str
    objectives: tuple[str, ...]
    needs: str
    minutes: int
    predictions: int
    remarks: tuple[Remark, ...]


def read(path: Path) -> Summary:
    """Read a notebook's summary out of its Markdown cells."""
    notebook = nbformat.read(path, as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return summarize(path.stem, texts)


def summarize(name: str, texts: list[str]) -> Summary:
    """Summarize Markdown cells; what they do not say stays empty."""
    first, whole = texts[0] if texts else "", "\n\n".join(texts)
    objectives = re.search(r"you can\n\n((?:[-*] .*(?:\n  .*)*\n?)+)", first)
    items = re.split(r"^[-*] ", objectives[1], flags=re.MULTILINE)[1:] if objectives else []
    minutes = re.search(r"(\d+) minutes", first)
    return Summary(
        name=name,
        title=_find(r"^# (.+)$", first) or name,
        question=_find(r"^\*\*(.+)\*\*$", first),
        objectives=tuple(" ".join(item.split()).rstrip(";.") for item in items),
        needs=_find(r"\*You need\*:?\s+([^.]+)\.", first),
        minutes=int(minutes[1]) if minutes else 0,
        predictions=whole.count("**Predict.**"),
        remarks=tuple(_remarks(texts)),
    )


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _remarks(texts: list[str]) -> list[Remark]:
    found, heading = [], ""
    for text in texts:
        for part in re.split(r"\n\n+", text):
            if title := re.match(r"#+ (.+)$", part, flags=re.MULTILINE):
                heading = title[1]
            if remark := _REMARK.match(part):
                lectures = tuple(who.strip() for who in remark["who"].split(","))
                quoted = re.sub(r"^> ?", "", remark["rest"], flags=re.MULTILINE)
                text = " ".join(f"The slide says{quoted}".split())
                found.append(Remark(lectures, text, heading))
    return found
