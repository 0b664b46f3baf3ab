"""Folders of bad images: every file is converted, or named with the reason why not; none is dropped in silence.

The kinds are those of tests/odd_folders.py: files that are read, files that are refused, files that are no concern,
files in wrong places, and folders that cannot serve as a data set.

    python tests/stress/badimages.py
"""

import contextlib
import io
import itertools
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils.data import DataLoader

from coursekit.data.folders import FolderError, FolderSet, read
from tests.odd_folders import CONVERTED, IGNORED, LAYOUTS, PLACES, REFUSED, fill, lay
from tests.stress import common

OUTCOMES = {
    # what became of it: (what it was, what happened)
    "read": ("odd images", "read as it is"),
    "converted": ("odd images", "read after a conversion, which the report names"),
    "refused": ("bad images", "refused, with name and reason"),
    "ignored": ("no images", "listed as no concern of the data set, with name and reason"),
    "stopped": ("bad folders", "an error before anything is read, with what is wrong and what to do"),
    "not here": ("bad images", "cannot be imitated on this system, which has no setpriv"),
    "WRONG": ("bad images", "WRONG"),
}
NO_CONCERN = ("hidden or system file", "not an image", "empty: 0 bytes")


def fates(dataset: FolderSet) -> dict[str, list[tuple[str, str]]]:
    """Return what became of each name, and why; a name in two lists or none is for `lost` to find."""
    report = dataset.report
    found = {name: [("read", "")] for name in dataset.names}
    found |= {name: [("converted", note)] for name, note in report.converted.items()}
    for what in ("refused", "ignored"):
        for name, reason in getattr(report, what).items():
            found.setdefault(name, []).append((what, reason))
    return found


def expected() -> dict[str, tuple[bytes, str, tuple[str, ...]]]:
    """Return the contents of each file, what must become of it, and what the report must say of that, one of these."""
    files = {}
    for name, (content, note, *_) in CONVERTED.items():
        files[f"cats/{name}"] = (content, "converted", (note,)) if note else (content, "read", ("",))
    files |= {f"dogs/{name}": (content, "refused", (why,)) for name, (content, why) in REFUSED.items()}
    return files | {name: (content, "ignored", NO_CONCERN) for name, content in IGNORED.items()}


def lost(root: Path, found: dict[str, list[str]]) -> list[str]:
    """Return the files that no list names, or more than one; a folder's name stands for all that is in it."""
    wrong = []
    for at, folders, files in os.walk(root):
        names = [os.path.relpath(os.path.join(at, name), root) for name in files]
        names += [os.path.relpath(os.path.join(at, f), root) for f in folders if os.path.islink(os.path.join(at, f))]
        for name in names:
            parents = list(itertools.accumulate(name.split(os.sep), "{}/{}".format))
            listed = [fate for parent in parents for key in (parent, f"{parent}/") for fate in found.get(key, ())]
            if len(listed) != 1:
                wrong.append(f"{name!r} is listed {len(listed)} times")
    return wrong


def one_epoch(dataset: FolderSet) -> None:
    """Go through all images as training does: nothing may fail in the middle of an epoch."""
    for images, labels in DataLoader(dataset, batch_size=16, shuffle=True):
        if not torch.isfinite(images).all() or len(images) != len(labels):
            raise ValueError("an image that was read is no picture")


