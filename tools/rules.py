"""Rules that every notebook of the course keeps, as plain functions that yield what is wrong."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from tools.launch import expected_fork, setup_cell
from tools.normalform import fresh, is_measured, normalize, picture_type, read

LONGEST, NINE_IN_TEN, MEDIAN = 30, 20, 6  # lines of a code cell
WIDEST = 88  # columns of code: a lecture is projected, a lab read beside its text
LARGEST = 4_000_000  # bytes of a notebook
_PATHS = re.compile(r"(/home/|/root/|/tmp/|/work/|/Users/|[A-Z]:\\\\|site-packages|\.venv)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WARNING = re.compile(r"\b\w*Warning\b:")


def report(root: Path, paths: list[Path]) -> int:
    """Print what is wrong with the notebooks; return the exit code."""
    wrong = [f"{path.name}: {fault}" for path in paths for fault in check_all(path, root)]
    print("".join(f"{line}\n" for line in wrong), end="")
    return int(bool(wrong))


def check_all(path: Path, root: Path) -> list[str]:
    """Return everything that is wrong with the notebook file, one line each; an empty list if nothing is."""
    try:
        notebook = read(path)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        return [f"{path.name} is not a notebook: {str(error).splitlines()[0]}"]
    code = code_cells(notebook)
    wrong = [
        *check_file(notebook, path.read_text(encoding="utf-8")),
        *check_setup(notebook, setup_cell(expected_fork(notebook, root))),
        *check_cell_lengths(code),
    ]
    for number, cell in enumerate(code, start=1):
        if cell.execution_count != number:
            wrong.append(f"{_say(cell)} has execution count {cell.execution_count}, expected {number}")
    headings = {heading for cell in notebook.cells for heading in _headings(cell)}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            faults = [*check_code(cell), *check_outputs(cell), *check_widths(cell)]
        else:
            faults = [*check_markdown(cell, headings, path.parent)]
        wrong += [f"{_say(cell)} {fault}" for fault in faults]
        texts = [cell.source, *map(_text, cell.get("outputs", []))]
        wrong += [f"{_say(cell)} names a path of this machine" for text in texts if _PATHS.search(text)]
    return wrong


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_file(notebook: nbformat.NotebookNode, text: str) -> Iterator[str]:
    """Find what `make notebooks` would not write: other metadata, cells without ids, outputs of other code; size."""
    if nbformat.writes(normalize(notebook)).strip() != text.strip():
        yield "not in normal form: run `make notebooks`"
    if not fresh(notebook):
        yield "the outputs are not of this code: run `make notebooks`"
    if (size := len(text.encode())) > LARGEST:
        yield f"the file has {size:,} bytes, at most {LARGEST:,}"


def check_setup(notebook: nbformat.NotebookNode, source: str) -> Iterator[str]:
    """Find a missing setup cell (it comes first, the same everywhere) and second calls of `setup`."""
    cells = code_cells(notebook)
    if not cells or cells[0].source != source:
        yield "the first code cell is not the course's setup cell: run `make links`"
    yield from (f"{_say(cell)} calls setup() again" for cell in cells[1:] if "coursekit.setup(" in cell.source)


def check_cell_lengths(cells: list[nbformat.NotebookNode]) -> Iterator[str]:
    """Find code cells that are too long: none over 30 lines, nine in ten at most 20, the median at most 6."""
    read = [cell.source for cell in cells if "coursekit.setup(" not in cell.source]  # nobody reads that one
    lines = sorted(sum(bool(line.strip()) for line in source.splitlines()) for source in read)
    if not lines:
        yield "there is no code cell"
        return
    median, nine_in_ten = statistics.median(lines), lines[int(0.9 * (len(lines) - 1))]
    found = {"longest": (lines[-1], LONGEST), "median": (median, MEDIAN), "nine in ten": (nine_in_ten, NINE_IN_TEN)}
    for name, (value, most) in found.items():
        if value > most:
            yield f"code cells: {name} {value} lines, at most {most}"


def check_widths(cell: nbformat.NotebookNode) -> Iterator[str]:
    """Find lines of code that are too wide."""
    for line in cell.source.splitlines() if "coursekit.setup(" not in cell.source else ():
        if len(line) > WIDEST:
            yield f"has a line of {len(line)} columns, at most {WIDEST}"


def check_outputs(cell: nbformat.NotebookNode) -> Iterator[str]:
    """Find errors, text on stderr, warnings, and pictures that are not described in a few words."""
    for output in cell.outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            yield f"shows {output.get('ename', 'text on stderr')}"
        elif _WARNING.search(_text(output)):
            yield "shows a warning"
        if kind := picture_type(output):
            if "nbval-check-output" in cell.metadata.get("tags", []):
                yield "shows a picture, which nbval cannot compare: drop its tag"
            if len(output.get("metadata", {}).get(kind, {}).get("alt", "").split()) < 3:
                yield "shows a picture without alternative text"
        if '<img alt=""' in output.get("data", {}).get("text/html", ""):
            yield "shows an interactive figure without alternative text"


def check_markdown(cell: nbformat.NotebookNode, headings: set[str], folder: Path) -> Iterator[str]:
    """Find images without alternative text, and links to no heading of the notebook and to no file of the course."""
    if cell.cell_type != "markdown":
        return
    if re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=)", cell.source):
        yield "has an image without alternative text"
    for target in _LINK.findall(cell.source):
        if target.startswith("#"):
            if target[1:] not in headings:
                yield f"has no heading for the link {target}"
        elif not target.startswith(("https://", "http://", "mailto:")) and not (folder / target).exists():
            yield f"has no file for the link {target}"


def check_code(cell: nbformat.NotebookNode) -> Iterator[str]:
    """Find code that does not parse, commands that fail unnoticed, and times without their tag."""
    try:
        nodes = ast.walk(ast.parse(TransformerManager().transform_cell(cell.source)))
    except SyntaxError as error:
        yield f"is not Python: {error.msg}"
        return
    calls = [ast.unparse(node) for node in nodes if isinstance(node, ast.Call)]
    # nbval passes over an unknown magic command, and nobody sees that a shell command failed.
    if any(call.startswith("get_ipython().") and "'pip'" not in call for call in calls):
        yield "uses % or !: write Python; only `%pip` is needed, and only in the setup cell"
    if "NBVAL_" in cell.source:
        yield "has a comment for nbval: give the cell the tag nbval-check-output"
    if "perf_counter" in cell.source and cell.outputs and not is_measured(cell):
        yield "takes times, but has no tag 'measured'"


def _headings(cell: nbformat.NotebookNode) -> list[str]:
    found = re.findall(r"^#+\s+(.+)$", cell.source, flags=re.MULTILINE) if cell.cell_type == "markdown" else []
    return [heading.strip().replace(" ", "-") for heading in found]


def _text(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    return "".join([output.get("text", ""), *(str(v) for k, v in data.items() if k.startswith("text/"))])


def _say(cell: nbformat.NotebookNode) -> str:
    first = cell.source.strip().splitlines()[0] if cell.source.strip() else "(empty)"
    return f"{cell.id} ({first[:50]!r})"
