"""The course as a site: pages are gathered into ``build/site-source``, and Sphinx makes ``build/site`` of them.

Everything on it is derived: notebooks from their executed files, tables from what the notebooks say of themselves, the
package's pages from its docstrings. Written by hand are only the texts in ``docs/``; a comment such as
``<!-- insert: lectures -->`` in one of them is replaced by the table of that name.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import nbformat

import coursekit
from tools import frontpage, slides, tables
from tools.launch import fork
from tools.normalform import normalize, picture_type, read

ROOT_VARIABLE = "COURSEKIT_ROOT"  # tells docs/conf.py, which runs in a process of its own, where the course lies
_NOT_DOCUMENTED = ("checks",)  # they would tell the answers
_FILES = "coursekit/|tools/|tests/|data/|README|CHANGELOG|CITATION|LICENSE|Makefile|pyproject|environment"
_PART = '<span class="n">{}</span>'
_DOTTED = re.compile(_PART.format(r"(\w+)") + '<span class="o">[.]</span>' + _PART.format(r"(\w+)"))
_INSERT = re.compile(r"^<!-- insert: (?P<name>[\w ]+?) -->$", re.MULTILINE)


def build(root: Path, executed: Path | None = None, folder: Path | None = None) -> Path:
    """Build the site, decks included, into ``site`` in ``folder`` or the course's ``build``; return its first page.

    Notebooks in the folder ``executed`` take the place of the committed ones. A `SiteError` says what Sphinx warned of.
    """
    folder = folder or root / "build"
    source, site = folder / "site-source", folder / "site"
    gather(root, source, executed)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-a", "-b", "html"]
    command += ["-d", str(folder / "site-cache"), str(source), str(site)]
    environment = {**os.environ, ROOT_VARIABLE: str(root.resolve()), "PYTHONUTF8": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SiteError(f"the site was not built:\n{done.stdout}{done.stderr}".strip())
    slides.copy_mathjax(site / "_static" / "mathjax")
    slides.build(root, sorted((source / "notebooks").glob("*.ipynb")), site / "slides")
    return site / "index.html"


class SiteError(RuntimeError):
    """Sphinx found something wrong with a page."""


def anchor(heading: str) -> str:
    """Return a heading's anchor as Jupyter writes it, so that links inside a notebook lead there on the site too."""
    return heading.strip().replace(" ", "-")


def gather(root: Path, source: Path, executed: Path | None = None) -> None:
    """Write all pages and settings that Sphinx needs into ``source``. A page that has not changed is left alone."""
    course, address = tables.Course(root), fork(root).files
    docs = root / "docs"
    wanted = {path.relative_to(docs): path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    wanted[Path("contributing.md")] = (root / "CONTRIBUTING.md").read_bytes()
    for path in [*course.notebooks, *course.labs]:
        fresh = executed / path.name if executed else path
        folder = "labs" if path in course.labs else "notebooks"
        wanted[Path(folder) / path.name] = page_of(fresh if fresh.exists() else path, address)
    for name, text in api_pages():
        wanted[Path("api") / f"{name}.rst"] = text.encode()
    for path in [path for path in wanted if path.suffix == ".md"]:
        wanted[path] = relink(complete(wanted[path].decode(), course), address).encode()
    _write_changed(wanted, source)


def complete(text: str, course: tables.Course) -> str:
    """Replace a page's insert marks by what they name."""
    inserts = tables.INSERTS | frontpage.INSERTS

    def insert(mark: re.Match) -> str:
        name, _, argument = mark["name"].partition(" ")
        if name not in inserts:
            raise SiteError(f"unknown insert {mark[0]!r}; there are: {', '.join(inserts)}.")
        return inserts[name](course, *argument.split())

    return _INSERT.sub(insert, text)


def relink(text: str, address: str) -> str:
    """Turn links to files of the repository into links to pages of the site, or to the repository at ``address``.

    Without an address only the link's text remains.
    """
    pages = {"docs/": "", "notebooks/(?!labs/)": "notebooks/", "labs/": "labs/", r"CONTRIBUTING\.md": "contributing.md"}
    for written, page in pages.items():
        text = re.sub(rf"\]\((?:\.\./)*{written}", f"](/{page}", text)
    if not address:
        return re.sub(rf"\[([^\[\]]*)\]\((?:\.\./)*(?:{_FILES})[^)]*\)", r"\1", text)
    return re.sub(rf"\]\((?:\.\./)*(?={_FILES})", f"]({address}/", text)


def page_of(path: Path, address: str) -> bytes:
    """Return a notebook with each picture's description where myst-nb looks for it: in the metadata of a cell.

    A cell with several pictures becomes several, since each has one description.
    """
    notebook = normalize(read(path))
    cells = []
    if notebook.cells and re.match(r"# \d", notebook.cells[0].source):  # a lecture
        link = nbformat.v4.new_markdown_cell(f'<a href="../slides/{path.stem}.html">Slides of this lecture</a>')
        link.metadata, link.id = nbformat.from_dict({"slideshow": {"slide_type": "skip"}}), "slides"
        notebook.cells.insert(1, link)
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}  # it knows %pip
    for cell in notebook.cells:
        if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
            cell.metadata["tags"] = ["remove-cell"]  # they are for whoever speaks: decks show them
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, address)
        elif "coursekit.setup()" in cell.source:
            cell.metadata["tags"] = ["hide-input"]  # it is for the machine
        cells.append(cell)
        outputs = cell.get("outputs", [])
        if outputs:
            cell.outputs, pictures, target = [], 0, cell
        for output in outputs:
            if kind := picture_type(output):
                if pictures:
                    target = nbformat.v4.new_code_cell(id=f"{cell.id}-{pictures}", metadata={"tags": ["remove-input"]})
                    cells.append(target)
                pictures += 1
                alt = output.metadata.get(kind, {}).get("alt", "")
                target.metadata.setdefault("mystnb", {})["image"] = {"alt": alt}
            target.outputs.append(output)
    notebook.cells = cells
    return nbformat.writes(notebook).encode()


