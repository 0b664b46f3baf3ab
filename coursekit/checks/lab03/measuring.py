"""Questions 1, 3 and 5: parameters, errors of unequal classes, sizes of test sets, runs that differ."""

import numpy as np
import torch
from scipy.special import log_softmax, softmax

from coursekit.checks import compare
from coursekit.checks.answers import Chart, Function, Hint, is_finite


def q1(loss_and_gradient: Function, rng: np.random.Generator) -> None:
    """Compare the mean cross-entropy, and its gradient for the logits; also where `exp` overflows."""
    slips = {
        "share": "take the mean: the gradient of an image is divided by the number of images.",
        "sum": "take the mean over the images, not the sum.",
        "softmax": "this is the softmax: subtract 1 at the true class.",
        "minus": "the sign is wrong: the loss falls when the logit of the true class *rises*.",
        "axis": "the softmax runs over the classes of an image, not over the images of a class.",
        "base 2": "the logarithm is the natural one.",
    }
    for count, classes, size in ((4, 3, 1.0), (5, 4, 3.0), (3, 5, 900.0)):
        logits, labels = rng.normal(0, size, (count, classes)), rng.integers(0, classes, count)
        if size > 99:  # one share of a true class that is 0 in floats
            labels[0] = logits[0].argmin()
            logits[0, labels[0]] -= 1000
        answer = loss_and_gradient(logits, labels, finite=False)
        if not isinstance(answer, list | tuple) or len(answer) != 2:
            raise Hint(f"`loss_and_gradient` must return (loss, gradient), not {compare.kind(answer)}.")
        if not is_finite(answer):
            why = "`np.exp` overflows: the softmax stays the same if you subtract the largest logit of each image first"
            if is_finite(answer[1]):
                why = "the true class may have a share that floats round to 0: write log(e^z / sum) as z - log(sum)"
            raise Hint(f"with logits as large as {logits.max():.0f} it gives NaN or infinity: {why}.")
        loss, reach = compare.as_number(answer[0], "the loss"), f"(logits up to {np.abs(logits).max():.0f})"
        for k, (own, name) in enumerate(((loss, f"the loss {reach}"), (answer[1], f"the gradient {reach}"))):
            mistakes = [(hint, _entropy(logits, labels, slip)[k]) for slip, hint in slips.items()]
            small = (lambda *few, k=k: loss_and_gradient(*few)[k], lambda *few, k=k: _entropy(*few)[k], _EVEN)
            compare.array(own, name, _entropy(logits, labels)[k], mistakes, small=small)


_EVEN = {"logits": np.log([[2.0, 1, 1], [1, 1, 1]]), "labels": np.array([1, 0])}  # shares of 1/2 and 1/4, of 1/3


