"""Decks of slides, one per notebook, out of its cells: reveal.js shows them, from files and without a network.

Which cells begin a slide, are left out or are speaker notes stands in the cells' slide metadata. Here each slide
becomes one long section of blocks; `deck.js` measures the blocks in the browser and deals them out to pages, so that
none overflows, whatever fonts the machine has.
"""

from __future__ import annotations

import ast
import html
import re
import shutil
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from string import Template

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tools.normalform import picture_type, read

STYLE = "a11y-high-contrast-light"
_REVEAL = ("reveal.js", "reveal.css", "reset.css")
_OTHER_DECK = re.compile(r"\]\((\d\d_\w+)\.ipynb")
_PAGE = re.compile(r"\]\((?:\.\./docs)?/(\w+)\.md")  # of the site, whose pages lie a folder above the decks
_TEMPLATE = Path(__file__).with_name("deck.html")
_PREDICT = "<strong>Predict.</strong>"


def build(paths: Iterable[Path], folder: Path, mathjax: str = "../_static/mathjax/tex-chtml.js") -> list[Path]:
    """Write a deck for each notebook into ``folder``, and what they share into its ``assets``; return the decks.

    The notebooks' own pages are expected in ``../notebooks``, and MathJax where ``mathjax`` says, seen from ``folder``.
    """
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    reveal = package_folder("sphinx_revealjs") / "_static" / "revealjs"
    notes, own = reveal / "plugin" / "notes" / "notes.js", [_TEMPLATE.with_suffix(end) for end in (".css", ".js")]
    for source in [*(reveal / "dist" / name for name in _REVEAL), notes, *own]:
        shutil.copy(source, assets)
    decks = []
    for path in paths:
        deck = folder / f"{path.stem}.html"
        page = render(read(path), home=f"../notebooks/{path.stem}.html", mathjax=mathjax)
        deck.write_text(page, encoding="utf-8")
        decks.append(deck)
    return decks


def publish(root: Path, paths: Iterable[Path]) -> int:
    """Make the decks, say where they are, and return the exit code."""
    folder = root / "build" / "site" / "slides"
    copy_mathjax(folder.parent / "_static" / "mathjax")
    for deck in build(paths, folder):
        print(deck.resolve().as_uri())
    return 0


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, which need not have a name that can be imported."""
    return Path(str(metadata.distribution(name).locate_file(name)))


def copy_mathjax(folder: Path) -> None:
    """Copy MathJax, which typesets the formulas, from the package that carries it, unless it is there."""
    if not folder.exists():
        shutil.copytree(package_folder("sphinx-mathjax-offline") / "static" / "mathjax", folder)


def render(notebook: nbformat.NotebookNode, *, home: str, mathjax: str) -> str:
    """Return a notebook's deck as one page, pictures included."""
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "# Slides")
    title_page, *others = sections(notebook)
    slides = "\n".join(
        "\n".join(["<section>", *blocks, "</section>"]) for blocks in [title_page, agenda(others), *others]
    )
    title = html.escape(first.splitlines()[0].lstrip("# "))
    pygments = HtmlFormatter(style=STYLE).get_style_defs(".code")
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title=title, slides=slides, home=home, mathjax=mathjax, pygments=pygments)


