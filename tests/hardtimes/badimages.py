"""Folders of bad images: every file is converted, or named with the reason why not; none is dropped in silence.

The kinds are those of tests/odd_folders.py: files that are read, files that are refused, files that are no concern,
files in wrong places, and folders that cannot serve as a data set.

    python tests/hardtimes/badimages.py
"""

import contextlib
import io
import itertools
import os
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils.data import DataLoader

from coursekit.data.folders import FolderError, FolderSet, read
from tests.hardtimes import common
from tests.odd_folders import CONVERTED, IGNORED, LAYOUTS, PLACES, REFUSED, fill, lay

OUTCOMES = {
    "read": "read as it is",
    "converted": "read after a conversion that the report names",
    "refused": "refused, with name and reason",
    "ignored": "listed as no concern of the data set, with name and reason",
    "stopped": "an error before anything is read, with what is wrong and what to do",
}


def fates(dataset: FolderSet) -> dict[str, list[str]]:
    """Return what became of each name; a name in two lists or none is for `lost` to find."""
    report = dataset.report
    found = {name: ["converted" if name in report.converted else "read"] for name in dataset.names}
    for what in ("refused", "ignored"):
        for name in getattr(report, what):
            found.setdefault(name, []).append(what)
    return found


def lost(root: Path, found: dict[str, list[str]]) -> list[str]:
    """Return the files that no list names, or more than one; a folder's name stands for all that is in it."""
    wrong = []
    for at, folders, files in os.walk(root):
        names = [os.path.relpath(os.path.join(at, name), root) for name in files]
        names += [os.path.relpath(os.path.join(at, f), root) for f in folders if os.path.islink(os.path.join(at, f))]
        for name in names:
            parents = list(itertools.accumulate(name.split(os.sep), "{}/{}".format))
            listed = [fate for parent in parents for key in (parent, f"{parent}/") for fate in found.get(key, ())]
            if len(listed) != 1 and not any(part in ("fish", "more") for part in name.split(os.sep)):
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
    tables = [("cats", CONVERTED, {"read", "converted"}), ("dogs", REFUSED, {"refused"}), (".", IGNORED, {"ignored"})]
    for folder, table, _ in tables:
        for name, content in table.items():
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content[0])
    dataset = read(root, 16)
    one_epoch(dataset)
    found = fates(dataset)
    results, wrong = {}, lost(root, found)
    for folder, table, allowed in tables:
        for name in table:
            hidden = name.split("/")[0] if name.startswith(("__MACOSX", ".git")) else name
            key = hidden if folder == "." else f"{folder}/{name}"
            results[f"file {folder}/{name}"] = fate = found.get(key, ["lost"])[0]
            if fate not in allowed:
                wrong.append(f"{key} was {fate}, expected {' or '.join(sorted(allowed))}")
    return results, wrong


def wrong_places(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Put each kind of misplaced file, link, pipe and device into a folder of its own."""
    results, wrong = {}, []
    for number, (kind, (change, name, reason)) in enumerate(PLACES.items()):
        root = fill(scratch / "places" / str(number))
        change(root)
        dataset = read(root, 8)
        one_epoch(dataset)
        results[f"place: {kind}"] = "refused"
        if reason not in dataset.report.refused.get(name, ""):
            wrong.append(f"{kind}: {name} was not refused because of {reason!r}")
        wrong += [f"{kind}: {line}" for line in lost(root, fates(dataset))]
    return results, wrong


def wrong_folders(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Give folders that are no data set, and paths that are no folder."""
    fill(scratch / "right")
    (scratch / "right.zip").write_bytes(b"PK")
    (scratch / "note.txt").write_bytes(b"a text")
    cases = {kind: (lay(scratch / f"layout {kind}", names), FolderError) for kind, (names, _) in LAYOUTS.items()}
    cases |= {
        "misspelt": (scratch / "rihgt", FileNotFoundError),
        "an archive": (scratch / "right.zip", NotADirectoryError),
        "a file": (scratch / "note.txt", NotADirectoryError),
        "no path": ("", TypeError),
    }
    results, wrong = {}, []
    for kind, (path, expected) in cases.items():
        try:
            read(path, 8)
            wrong.append(f"folder: {kind} was read")
        except expected as error:
            results[f"folder: {kind}"] = "stopped"
            if len(str(error)) < 30:
                wrong.append(f"folder: {kind}: {error} says too little")
    return results, wrong


def without_permission(scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Take the permission away for one file and for one class; a superuser first gives up the right to read on."""
    prefix = common.obedient()
    if prefix is None:
        return {}, []
    for kind in ("file", "class"):
        root = fill(scratch / f"closed {kind}", ("cats", "dogs", "fish"))
        (root / "cats/good2.png" if kind == "file" else root / "fish").chmod(0)
    done = common.child(__file__, "--closed", scratch, prefix=prefix)
    (scratch / "closed class" / "fish").chmod(0o755)
    if done.stdout.split() != ["refused", "stopped"]:
        return {}, [f"without permission: {done.stdout}{done.stderr}"]
    return {"place: file without permission": "refused", "folder: class without permission": "stopped"}, []


def as_child(scratch: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        reason = read(scratch / "closed file", 8).report.refused.get("cats/good2.png", "")
    print("refused" if "no permission" in reason else reason)
    try:
        print(read(scratch / "closed class", 8))
    except FolderError as error:
        print("stopped" if "fish/: no permission" in str(error) else error)


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
    counts = Counter(results.values())
    sorts = {
        fate: Counter(kind.split(":")[0].split()[0] for kind in results if results[kind] == fate) for fate in counts
    }
    rows = [
        (f"bad images: {', '.join(f'{n} kinds of {sort}' for sort, n in sorts[fate].items())}", counts[fate], text)
        for fate, text in OUTCOMES.items()
    ]
    rows.append(
        ("bad images: dropped in silence", sum("is listed 0 times" in line for line in wrong), "should be none")
    )
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
