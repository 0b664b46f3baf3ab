"""The form in which notebooks are stored: the same bytes whoever ran them, marked with the code that outputs are of."""

from __future__ import annotations

import copy
import hashlib
import html
import os
import platform
import re
import warnings
from importlib import metadata
from pathlib import Path

import nbformat
from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning

MEASURED = "measured"  # the tag of cells that show times: their outputs differ from run to run
MARK = "coursekit"  # in the notebook's metadata: which code its outputs are of
_CELL_METADATA = {"tags", "slideshow", "mystnb", "jupyter"}


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, also one whose cells have no ids, or one id twice: they are given others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingIDFieldWarning)
        warnings.simplefilter("ignore", DuplicateCellId)
        notebook = nbformat.read(path, as_version=4)
    for index, cell in enumerate(notebook.cells):
        if "id" not in cell:  # written by an older editor
            cell.id = hashlib.sha256(f"{index}\0{cell.source}".encode()).hexdigest()[:8]
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what differs between machines and editors; outputs stay, pictures are described."""
    notebook = copy.deepcopy(notebook)
    mark = {MARK: notebook.metadata[MARK]} if MARK in notebook.metadata else {}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({**mark, "kernelspec": kernel, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in _CELL_METADATA})
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
            if alt := cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):  # type: ignore[union-attr]
                _describe(cell.outputs, alt)
    return notebook


def _join_streams(outputs: list) -> list:
    """Join neighbouring pieces of one stream: where a stream is cut differs from run to run."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == "stream" and output.name == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def picture_type(output: nbformat.NotebookNode) -> str:
    """Return the type of an output's picture, such as "image/png", or an empty text if it shows none."""
    return next((kind for kind in output.get("data", {}) if kind in ("image/png", "image/jpeg")), "")


def _describe(outputs: list, alt: str) -> None:
    """Give pictures the description that stands in their cell's metadata, as if the code had said it."""
    for output in outputs:
        kind, page = picture_type(output), output.get("data", {}).get("text/html", "")
        if kind:
            output.metadata.setdefault(kind, {})["alt"] = alt
        if 'class="course-figure"' in page:
            output.data["text/html"] = re.sub(r'<img alt="[^"]*"', f'<img alt="{html.escape(alt)}"', page, count=1)
        if (kind or page) and output.data.get("text/plain", "").startswith("[Figure"):
            output.data["text/plain"] = f"[Figure: {alt}]"


def is_measured(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell shows times."""
    return cell.cell_type == "code" and MEASURED in cell.metadata.get("tags", [])


def fresh(notebook: nbformat.NotebookNode) -> bool:
    """Tell whether the outputs were made by the code as it stands."""
    return notebook.metadata.get(MARK, {}).get("outputs_of") == _code_digest(notebook)


def mark_fresh(notebook: nbformat.NotebookNode, made_on: str | None = None) -> None:
    """Write down in the notebook that its outputs are of its present code, made on a machine like this one."""
    mark = {"made_on": made_on or machine(), "outputs_of": _code_digest(notebook)}
    notebook.metadata[MARK] = nbformat.from_dict(mark)


def machine() -> str:
    """Return a fingerprint of what decides over the last bits of a result: processor and versions."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = sorted({line for line in lines if line.startswith("model")}) or [platform.processor()]
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "numpy", "scipy", "matplotlib")]
    facts = [platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability(), *models, *versions]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def _code_digest(notebook: nbformat.NotebookNode) -> str:
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
