"""Find the files of a folder that has one sub-folder for each class, and say what is wrong with its layout.

Nothing is decoded here. Every entry of the folder ends up in one of three places: in a class, refused, or ignored.
"""

import difflib
import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from coursekit.data.imagefiles import SUFFIXES

_SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "@eadir"}
_ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz", ".rar", ".7z"}


class FolderError(ValueError):
    """A folder cannot serve as a data set. The message says what was found, what was expected, what to do."""


class File(NamedTuple):
    """A file that should be an image: its name ``class/file``, where it is, and what is odd about it."""

    name: str
    path: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    """What was found in a folder: the files of each class, and why the others are not among them."""

    root: Path
    classes: dict[str, list[File]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def natural_key(name: str) -> tuple:
    """Return a key that sorts ``cat.2`` before ``cat.10``, and the same way on every system."""
    parts = re.split(r"(\d+)", _folded(name))
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def existing_folder(root: str | os.PathLike) -> Path:
    """Return ``root`` as a path to a folder that is there, or raise an error that helps to find it."""
    if not isinstance(root, str | os.PathLike) or not str(root).strip():
        raise TypeError(f"root must be the path of a folder, got {root!r}")
    path = Path(os.path.expanduser(root))
    if path.is_dir():
        return path
    if path.exists():
        archive = path.suffix.lower() in _ARCHIVES
        what = "is an archive: unpack it first" if archive else "is a file, not a folder"
        raise NotADirectoryError(f"{path} {what}, then give the folder that holds the class folders")
    parent = next(parent for parent in path.absolute().parents if parent.is_dir())
    missing = path.absolute().relative_to(parent).parts[0]
    near = difflib.get_close_matches(missing, [entry.name for entry in _entries(parent)], n=3)
    near += [
        entry.name for entry in _entries(parent) if entry.name.startswith(f"{missing}.") and entry.name not in near
    ]
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check the spelling, or give the whole path."
    raise FileNotFoundError(f"there is no folder {path}: {parent} has no {missing}. {hint}")


def find(root: Path) -> Tree:
    """List all files of a folder in natural order, sorted into classes, refused and ignored.

    Raises
    ------
    FolderError
        When two class folders have the same name but for upper and lower case.
    """
    tree = Tree(root)
    for entry in _entries(root):
        name = unicodedata.normalize("NFC", _shown(entry.name))
        if _is_system(entry.name):
            tree.ignored[name] = "hidden or system file"
        elif entry.is_symlink() and not os.path.exists(entry.path):
            tree.refused[name] = "link: it leads nowhere"
        elif not entry.is_dir():
            if Path(name).suffix.lower() in SUFFIXES:
                tree.refused[name] = "wrong place: not in the folder of a class"
            else:
                tree.ignored[name] = "other file: not an image by its name"
        elif entry.is_symlink() and Path(entry.path).resolve() in (root.resolve(), *root.resolve().parents):
            tree.refused[name] = "link: it leads back to the folder that it is in"
        else:
            twin = next((other for other in tree.classes if _folded(other) == _folded(name)), None)
            if twin:
                raise FolderError(f"the class folders {twin} and {name} differ only by case: merge or rename one")
            tree.classes[name] = _files_of_class(entry, name, tree)
    return tree


def check_layout(tree: Tree, allow_empty: bool) -> None:
    """Raise FolderError where the folder has no classes, one class, or an empty one."""
    classes, name = tree.classes, tree.root.resolve().name
    layout = "Expected in it: cats/1.jpg, dogs/1.jpg and so on, one folder for each class."
    if not classes:
        archives = [other for other in tree.ignored if Path(other).suffix.lower() in _ARCHIVES]
        found = f"but {len(tree.refused)} images directly in it" if tree.refused else "and no images"
        hint = f"Unpack {archives[0]} first. " if archives else ""
        hint += f"If {name} is itself a class, give the folder above it. " if tree.refused else ""
        raise FolderError(f"{name} has no class folders, {found}. {hint}{layout}")
    inner = ["/".join(other.split("/")[:2]) for other in tree.refused if other.count("/") > 1 and other[-1] != "/"]
    inner = sorted(set(inner), key=natural_key)
    if inner and not any(classes.values()):
        outer = dict.fromkeys(f"{name}/{other.split('/')[0]}" for other in inner)
        raise FolderError(
            f"the images are one folder deeper than expected: {name} has none in {', '.join(classes)}, but in "
            f"{', '.join(inner[:4])}. Read {' or '.join(list(outer)[:4])} instead. {layout}"
        )
    if len(classes) < 2:
        raise FolderError(
            f"{name} has one class only ({next(iter(classes))}); there must be two to tell apart. {layout}"
        )
    check_empty({label: len(files) for label, files in classes.items()}, tree, allow_empty)


def check_empty(counts: dict[str, int], tree: Tree, allow_empty: bool) -> None:
    """Raise FolderError naming the classes that have no images, and why, from the number of images of each."""
    empty = [label for label, count in counts.items() if not count]
    if not empty or (allow_empty and len(empty) < len(counts)):
        return
    troubles = []
    for label in empty:
        why = [
            f"{other}: {reason}"
            for other, reason in (tree.refused | tree.ignored).items()
            if other.startswith(f"{label}/")
        ]
        troubles.append(f"{label} ({'; '.join(why[:2])}{'; …' if len(why) > 2 else ''})" if why else label)
    raise FolderError(
        f"no image in the class{'es' if len(empty) > 1 else ''} {', '.join(troubles)}. Add images, remove the folder, "
        "or pass allow_empty=True (which needs one class with images)"
    )


def _files_of_class(folder: os.DirEntry, name: str, tree: Tree) -> list[File]:
    files, seen = [], {}
    try:
        entries = _entries(folder.path)
    except PermissionError:
        tree.refused[f"{name}/"] = "no permission: this user may not list it"
        return files
    for entry in entries:
        path, shown = Path(entry.path), f"{name}/{_shown(entry.name)}"
        if _is_system(entry.name):
            tree.ignored[shown] = "hidden or system file"
        elif os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            _refuse_inner(path, shown, tree)
        else:
            notes = ("link followed",) if entry.is_symlink() or folder.is_symlink() else ()
            twin = seen.setdefault(_folded(entry.name), shown)
            notes += () if twin == shown else ("name differs from another's only by case",)
            files.append(File(shown, path, notes))
    return files


def _refuse_inner(folder: Path, name: str, tree: Tree) -> None:
    if folder.is_symlink():
        tree.refused[f"{name}/"] = "link: a linked folder inside a class is not followed"
        return
    inner = [Path(at, file).relative_to(folder) for at, _, files in os.walk(folder) for file in files]
    for path in sorted(inner, key=lambda path: natural_key(path.as_posix())):
        shown = f"{name}/{_shown(path.as_posix())}"
        if any(map(_is_system, path.parts)):
            tree.ignored[shown] = "hidden or system file"
        else:
            tree.refused[shown] = "wrong place: in a folder inside the folder of a class"
    if not inner:
        tree.refused[f"{name}/"] = "not a file: an empty folder"


def _entries(folder: str | os.PathLike) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: natural_key(entry.name))


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


def _folded(name: str) -> str:
    # Some systems store an accent as a letter of its own, so that one name can be spelt in two ways.
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


def _shown(name: str) -> str:
    # A name may hold bytes that are no text, or line breaks, which would spoil whatever prints the report.
    if name.isprintable():
        return name
    odd = {char for char in name if unicodedata.category(char) in ("Cc", "Cs")}
    return "".join(char.encode("unicode_escape").decode() if char in odd else char for char in name)
