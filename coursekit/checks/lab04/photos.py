"""Question 3: a folder of photos with odd files in it, and a split that keeps the photos of a series together."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint


def q3(read_folder: Function, split: Function, rng: np.random.Generator) -> None:
    """Read a folder with odd files in it; split it so that no series is on both sides."""
    size = int(rng.integers(8, 14))
    with tempfile.TemporaryDirectory(prefix="lab04-", ignore_cleanup_errors=True) as folder:
        pictures, classes, bad, gray = _write_photos(Path(folder), rng)
        found = _read(read_folder, Path(folder), size, bad, gray)
    wanted = ("images", "labels", "classes", "names", "bad")
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise Hint(f"`read_folder` must return a dictionary with the keys {', '.join(map(repr, wanted))}.")
    _check_texts(found["classes"], "classes", classes)
    _check_names(found, list(pictures), bad, gray)
    labels = torch.tensor([classes.index(name.split("/")[0]) for name in pictures])
    hints = {"the labels do not fit to the order of `classes`: the first class is 0.": labels + 1}
    compare.array(found["labels"], "`labels`", labels, hints, dtype=torch.int64)
    small = [Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR) for p in pictures.values()]
    stacked = torch.from_numpy(np.stack([np.array(picture) for picture in small]))
    right = stacked.permute(0, 3, 1, 2)
    mistakes = {
        "red and blue have changed places in `images`.": right.flip(1),
        "height and width have changed places in `images`.": right.transpose(2, 3),
        "the axes of `images` must change places; a reshape scrambles the pixels.": stacked.reshape(right.shape),
        "`images` holds one channel three times: where are the colours?": right.float().mean(1, True) + 0 * right,
    }
    shapes = {tuple(stacked.shape): "the channels of `images` must come second: [N, 3, size, size]."}
    compare.array(found["images"], "`images`", right, mistakes, rtol=0.05, dtype=torch.uint8, shapes=shapes)
    for share in (0.2, 0.34, 0.5, 0.1):
        _check_split(split, _series_names(rng), share, rng)


def _read(read_folder: Function, folder: Path, size: int, bad: list[str], gray: list[str]) -> object:
    """Call the function; if it stops, find out at which files: give it one kind of odd files at a time."""
    try:
        return _call(read_folder, folder, size)
    except Hint as hint:
        first = hint
    hidden = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/.thumbnail.jpg"))
    kinds = {
        "stops at a file that lies beside the class folders: pass it over.": ["readme.txt"],
        "stops at a hidden file: pass it over.": hidden,
        "stops at a file that is no image at all. Catch the exception, and name the file in `bad`.": bad[1:],
        "stops at a photo that breaks off in the middle. `Image.open` notices nothing: the exception comes when the "
        "pixels are read. Let that happen inside the `try`, too.": bad[:1],
        "stops at a gray photo: it has one channel where the others have three. Make it red, green and blue like "
        "them.": gray,
    }
    odd = set(chain(*kinds.values()))
    with tempfile.TemporaryDirectory(prefix="lab04-", ignore_cleanup_errors=True) as copies:
        for number, (reason, names) in enumerate({"": [], **kinds}.items()):
            shutil.copytree(folder, copy := Path(copies, str(number)))
            for name in odd.difference(names):
                (copy / name).unlink()
            try:
                _call(read_folder, copy, size)
            except Hint as hint:
                says = str(hint).split(" stops with ")[-1]
                raise Hint(f"`read_folder` {reason} (Python says: {says})") if reason else first from None
    raise first


def _call(read_folder: Function, folder: Path, size: int) -> object:
    """Call it with a `Path`, as the notebook does; if it stops there, with a text."""
    try:
        return read_folder(folder, size)
    except Hint as hint:
        try:
            return read_folder(str(folder), size)
        except Hint:
            raise hint from None


def _write_photos(
    folder: Path, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], list[str], list[str], list[str]]:
    """Write small pictures in smooth colours, which survive any way of resizing, and files that are none.

    Returns the pictures, and the names of the classes, of the bad files and of the gray photos.
    """
    classes = sorted(rng.choice(["cups", "forks", "keys", "lamps", "pens", "shoes"], 3, replace=False).tolist())
    pictures, gray = {}, []
    for number, name in enumerate(classes):
        (folder / name).mkdir()
        for k, ending in enumerate(rng.permutation(["jpg", "JPG", "png", "jpeg"])):
            (corners := rng.uniform(0, 255, (2, 2, 3)))[0, 0] = (250, 120, 10)
            if k == number:  # a gray one, as scanners make them
                corners = corners[..., :1].repeat(3, axis=2)
            y, x = (np.linspace(0, 1, n)[:, None] for n in rng.integers(30, 60, 2))
            image = np.einsum("hi,wj,ijc->hwc", np.hstack([1 - y, y]), np.hstack([1 - x, x]), corners).astype(np.uint8)
            file = f"thing{k}_{rng.integers(10)}.{ending}"
            picture = Image.fromarray(image[..., 0] if k == number else image)
            picture.save(folder / name / file, format="png" if ending == "png" else "jpeg", quality=95)
            pictures[f"{name}/{file}"] = image
            gray += [f"{name}/{file}"] * (k == number)
        (folder / name / ".thumbnail.jpg").write_bytes(b"of the system")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "thing1_1.png").write_bytes(next((folder / classes[0]).glob("*.png")).read_bytes())
    bad = [f"{classes[0]}/thing8_1.jpg", f"{classes[2]}/thing9_1.jpg"]
    noise = Image.fromarray(rng.integers(0, 256, (60, 60, 3)).astype(np.uint8))
    noise.save(folder / bad[0])
    whole = (folder / bad[0]).read_bytes()
    (folder / bad[0]).write_bytes(whole[: len(whole) // 2])  # opens, but cannot be read to its end
    (folder / bad[1]).write_text("<html>not found</html>", encoding="utf-8")
    (folder / "readme.txt").write_text("my photos", encoding="utf-8")
    return pictures, classes, bad, gray


def _check_texts(answer: object, name: str, right: list[str]) -> None:
    if not isinstance(answer, list | tuple) or not all(isinstance(text, str) for text in answer):
        raise Hint(f"`{name}` must be a list of texts, not {compare.kind(answer)}.")
    if "readme.txt" in answer:
        raise Hint("only *folders* are classes: a file beside them is none.")
    if any(text.startswith(".") for text in answer):
        raise Hint("a hidden folder (its name begins with a dot) is no class: pass it over.")
    if sorted(answer) == right != list(answer):
        raise Hint(f"`{name}` must be sorted: without that, another computer gives other labels.")
    if list(answer) != right:
        raise Hint(f"`{name}` must be the names of the folders, without their path: found {answer!r:.80}.")


def _check_names(found: dict, right: list[str], bad: list[str], gray: list[str]) -> None:
    names, said = found["names"], found["bad"]
    for part in (names, said):
        if not isinstance(part, list | tuple) or not all(isinstance(name, str) for name in part):
            raise Hint("`names` and `bad` must be lists of texts.")
    if any("/." in name.replace("\\", "/") for name in [*names, *said]):
        raise Hint("a hidden file (its name begins with a dot) is no photo, and not a bad one either: pass it over.")
    if any(name.replace("\\", "/").count("/") != 1 for name in [*names, *said]):
        raise Hint('a name must be of the form "class/file", without the path before it.')
    if set(names) & set(bad):
        raise Hint("a file that cannot be read to its end is in `names`.")
    if set(right) - set(names):
        lost = {name.rsplit(".", 1)[1] for name in set(right) - set(names)}
        where = "in `bad`, though they are good" if set(right) & set(said) else "missing in `names`"
        if set(right) - set(names) == set(gray):
            raise Hint(f"gray photos are {where}: they have one channel where the others have three.")
        raise Hint(f"some photos with the ending {', '.join(sorted(lost))} are {where}.")
    if sorted(said) != bad:
        raise Hint(f"`bad` names {len(said)} files; there are {len(bad)} that cannot be read, and each must be named.")
    if sorted(names) == right != list(names):
        raise Hint("the photos must come class by class, and sorted by name: no folder promises an order of its own.")
    if list(names) != right:
        raise Hint("`names` must name each photo once.")


def _check_split(split: Function, names: list[str], share: float, rng: np.random.Generator) -> None:
    """Ask for splits with several seeds, and look for leaks and for shares that are not followed."""
    seeds = rng.integers(0, 1000, 4).tolist()
    parts = [_parts(split(names, share, seed), len(names)) for seed in seeds]
    of = [name.rsplit("_", 1)[0] for name in names]
    series = {folder: {s for s in of if s.startswith(folder)} for folder in ("cups", "keys", "pens")}
    for train, test in parts:
        if set(train) & set(test):
            raise Hint("a photo is in the training *and* in the test part.")
        if len(train) != len(set(train)) or len(test) != len(set(test)):
            raise Hint("a photo is in a part twice.")
        if len(train) + len(test) < len(names):
            raise Hint("some photos are in neither part.")
        if leaks := {of[k] for k in train} & {of[k] for k in test}:
            raise Hint(f"a leak: the series {sorted(leaks)[0]!r} has photos in both parts.")
        counts = {folder: len({of[k] for k in test} & members) for folder, members in series.items()}
        for folder, members in series.items():
            exact = share * len(members)
            wanted = {max(1, math.floor(exact + 0.5 + near)) for near in (-1e-9, 1e-9)}  # a half may go either way
            if len(members) - counts[folder] in wanted and counts[folder] not in wanted:
                raise Hint("`share` is the test part's, not the training part's.")
            if counts[folder] not in wanted:
                if all(counts.values()):
                    _check_series(names, train, test)
                raise Hint(
                    f"class {folder!r} has {len(members)} series, and {counts[folder]} are in the test part with "
                    f"share {share}: take the share of each class's *series*, rounded, and at least one."
                )
    if _parts(split(names, share, seeds[0]), len(names)) != parts[0]:
        raise Hint("the same seed must give the same split.")
    if all(part == parts[0] for part in parts):
        raise Hint("another seed must give another split.")
    restarted = []
    with contextlib.suppress(Hint):
        restarted = [_parts(split(names, share, seeds[0], salt=salt), len(names)) for salt in range(1, 5)]
    if any(part != restarted[0] for part in restarted):
        raise Hint(
            "after a restart, the same seed must give the same split, too: the order of a set of texts changes from "
            "start to start. Sort it."
        )


def _series_names(rng: np.random.Generator) -> list[str]:
    """Name photos of several classes: series of unequal length, some with the same name in two classes."""
    names = []
    for folder, count in (("cups", rng.integers(11, 14)), ("keys", rng.integers(6, 9)), ("pens", rng.integers(3, 6))):
        for number in range(count):
            thing = f"old_{number}" if number % 2 else f"thing{number}"
            names += [f"{folder}/{thing}_{shot}.jpg" for shot in range(rng.integers(1, 8))]
    return rng.permutation(names).tolist()


def _check_series(names: list[str], train: list[int], test: list[int]) -> None:
    """Say so if other groups than the series were kept together."""
    for cut, hint in (
        (lambda name: name.rsplit("_", 1)[0].split("/")[1], "two classes may have a series of the same name: the class "
         "belongs to it."),
        (lambda name: name.split("_")[0], "the name of a series ends at the *last* underscore, not at the first."),
    ):  # fmt: skip
        if not {cut(names[k]) for k in train} & {cut(names[k]) for k in test}:
            raise Hint(hint)


def _parts(answer: object, count: int) -> tuple[list[int], list[int]]:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Hint(f"`split` must return two lists, training and test, not {compare.kind(answer)}.")
    name = "a part that `split` returns (positions in `names`)"
    parts = [compare.as_array(part, name, (-1,), whole=True) for part in answer]
    if any(part.size and not 0 <= part.min() <= part.max() < count for part in parts):
        raise Hint("`split` must return positions in `names`, from 0.")
    return sorted(parts[0].tolist()), sorted(parts[1].tolist())
