"""Links that open a notebook on Colab or Binder, and its first cell: made from the repository's address.

The masters of the labs hold the solutions, so their links, and those of the students' copies, lead to the students'
copies, which lie in ``labs/``: launchers open files of a repository, and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import nbformat

from tools import markup
from tools.normalform import MARK, fresh, mark_fresh, read, write

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
STUDENT_LABS = Path("labs")
CELL = "launch"  # the id and the tag of the cell with the links
_MASTERS = Path("notebooks") / "labs"


@dataclass(frozen=True)
class Fork:
    """Where this course is published: the repository's address, without a slash at its end, and the readers' branch."""

    address: str
    branch: str

    @property
    def name(self) -> str:
        """Owner and repository, as in ``owner/repository``."""
        return "/".join(self.address.split("/")[-2:])

    @property
    def for_pip(self) -> str:
        """Address and branch as pip wants them behind ``git+``."""
        return f"{self.address}@{self.branch}"


def fork(root: Path) -> Fork:
    """Read the repository's address and branch from ``pyproject.toml``, where alone they stand."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    branch = settings.get("tool", {}).get("coursekit", {}).get("branch", "main")
    return Fork(settings["project"]["urls"]["Repository"].rstrip("/").removesuffix(".git"), branch)


def renew(root: Path, paths: list[Path]) -> int:
    """Write address and links into notebooks, README and the students' labs, say what changed, return the exit code."""
    place = fork(root)
    for path in paths:
        notebook = read(path)
        changed = set_setup_cell(notebook, setup_cell(place.for_pip))
        changed |= set_links(notebook, source(place, path.relative_to(root)))
        if changed:
            write(notebook, path)
        print(f"{path.name}: {'changed' if changed else 'unchanged'}")
    readme = root / "README.md"
    if readme.exists():
        readme.write_text(update_readme(readme.read_text(encoding="utf-8"), place), encoding="utf-8")
    for path in write_student_labs(root):
        print(f"{path.relative_to(root)}: written")
    return 0


def colab(place: Fork, path: Path) -> str:
    """Return the address that opens the notebook at ``path`` (from the repository's root) on Colab."""
    return f"{COLAB}/github/{place.name}/blob/{quote(place.branch)}/{quote(path.as_posix())}"


def binder(place: Fork, path: Path) -> str:
    """Return the address that opens the notebook at ``path`` in JupyterLab on Binder."""
    tree = quote(f"lab/tree/{path.as_posix()}", safe="")
    return f"{BINDER}/v2/gh/{place.name}/{quote(place.branch, safe='')}?urlpath={tree}"


def source(place: Fork, path: Path) -> str:
    """Return the text of the cell with the links, for the notebook at ``path`` (from the repository's root).

    They open it, or, in place of a lab's master, the students' copy.
    """
    opened = STUDENT_LABS / path.name if path.parent == _MASTERS else path
    return f"[Open in Colab]({colab(place, opened)}) · [Open in Binder]({binder(place, opened)})"


def set_links(notebook: nbformat.NotebookNode, text: str) -> bool:
    """Put the cell with the links below the title, or renew it; return whether anything changed."""
    wanted = nbformat.v4.new_markdown_cell(
        text, id=CELL, metadata={"slideshow": {"slide_type": "skip"}, "tags": [CELL]}
    )
    if notebook.nbformat_minor < 5:  # written by an older editor: its cells have no ids
        del wanted["id"]
    others = [cell for cell in notebook.cells if not has_links(cell)]
    place = next((index for index, cell in enumerate(others) if cell.cell_type == "markdown"), -1) + 1
    cells = [*others[:place], wanted, *others[place:]]
    changed = cells != notebook.cells
    notebook.cells = cells
    return changed


def has_links(cell: nbformat.NotebookNode) -> bool:
    """Tell whether this is the cell with the links, whatever another editor has left of its id and its tag."""
    marked = CELL in (cell.get("id"), *cell.metadata.get("tags", [])) or cell.source.startswith("[Open in Colab](")
    return cell.cell_type == "markdown" and marked


def setup_cell(address: str) -> str:
    """Return the source of the first code cell, the same in every notebook.

    Where ``coursekit`` is missing (on Colab) it is installed without dependencies, so that no package of the machine's
    changes; `torchinfo` is the one that Colab lacks.
    """
    return (
        "# The same first cell in every notebook. On Colab it adds two packages and changes none.\n"
        "try:\n"
        "    import coursekit\n"
        "except ModuleNotFoundError:\n"
        f'    address = "git+{address}"\n'
        '    %pip install --quiet --no-deps "coursekit @ {address}" torchinfo\n'
        "    import coursekit\n\n"
        "session = coursekit.setup()"
    )


def set_setup_cell(notebook: nbformat.NotebookNode, source: str) -> bool:
    """Renew the setup cell, if there is one; return whether that changed anything. Outputs stay."""
    cell = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if cell is None or "coursekit.setup(" not in cell.source or cell.source == source:
        return False
    mark = notebook.metadata[MARK] if fresh(notebook) else {}
    cell.source = source
    if mark:  # an address changes no output
        mark_fresh(notebook, mark["made_on"])
    return True


def update_readme(text: str, place: Fork) -> str:
    """Put the right address behind the link to a notebook in each row of the README's tables, and into `git clone`."""

    def renew(row: re.Match) -> str:
        link = f"[Colab]({colab(place, Path(row['path']))})"
        return f"{row['start']} ({link}){row['rest']}"

    text = re.sub(r"^git clone \S+", lambda _: f"git clone {place.address}", text, flags=re.MULTILINE)
    link = r"\[[^\]]+\]\((?P<path>(?:notebooks|labs)/[^)]+\.ipynb)\)"
    return re.sub(
        rf"^(?P<start>\| *{link})(?: \(\[Colab\]\([^)]*\)\))?(?P<rest> *\|.*)$", renew, text, flags=re.MULTILINE
    )


def write_student_labs(root: Path) -> list[Path]:
    """Derive the students' copies of all labs into ``labs/``; return those that changed."""
    changed = []
    for master in sorted((root / _MASTERS).glob("*.ipynb")):
        text = student_copy(master)
        path = root / STUDENT_LABS / master.name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def student_copy(master: Path) -> str:
    """Return the students' copy of a lab as the text of its file."""
    copy = markup.derive(read(master)).student
    for cell in copy.cells:
        if cell.cell_type == "markdown":  # seen from labs/, the lectures lie elsewhere than seen from the masters
            cell.source = cell.source.replace("](../", "](../notebooks/")
    return nbformat.writes(copy) + "\n"
