"""The course as a site: pages are gathered into ``build/site-source``, and Sphinx makes ``build/site`` of them.

Everything on it is derived: notebooks from their executed files, tables from what the notebooks say of themselves, the
package's pages from its docstrings. Written by hand are only the texts in ``docs/``; a comment such as
``<!-- insert: lectures -->`` in one of them is replaced by the table of that name.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat

import coursekit
from tools import crosslinks, slides, tables
from tools.launch import fork

ROOT_VARIABLE = "COURSEKIT_ROOT"  # tells docs/conf.py, which runs in a process of its own, where the course lies
_NOT_DOCUMENTED = ("checks",)  # they would tell the answers
_FILES = "coursekit/|tests/|data/|README|LICENSE|Makefile|pyproject|environment"
_INSERT = re.compile(r"^<!-- insert: (?P<name>[\w ]+?) -->$", re.MULTILINE)


def build(root: Path, executed: Path | None = None, folder: Path | None = None) -> Path:
    """Build the site, decks included, and return its first page.

    What was built before is used again where nothing has changed.

    Parameters
    ----------
    root : Path
        The course's root folder.
    executed : Path, optional
        A folder with freshly executed notebooks, taken instead of the committed ones of the same name.
    folder : Path, optional
        Where to build: the site itself goes into its ``site``. Without it, the course's ``build``.

    Raises
    ------
    SiteError
        If Sphinx warns of anything, or fails; the message is what it said.
    """
    folder = folder or root / "build"
    source, site = folder / "site-source", folder / "site"
    gather(root, source, executed)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-a", "-b", "html"]
    command += ["-d", str(folder / "site-cache"), str(source), str(site)]
    environment = {**os.environ, ROOT_VARIABLE: str(root.resolve())}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SiteError(f"the site was not built:\n{done.stdout.strip()}")
    slides.copy_mathjax(site / "_static" / "mathjax")
    slides.build(sorted((source / "notebooks").glob("*.ipynb")), site / "slides")
    return site / "index.html"


class SiteError(RuntimeError):
    """Sphinx found something wrong with a page."""


def root_of(environment: os._Environ | dict) -> Path:
    """Return the course's root folder, as `build` handed it to Sphinx's process."""
    return Path(environment[ROOT_VARIABLE])


def anchor(heading: str) -> str:
    """Return a heading's anchor as Jupyter writes it, so that links inside a notebook lead there on the site too."""
    return heading.strip().replace(" ", "-")


def gather(root: Path, source: Path, executed: Path | None = None) -> None:
    """Write all pages and settings that Sphinx needs into ``source``. A page that has not changed is left alone."""
    wanted = {}
    course, place = tables.Course.of(root), fork(root)
    address = f"{place.address}/blob/{place.branch}"
    for path in sorted((root / "docs").rglob("*")):
        if path.is_file():
            wanted[path.relative_to(root / "docs")] = path.read_bytes()
    wanted[Path("measured.md")] += b"\n## The notebooks\n\n<!-- insert: runtimes -->\n"
    wanted[Path("contributing.md")] = (root / "CONTRIBUTING.md").read_bytes()
    for path in [*course.notebooks, *course.labs]:
        fresh = executed / path.name if executed else path
        place = Path("labs" if path in course.labs else "notebooks") / path.name
        wanted[place] = page_of(fresh if fresh.exists() else path, address)
    for name, text in api_pages(crosslinks.uses([*course.notebooks])):
        wanted[Path("api") / f"{name}.rst"] = text.encode()
    address = f"{fork(root).address}/blob/{fork(root).branch}"
    for path in [path for path in wanted if path.suffix == ".md"]:
        wanted[path] = relink(complete(wanted[path].decode(), course), address).encode()
    _write_changed(wanted, source)


def complete(text: str, course: tables.Course) -> str:
    """Replace a page's insert marks by what they name."""

    def insert(mark: re.Match) -> str:
        name, _, argument = mark["name"].partition(" ")
        if name not in tables.INSERTS:
            raise SiteError(f"unknown insert {mark[0]!r}; there are: {', '.join(tables.INSERTS)}.")
        return tables.INSERTS[name](course, *argument.split())

    return _INSERT.sub(insert, text)


def relink(text: str, address: str) -> str:
    """Turn a page's links to files of the repository into links that work on the site.

    Pages of the site are linked to there; for other files the link leads to the repository at ``address``.
    """
    text = re.sub(r"\]\((?:\.\./)*docs/", "](/", text)
    text = re.sub(r"\]\((?:\.\./)*notebooks/(?!labs/)", "](/notebooks/", text)
    text = re.sub(r"\]\((?:\.\./)*labs/", "](/labs/", text)
    text = re.sub(r"\]\((?:\.\./)*CONTRIBUTING\.md", "](/contributing.md", text)
    text = text.replace("](/modules.svg)", "](modules.svg)")
    return re.sub(rf"\]\((?:\.\./)*(?={_FILES})", f"]({address}/", text)


