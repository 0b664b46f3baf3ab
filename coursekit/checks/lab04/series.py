"""Questions 1, 3 and 6: the most similar photo, a split that keeps series together, an interval that knows of them."""

import contextlib
from functools import partial

import numpy as np
import torch

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint

# q1: the most similar photo -----------------------------------------------------------------------------------------


def q1(nearest: Function, rng: np.random.Generator) -> None:
    """Compare the labels of the most similar training photos, by the cosine of their features."""
    slips = {
        "farthest": "this is the *least* similar photo.",
        "dot": "this is the largest product: a photo with large features always wins. Divide each row by its norm.",
        "distance": "this is the smallest distance; the cosine looks at the direction of the features alone.",
        "index": "these are the positions of the training photos; asked for are their labels.",
        "centred": "the features are used as they come: nothing is subtracted.",
        "sign": "a cosine of -1 is the *least* similar: no absolute values.",
    }
    for count, most, least in ((40, 3, 0), (60, 7, -0.8)):
        train, test = (rng.uniform(least, 1, (n, 6)) ** 3 * rng.uniform(0.2, 5, (n, 1)) for n in (count, 30))
        train, test = (torch.from_numpy(part).float() for part in (train, test))
        labels = torch.from_numpy(rng.integers(0, most, count))
        answer = nearest(train, labels, test)
        name = "what `nearest` returns (one label for each test photo)"
        found = compare.as_array(answer, name, (len(test),), whole=True)
        pairs = [compare.as_array(nearest(train, labels, pair), name, (2,)) for pair in test[:10].split(2)]
        if (np.concatenate(pairs) != found[:10]).any():
            raise Hint("what `nearest` says to a photo changes with the other test photos.")
        mistakes = compare.mistakes_of(partial(_nearest, train, labels, test), slips)
        small = (nearest, _nearest, _FEW)
        compare.array(found, name, _nearest(train, labels, test), mistakes, small=small)


_FEW = {"train": torch.tensor([[3.0, 4], [40, -30]]), "labels": torch.tensor([5, 7])}
_FEW["test"] = torch.tensor([[4.0, 3], [4, -3]])


def _nearest(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, slip: str = "") -> torch.Tensor:
    train, test = (part - train.mean(0) * (slip == "centred") for part in (train, test))
    norms = [part.norm(dim=1, keepdim=True) if slip != "dot" else 1 for part in (train, test)]
    like = (test / norms[1]) @ (train / norms[0]).T
    like = {"distance": -torch.cdist(test, train), "farthest": -like, "sign": like.abs()}.get(slip, like)
    return like.argmax(1) if slip == "index" else labels[like.argmax(1)]


# q3: keep series together -------------------------------------------------------------------------------------------


def q3(split: Function, rng: np.random.Generator) -> None:
    """Ask for splits with several seeds, and look for leaks and for shares that are not followed."""
    few = ["cups/blue_1.jpg", "cups/blue_2.jpg", "pens/blue_1.jpg", "pens/old_red_1.jpg", "pens/old_red_2.jpg"]
    for names, share in ((few, 0.34), (_series_names(rng), 0.2), (_series_names(rng), 0.4)):
        seeds = rng.integers(0, 1000, 4).tolist()
        parts = [_parts(split(names, share, seed), len(names)) for seed in seeds]
        for train, test in parts:
            try:
                _check_part(names, train, test)
            except Hint as hint:
                case = f" A case for paper: names = {names}, share {share}; yours: training {train}, test {test}."
                raise Hint(f"{hint}{case * (names is few)}") from None
        for cut, hint in (
            ()
            if names is few
            else (
                (
                    lambda one: one.split("/")[1],
                    "two classes may have a series of the same name: the class belongs to it.",
                ),
                (
                    lambda one: one.split("_")[0],
                    "the name of a series ends at the *last* underscore, not at the first.",
                ),
            )
        ):
            sides = [[{cut(names[k].rsplit("_", 1)[0]) for k in part} for part in pair] for pair in parts]
            if all(test and not train & test for train, test in sides):
                raise Hint(hint)
        for _, test in parts:
            _check_share(names, test, share)
        if _parts(split(names, share, seeds[0]), len(names)) != parts[0]:
            raise Hint("the same seed must give the same split.")
        again = [_restarted(split, names, share, seeds[0], salt) for salt in range(1, 5)]
        if any(part != again[0] for part in again):
            raise Hint(
                "after a restart, the same seed must give the same split, too: the order of a set of texts changes "
                "from start to start. Sort it."
            )
        if names is not few and all(part == parts[0] for part in parts):
            raise Hint("another seed must give another split.")
    if not _parts(split(few, 0.1, seeds[0]), len(few))[1]:
        raise Hint("at least one series belongs to the test part, also where a small share would be rounded to none.")


