"""Links that open a notebook on Colab or Binder, and its first cell: made from the repository's address.

Where there is none, there are no links. The masters of the labs hold the solutions, so their links lead to the
students' copies, which lie in ``labs/``: launchers open files of a repository, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import nbformat

from coursekit import __version__
from coursekit.runtime import known_costs
from tools import markup
from tools.address import Fork, configured_address, fork, known_addresses
from tools.normalform import MARK, fresh, mark_fresh, read, write

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
BINDER_MEGABYTES = 1800  # of the 2 GB that a machine of Binder's has, what JupyterLab leaves to a notebook
STUDENT_LABS = Path("labs")
WORKFLOWS = ("test", "site", "links")  # in .github/workflows; each has a badge
NO_ADDRESS = (
    "This copy has no address, so nothing opens it on Colab or Binder: push it to GitHub, and run `make links`."
)
PIP = ("install", "--no-deps")  # what the first cell gives to pip before a package
CELL = "launch"  # the id and the tag of the cell with the links
_MASTERS = Path("notebooks") / "labs"
_WRITTEN = re.compile(r"git\+(https://[^\s\"@]+)@")
_BLOCK = re.compile(r"(?<=<!-- launch -->\n).*?(?=<!-- end -->)", re.DOTALL)


def expected_fork(notebook: nbformat.NotebookNode, root: Path) -> Fork:
    """Return the place that a notebook has to name: that of ``pyproject.toml``, else the one that stands in it.

    What git or GitHub's automation tell does not count: a fork's tests pass before it has run `make links`.
    """
    cell = next((cell.source for cell in notebook.cells if cell.cell_type == "code"), "")
    return replace(fork(root), address=configured_address(root) or "".join(_WRITTEN.findall(cell)[:1]))


def renew(root: Path, paths: list[Path]) -> int:
    """Write address and links into notebooks, README and the students' labs, say what changed, return the exit code."""
    place = fork(root)
    print(f"Links lead to {place.address}, branch {place.branch}." if place.address else NO_ADDRESS)
    if others := {*known_addresses(root)} - {place.address}:
        print(f"pyproject.toml says so; this copy comes from {', '.join(others)}.")
    for path in paths:
        notebook = read(path)
        changed = set_setup_cell(notebook, setup_cell(place))
        changed |= set_links(notebook, source(place, path.relative_to(root)))
        if changed:
            write(notebook, path)
        print(f"{path.name}: {'changed' if changed else 'unchanged'}")
    readme = root / "README.md"
    if readme.exists():
        readme.write_text(update_readme(readme.read_text(encoding="utf-8"), place), encoding="utf-8", newline="\n")
    write_student_labs(root)
    return 0


def colab(place: Fork, path: Path) -> str:
    """Return the address that opens the notebook at ``path`` (from the repository's root) on Colab, or ""."""
    return f"{COLAB}/github/{place.name}/blob/{quote(place.branch)}/{quote(path.as_posix())}" if place.name else ""


def binder(place: Fork, path: Path) -> str:
    """Return the address that opens the notebook at ``path`` in JupyterLab on Binder, or "" if it needs more memory."""
    cost = known_costs().get(path.stem.removeprefix("lab"))  # a lab needs no more than its lecture
    if not place.address or not cost or cost["megabytes"] > BINDER_MEGABYTES:
        return ""
    repository = f"gh/{place.name}" if place.name else f"git/{quote(place.address, safe='')}"
    tree = quote(f"lab/tree/{path.as_posix()}", safe="")
    return f"{BINDER}/v2/{repository}/{quote(place.branch, safe='')}?urlpath={tree}"


def source(place: Fork, path: Path) -> str:
    """Return the text of the cell with the links that open the notebook at ``path``, or a lab's copy for students."""
    opened = STUDENT_LABS / path.name if path.parent == _MASTERS else path
    links = {"Open in Colab": colab(place, opened), "Open in Binder": binder(place, opened)}
    return " · ".join(f"[{text}]({address})" for text, address in links.items() if address)


def set_links(notebook: nbformat.NotebookNode, text: str) -> bool:
    """Put the cell with the links below the title, renew it, or take it away; return whether anything changed."""
    metadata = {"slideshow": {"slide_type": "skip"}, "tags": [CELL]}
    wanted = [nbformat.v4.new_markdown_cell(text, id=CELL, metadata=metadata)] if text else []
    others = [cell for cell in notebook.cells if not has_links(cell)]
    place = next((index for index, cell in enumerate(others) if cell.cell_type == "markdown"), -1) + 1
    before, notebook.cells = notebook.cells, [*others[:place], *wanted, *others[place:]]
    return notebook.cells != before