def page_of(path: Path, address: str) -> bytes:
    """Return a notebook with each picture's description where myst-nb looks for it: in the metadata of a cell.

    A cell with several pictures becomes several, since each has one description.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = []
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}  # it knows %pip
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, address)
        cells.append(cell)
        outputs = cell.get("outputs", [])
        pictures = [index for index, output in enumerate(outputs) if "image/png" in output.get("data", {})]
        for later, index in enumerate(pictures):
            target = cell
            if later:
                end = pictures[later + 1] if later + 1 < len(pictures) else len(outputs)
                target = nbformat.v4.new_code_cell(outputs=outputs[index:end], metadata={"tags": ["remove-input"]})
                target.id = f"{cell.id}-{later}"
                cells.append(target)
            alt = outputs[index].metadata.get("image/png", {}).get("alt", "")
            target.metadata.setdefault("mystnb", {})["image"] = {"alt": alt}
        if len(pictures) > 1:
            cell.outputs = outputs[: pictures[1]]
    notebook.cells = cells
    return nbformat.writes(notebook).encode()


def modules() -> list[str]:
    """Return the names of the package's modules that have a page; a folder counts as one."""
    folder = Path(coursekit.__file__).parent
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(names - {"__init__", *_NOT_DOCUMENTED})


def api_pages(uses: dict[str, list[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """Yield name and text of the package's pages: one for each module, and one that lists them.

    ``uses`` tells for a name which notebooks use it (name and title).
    """
    lines, names = [], modules()
    for name in names:
        module = importlib.import_module(f"coursekit.{name}")
        first = inspect.getdoc(module).splitlines()[0].rstrip(".:")
        lines.append(f"* :doc:`coursekit.{name} <{name}>`: {first[0].lower() + first[1:]}")
        yield name, _api_page(module, uses)
    contents = "\n   ".join(names)
    yield (
        "index",
        f"{_title('The package')}\nWhat the notebooks built, kept for later ones. Names in the notebooks' code "
        "lead here; below each entry stands where it is used.\n\n"
        ".. automodule:: coursekit\n   :no-members:\n\n.. py:currentmodule:: coursekit\n\n"
        + "\n".join(_entry(coursekit, thing, uses) for thing in public_names(coursekit))
        + "\n\n"
        + "\n".join(lines)
        + f"\n\n.. toctree::\n   :hidden:\n\n   {contents}\n",
    )


def public_names(module: ModuleType) -> list[str]:
    """Return a module's public names in the order of its ``__all__``, or of its source."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if callable(getattr(module, name))]
    defined = (vars(module)[name] for name in vars(module) if not name.startswith("_"))
    return [thing.__name__ for thing in defined if getattr(thing, "__module__", None) == module.__name__]


def _api_page(module: ModuleType, uses: dict[str, list[tuple[str, str]]]) -> str:
    name = module.__name__
    parts = [_title(name), f".. automodule:: {name}\n   :no-members:\n", f".. py:currentmodule:: {name}\n"]
    return "\n".join(parts + [_entry(module, thing, uses) for thing in public_names(module)])


def _entry(module: ModuleType, thing: str, uses: dict[str, list[tuple[str, str]]]) -> str:
    kind = "autoclass" if inspect.isclass(getattr(module, thing)) else "autofunction"
    pages = ", ".join(
        f":doc:`{title} </notebooks/{page}>`" for page, title in uses.get(f"{module.__name__}.{thing}", [])
    )
    return f".. {kind}:: {thing}\n" + (f"\n   *Used in* {pages}\n" if pages else "")


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def link_names(app, page: str, template: str, context: dict, doctree) -> None:
    """Link the package's names in a notebook's code to their pages (a hook of Sphinx)."""
    path = Path(app.srcdir) / f"{page}.ipynb"
    if "body" not in context:
        return
    context["body"] = context["body"].replace("Variables<span", "Attributes<span")  # numpydoc's word
    if path.exists():
        objects = app.env.get_domain("py").objects
        targets = {
            name: f"{app.builder.get_relative_uri(page, entry.docname)}#{entry.node_id}"
            for name, entry in objects.items()
        }
        cells = nbformat.read(path, as_version=4).cells
        source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        context["body"] = crosslinks.link_code(context["body"], source, targets)


def _write_changed(wanted: dict[Path, bytes], folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
