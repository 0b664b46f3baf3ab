"""Links both ways between the notebooks' code and the package's pages: which notebook uses what, and where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import nbformat

from tools import summary
from tools.normalform import read

_IMPORT = re.compile(r"^\s*from coursekit import (.+)$", re.MULTILINE)
_NAME = r'<span class="n">{}</span>'
_USE = re.compile(_NAME.format(r"(?P<module>\w+)") + r'<span class="o">\.</span>' + _NAME.format(r"(?P<name>\w+)"))


def modules_of(source: str) -> dict[str, str]:
    """Return the package's modules that code imports: the name that they go by there, and their own."""
    found = {"coursekit": "coursekit"}
    for names in _IMPORT.findall(source):
        for part in names.strip("()").split(","):
            name, _, alias = part.partition(" as ")
            found[(alias or name).strip()] = f"coursekit.{name.strip()}"
    return found


def code_of(notebook: nbformat.NotebookNode) -> str:
    """Return the code of all cells as one text."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


@cache
def uses(paths: tuple[Path, ...]) -> dict[str, list[tuple[str, str]]]:
    """Return for each name of the package, such as ``coursekit.training.fit``, the notebooks that use it.

    A notebook is given by its name and its title.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path in paths:
        page, source = (path.stem, summary.read(path).title), code_of(read(path))
        for alias, module in modules_of(source).items():
            for name in dict.fromkeys(re.findall(rf"(?<![\w.]){alias}\.(\w+)", source)):
                found.setdefault(f"{module}.{name}", []).append(page)
    return found


def link_code(html: str, source: str, targets: Mapping[str, str]) -> str:
    """Make links of the names that ``targets`` knows, full name to address, in a page that Pygments has highlighted.

    ``source`` is the page's code as text, for its imports.
    """
    modules = modules_of(source)

    def link(match: re.Match) -> str:
        address = targets.get(f"{modules.get(match['module'])}.{match['name']}")
        return f'<a class="code-link" href="{address}">{match[0]}</a>' if address else match[0]

    return _USE.sub(link, html)
