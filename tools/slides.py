"""Decks of slides, one per notebook, out of its cells: reveal.js shows them, from files and without a network.

Which cells begin a slide, are left out or are speaker notes stands in the cells' slide metadata. The template
`deck.html` writes each slide as one long section; `deck.js` measures its blocks in the browser and deals them out to
pages, so that none overflows, whatever fonts the machine has. Where a cell draws, its picture is the point: its code is
on the slide only if the cell has the tag ``show-code``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from tools.address import settings
from tools.normalform import picture_type, read

STYLE = "a11y-high-contrast-light"
_REVEAL = ("dist/reveal.js", "dist/reveal.css", "dist/reset.css", "plugin/notes/notes.js")
_OWN = ("deck.css", "deck.js")


def build(root: Path, paths: Iterable[Path], folder: Path) -> list[Path]:
    """Write a deck for each notebook into ``folder``, and what they share into its ``assets``; return the decks."""
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    reveal = package_folder("sphinx_revealjs") / "_static" / "revealjs"
    for source in [*(reveal / name for name in _REVEAL), *(Path(__file__).with_name(name) for name in _OWN)]:
        shutil.copy(source, assets)
    decks = []
    for path in paths:
        decks.append(folder / f"{path.stem}.html")
        decks[-1].write_text(render(read(path), path.stem, **names(root)), encoding="utf-8")
    return decks


def publish(root: Path, paths: Iterable[Path]) -> int:
    """Make the decks, say where they are, and return the exit code."""
    folder = root / "build" / "site" / "slides"
    copy_mathjax(folder.parent / "_static" / "mathjax")
    for deck in build(root, paths, folder):
        print(deck.resolve().as_uri())
    return 0


def names(root: Path) -> dict[str, str]:
    """Return the names of ``course`` and ``lecturer`` that stand in ``pyproject.toml``."""
    return {name: settings(root)["tool"]["coursekit"][name] for name in ("course", "lecturer")}


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, which need not have a name that can be imported."""
    return Path(str(metadata.distribution(name).locate_file(name)))


def copy_mathjax(folder: Path) -> None:
    """Copy MathJax, which typesets the formulas, from the package that carries it, unless it is there."""
    if not folder.exists():
        shutil.copytree(package_folder("sphinx-mathjax-offline") / "static" / "mathjax", folder)


def render(notebook: nbformat.NotebookNode, name: str, *, course: str = "", lecturer: str = "") -> str:
    """Return a notebook's deck as one page, pictures included."""
    slides = sections(notebook)
    texts = "\n\n".join(cell.source for cells in slides for cell in cells if cell.cell_type == "markdown")
    title, *_ = re.findall(r"^# (.+)$", texts, re.MULTILINE) or [name]
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", markdown(texts))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"markdown": markdown, "python": python, "picture": picture_type, "kind": slide_type}
    colours = HtmlFormatter(style=STYLE).get_style_defs(".highlight")
    return environment.get_template("deck.html").render(
        course=course, lecturer=lecturer, name=name, title=title, headings=headings, slides=slides, colours=colours
    )


def sections(notebook: nbformat.NotebookNode) -> list[list[nbformat.NotebookNode]]:
    """Return the cells of each slide, in order; drawings have lost their code."""
    found: list[list[nbformat.NotebookNode]] = [[]]
    for cell in notebook.cells:
        kind, tags = slide_type(cell), cell.metadata.get("tags", [])
        if kind == "skip" or "optional" in tags or "coursekit.setup()" in cell.source:  # that is for the machine
            continue
        if kind == "slide":
            found.append([])
        if any(is_drawing(output) for output in cell.get("outputs", [])) and "show-code" not in tags:
            cell = nbformat.NotebookNode({**cell, "source": ""})
        found[-1].append(cell)
    return [cells for cells in found if cells]


def slide_type(cell: nbformat.NotebookNode) -> str:
    """Return what the cell's metadata say of its slide: "slide", "subslide", "skip", "notes", or "-"."""
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


def is_drawing(output: nbformat.NotebookNode) -> bool:
    """Tell whether an output is a picture or an interactive figure."""
    return bool(picture_type(output)) or 'class="course-figure"' in output.get("data", {}).get("text/html", "")


def python(source: str) -> str:
    """Return code as coloured HTML, without doubled blank lines."""
    return Highlight2HTML(pygments_lexer="ipython3")(re.sub(r"\n{3,}", "\n\n", source))


def markdown(source: str) -> str:
    """Return a cell's text as HTML; each of its blocks is an element."""
    return MarkdownWithMath(renderer=_Blocks()).render(source)


class _Blocks(IPythonRenderer):
    """nbconvert's Markdown, in which formulas stand in paragraphs, questions are marked, and links lead to decks."""

    def __init__(self) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)

    def block_math(self, body: str) -> str:
        return f'<span class="formula">{super().block_math(body)}</span>\n'

    def paragraph(self, text: str) -> str:
        return f'<p class="question">{text}</p>\n' if "<strong>Predict.</strong>" in text else f"<p>{text}</p>\n"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        url = re.sub(r"^(\d\d_\w+)\.ipynb", r"\1.html", url)
        return super().link(text, re.sub(r"^(?:\.\./docs)?/(\w+)\.md", r"../\1.html", url), title)
