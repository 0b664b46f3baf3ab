"""Rules that every notebook of the course keeps, as plain functions that return what is wrong."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from tools.launch import setup_cell, written
from tools.normalform import fresh, is_measured, normalize, picture_type, read

LONGEST, NINE_IN_TEN, MEDIAN = 30, 20, 6  # lines of a code cell
LARGEST = 4_000_000  # bytes of a notebook
_PATHS = re.compile(r"(/home/|/root/|/tmp/|/work/|/Users/|[A-Z]:\\\\|site-packages|\.venv)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WARNING = re.compile(r"\b\w*Warning\b:")


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_setup(notebook: nbformat.NotebookNode, source: str) -> list[str]:
    """Find a missing setup cell (it comes first, the same everywhere) and second calls of `setup`."""
    cells = code_cells(notebook)
    wrong = (
        []
        if cells and cells[0].source == source
        else ["the first code cell is not the course's setup cell: run `make links`"]
    )
    return wrong + [f"{_say(cell)} calls setup() again" for cell in cells[1:] if "coursekit.setup(" in cell.source]


def check_cell_lengths(notebook: nbformat.NotebookNode) -> list[str]:
    """Find cells that are too long: none over 30 lines, nine in ten at most 20, the median at most 6."""
    cells = [cell for cell in code_cells(notebook) if "coursekit.setup(" not in cell.source]  # nobody reads that one
    lines = sorted(sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in cells)
    if not lines:
        return ["there is no code cell"]
    found = {"longest": (lines[-1], LONGEST), "median": (statistics.median(lines), MEDIAN)}
    found["nine in ten"] = (lines[int(0.9 * (len(lines) - 1))], NINE_IN_TEN)
    return [
        f"code cells: {name} {value} lines, at most {most}" for name, (value, most) in found.items() if value > most
    ]


def check_outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """Find cells not executed in order, errors, text on stderr and warnings."""
    wrong = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != number:
            wrong.append(f"{_say(cell)} has execution count {cell.execution_count}, expected {number}")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                wrong.append(f"{_say(cell)} shows {output.get('ename', 'text on stderr')}")
            elif _WARNING.search(_text(output)):
                wrong.append(f"{_say(cell)} shows a warning")
    return wrong


def check_alt_text(notebook: nbformat.NotebookNode) -> list[str]:
    """Find pictures that are not described in a few words."""
    wrong = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            kind = picture_type(output)
            if kind and "nbval-check-output" in cell.metadata.get("tags", []):
                wrong.append(f"{_say(cell)} shows a picture, which nbval cannot compare: drop its tag")
            if kind and len(output.get("metadata", {}).get(kind, {}).get("alt", "").split()) < 3:
                wrong.append(f"{_say(cell)} shows a picture without alternative text")
            if '<img alt=""' in "".join(output.get("data", {}).get("text/html", "")):
                wrong.append(f"{_say(cell)} shows an interactive figure without alternative text")
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=)", cell.source):
            wrong.append(f"{_say(cell)} has an image without alternative text")
    return wrong


def check_links(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    """Find links inside the course that lead nowhere: to no heading of this notebook, and to no file."""
    headings = {
        heading.strip().replace(" ", "-")
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for heading in re.findall(r"^#+\s+(.+)$", cell.source, flags=re.MULTILINE)
    }
    wrong = []
    for cell in notebook.cells:
        for target in _LINK.findall(cell.source) if cell.cell_type == "markdown" else []:
            if target.startswith("#"):
                if target[1:] not in headings:
                    wrong.append(f"{_say(cell)}: no heading for the link {target}")
            elif not target.startswith(("https://", "http://", "mailto:")) and not (folder / target).exists():
                wrong.append(f"{_say(cell)}: no file for the link {target}")
    return wrong


def check_machine_paths(notebook: nbformat.NotebookNode) -> list[str]:
    """Find paths of somebody's machine, in sources or in outputs."""
    wrong = []
    for cell in notebook.cells:
        texts = [cell.source] + [_text(output) for output in cell.get("outputs", [])]
        wrong += [f"{_say(cell)} names a path of this machine" for text in texts if _PATHS.search(text)]
    return wrong


def check_form(notebook: nbformat.NotebookNode, text: str) -> list[str]:
    """Find what `make notebooks` would not write: other metadata, cells without ids, outputs of other code."""
    wrong = []
    if nbformat.writes(normalize(notebook)).strip() != text.strip():
        wrong.append("not in normal form: run `make notebooks`")
    if not fresh(notebook):
        wrong.append("the outputs are not of this code: run `make notebooks`")
    return wrong


def check_code(notebook: nbformat.NotebookNode) -> list[str]:
    """Find code that does not parse, commands that fail unnoticed, imports of ``*``, and times without their tag."""
    wrong = []
    for cell in code_cells(notebook):
        try:
            nodes = list(ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))))
        except SyntaxError as error:
            wrong.append(f"{_say(cell)} is not Python: {error.msg}")
            continue
        calls = [ast.unparse(node) for node in nodes if isinstance(node, ast.Call)]
        # nbval passes over an unknown magic command, and nobody sees that a shell command failed.
        if any(call.startswith("get_ipython().") and "'pip'" not in call for call in calls):
            wrong.append(f"{_say(cell)} uses % or !: write Python; only `%pip` is needed, and only in the setup cell")
        if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in nodes):
            wrong.append(f"{_say(cell)} imports *")
        if "NBVAL_" in cell.source:
            wrong.append(f"{_say(cell)} has a comment for nbval: give the cell the tag nbval-check-output")
        if "perf_counter" in cell.source and cell.outputs and not is_measured(cell):
            wrong.append(f"{_say(cell)} takes times, but has no tag 'measured'")
    return wrong


def check_all(path: Path, root: Path) -> list[str]:
    """Return everything that is wrong with the notebook file, one line each; an empty list if nothing is."""
    try:
        notebook = read(path)
    except (ValueError, AttributeError, nbformat.ValidationError) as error:
        return [f"{path.name} is not a notebook: {str(error).splitlines()[0]}"]
    size = path.stat().st_size
    return [
        *check_setup(notebook, setup_cell(written(notebook, root))),
        *check_cell_lengths(notebook),
        *check_outputs(notebook),
        *check_alt_text(notebook),
        *check_links(notebook, path.parent),
        *check_machine_paths(notebook),
        *check_form(notebook, path.read_text(encoding="utf-8")),
        *check_code(notebook),
        *([f"the file has {size:,} bytes, at most {LARGEST:,}"] if size > LARGEST else []),
    ]


def _text(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    return "".join([output.get("text", ""), *(str(v) for k, v in data.items() if k.startswith("text/"))])


def _say(cell: nbformat.NotebookNode) -> str:
    first = cell.source.strip().splitlines()[0] if cell.source.strip() else "(empty)"
    return f"{cell.get('id', 'a cell without id')} ({first[:50]!r})"
