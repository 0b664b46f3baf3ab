"""Questions 3 and 5: errors of unequal classes, sizes of test sets, runs that differ."""

from __future__ import annotations

import numpy as np
import torch

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint


def q3(balanced_error: object, images_needed: object, rng: np.random.Generator) -> None:
    """Compare the balanced error of unequal classes, and the size of a test set for an interval."""
    balanced_error = compare.function(balanced_error, "balanced_error")
    images_needed = compare.function(images_needed, "images_needed")
    cases = []
    for classes, shares in ((3, [0.7, 0.2, 0.1]), (4, [0.5, 0.3, 0.2, 0]), (5, [0.6, 0, 0.1, 0.1, 0.2])):
        labels = np.repeat(np.arange(classes), (np.array(shares) * 60).round().astype(int))
        logits = rng.normal(size=(len(labels), classes))
        logits[np.arange(len(labels)), labels] += rng.uniform(0.2, 2.5, classes)[labels]
        order = rng.permutation(len(labels))
        cases.append((torch.from_numpy(logits[order]).float(), torch.from_numpy(labels[order])))
    answers = [_number(balanced_error(*case), "balanced_error") for case in cases]

    def each(measure) -> np.ndarray:
        return np.array([measure(logits.numpy(), labels.numpy()) for logits, labels in cases])

    def recalls(logits: np.ndarray, labels: np.ndarray, pick=np.argmax) -> np.ndarray:
        return np.array([(pick(logits[labels == c], axis=1) == c).mean() for c in np.unique(labels)])

    def precisions(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        guess = logits.argmax(axis=1)
        return np.array([(labels[guess == c] == c).mean() for c in np.unique(guess)])

    compare.array(
        np.array(answers),
        f"the list of balanced errors for {len(cases)} test sets",
        each(lambda z, y: 1 - recalls(z, y).mean()),
        {
            "this is the plain error rate: large classes weigh more in it than small ones.": each(
                lambda z, y: (z.argmax(axis=1) != y).mean()
            ),
            "this is the balanced *accuracy*.": each(lambda z, y: recalls(z, y).mean()),
            "this is the plain accuracy.": each(lambda z, y: (z.argmax(axis=1) == y).mean()),
            "a class without any test image can be neither right nor wrong: here it counts as wrong.": each(
                lambda z, y: 1 - recalls(z, y).sum() / z.shape[1]
            ),
            "a class without any test image can be neither right nor wrong: here it counts as right.": each(
                lambda z, y: (1 - recalls(z, y)).sum() / z.shape[1]
            ),
            "group the images by their *true* class; here they are grouped by what was predicted.": each(
                lambda z, y: 1 - precisions(z, y).mean()
            ),
            "the class is where the logit is largest; here it is where it is smallest.": each(
                lambda z, y: 1 - recalls(z, y, np.argmin).mean()
            ),
        },
    )
    _check_images_needed(images_needed, rng)


def _check_images_needed(images_needed: Function, rng: np.random.Generator) -> None:
    p, h = rng.uniform(0.55, 0.99, 12), rng.uniform(0.004, 0.05, 12)
    settings = list(zip(p.tolist(), h.tolist(), strict=True))
    answers = [compare.as_whole(images_needed(*setting), "what `images_needed` returns") for setting in settings]
    exact = 1.96**2 * p * (1 - p) / h**2
    compare.array(
        np.array(answers),
        "the list of sizes for 12 test sets",
        np.ceil(exact),
        {
            "rounded down, the interval is a little wider than asked for.": np.floor(exact),
            "round up: the nearest whole number may be too small.": np.round(exact),
            "`half_width` is the distance from the middle to one end, not from end to end.": np.ceil(4 * exact),
            "the factor for 95 % is missing: one standard error covers only about 68 %.": np.ceil(exact / 1.96**2),
            "the standard error holds a square root: to halve it takes four times the images.": np.ceil(
                1.96 * p * (1 - p) / h
            ),
            "the factor for 95 % is in it, but not rightly: solve for n once more, step by step.": np.ceil(
                exact / 1.96
            ),
            "this is the worst case, an accuracy of one half; use the accuracy given.": np.ceil(1.96**2 * 0.25 / h**2),
        },
        rtol=1e-9,
        calls=[images_needed.shown(*setting) for setting in settings],
    )


def _number(answer: object, name: str) -> float:
    answer = answer.item() if getattr(answer, "shape", None) == () else answer
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise Hint(f"`{name}` must return one number, not {compare.kind(answer)}.")
    if not np.isfinite(answer):
        raise Hint(f"`{name}` gives {answer}: is there a class without any image in the test set?")
    return answer


def q5(best_guess: object, rates: object, accuracies: object, figure: object) -> None:
    """Ask for a prediction that need not be right, several runs per rate, and a plot with their means."""
    if isinstance(best_guess, bool) or not isinstance(best_guess, int | float) or not 0 < best_guess <= 10:
        raise Hint("`best_guess` must be a learning rate, such as 0.5. It need not be the best one.")
    rates = _rows(rates, "rates", 1)
    runs = _rows(accuracies, "accuracies", 2)
    if len(rates) < 5 or np.min(rates) <= 0 or len(set(rates.tolist())) < len(rates):
        raise Hint("`rates` must hold at least five different learning rates above zero.")
    if np.max(rates) / np.min(rates) < 999:
        raise Hint("`rates` must span three powers of ten or more: else one end of the hill is missing.")
    if runs.shape[0] != len(rates):
        raise Hint("`accuracies` needs one row for each learning rate.")
    if runs.shape[1] < 3:
        raise Hint("one or two runs per learning rate show no spread: take three seeds or more.")
    if runs.min() < 0 or runs.max() > 1:
        raise Hint("`accuracies` must be shares from 0 to 1.")
    if np.all(runs == runs[:, :1]):
        raise Hint("all runs of a learning rate are equal: did each get a seed of its own?")
    if runs.max() < 0.5 or np.ptp(runs.mean(axis=1)) < 0.2:
        raise Hint("the accuracies hardly depend on the learning rate: did each run get its rate?")
    axis = compare.chart(figure, "figure").axes[0]
    if axis["xscale"] != "log":
        raise Hint("make the axis of the learning rates logarithmic: they span powers of ten.")
    order, means = np.argsort(rates), runs.mean(axis=1)
    scales = (1, 100)  # a share, or percent
    drawn = [np.argsort(line["x"]) for line in axis["lines"]]
    curves = [(line["x"][at], line["y"][at]) for line, at in zip(axis["lines"], drawn, strict=True)]
    curves = [y for x, y in curves if x.shape == rates.shape and np.allclose(x, rates[order])]
    if not any(np.allclose(y, scale * means[order], rtol=0.01) for y in curves for scale in scales):
        raise Hint("no curve of `figure` shows the mean of the runs against the learning rate.")
    if sum(np.size(line["x"]) for line in axis["lines"]) < len(rates) + 2 * len(rates):
        raise Hint("`figure` shows the means alone: draw the single runs too, or lines at their lowest and highest.")


def _rows(answer: object, name: str, axes: int) -> np.ndarray:
    """Return a list (of lists) of finite numbers as an array, else raise a hint."""
    values = compare.as_floats(answer, f"`{name}`")
    if values.ndim != axes or values.size == 0:
        raise Hint(f"`{name}` must be a list of {'numbers' if axes == 1 else 'rows, each a list of numbers'}.")
    if not np.isfinite(values).all():
        raise Hint(f"`{name}` holds NaN or infinite values.")
    return values
