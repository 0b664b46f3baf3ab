"""What `make run`, `make site` and `make slides` print around the building of site and decks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

_MISSING = 'The site was not built: {} is not installed. Try: pip install --editable ".[site]"'


def has_site(root: Path) -> bool:
    """Tell whether this course has the settings of a site."""
    return (root / "docs" / "conf.py").exists()


def site(root: Path, executed: Path | None = None) -> int:
    """Build the site, say where it is, and return the exit code.

    Parameters
    ----------
    root : Path
        The course's root folder.
    executed : Path, optional
        A folder with notebooks that were just executed.
    """
    try:
        from tools.site import SiteError, build

        start = time.perf_counter()
        page = build(root, executed)
    except ModuleNotFoundError as error:
        print(_MISSING.format(error.name))
        return 1
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"\nThe site, built in {time.perf_counter() - start:.0f} s: {page.resolve().as_uri()}  (open it in a browser)"
    )
    return 0


def slides(root: Path, paths: Iterable[Path]) -> int:
    """Make the decks, say where they are, and return the exit code."""
    try:
        from tools import slides as decks
    except ModuleNotFoundError as error:
        print(_MISSING.format(error.name))
        return 1
    folder = root / "build" / "site" / "slides"
    decks.copy_mathjax(folder.parent / "_static" / "mathjax")
    for deck in decks.build(paths, folder):
        print(deck.resolve().as_uri())
    return 0
