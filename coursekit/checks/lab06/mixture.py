"""Question 6: the best answers to a mixture of colours."""

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Chart, Function, Hint

SHARES = (0.7, 0.3)  # of the two colours in the chart


def q6(best_answers: Function, figure: Chart, rng: np.random.Generator) -> None:
    """Compare the best answers to known shares of colours; the chart must show both errors of the guesses."""
    apart = np.array([[80.0, 80], [-45, 45], [10, -50], [0, 10]])  # the medians of a and of b are of two colours
    cases, answers = [(apart, np.array([4, 3, 3, 1]) / 11, 0.5)], []
    for count in (5, 6, 7, 6):
        weights = rng.permutation(np.arange(1, count + 1)) ** 2  # no majority: else all answers are alike
        weights[0] += 1 - weights.sum() % 2  # odd in sum: no colour ends at just one half
        colours = rng.uniform(-80, 80, (count, 2)).round(1)
        cases.append((colours, weights / weights.sum(), float(rng.uniform(0.3, 0.6))))
    for case in cases:
        answer = best_answers(*case)
        if not (isinstance(answer, list | tuple) or getattr(answer, "ndim", 0)) or len(answer) != 3:
            what = "three colours: for squared and absolute error, and the annealed mean"
            raise Hint(f"`best_answers` must return {what}, not {compare.kind(answer)}.")
        answers.append(answer)
    _check_best(cases, answers, best_answers)
    _check_chart(figure.axes)


def _check_best(cases: list, answers: list, best_answers: Function) -> None:
    def each(what) -> np.ndarray:
        return np.array([what(*case) for case in cases])

    def softmax(scores: np.ndarray) -> np.ndarray:
        return np.exp(scores) / np.exp(scores).sum()

    mean = each(lambda c, p, _: p @ c)
    likely = each(lambda c, p, _: c[p.argmax()])
    median = each(lambda c, p, _: _median(c, p))
    annealed = each(lambda c, p, t: softmax(np.log(p) / t) @ c)
    known = [
        (mean, {
            "each colour counts as often as it occurs: here all count the same.": each(lambda c, p, _: c.mean(0)),
            "this is the commonest colour; it does not have the least *squared* error.": likely,
            "this is a median, which belongs to the absolute error.": median,
        }),
        (median, {
            "each colour counts as often as it occurs: here all count the same.": each(lambda c, p, _: np.median(c, 0)),
            "this is the mean, which belongs to the squared error.": mean,
            "this is the commonest colour; it does not have the least *absolute* error.": likely,
        }),
        (annealed, {
            "this flattens the shares: the exponent is 1 / T.": each(lambda c, p, t: softmax(np.log(p) * t) @ c),
            "the new shares must have the sum 1 again.": each(lambda c, p, t: p ** (1 / t) @ c),
            "the shares are no logits: take their logarithm before you divide by T.": each(
                lambda c, p, t: softmax(p / t) @ c
            ),
            "logits are divided by T, not multiplied.": each(lambda c, p, t: softmax(p * t) @ c),
            "the temperature changes nothing here: this is the plain mean.": mean,
            "this is the commonest colour: that is temperature 0.": likely,
        }),
    ]  # fmt: skip
    names = ("squared error", "absolute error", "annealed mean")
    for k, (name, (right, mistakes)) in enumerate(zip(names, known, strict=True)):
        found = [compare.as_array(answer[k], f"the answer for the {name} (a and b)", (2,)) for answer in answers]
        mistakes = {f"{name}: {hint}": wrong for hint, wrong in mistakes.items()}
        small = (lambda *few, k=k: best_answers(*few)[k], lambda *few, k=k: _FOR_PAPER[k], _GIVEN)
        compare.array(np.array(found), f"the list of colours ({name})", right, mistakes, small=small)


_GIVEN = {"colours": np.array([[0.0, 9], [9, 0], [30, 60]]), "shares": np.array([3, 3, 1]) / 7, "temperature": 0.5}
_FOR_PAPER = ([57 / 7, 87 / 7], [9, 9], [111 / 19, 141 / 19])


def _median(colours: np.ndarray, shares: np.ndarray) -> list[float]:
    result = []
    for channel in colours.T:
        order = np.argsort(channel)
        result.append(channel[order][np.searchsorted(np.cumsum(shares[order]), 0.5)])
    return result


def _check_chart(axes: list[dict]) -> None:
    curves = [curve for axis in axes for curve in _curves(axis)]
    if not curves:
        raise Hint("no curve of `figure` has at least 11 points, from t = 0 to t = 1 on the horizontal axis.")

    def shown(error) -> bool:
        return any(np.allclose(y / y[-1], error(x) / error(np.ones(1)), atol=0.01) for x, y in curves)

    def expected(power: float, shares: tuple = SHARES, root: float = 1):
        return lambda t: (shares[0] * t**power + shares[1] * (1 - t) ** power) ** root

    if shown(expected(2, SHARES[::-1])) or shown(expected(1, SHARES[::-1])):
        raise Hint("the commoner colour is at t = 0: here the shares are exchanged.")
    if shown(expected(2, (0.5, 0.5))):
        raise Hint("in `figure` both colours count the same; one has a share of 0.7.")
    if shown(expected(2, root=0.5)):
        raise Hint("one curve is the root of the mean squared error: leave the root away.")
    for power, name in ((2, "squared"), (1, "absolute")):
        if not shown(expected(power)):
            raise Hint(f"no curve of `figure` shows the mean {name} error of the guesses.")
    for curves in ([y for _, y in _curves(axis)] for axis in axes):
        if any(abs(np.log(y[-1] / curves[0][-1])) > 1 for y in curves):
            raise Hint("the two errors have different units: draw them in two axes, or divide each by its end.")
    if any(len(_curves(axis)) > 1 and not axis["legend"] for axis in axes):
        raise Hint("`figure` has two curves in one axis and no legend: which is which?")


def _curves(axis: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return x and y of each curve that goes from t = 0 to t = 1."""
    orders = [(line, np.argsort(line["x"])) for line in axis["lines"] if len(line["x"]) >= 11]
    found = [(line["x"][order], line["y"][order]) for line, order in orders]
    return [(x, y) for x, y in found if np.allclose([x[0], x[-1]], [0, 1]) and y[-1] > 0]