def everything_in_one_folder(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Put every kind of file into one folder, and read it."""
    root = fill(scratch / "pets", number=30)
    for name, (content, *_) in expected().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    dataset = read(root, 16)
    one_epoch(dataset)
    found = fates(dataset)
    results, wrong = {}, lost(root, found)
    for name, (_, fate, reasons) in expected().items():
        key = name.split("/")[0] if name.startswith(("__MACOSX", ".git")) else name
        became, why = found.get(key, [("lost", "")])[0]
        right = became == fate and (any(reason in why for reason in reasons) if why else reasons == ("",))
        results[f"file {name}"] = fate if right else "WRONG"
        if not right:
            wrong.append(f"{name} was {became} ({why or 'no reason'}), expected {fate} ({' or '.join(reasons)})")
    return results, wrong


def wrong_places(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Put each kind of misplaced file, link, pipe and device into a folder of its own."""
    results, wrong = {}, []
    for number, (kind, (change, name, reason)) in enumerate(PLACES.items()):
        root = fill(scratch / "places" / str(number))
        change(root)
        dataset = read(root, 8)
        one_epoch(dataset)
        right = reason in dataset.report.refused.get(name, "")
        results[f"place: {kind}"] = "refused" if right else "WRONG"
        if not right:
            wrong.append(f"{kind}: {name} was not refused because of {reason!r}")
        wrong += [f"{kind}: {line}" for line in lost(root, fates(dataset))]
    return results, wrong


def wrong_folders(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Give folders that are no data set, and paths that are no folder."""
    fill(scratch / "right")
    (scratch / "right.zip").write_bytes(b"PK")
    (scratch / "note.txt").write_bytes(b"a text")
    cases = {}
    for kind, (names, said) in LAYOUTS.items():
        (scratch / kind).mkdir()
        cases[kind] = lay(scratch / kind / "set", names), FolderError, said
    cases |= {
        "misspelt": (scratch / "rihgt", FileNotFoundError, "there is no folder .*rihgt.*Did you mean right"),
        "an archive": (scratch / "right.zip", NotADirectoryError, "is a file, not a folder. Unpack an archive first"),
        "a file": (scratch / "note.txt", NotADirectoryError, "is a file, not a folder.*give its folder"),
        "no path": ("", ValueError, "must be the path of a folder"),
    }
    results, wrong = {}, []
    for kind, (path, error_type, said) in cases.items():
        try:
            became = f"read: {read(path, 8)}"
        except error_type as error:
            became = str(error)
            if re.search(said, became, re.DOTALL):
                results[f"folder: {kind}"] = "stopped"
                continue
        results[f"folder: {kind}"] = "WRONG"
        wrong.append(f"folder: {kind}: not {said!r}, but {became}")
    return results, wrong


def without_permission(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Take the permission away for one file and for one class; a superuser first gives up the right to read on."""
    cases = {"place: file without permission": "refused", "folder: class without permission": "stopped"}
    prefix = common.obedient()
    if prefix is None:
        return dict.fromkeys(cases, "not here"), []
    for kind in ("file", "class"):
        root = fill(scratch / f"closed {kind}", ("cats", "dogs", "fish"))
        (root / "cats/good2.png" if kind == "file" else root / "fish").chmod(0)
    done = common.child(__file__, "--closed", scratch, prefix=prefix)
    (scratch / "closed class" / "fish").chmod(0o755)
    if done.stdout.split() != list(cases.values()):
        return dict.fromkeys(cases, "WRONG"), [f"without permission: {done.stdout}{done.stderr}"]
    return cases, []


def as_child(scratch: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        reason = read(scratch / "closed file", 8).report.refused.get("cats/good2.png", "")
    print("refused" if "no permission" in reason else reason)
    try:
        print(read(scratch / "closed class", 8))
    except PermissionError as error:
        print("stopped" if "fish" in str(error) else error)


def main() -> None:
    warnings.simplefilter("error")
    if sys.argv[1:2] == ["--closed"]:
        as_child(Path(sys.argv[2]))
        return
    results, wrong = {}, []
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        for part in (everything_in_one_folder, wrong_places, wrong_folders, without_permission):
            found, troubles = part(Path(name))
            results |= found
            wrong += troubles
    for kind, fate in results.items():
        print(f"{kind!a:45} {fate}")
    rows = [row(results, fate) for fate in OUTCOMES if fate in results.values()]
    dropped = sum("is listed 0 times" in line for line in wrong)
    rows.append(("odd and bad images and folders: dropped in silence", dropped, "WRONG" if dropped else "none"))
    common.finish(rows, wrong)


def row(results: dict[str, str], fate: str) -> tuple[str, int, str]:
    """Count the kinds of file, place and folder of which the same became."""
    kinds = [kind for kind, became in results.items() if became == fate]
    sorts = Counter(re.match(r"\w+", kind)[0] for kind in kinds)
    what, outcome = OUTCOMES[fate]
    if fate == "not here":
        return f"{what}: {', '.join(kinds)}", 0, outcome
    return f"{what}: {', '.join(f'{n} kinds of {sort}' for sort, n in sorts.items())}", len(kinds), outcome


if __name__ == "__main__":
    main()
