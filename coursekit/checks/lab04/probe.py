"""Question 6: a classifier on frozen features, and an interval by bootstrap."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint
from coursekit.checks.weights import drawn, given


def q6(
    prediction: object, small_body: Function, probe: Function, balanced_interval: Function, rng: np.random.Generator
) -> None:
    """Compare a bootstrap that draws series, class by class; try a classifier on frozen features."""
    compare.as_number(prediction, "`prediction`", 0, 1)
    _check_probe(probe, small_body, rng)
    _check_interval(balanced_interval, rng)


def _check_probe(probe: Function, small_body: Function, rng: np.random.Generator) -> None:
    labels = torch.from_numpy(np.arange(78) % 3)
    own, dead, images = _easy(labels, rng)
    body = given(small_body(), "small_body()", own.state_dict())
    body.train(True)
    before, test, truth = body.state(), images[54:], labels[54:].numpy()

    def says(test: Tensor = test) -> np.ndarray:
        answer, name = (
            probe(body, images[:54], labels[:54], test),
            "what `probe` returns (one label for each test image)",
        )
        return compare.as_array(answer, name, (len(test),), whole=True)

    guess = says()
    if any(not torch.equal(value, before[key]) for key, value in body.state().items()):
        raise Hint("`probe` changes the body: its batch norm moves unless the body is in eval mode.")
    if (share := np.mean(guess == truth)) < 0.9:
        raise Hint(f"`probe` recognizes {share:.0%} of test images that are easy to tell apart.")
    body.train(True)
    if (says(test[:6]) != guess[:6]).any():
        raise Hint("what `probe` says to an image changes with the other test images, or from call to call.")
    if (says(torch.cat([test, 1e7 * test]))[:24] != guess).any():
        raise Hint(
            "what `probe` says to an image changes if other test images are very bright: use the training "
            "images alone for means and scales."
        )
    body.load(dead)
    try:
        fine, error = np.mean(says() == truth) >= 0.9, ""
    except Hint as hint:
        fine, error = False, f" (Python says: {str(hint).split(' stops with ')[-1]})"
    if not fine:
        raise Hint(
            "`probe` is right, but not where a feature is the same for all training images, such as 0 behind a ReLU: "
            f"its standard deviation is 0, and what is divided by it becomes NaN.{error}"
        )
    body.load({key: 0 * value for key, value in dead.items()})
    blind = 0 * truth - 1
    with contextlib.suppress(Hint):  # a classifier may well stop where all features are alike
        blind = says()
    if np.mean(blind == truth) > 0.75:
        raise Hint(
            "`probe` still recognizes the images when all features are 0: it does not look at what `body` gives."
        )


def _easy(labels: Tensor, rng: np.random.Generator) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """Draw a body and images that it tells apart, also with a state in which one of its maps is 0 everywhere."""
    while True:  # not every random body tells every three colours apart
        layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()]
        own = drawn(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()), rng)
        colours = 3 * rng.normal(size=(3, 3, 1, 1))
        images = torch.from_numpy(colours[labels] + rng.normal(size=(78, 3, 8, 9))).float()
        state = {key: value.clone() for key, value in own.state_dict().items()}
        dead = {**state, "1.bias": state["1.bias"] - torch.tensor([0, 0, 0, 0, 0, 1e4])}
        with torch.no_grad():
            seen = own(images)
            own.load_state_dict(dead)
            less = own(images)
            own.load_state_dict(state)
        if seen[:54].std(0).min() > 0 and _apart(seen, labels, 54) and _apart(less, labels, 54):
            return own, dead, images


def _apart(features: Tensor, labels: Tensor, train: int) -> bool:
    """Tell whether the plainest classifiers, by distances and by a linear score, all recognize all test images."""
    scaled = (features - features[:train].mean(0)) / features[:train].std(0).clamp(min=1e-6)
    for seen in (features, scaled):
        means = torch.stack([seen[:train][labels[:train] == label].mean(0) for label in range(3)])
        by_mean = torch.cdist(seen[train:], means).argmin(1)
        by_neighbour = labels[:train][torch.cdist(seen[train:], seen[:train]).argmin(1)]
        if not torch.equal(by_mean, labels[train:]) or not torch.equal(by_neighbour, labels[train:]):
            return False
    return torch.equal((scaled[train:] @ means.T).argmax(1), labels[train:])


def _check_interval(balanced_interval: Function, rng: np.random.Generator) -> None:
    """Compare with a bootstrap of our own, and find out what else was drawn."""
    predicted, labels, series = _answers(rng)
    low, high = _ends(balanced_interval, predicted, labels, series, 4000, int(rng.integers(1000)))
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


def _ends(balanced_interval: Function, *setting: object) -> tuple[float, float]:
    why = "is there a class of which nothing was drawn?"
    (row,), _ = compare.results(balanced_interval, [setting], (2,), whole=False, nan=why)
    if row[0] > row[1]:
        raise Hint("`balanced_interval` must return two numbers: the low end first, then the high one.")
    return tuple(row.tolist())


def _check_draws(balanced_interval: Function, rng: np.random.Generator) -> None:
    """Ask for few draws and other seeds, and for a lopsided case: a class of 8 series, one of them wrong."""
    labels = torch.arange(20).repeat_interleave(3) // 8 * 3
    series = torch.arange(20).repeat_interleave(3)
    labels = labels.clamp(max=3)
    predicted = torch.where(series == 0, 3, labels)
    case, seed = (predicted, labels, series), int(rng.integers(1000))
    low, high = _ends(balanced_interval, *case, 2000, seed)
    if max(abs(low - (1 + 5 / 8) / 2), abs(high - 1)) > 0.01:  # 3 wrong ones of 8 in 6.7 % of the draws, 4 in 1.1 %
        raise Hint("the means are spread lopsidedly here: take percentiles of them, not mean and standard deviation.")
    low, high = _ends(balanced_interval, *case, 1, seed)
    if high - low > 1e-9:
        raise Hint("`draws` is not followed: of a single draw, both percentiles are its mean.")
    case = _answers(rng)
    seeds = [seed, seed, *range(seed + 1, seed + 5)]
    first, again, *others = (_ends(balanced_interval, *case, 20, s) for s in seeds)
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
    return torch.tensor(predicted)[order], torch.tensor(labels)[order], torch.tensor(series)[order]


def _sums(right: np.ndarray, labels: np.ndarray, series: np.ndarray, label: int) -> np.ndarray:
    of = [series == s for s in np.unique(series[labels == label])]
    return np.array([[right[one].sum(), one.sum()] for one in of])


def _by_series(right, labels, series, rng) -> np.ndarray:
    means = []
    for label in np.unique(labels):
        sums = _sums(right, labels, series, label)
        drawn = sums[rng.integers(0, len(sums), (8_000, len(sums)))].sum(axis=1)
        means.append(drawn[:, 0] / drawn[:, 1])
    return np.mean(means, axis=0)


def _by_image(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, labels, np.arange(len(labels)), rng)


def _plain(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, np.zeros_like(labels), series, rng)


def _by_share(right, labels, series, rng) -> np.ndarray:
    shares = [_sums(right, labels, series, label) for label in np.unique(labels)]
    drawn = [(s[:, 0] / s[:, 1])[rng.integers(0, len(s), (8_000, len(s)))].mean(axis=1) for s in shares]
    return np.mean(drawn, axis=0)