def _entropy(logits: np.ndarray, labels: np.ndarray, slip: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-entropy and its gradient, or what comes out with a slip."""
    hit = np.eye(logits.shape[1])[labels]
    shares = softmax(logits, axis=0 if slip == "axis" else 1)
    losses = -(hit * log_softmax(logits, axis=0 if slip == "axis" else 1)).sum(1)
    gradient = {"softmax": shares, "minus": hit - shares}.get(slip, shares - hit)
    loss = losses.sum() if slip == "sum" else losses.mean() / (np.log(2) if slip == "base 2" else 1)
    return np.array(loss), gradient / (1 if slip in ("sum", "share") else len(logits))


def q3(balanced_error: Function, images_needed: Function, rng: np.random.Generator) -> None:
    """Compare the balanced error of unequal classes, and the size of a test set for an interval."""
    cases = []
    for classes, shares in ((3, [0.7, 0.2, 0.1]), (4, [0.5, 0.3, 0.2, 0]), (5, [0.6, 0, 0.1, 0.1, 0.2])):
        labels = np.repeat(np.arange(classes), (np.array(shares) * 60).round().astype(int))
        logits = rng.normal(size=(len(labels), classes))
        logits[np.arange(len(labels)), labels] += rng.uniform(0.2, 2.5, classes)[labels]
        order = rng.permutation(len(labels))
        cases.append((torch.from_numpy(logits[order]).float(), torch.from_numpy(labels[order])))
    why = "is there a class without any image in the test set?"
    answers, _ = compare.results(balanced_error, cases, whole=False, nan=why)

    def each(measure) -> np.ndarray:
        return np.array([measure(logits.numpy(), labels.numpy()) for logits, labels in cases])

    def recalls(logits: np.ndarray, labels: np.ndarray, pick=np.argmax) -> np.ndarray:
        return np.array([(pick(logits[labels == c], axis=1) == c).mean() for c in np.unique(labels)])

    def precisions(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        guess = logits.argmax(axis=1)
        return np.array([(labels[guess == c] == c).mean() for c in np.unique(guess)])

    error = each(lambda z, y: 1 - recalls(z, y).mean())
    plain = each(lambda z, y: (z.argmax(axis=1) != y).mean())
    absent_wrong = each(lambda z, y: 1 - recalls(z, y).sum() / z.shape[1])
    absent_right = each(lambda z, y: (1 - recalls(z, y)).sum() / z.shape[1])
    by_guess = each(lambda z, y: 1 - precisions(z, y).mean())
    smallest = each(lambda z, y: 1 - recalls(z, y, np.argmin).mean())
    mistakes = {
        "this is the plain error rate: large classes weigh more in it than small ones.": plain,
        "this is the balanced *accuracy*.": 1 - error,
        "a share is a number from 0 to 1; these are percent.": 100 * error,
        "this is the plain accuracy.": 1 - plain,
        "a class without any test image can be neither right nor wrong: here it counts as wrong.": absent_wrong,
        "a class without any test image can be neither right nor wrong: here it counts as right.": absent_right,
        "group the images by their *true* class; here they are grouped by what was predicted.": by_guess,
        "the class is where the logit is largest; here it is where it is smallest.": smallest,
    }
    few = {"logits": torch.tensor([[2.0, 0], [2, 0], [0, 2], [2, 0]]), "labels": torch.tensor([0, 0, 0, 1])}
    small = (balanced_error, lambda z, y: 1 - recalls(z.numpy(), y.numpy()).mean(), few)
    compare.array(answers, f"the balanced errors of {len(cases)} test sets", error, mistakes, small=small)
    _check_images_needed(images_needed, rng)


def _check_images_needed(images_needed: Function, rng: np.random.Generator) -> None:
    p, h = rng.uniform(0.55, 0.99, 12), rng.uniform(0.004, 0.05, 12)
    p[0], h[0] = 0.5, 0.1
    hints = {
        "down": "rounded down, the interval is a little wider than asked for.",
        "nearest": "round up: the nearest whole number may be too small.",
        "whole width": "`half_width` is the distance from the middle to one end, not from end to end.",
        "no factor": "the factor for 95 % is missing: one standard error covers only about 68 %.",
        "no square": "the standard error holds a square root: to halve it takes four times the images.",
        "factor": "the factor for 95 % is in it, but not rightly: solve for n once more, step by step.",
        "worst": "this is the worst case, an accuracy of one half; use the accuracy given.",
    }
    settings = list(zip(p.tolist(), h.tolist(), strict=True))
    compare.each_call(images_needed, settings, _needed, hints, "the list of sizes for 12 test sets")


def _needed(p: float, h: float, slip: str) -> float:
    exact = 1.96**2 * (0.25 if slip == "worst" else p * (1 - p)) / h**2
    factors = {"whole width": 4, "no factor": 1 / 1.96**2, "no square": h / 1.96, "factor": 1 / 1.96}
    rounding = {"down": np.floor, "nearest": np.round}
    return rounding.get(slip, np.ceil)(exact * factors.get(slip, 1))


def q5(rates: object, accuracies: object, figure: Chart) -> None:
    """Ask for several runs per rate, and a plot with their means."""
    rates, runs = compare.as_array(rates, "`rates`", (-1,)), compare.as_array(accuracies, "`accuracies`", (-1, -1))
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
    means = runs.mean(axis=1)
    if runs.max() < 0.5 or np.ptp(means) < 0.2:
        raise Hint("the accuracies hardly depend on the learning rate: did each run get its rate?")
    learned = {"hardly anything": means <= 0.5, "a lot": means >= 0.4}
    for much, (low, high) in (("hardly anything", (0, 5e-4)), ("a lot", (0.01, 0.1)), ("hardly anything", (1, np.inf))):
        if (odd := rates[(low <= rates) & (rates <= high) & ~learned[much]]).size:
            raise Hint(f"with a rate of {odd[0]:g} `accuracy_of` learns {much}: are these the accuracies that it gave?")
    if np.abs(200 * runs - np.round(200 * runs)).max() > 0.01:
        raise Hint(
            "`accuracy_of` tests 200 images, so that each accuracy is a multiple of 1 / 200: leave them unrounded."
        )
    compare.any_axis(figure, lambda axis: _check_sweep(axis, rates, runs))


def _check_sweep(axis: dict, rates: np.ndarray, runs: np.ndarray) -> None:
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
