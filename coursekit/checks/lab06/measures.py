"""Question 5: skill, and visible errors."""

from __future__ import annotations

import numpy as np
import torch
from skimage import color

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint
from coursekit.checks.lab06.shared import without_torch


def q5(skill: object, visible: object, rng: np.random.Generator) -> None:
    """Compare the gain over the constant colour of the training set, and the share of visibly wrong pixels."""
    skill, visible = compare.function(skill, "skill"), compare.function(visible, "visible")
    cases = []
    for count in (2, 3, 5):
        centre = rng.uniform(0.1, 0.3, (2, 1, 1)) * [[[1]], [[-1]]]
        train, true = (centre + rng.normal(0, 0.1, (n, 2, 6, 5)) for n in (7, count))
        true = true * rng.uniform(0.5, 2.5, (count, 1, 1, 1)) + 0.05
        cases.append((0.7 * true + rng.normal(0, 0.08, true.shape), true, train))
    answers = []
    for case in cases:
        answer = skill(*(torch.from_numpy(part).float() for part in case))
        answer = answer.item() if getattr(answer, "shape", None) == () else answer
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            raise Hint(f"`skill` must return one number, not {compare.kind(answer)}.")
        answers.append(answer)

    def each(baseline=lambda train, _: train.mean((0, 2, 3))[:, None, None], error=np.square, axis=None, power=1):
        gains = []
        for predicted, true, train in cases:
            own, other = error(predicted - true).mean(axis), error(baseline(train, true) - true).mean(axis)
            gains.append(1 - np.mean((own / other) ** power))
        return np.array(gains)

    compare.array(
        np.array(answers),
        f"the list of skills for {len(cases)} test sets",
        each(),
        {
            "the constant colour must come from the training images: nobody knows the mean of the truth.": each(
                lambda _, true: true.mean((0, 2, 3))[:, None, None]
            ),
            "the constant has one number for a and another one for b.": each(lambda train, _: train.mean()),
            "this compares with gray; asked for is the constant colour of the training images.": each(
                lambda train, _: 0 * train.mean()
            ),
            "the constant is *one* colour; here each pixel has a mean of its own.": each(
                lambda train, _: train.mean(0)
            ),
            "the constant is one colour for all images; here each image has its own.": each(
                lambda _, true: true.mean((2, 3), keepdims=True)
            ),
            "1 must be perfect, and 0 as good as the constant: here 0 is perfect.": 1 - each(),
            "the sign is wrong: better than the constant is above zero.": -each(),
            "take one ratio of two mean errors, not the mean of the images' ratios.": each(axis=(1, 2, 3)),
            "these are root mean squares; compare squared errors.": each(power=0.5),
            "these are absolute errors; compare squared ones.": each(error=np.abs),
        },
        rtol=1e-4,
    )
    _check_visible(visible, rng)


def _check_visible(visible: Function, rng: np.random.Generator) -> None:
    true = rng.integers(30, 226, (3, 8, 9, 3), dtype=np.uint8)
    spread = rng.permutation([5, 12, 25])[:, None, None, None]
    predicted = np.clip(true + rng.normal(0, spread, true.shape), 0, 255).astype(np.uint8)
    threshold = float(rng.uniform(4, 6))
    one, two = color.rgb2lab(true), color.rgb2lab(predicted)
    difference, plain = color.deltaE_ciede2000(one, two), color.deltaE_cie76(one, two)
    share, plain_share = (difference > threshold).mean((1, 2)), (plain > threshold).mean((1, 2))
    bytes_apart = np.sqrt(np.square(true - predicted.astype(float)).sum(-1))
    compare.array(
        without_torch(visible(predicted, true, threshold)),
        "the share of visibly wrong pixels of 3 images",
        share,
        {
            "these are the pixels that look right; asked for are the others.": 1 - share,
            "these are mean differences; asked for is a *share of pixels*.": difference.mean((1, 2)),
            "this is the plain distance in Lab (CIE76); CIEDE2000 weighs it as eyes do.": plain_share,
            "this is a distance in RGB; bring both images to Lab first.": (bytes_apart > threshold).mean((1, 2)),
            "these are RGB values where `deltaE_ciede2000` wants Lab.": lambda: (
                color.deltaE_ciede2000(true.astype(float), predicted.astype(float)) > threshold
            ).mean((1, 2)),
            "`rgb2lab` wants bytes, or floats from 0 to 1.": lambda: (
                color.deltaE_ciede2000(color.rgb2lab(true.astype(float)), color.rgb2lab(predicted.astype(float)))
                > threshold
            ).mean((1, 2)),
            "a share is a number from 0 to 1; these are percent.": 100 * share,
            "these are numbers of pixels; asked for is their share.": share * 72,
        },
        lists=True,
        shapes={(): "one number for each image, please: this is one for all.", true.shape[:3]: "this is a map for each "
        "image: say which share of its pixels is above the threshold."},
    )  # fmt: skip
    predicted[:, ::2] = true[:, ::2]
    if np.min(compare.as_floats(visible(predicted, true, 0.0), "what `visible` returns")) > 0.9:
        raise Hint("a difference *above* the threshold is larger than it; an equal one is not visible yet.")