def modules() -> list[str]:
    """Return the names of the package's modules that have a page; a folder counts as one."""
    names = {module.name for module in pkgutil.iter_modules(coursekit.__path__)}
    return sorted(names - {*_NOT_DOCUMENTED})


def api_pages() -> Iterator[tuple[str, str]]:
    """Yield name and text of the package's pages: one for each module, and one that lists them."""
    lines = []
    for name in modules():
        title = f"coursekit.{name}"
        first = (importlib.import_module(title).__doc__ or name).splitlines()[0].rstrip(".:")
        lines.append(f"* :doc:`{title} <{name}>`: {first[0].lower() + first[1:]}")
        yield name, f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n"
    text = "What the notebooks built, kept for later ones. Names in the notebooks' code lead here; below each entry "
    text += "stands where it is used.\n\n.. automodule:: coursekit\n\n" + "\n".join(lines)
    yield "index", f"The package\n===========\n\n{text}\n\n.. toctree::\n   :hidden:\n   :glob:\n\n   *\n"


@cache
def names_used(path: Path) -> set[str]:
    """Return the names with one dot in a notebook's code, such as ``training.fit`` and ``coursekit.setup``."""
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    return set(re.findall(r"(?<![\w.])\w+\.\w+", code))


def add_uses(app, what: str, name: str, obj: object, options, lines: list[str]) -> None:
    """Add to a docstring which notebooks use what it describes (a hook of Sphinx)."""
    short = ".".join(name.split(".")[-2:])
    paths = sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb"))
    pages = ", ".join(f":doc:`/notebooks/{path.stem}`" for path in paths if short in names_used(path))
    if pages:
        lines += ["", f"*Used in* {pages}", ""]


def link_names(app, page: str, template: str, context: dict, doctree) -> None:
    """Link the package's names in a notebook's code to their pages (a hook of Sphinx)."""
    if "body" not in context:
        return
    context["body"] = context["body"].replace("Variables<span", "Attributes<span")  # numpydoc's word
    if (Path(app.srcdir) / f"{page}.ipynb").exists():
        objects = app.env.get_domain("py").objects.items()
        targets = {
            name: f"{app.builder.get_relative_uri(page, entry.docname)}#{entry.node_id}" for name, entry in objects
        }
        context["body"] = link_code(context["body"], targets)


def link_code(html: str, targets: Mapping[str, str]) -> str:
    """Make links of the names that ``targets`` knows, full name to address, in a page that Pygments has highlighted."""

    def link(match: re.Match) -> str:
        name = f"{match[1]}.{match[2]}".removeprefix("coursekit.")
        address = targets.get(f"coursekit.{name}")
        return f'<a class="code-link" href="{address}">{match[0]}</a>' if address else match[0]

    return _DOTTED.sub(link, html)


def _write_changed(wanted: dict[Path, bytes], folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def publish(root: Path, executed: Path | None = None) -> int:
    """Build the site, say where it is, and return the exit code."""
    start = time.perf_counter()
    try:
        page = build(root, executed)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.perf_counter() - start
    print(f"\nThe site, built in {seconds:.0f} s: {page.resolve().as_uri()}  (open it in a browser)")
    return 0
