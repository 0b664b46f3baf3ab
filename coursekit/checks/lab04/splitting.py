"""Question 3, second part: a split that keeps the photos of a series together."""

from __future__ import annotations

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint


def check_split(split: Function, names: list[str], share: float, rng: np.random.Generator) -> None:
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
            wanted = max(1, round(share * len(members)))
            if counts[folder] == len(members) - wanted != wanted:
                raise Hint("`share` is the test part's, not the training part's.")
            if counts[folder] != wanted:
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


def series_names(rng: np.random.Generator) -> list[str]:
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
    parts = [part.tolist() if hasattr(part, "tolist") else part for part in answer]
    for part in parts:
        if not isinstance(part, list | tuple):
            raise Hint(f"`split` must return two lists of positions, not {compare.kind(part)}.")
        for k in part:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k < count:
                raise Hint("`split` must return positions in `names`: whole numbers from 0, not names.")
    return sorted(map(int, parts[0])), sorted(map(int, parts[1]))
