"""A notebook to start from: every part that the course's rules ask for, ready to be filled."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

from tools import checks, execute, launch

_NEXT = """{path} is there. What comes next:
  1. write it; `make lab` opens JupyterLab
  2. `make notebooks` runs it in place, `make test` tells what breaks a rule
  3. give it a row in README.md's table, and a part in docs/lecturer.md
  4. `make costs` measures its seconds and memory"""


def write(root: Path, names: list[str]) -> int:
    """Write ``notebooks/NAME.ipynb``, and return the exit code. A notebook that exists is left alone.

    Raises
    ------
    SystemExit
        If there is not one name, it is not of the form ``07_detection``, or the notebook exists.
    """
    name = Path(names[0]).stem if len(names) == 1 else ""
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        sys.exit(f"a new notebook needs one name such as 07_detection, not {' '.join(names) or 'none'}.")
    path = root / "notebooks" / f"{name}.ipynb"
    if path.exists():
        sys.exit(f"{path.relative_to(root)} exists already; choose another name.")
    notebook = make(root, path.relative_to(root))
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    print(_NEXT.format(path=path.relative_to(root)))
    return 0


def make(root: Path, path: Path) -> nbformat.NotebookNode:
    """Return the notebook that will stand at ``path`` (from the course's root), not yet executed."""
    number, words = int(path.stem[:2]), path.stem[3:].replace("_", " ")
    cells = []
    for block in re.split(r"^=== ", _TEMPLATE, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        kind, *slide = head.split()
        text = body.strip().replace("{number}", str(number)).replace("{title}", words.capitalize())
        text = text.replace("{setup}", checks.setup_cell(checks.repository(root)))
        new = nbformat.v4.new_markdown_cell if kind == "md" else nbformat.v4.new_code_cell
        cells.append(new(text, metadata={"slideshow": {"slide_type": slide[0]}} if slide else {}))
    notebook = execute.normalize(nbformat.v4.new_notebook(cells=cells))
    for index, cell in enumerate(notebook.cells):
        cell.id = f"{path.stem[:2]}-{index}"
    launch.set_links(notebook, launch.source(launch.fork(root), path))
    return notebook


_TEMPLATE = """
=== md slide
# {number} · {title}

**Which question does this notebook answer?**

After this notebook you can

- do something that you could not do before;
- say why it works, and where it does not.

*You need* notebook 1. *Time*: 60 minutes with the questions.
=== code skip
{setup}
=== code
import numpy as np

from coursekit import data, figures
=== md slide
## 1. The first idea

Show it on one example before you name it. **Predict.** What will the next cell show?
=== code
image = data.photo("camera")
image.shape, image.dtype
=== code
figures.images([image], alt="A man behind a camera on a tripod, in gray.")
=== md notes
Notes are for the speaker: they are seen in the speaker's view of the slides only.
=== md slide
## 2. By hand

A formula, $y = x^2$, then the lines that compute it.
=== code
# NBVAL_CHECK_OUTPUT
def square(x):
    return x**2


square(np.arange(4)).tolist()
=== md
> **The slide says** (OSU) something that is not quite right? Then say here what is, and why.
=== md slide
## 3. What came out
=== code
# NBVAL_CHECK_OUTPUT
assert square(3) == 9
square(3)
=== md slide
## What to keep

- One sentence for each objective.
=== md skip
## Exercises

1. Compute something on paper, then with a cell.
2. Write a function.
3. Plot something.
4. Refute a claim.
5. Mend a network that is broken.
6. Find out something that the notebook does not tell.
=== md skip
## Sources

The lecture, its author and institution; papers by author and year.
"""