def has_links(cell: nbformat.NotebookNode) -> bool:
    """Tell whether this is the cell with the links, whatever another editor has left of its id and its tag."""
    marked = CELL in (cell.get("id"), *cell.metadata.get("tags", [])) or cell.source.startswith("[Open in ")
    return cell.cell_type == "markdown" and marked


def setup_cell(place: Fork) -> str:
    """Return the source of the first code cell, the same in every notebook.

    Where ``coursekit`` is missing it comes from a wheel beside the notebook, else from the index or the repository,
    and without dependencies, so that no package of the machine's changes. What cannot work is told in a sentence.
    """
    other = f" or git+{place.address}@{place.branch}" if place.index and place.address else ""
    home = f'home = "{place.for_pip}"{other and "  #" + other}\n' if place.for_pip else ""
    sources = '[*glob("coursekit*.whl"), home]' if home else 'glob("coursekit*.whl")'
    wheel = f"{(place.index or 'coursekit').replace('-', '_')}-{__version__}-py3-none-any.whl"
    packages = "".join(f', "{name}"' for name in place.extras) or ","
    pip = ", ".join(f'"{word}"' for word in ("-m", "pip", *PIP))
    return f"""\
# The same first cell in every notebook: it adds coursekit where that is missing,
# and changes no package.
import subprocess
import sys
from glob import glob
from importlib.util import find_spec

from IPython.core.error import UsageError

sys.path.append("..")  # where the notebook lies in the course's folder
{home}sources = {sources}
if sources and not find_spec("coursekit"):
    pip = [sys.executable, {pip}]
    for package in (sources[0]{packages}):
        subprocess.run([*pip, package], capture_output=True)
if missing := [name for name in ("coursekit", "torch") if not find_spec(name)]:
    raise UsageError(
        f"{{missing[0]}} is missing here: put the course's package, "
        "{wheel}, "
        "beside this notebook and run this cell again where PyTorch is installed "
        "(as on Colab), or open the notebook in the course's folder."
    )
import coursekit

version = coursekit.__version__
if [int(part) for part in version.split(".")] < {[int(part) for part in __version__.split(".")]}:
    raise UsageError(
        f"This notebook needs coursekit {__version__} or newer, not {{version}}: update it.",
    )
session = coursekit.setup()"""


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
    """Put the right addresses behind the notebooks in the README's tables, into `git clone`, and below the title."""

    def renew(link: re.Match) -> str:
        path = Path(link["path"])
        deck = f"{place.site}/slides/{path.stem}.html" if place.site and path.parent.name == "notebooks" else ""
        links = {"Colab": colab(place, path), "slides": deck}
        more = " · ".join(f"[{name}]({address})" for name, address in links.items() if address)
        return f"{link['link']} ({more})" if more else link["link"]

    text = re.sub(r"^git clone \S+", lambda _: f"git clone {place.address or 'ADDRESS'}", text, flags=re.MULTILINE)
    text = _BLOCK.sub(lambda _: banner(place) + "\n", text)
    link = r"(?P<link>\[[^\]]+\]\((?P<path>(?:notebooks|labs)/[^)]+\.ipynb)\))(?: \(\[(?:Colab|slides)\][^|]*?\)\))?"
    rows = (re.sub(link, renew, row) if row.startswith("|") else row for row in text.splitlines(keepends=True))
    return "".join(rows)


def banner(place: Fork) -> str:
    """Return the README's badges and first links; where there is no address, what to do."""
    first = Path("notebooks") / "01_convolution.ipynb"
    if not place.name:
        return f"**[Read]({first.as_posix()})** · **[Teach](docs/lecturer.md)** · *{NO_ADDRESS}*"
    runs = f"{place.address}/actions/workflows"
    badges = (f"[![{name}]({runs}/{name}.yml/badge.svg)]({runs}/{name}.yml)" for name in WORKFLOWS)
    links = {"Read": place.site, "Run on Colab": colab(place, first), "Teach": "docs/lecturer.md"}
    return " ".join(badges) + "\n\n" + " · ".join(f"**[{text}]({address})**" for text, address in links.items())


def write_student_labs(root: Path) -> None:
    """Derive the students' copies of all labs into ``labs/``, and say which changed."""
    for master in sorted((root / _MASTERS).glob("*.ipynb")):
        path, text = root / STUDENT_LABS / master.name, student_copy(master)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(root)}: written")


def student_copy(master: Path) -> str:
    """Return the students' copy of a lab as the text of its file."""
    copy = markup.derive(read(master)).student
    for cell in copy.cells:
        if cell.cell_type == "markdown":  # seen from labs/, the lectures lie elsewhere than seen from the masters
            cell.source = cell.source.replace("](../", "](../notebooks/")
    return nbformat.writes(copy) + "\n"
