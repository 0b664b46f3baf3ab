"""Question 6: a classifier on frozen features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint
from coursekit.checks.lab04.interval import check_interval
from coursekit.checks.lab04.shared import drawn
from coursekit.checks.networks import given


def q6(
    prediction: object, small_body: object, probe: object, balanced_interval: object, rng: np.random.Generator
) -> None:
    """Compare a bootstrap that draws series, class by class; try a classifier on frozen features."""
    prediction = prediction.item() if getattr(prediction, "shape", None) == () else prediction
    if isinstance(prediction, bool) or not isinstance(prediction, int | float) or not 0 <= prediction <= 1:
        raise Hint(f"`prediction` must be a share from 0 to 1, not {compare.kind(prediction, show=True)}.")
    probe = compare.function(probe, "probe")
    balanced_interval = compare.function(balanced_interval, "balanced_interval")
    _check_probe(probe, compare.function(small_body, "small_body"), rng)
    check_interval(balanced_interval, rng)


def _check_probe(probe: Function, small_body: Function, rng: np.random.Generator) -> None:
    labels = torch.from_numpy(np.arange(78) % 3)
    own, dead, images = _easy(labels, rng)
    body = given(small_body(), "small_body()", own.state_dict())
    body.train(True)
    before = body.state()
    guess = _labels_of(probe(body, images[:54], labels[:54], images[54:]), 24)
    if any(not torch.equal(value, before[key]) for key, value in body.state().items()):
        raise Hint("`probe` changes the body: its batch norm moves unless the body is in eval mode.")
    share = np.mean(guess == labels[54:].numpy())
    if share < 0.9:
        raise Hint(f"`probe` recognizes {share:.0%} of test images that are easy to tell apart.")
    body.train(True)
    alone = _labels_of(probe(body, images[:54], labels[:54], images[54:60]), 6)
    if (alone != guess[:6]).any():
        raise Hint("what `probe` says to an image changes with the other test images, or from call to call.")
    bright = torch.cat([images[54:], 1e7 * images[54:]])
    if (_labels_of(probe(body, images[:54], labels[:54], bright), 48)[:24] != guess).any():
        raise Hint(
            "what `probe` says to an image changes if other test images are very bright: use the training "
            "images alone for means and scales."
        )
    body.load(dead)
    try:
        guess, says = _labels_of(probe(body, images[:54], labels[:54], images[54:]), 24), ""
    except Hint as hint:
        guess, says = None, f" (Python says: {str(hint).split(' stops with ')[-1]})"
    if guess is None or np.mean(guess == labels[54:].numpy()) < 0.9:
        raise Hint(
            "`probe` is right, but not where a feature is the same for all training images, such as 0 behind a ReLU: "
            f"its standard deviation is 0, and what is divided by it becomes NaN.{says}"
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


def _labels_of(answer: object, count: int) -> np.ndarray:
    values = np.asarray(answer) if isinstance(answer, Tensor | np.ndarray | list | tuple) else None
    if values is None or values.shape != (count,):
        what = compare.kind(answer)
        raise Hint(f"`probe` must return one label for each of {count} test images, not {what}.")
    if values.dtype.kind not in "iu":
        raise Hint("`probe` must return labels (whole numbers), not probabilities.")
    return values
