"""Question 6, second part: an interval by bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint


def check_interval(balanced_interval: Function, rng: np.random.Generator) -> None:
    """Compare with a bootstrap of our own, and find out what else was drawn."""
    predicted, labels, series = _answers(rng)
    low, high = _ends_of(balanced_interval(predicted, labels, series, 4000, int(rng.integers(1000))))
    if high > 1.3:
        raise Hint("the ends must be shares from 0 to 1.")
    right = (predicted == labels).numpy()

    def ends(how: Callable = _by_series, percent: tuple = (2.5, 97.5)) -> np.ndarray:
        return np.percentile(how(right, labels.numpy(), series.numpy(), np.random.default_rng(0)), percent)

    def by_precision(right: np.ndarray, _: np.ndarray, *rest: object) -> np.ndarray:
        return _by_series(right, predicted.numpy(), *rest)

    expected = ends()
    tolerance = 0.25 * np.ptp(expected) / 3.92

    def away(other: np.ndarray) -> float:
        return float(np.abs(np.array([low, high]) - other).max())

    if away(expected) < tolerance:
        return _check_draws(balanced_interval, rng)
    if high - low < tolerance:
        raise Hint(
            "the interval has hardly any width: are the series drawn *with* replacement? And the ends are percentiles "
            "of the means, not their standard error."
        )
    wrong = {
        "this interval draws single images, as if the photos of a series were independent.": ends(_by_image),
        "this is the plain accuracy: take the mean over classes.": ends(_plain),
        "this covers only about 68 % of the draws.": ends(percent=(16, 84)),
        "within a class each *image* counts the same: take all photos of a drawn series, not one of them, nor the "
        "mean of each series.": ends(_by_share),
        "this groups the photos by what was *predicted*; the accuracy of a class is over the photos that belong to "
        "it.": ends(by_precision),
        "this is about the balanced *error*.": 1 - expected[::-1],
    }
    nearest = min(wrong, key=lambda hint: away(wrong[hint]))
    if away(wrong[nearest]) < tolerance:
        raise Hint(nearest)
    width = (high - low) / np.ptp(expected)
    about = (
        "too narrow" if width < 0.9 else "too wide" if width > 1.1 else "about as wide as it should be, but misplaced"
    )
    raise Hint(f"the interval is {about}.")


def _ends_of(answer: object) -> tuple[float, float]:
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Hint(f"`balanced_interval` must return two numbers, low and high, not {compare.kind(answer)}.")
    low, high = (float(value) for value in answer)
    if not np.isfinite([low, high]).all():
        raise Hint("`balanced_interval` returns NaN: is there a class of which nothing was drawn?")
    if low > high:
        raise Hint("`balanced_interval` must return two numbers: the low end first, then the high one.")
    return low, high


def _check_draws(balanced_interval: Function, rng: np.random.Generator) -> None:
    """Ask for few draws and other seeds, and for a lopsided case: a class of 8 series, one of them wrong."""
    labels = torch.arange(20).repeat_interleave(3) // 8 * 3
    series = torch.arange(20).repeat_interleave(3)
    labels = labels.clamp(max=3)
    predicted = torch.where(series == 0, 3, labels)
    case, seed = (predicted, labels, series), int(rng.integers(1000))
    low, high = _ends_of(balanced_interval(*case, 2000, seed))
    if max(abs(low - (1 + 5 / 8) / 2), abs(high - 1)) > 0.01:  # 3 wrong ones of 8 in 6.7 % of the draws, 4 in 1.1 %
        raise Hint("the means are spread lopsidedly here: take percentiles of them, not mean and standard deviation.")
    low, high = _ends_of(balanced_interval(*case, 1, seed))
    if high - low > 1e-9:
        raise Hint("`draws` is not followed: of a single draw, both percentiles are its mean.")
    case = _answers(rng)
    seeds = [seed, seed, *range(seed + 1, seed + 5)]
    first, again, *others = (_ends_of(balanced_interval(*case, 20, s)) for s in seeds)
    if first != again:
        raise Hint("the same seed must give the same interval.")
    if all(other == first for other in others):
        raise Hint("another seed must draw other series: `seed` is not used.")


def _answers(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw predictions that are right or wrong by whole series; long series are wrong more often.

    The third class has one series, all right: who draws from all classes together often misses it.
    """
    predicted, labels, series = [], [], []
    for label, count, good, other in ((7, 46, 0.9, 9), (2, 24, 0.7, 9), (9, 1, 1, 7)):
        for number in range(count):
            shots = int(rng.integers(2, 12))
            right = number % 10 < 10 * good - (shots > 6) * 3 or good == 1
            series += [number + 100 * label] * shots
            labels += [label] * shots
            predicted += [label if right else other] * shots
    order = rng.permutation(len(labels))
    return tuple(torch.tensor(values)[order] for values in (predicted, labels, series))


def _sums(right: np.ndarray, labels: np.ndarray, series: np.ndarray, label: int) -> np.ndarray:
    of = [series == s for s in np.unique(series[labels == label])]
    return np.array([[right[one].sum(), one.sum()] for one in of])


def _by_series(right, labels, series, rng) -> np.ndarray:
    means = []
    for label in np.unique(labels):
        sums = _sums(right, labels, series, label)
        drawn = sums[rng.integers(0, len(sums), (20_000, len(sums)))].sum(axis=1)
        means.append(drawn[:, 0] / drawn[:, 1])
    return np.mean(means, axis=0)


def _by_image(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, labels, np.arange(len(labels)), rng)


def _plain(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, np.zeros_like(labels), series, rng)


def _by_share(right, labels, series, rng) -> np.ndarray:
    shares = [_sums(right, labels, series, label) for label in np.unique(labels)]
    drawn = [(s[:, 0] / s[:, 1])[rng.integers(0, len(s), (20_000, len(s)))].mean(axis=1) for s in shares]
    return np.mean(drawn, axis=0)