def _restarted(split: Function, names: list[str], share: float, seed: int, salt: int) -> tuple[list[int], list[int]]:
    """Split as after a restart: with other hashes, or where numpy's texts lose these, with names in the same order."""
    with contextlib.suppress(Hint):
        parts = _parts(split(names, share, seed, salt=salt), len(names))
        _check_part(names, *parts)
        _check_share(names, parts[1], share)
        return parts
    return _parts(split(["x" * salt + name for name in names], share, seed), len(names))


def _check_part(names: list[str], train: list[int], test: list[int]) -> None:
    of = [name.rsplit("_", 1)[0] for name in names]
    if twice := [k for k in train + test if (train + test).count(k) > 1]:
        both = "in the training *and* in the test part" if set(train) & set(test) else "in a part twice"
        raise Hint(f"a photo is {both}: {names[twice[0]]!r}.")
    if lost := sorted(set(range(len(names))) - {*train, *test}):
        raise Hint(f"some photos are in neither part, such as {names[lost[0]]!r}.")
    if leaks := sorted({of[k] for k in train} & {of[k] for k in test}):
        raise Hint(f"a leak: the series {leaks[0]!r} has photos in both parts.")


def _check_share(names: list[str], test: list[int], share: float) -> None:
    of = [name.rsplit("_", 1)[0] for name in names]
    total, chosen = len(set(of)), len({of[k] for k in test})
    if abs(chosen - share * total) > 1.5 >= abs(total - chosen - share * total):
        raise Hint("`share` is the test part's, not the training part's.")
    if abs(chosen - share * total) > 1.5 or not chosen:
        asked = "take the share of the *series*, rounded up or down, and at least one."
        raise Hint(f"with share {share}, {chosen} of {total} series are in the test part: {asked}")


def _series_names(rng: np.random.Generator) -> list[str]:
    """Name photos of several classes: series of unequal length, some with the same name in two classes."""
    names = []
    for folder, count in (("cups", rng.integers(11, 14)), ("keys", rng.integers(6, 9)), ("pens", rng.integers(3, 6))):
        for number in range(count):
            thing = f"old_{number}" if number % 2 else f"thing{number}"
            names += [f"{folder}/{thing}_{shot}.jpg" for shot in range(rng.integers(1, 8))]
    return rng.permutation(names).tolist()


def _parts(answer: object, count: int) -> tuple[list[int], list[int]]:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Hint(f"`split` must return two lists, training and test, not {compare.kind(answer)}.")
    name = "a part that `split` returns (positions in `names`)"
    parts = [compare.as_array(part, name, (-1,), whole=True) for part in answer]
    if any(part.size and not 0 <= part.min() <= part.max() < count for part in parts):
        raise Hint("`split` must return positions in `names`, from 0.")
    return sorted(parts[0].tolist()), sorted(parts[1].tolist())


# q6: an interval that knows of series -------------------------------------------------------------------------------


