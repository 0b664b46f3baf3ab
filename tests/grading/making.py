"""Makes notebooks of lab 1 as students hand them in: right, blank, and changed in one place."""

import copy
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tools.markup import derive

ROOT = Path(__file__).parent.parent.parent
MASTER = next((ROOT / "notebooks" / "labs").glob("lab01_*.ipynb"))
FULL = 17  # points of the questions that are checked


@dataclass(frozen=True)
class Case:
    """One submission: its name, its bytes, the points it must get (-1: any), and what must be said of it.

    "cell 3: … Error" must be said of cell 3.
    """

    name: str
    content: object
    points: int = FULL
    problem: str | tuple[str, ...] = ""
    suffix: str = ".ipynb"
    quick: bool = False


@functools.cache
def _derived():
    made = derive(nbformat.read(MASTER, as_version=4))
    return {kind: json.loads(nbformat.writes(getattr(made, kind))) for kind in ("instructor", "student")}


def right():
    """The notebook with all answers."""
    return copy.deepcopy(_derived()["instructor"])


def blank():
    """The notebook as it is handed out."""
    return copy.deepcopy(_derived()["student"])


def code(source, **more):
    return {"cell_type": "code", "source": source, "outputs": [], "metadata": {}, "execution_count": None, **more}


def text(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def find(notebook, name):
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def answer(name):
    """The source of a cell of the solution."""
    return "".join(find(right(), name)["source"])


def packed(notebook):
    return json.dumps(notebook).encode()


def with_cell(*sources, notebook=None, at=4):
    """Add cells behind the imports (``at=-1``: at the end)."""
    notebook = notebook or right()
    at = at if at >= 0 else len(notebook["cells"])
    notebook["cells"][at:at] = [code(source) for source in sources]
    return packed(notebook)


def with_answers(notebook=None, **answers):
    """Replace answers, such as ``q2="..."``."""
    notebook = notebook or right()
    for name, source in answers.items():
        find(notebook, f"{name}-answer")["source"] = source
    return packed(notebook)
