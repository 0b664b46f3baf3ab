"""The checks of lab 3, a CNN from scratch."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.labs import compare
from coursekit.labs.answers import Function, Hint, Module
from coursekit.labs.lab import Lab

lab = Lab("lab03", "A CNN from scratch")
check, done, progress, test = lab.check, lab.done, lab.progress, lab.test


@lab.question("Count a network of any depth", points=3)
def q1(count_parameters: object, rng: np.random.Generator) -> None:
    """Sizes and parameters of convolutions with pooling, and of the dense layer behind them."""
    count_parameters = compare.function(count_parameters, "count_parameters")
    settings = [(1, 28, [32, 64], 3, 10), (3, 32, [8], 5, 4)]
    for depth in (1, 2, 2, 3, 3):
        widths = rng.integers(3, 20, depth).tolist()
        size, kernel = rng.integers(40, 60), rng.integers(2, 6)
        settings.append((int(rng.integers(1, 5)), int(size), widths, int(kernel), int(rng.integers(2, 12))))
    name = "what `count_parameters` returns"
    answers = [compare.as_whole(count_parameters(*setting), name) for setting in settings]

    def each(**slip: object) -> np.ndarray:
        return np.array([_count(*setting, **slip) for setting in settings])

    compare.array(
        np.array(answers),
        f"the list of counts for {len(settings)} networks",
        each(),
        {
            "the biases are missing, everywhere.": each(conv_bias=0, dense_bias=0),
            "the convolutions' biases are missing: one for each output channel.": each(conv_bias=0),
            "the dense layer's biases are missing: one for each class.": each(dense_bias=0),
            "the dense layer is missing.": each(dense=False),
            "the dense layer sees every pixel of every map, not one number per map.": each(flat=False),
            "without padding, a convolution makes the maps smaller.": each(shrink=False),
            "the pooling halves the maps before they reach the dense layer.": each(pool=False),
            "the pooling rounds an odd size down.": each(up=True),
            "a kernel reaches through all channels of its input.": each(through=False),
            "each convolution sees the channels of the one before it, not those of the image.": each(chain=False),
            "a kernel has a height *and* a width.": each(square=False),
        },
        rtol=1e-9,
        calls=[count_parameters.shown(*setting) for setting in settings],
    )


def _count(
    channels,
    size,
    widths,
    kernel,
    classes,
    *,
    conv_bias=1,
    dense_bias=1,
    dense=True,
    flat=True,
    shrink=True,
    pool=True,
    up=False,
    through=True,
    chain=True,
    square=True,
) -> int:
    total, inputs = 0, channels
    for width in widths:
        total += width * (kernel ** (2 if square else 1) * (inputs if through else 1) + conv_bias)
        size = size - (kernel - 1) * shrink
        size = (size + up) // 2 if pool else size
        inputs = width if chain else inputs
    pixels = size**2 if flat else 1
    return total + dense * classes * (widths[-1] * pixels + dense_bias)


_AFTER = "a batch's loss is the one just before the step; here it is computed after it."
_BUGS = {
    "epoch": "gradients add up from step to step: it is not enough to set them to zero once in an epoch.",
    "zero": "gradients add up from step to step: they must be set to zero before each `backward`.",
    "mode": "the network may come in eval mode, and then its batch norm learns no mean and variance.",
    "softmax": "`F.cross_entropy` takes logits: it computes the softmax by itself.",
    "last": "the last batch is left out when it is smaller than the others.",
    "after": _AFTER,
}


@lab.question("Repair a training loop", points=4)
def q2(tiny_net: object, train: object, rng: np.random.Generator) -> None:
    """Five lines that each do their work; weights and losses must be those of the repaired loop."""
    make, train = compare.function(tiny_net, "tiny_net"), compare.function(train, "train")
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    images, labels = _pairs(rng, 22, channels, classes)
    start = _random_state(_tiny(channels, classes), rng)
    model = _given(make, "tiny_net", channels, classes, start)
    model.train(False)
    losses = train(model, images, labels, 2, 0.3, 8)
    state = model.state()
    if all(torch.equal(state[name], value) for name, value in start.items() if "weight" in name):
        raise Hint("after `train` the weights are still what they were: is there a step of the optimizer?")

    def after(*bugs: str) -> Tensor:
        return _flat(_train(_tiny(channels, classes), start, images, labels, bugs)[0])

    mistakes = {}
    for number in range(1, len(_BUGS) + 1):
        for bugs in combinations(_BUGS, number):
            if {"zero", "epoch"} <= set(bugs) or ("after" in bugs and number > 1):
                continue
            hint = _BUGS[bugs[0]] + " " * len(mistakes)  # a key of its own
            mistakes[hint] = lambda bugs=bugs: after(*bugs)
    right, means, late = _train(_tiny(channels, classes), start, images, labels, ())
    try:
        compare.array(_flat(state), "the network's state after two epochs", _flat(right), mistakes, rtol=1e-4)
    except Hint:
        again = _given(make, "tiny_net", channels, classes, start)
        again.train(False)
        train(again, images, labels, 2, 0.3, 8)
        if not torch.equal(_flat(again.state()), _flat(state)):
            raise Hint("from the same start, `train` gives other weights each time: are the images shuffled?") from None
        raise
    _check_losses(losses, means, late)


def _check_losses(losses: object, means: list[list[float]], late: list[list[float]]) -> None:
    if isinstance(losses, list | tuple) and any(isinstance(value, Tensor) for value in losses):
        raise Hint("`train` returns tensors, and each may keep the graph of its batch alive: take the numbers out.")
    sizes = np.array([8, 8, 6])
    means = np.array(means)
    compare.array(
        losses,
        "the list of losses",
        means @ sizes / 22,
        {
            "the mean of the batches' losses lets the short last batch weigh too much.": means.mean(axis=1),
            "these are sums over batches; asked for is the mean over images.": means.sum(axis=1),
            "these are sums over images; asked for is their mean.": means @ sizes,
            "these are the losses of each epoch's last batch.": means[:, -1],
            "this is a list of the batches' losses; asked for is one number per epoch.": means.ravel(),
            _AFTER: np.array(late) @ sizes / 22,
        },
        rtol=1e-4,
        lists=True,
    )


def _tiny(channels: int, classes: int) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes)]
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), *head)


def _train(model: nn.Module, start: dict, images: Tensor, labels: Tensor, bugs: tuple[str, ...]):
    model.load_state_dict(start)
    model.train("mode" not in bugs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    means, late = [], []
    for _ in range(2):
        means.append([])
        late.append([])
        if "epoch" in bugs:
            optimizer.zero_grad()
        for first in range(0, len(images) - 8 * ("last" in bugs), 8):
            outputs = model(images[first : first + 8])
            outputs = outputs.softmax(dim=1) if "softmax" in bugs else outputs
            loss = F.cross_entropy(outputs, labels[first : first + 8])
            if not {"zero", "epoch"} & set(bugs):
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            means[-1].append(loss.item())
            with torch.no_grad():
                model.train("after" in bugs)  # then batch norm learns from the batch once more
                late[-1].append(F.cross_entropy(model(images[first : first + 8]), labels[first : first + 8]).item())
                model.train("mode" not in bugs)
    return model.state_dict(), means, late


@lab.question("Evaluate honestly", points=3)
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


_NOT_IT = "works on each image by itself, so that it does not matter which other images are in the batch."


@lab.question("Refute a claim: a large batch in parts", points=4)
def q4(
    plain_net: object, norm_net: object, gradient_in_parts: object, fails_with: object, rng: np.random.Generator
) -> None:
    """Compare the gradient of a mean loss from unequal parts; ask for the layer for which there is no such way."""
    gradient_in_parts = compare.function(gradient_in_parts, "gradient_in_parts")
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, classes)]
    own = nn.Sequential(nn.Conv2d(channels, 5, 3), *head)
    own.load_state_dict(state := _random_state(own, rng))
    model = _given(compare.function(plain_net, "plain_net"), "plain_net", channels, classes, state)
    for count, part in ((8, 4), (11, 4), (7, 3)):
        images, labels = _pairs(rng, count, channels, classes)
        answer = gradient_in_parts(model, images, labels, part)
        parts = [_gradient(own, x, y) for x, y in zip(images.split(part), labels.split(part), strict=True)]
        sizes = [len(y) for y in labels.split(part)]
        right = _gradient(own, images, labels)
        same = "the gradient from parts"
        mistakes = {
            "this is the claim: a sum of means is larger than the mean over all.": sum(parts),
            "a mean over parts lets the images of a short last part weigh more.": sum(parts) / len(parts),
            "only the last part is in it: the gradients of the others are gone.": parts[-1],
            "only the last part is in it, with its weight: the gradients of the others are gone.": parts[-1]
            * sizes[-1]
            / count,
            "only the first part is in it.": parts[0],
            "the last part may be shorter than `part`: then its weight is smaller.": sum(parts) * part / count,
            "count the parts: `n // part` forgets the short last one.": sum(parts) / (count // part),
            "divide by the number of images: this is the sum over them.": right * count,
            "each part's mean is divided by its own size once more.": sum(
                g / n for g, n in zip(parts, sizes, strict=True)
            ),
            "divided by the number of images, but each part is a mean already: give it its weight.": sum(parts) / count,
            "the last part, shorter than the others, is left out.": sum(
                g * n / count for g, n in zip(parts, sizes, strict=True) if n == part
            ),
        }
        compare.array(answer, same, right, mistakes, rtol=1e-4)
        again = gradient_in_parts(model, images, labels, part)
        compare.array(
            again,
            "the gradient from parts, computed a second time,",
            right,
            {"called twice, it adds the first call's gradients to the second's.": 2 * right},
            rtol=1e-4,
        )
    own.insert(1, nn.BatchNorm2d(5))
    own.load_state_dict(state := _random_state(own, rng))
    model = _given(compare.function(norm_net, "norm_net"), "norm_net", channels, classes, state)
    _compare_sent(gradient_in_parts, model, own, *_pairs(rng, 11, channels, classes))
    compare.choice(
        fails_with,
        "`fails_with`",
        "batch norm",
        ("relu", "max pooling", "batch norm", "global average pooling"),
        {
            "relu": f"a ReLU {_NOT_IT}",
            "max pooling": f"max pooling {_NOT_IT}",
            "global average pooling": f"global average pooling {_NOT_IT}",
        },
    )


def _compare_sent(gradient_in_parts: Function, model: Module, own: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Look at what is sent through the network: with batch norm in train mode, this shows in the gradient."""

    def sent(part: int) -> Tensor:
        pieces = zip(images.split(part), labels.split(part), strict=True)
        return sum(_gradient(own, x, y) * len(y) / len(labels) for x, y in pieces)

    still = _gradient(own.eval(), images, labels)
    own.train()
    model.train(True)
    compare.array(
        gradient_in_parts(model, images, labels, 4),
        "the gradient of `norm_net` in train mode, from parts,",
        sent(4),
        {
            "all images go through the network at once: send `part` at a time.": sent(len(labels)),
            "the images go through the network one at a time: send `part` at a time.": lambda: sent(1),
            "leave the network in the mode in which it comes, here in train mode.": still,
        },
        rtol=1e-4,
    )


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(model(images), labels)
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(model.parameters()))])


def _given(make: Function, name: str, channels: int, classes: int, state: dict[str, Tensor]) -> Module:
    """Make a network that the notebook gives, with these weights."""
    model = compare.module(make(channels, classes), f"{name}(channels, classes)")
    try:
        model.load(state)
    except Hint as hint:
        raise Hint(f"{hint} Leave `{name}` as the notebook gives it.") from None
    return model


def _pairs(rng: np.random.Generator, count: int, channels: int, classes: int) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(rng.normal(size=(count, channels, 7, 8))).float()
    return images, torch.from_numpy(rng.integers(0, classes, count))


def _random_state(model: nn.Module, rng: np.random.Generator) -> dict[str, Tensor]:
    state = {}
    for name, value in model.state_dict().items():
        state[name] = value
        if value.is_floating_point():
            noise = torch.from_numpy(rng.uniform(-0.3, 0.3, tuple(value.shape))).float()
            state[name] = value + noise if value.ndim == 1 else noise
    return {name: value.clone() for name, value in state.items()}


def _flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])


@lab.question("Which learning rate, and how sure?", points=3)
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


lab.written("q6", "Explain: modes, claims and test sets", points=3)