def sections(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the slides: for each, its blocks as HTML, in order."""
    found: list[list[str]] = [[]]
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        tags = cell.metadata.get("tags", [])
        if (
            kind == "skip" or "optional" in tags or "coursekit.setup()" in cell.source
        ):  # the setup cell is for the machine
            continue
        if kind in ("slide", "subslide") and found[-1]:
            found.append([])
        if kind == "notes":
            found[-1].append(f'<aside class="notes">{_markdown().render(cell.source)}</aside>')
        else:
            found[-1] += _markdown_blocks(cell.source) if cell.cell_type == "markdown" else _code_blocks(cell)
    return [blocks for blocks in found if blocks]


def agenda(slides: list[list[str]]) -> list[str]:
    """Return the slide that lists the headings of those that follow."""
    headings = [heading for blocks in slides for block in blocks for heading in re.findall(r"<h2>(.*?)</h2>", block)]
    items = "".join(f"<li>{heading}</li>" for heading in headings)
    return ['<div class="block"><h2>Today</h2></div>', f'<div class="block"><ul>{items}</ul></div>']


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=_formula, double_inline=True)


def _formula(text: str, options: dict) -> str:
    left, right = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
    return left + html.escape(text.strip()) + right


def _markdown_blocks(source: str) -> list[str]:
    """Render a cell; each paragraph, list, quotation or heading is a block of its own."""
    markdown, blocks = _markdown(), []
    tokens = markdown.parse(_PAGE.sub(r"](../\1.html", _OTHER_DECK.sub(r"](\1.html", source)))
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:  # the end of something that stands by itself
            if token.type == "fence" and token.info == "python":
                blocks.append(_listing(token.content))
            else:
                block = markdown.renderer.render(tokens[start : index + 1], markdown.options, {})
                blocks.append(f'<div class="block{" question" if _PREDICT in block else ""}">{block}</div>')
            start = index + 1
    return blocks


def _code_blocks(cell: nbformat.NotebookNode) -> list[str]:
    drawing = any(f"figures.{name}(" in cell.source for name in ("show", "interactive"))  # the picture is the point
    blocks = [] if drawing or not for_projection(cell.source) else [_listing(cell.source)]
    return blocks + [block for output in cell.outputs for block in _output_blocks(output)]


def _listing(source: str) -> str:
    """Render Python, coloured, each line an element of its own."""
    source = for_projection(source)
    marked = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(style=STYLE, nowrap=True)).rstrip("\n")
    lines = zip(source.split("\n"), marked.split("\n"), strict=True)
    code = "".join(f'<span class="line"{_hang(plain)}>{line or " "}</span>' for plain, line in lines)
    return f'<pre class="block lines code"><code>{code}</code></pre>'


def for_projection(source: str) -> str:
    """Shorten code for a slide: no marks for tests, no doubled blank lines, and a dot for each alternative text.

    The text itself goes to the speaker's notes.
    """
    source = source.removeprefix("# NBVAL_CHECK_OUTPUT\n").strip()
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # magic commands
        calls = []
    values = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "alt"]
    lines = [line.encode() for line in source.split("\n")]  # Python counts columns in bytes
    for value in sorted(values, key=lambda value: -value.lineno):
        first, last = value.lineno - 1, (value.end_lineno or value.lineno) - 1
        shortened = lines[first][: value.col_offset] + '"…"'.encode() + lines[last][value.end_col_offset :]
        lines[first : last + 1] = [shortened]
    return re.sub(r"\n\n\n+", "\n\n", b"\n".join(lines).decode())


def _hang(line: str) -> str:
    """Return how far in a line goes on where it wraps: four letters more than it begins."""
    indent = len(line) - len(line.lstrip())
    return f' style="--hang: {indent + 4}ch"' if indent else ""


def _output_blocks(output: nbformat.NotebookNode) -> Iterator[str]:
    data = output.get("data", {})
    if kind := picture_type(output):
        alt = html.escape(output.metadata.get(kind, {}).get("alt", ""), quote=True)
        content = data[kind].replace("\n", "")
        yield f'<div class="block picture"><img alt="{alt}" src="data:{kind};base64,{content}"></div>'
        yield f'<aside class="notes"><p>To be seen: {alt}</p></aside>'
    elif "text/html" in data:
        what = "interactive" if 'class="course-figure"' in data["text/html"] else "table"
        yield f'<div class="block {what}">{data["text/html"]}</div>'
    elif text := output.get("text", data.get("text/plain", "")):
        lines = "".join(f'<span class="line">{html.escape(line) or " "}</span>' for line in text.rstrip().split("\n"))
        yield f'<pre class="block lines output"><code>{lines}</code></pre>'