def q6(interval: Function, rng: np.random.Generator) -> None:
    """Compare with a bootstrap of our own that draws series, and find out what else was drawn."""
    right, series = _answers(rng)
    low, high = _ends(interval, right, series, 4000, int(rng.integers(1000)))
    if high > 1.3:
        raise Hint("the ends must be shares from 0 to 1.")

    def ends(how: str = "", percent: tuple = (2.5, 97.5)) -> np.ndarray:
        return np.percentile(_drawn(right, series, how), percent)

    expected = ends()
    width = np.ptp(expected)

    def away(other: np.ndarray) -> float:
        return float(np.abs(np.array([low, high]) - other).max())

    tolerance = 0.07 * width
    if away(expected) < tolerance:
        return _check_draws(interval, rng)
    if high - low < tolerance:
        replaced = "the interval has hardly any width: are the series drawn *with* replacement? "
        raise Hint(replaced + "And the ends are percentiles of the accuracies, not their standard error.")
    wrong = {
        "this interval draws single photos, as if those of a series were independent.": ends("photo"),
        "this covers only about 68 % of the draws.": ends(percent=(16, 84)),
        "each *photo* counts the same: take all photos of a drawn series, not the mean of each series.": ends("mean"),
        "this is about the errors: asked for is the accuracy.": 1 - expected[::-1],
    }
    nearest = min(wrong, key=lambda hint: away(wrong[hint]))
    if away(wrong[nearest]) < tolerance:
        raise Hint(nearest)
    ratio = (high - low) / width
    fitting = "about as wide as it should be, but misplaced"
    about = "too narrow" if ratio < 0.9 else "too wide" if ratio > 1.1 else fitting
    own = _ends(interval, np.array([True, True, False]), np.array([4, 4, 7]), 2000, 0)
    case = "A case for paper: right = [True, True, False], series = [4, 4, 7]. Of two series two are drawn, so that"
    case += f" the accuracy is 0, 2/3 or 1, from 0 in 1 of 4 draws to 1 in 1 of 4. Yours: {own[0]:.2f} to {own[1]:.2f}."
    case = case if own != (0, 1) else "How many series does a draw have, and which percentiles leave 95 % between them?"
    raise Hint(f"the interval is {about}. {case}")


def _ends(interval: Function, *setting: object) -> tuple[float, float]:
    (row,), _ = compare.results(interval, [setting], (2,), whole=False)
    if row[0] > row[1]:
        raise Hint("`interval` must return two numbers: the low end first, then the high one.")
    return tuple(row.tolist())


def _check_draws(interval: Function, rng: np.random.Generator) -> None:
    """Ask for few draws and other seeds, and for a lopsided case: 8 series, one of them wrong."""
    series = np.arange(8).repeat(3) * 7
    case, seed = (series != 0, series), int(rng.integers(1000))
    low, high = _ends(interval, *case, 2000, seed)
    if high > 1.01:
        raise Hint("the accuracies are spread lopsidedly here: take percentiles, not mean and standard deviation.")
    if max(abs(low - 5 / 8), abs(high - 1)) > 0.01:  # 3 wrong ones of 8 in 6.7 % of the draws, 4 in 1.1 %
        raise Hint("with 8 series the ends are off: draw as many series as there are, with replacement.")
    low, high = _ends(interval, *case, 1, seed)
    if high - low > 1e-9:
        raise Hint("`draws` is not followed: of a single draw, both percentiles are its accuracy.")
    case = _answers(rng)
    first, again, *others = (_ends(interval, *case, 20, s) for s in (seed, seed, *range(seed + 1, seed + 5)))
    if first != again:
        raise Hint("the same seed must give the same interval.")
    if all(other == first for other in others):
        raise Hint("another seed must draw other series: `seed` is not used.")


def _answers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw photos that are right or wrong by whole series; long series are wrong more often."""
    right, series = [], []
    for number in range(50):
        shots = int(rng.integers(2, 12))
        right += [number % 10 < 9 - (shots > 6) * 3] * shots
        series += [7 * number] * shots
    order = rng.permutation(len(right))
    return np.array(right)[order], np.array(series)[order]


def _drawn(right: np.ndarray, series: np.ndarray, how: str) -> np.ndarray:
    """Return the accuracies of many draws: of series, of single photos, or with each series' mean."""
    groups = np.arange(len(series)) if how == "photo" else series
    sums = np.array([[right[groups == k].sum(), (groups == k).sum()] for k in np.unique(groups)])
    sums = sums / sums[:, 1:] if how == "mean" else sums
    drawn = sums[np.random.default_rng(0).integers(0, len(sums), (8000, len(sums)))].sum(axis=1)
    return drawn[:, 0] / drawn[:, 1]
