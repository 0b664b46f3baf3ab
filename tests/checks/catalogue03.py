"""Right and wrong answers to lab 3."""

import math

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from tests.checks.catalogue import wrong

matplotlib.use("Agg")


# q1 ------------------------------------------------------------------------------------------------------------------


def entropy_with(mean=True, stable=True, log=np.log, axis=1, sign=1, one_hot=True, share=True, end=None):
    def loss_and_gradient(logits, labels):
        top = logits.max(axis=None if axis == 0 else 1, keepdims=True) if stable else 0
        shares = np.exp(logits - top)
        shares = shares / shares.sum(axis=axis, keepdims=True)
        rows = np.arange(len(labels))
        losses = -log(shares[rows, labels]) if not stable or axis == 0 else -_log_shares(logits, log)[rows, labels]
        gradient = shares.copy()
        if one_hot:
            gradient[rows, labels] -= 1
        gradient = sign * gradient / (len(labels) if mean and share else 1)
        result = (losses.mean() if mean else losses.sum()), gradient
        return end(*result) if end else result

    return {"loss_and_gradient": loss_and_gradient}


def entropy_of_shares(logits, labels):
    shares = torch.tensor(logits).softmax(1).numpy()
    picked = np.eye(logits.shape[1])[labels]
    with np.errstate(divide="ignore"):
        return -np.log(shares[picked > 0]).mean(), (shares - picked) / len(labels)


def _log_shares(logits, log):
    moved = logits - logits.max(axis=1, keepdims=True)
    return moved * log(np.e) - log(np.exp(moved).sum(axis=1, keepdims=True))


def entropy_by_autograd(logits, labels):
    z = torch.tensor(logits, requires_grad=True)
    loss = F.cross_entropy(z, torch.tensor(labels))
    loss.backward()
    return loss.item(), z.grad.numpy()


def entropy_by_scipy(logits, labels):
    from scipy.special import logsumexp, softmax

    right = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    hit = labels[:, None] == np.arange(logits.shape[1])
    return np.mean(logsumexp(logits, axis=1) - right), (softmax(logits, axis=1) - hit) / len(labels)


# q2 ------------------------------------------------------------------------------------------------------------------


def tiny(channels, classes):
    body = [nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(24, classes))


def loop(
    zero=True,
    mode="train",
    softmax=False,
    drop=False,
    step=True,
    average="images",
    graph=False,
    early=True,
    net=tiny,
    late=None,
    shuffle=False,
    momentum=0,
    reduction="mean",
    end=list,
):
    def train(model, images, labels, epochs, rate, batch_size):
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
        means = []
        if mode:
            model.train(mode == "train")
        for _ in range(epochs):
            losses, sizes = [], []
            if zero == "epoch":
                optimizer.zero_grad()
            order = torch.randperm(len(images)) if shuffle else torch.arange(len(images))
            images, labels = images[order], labels[order]
            for first in range(0, len(images) - batch_size * drop, batch_size):
                x, y = images[first : first + batch_size], labels[first : first + batch_size]
                outputs = model(x).softmax(dim=1) if softmax else model(x)
                loss = F.cross_entropy(outputs, y)
                if zero is True and early:
                    optimizer.zero_grad()
                F.cross_entropy(outputs, y, reduction=reduction).backward()
                if step:
                    optimizer.step()
                if zero and not early:
                    optimizer.zero_grad()
                if late:
                    with torch.no_grad():
                        model.train(late == "train")
                        loss = F.cross_entropy(model(x), y)
                        model.train()
                losses.append(loss if graph else loss.item())
                sizes.append(len(y))
            total = sum(a * b for a, b in zip(losses, sizes, strict=True))
            way = {
                "images": total / sum(sizes),
                "batches": sum(losses) / len(losses),
                "sum": sum(losses),
                "total": total,
                "last": losses[-1],
                "list": losses,
            }[average]
            means += way if isinstance(way, list) else [way]
        return end(means)

    return {"tiny_net": net, "train": train}


def tiny_without_padding(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, 6, 5), *tiny(channels, classes)[1:])


def train_with_split(model, images, labels, epochs, rate, batch_size):
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), rate)
    history = []
    for _ in range(epochs):
        total = 0
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            model.zero_grad()
            loss = F.cross_entropy(model(x), y, reduction="sum")
            (loss / len(x)).backward()
            optimizer.step()
            total += float(loss.detach())
        history.append(total / len(labels))
    return np.array(history)


def train_by_hand(model, images, labels, epochs, rate, batch_size):
    model.train()
    pairs = torch.utils.data.TensorDataset(images, labels)
    history = []
    for _ in range(epochs):
        losses = []
        for x, y in torch.utils.data.DataLoader(pairs, batch_size):
            each = F.nll_loss(model(x).log_softmax(1), y, reduction="none")
            gradients = torch.autograd.grad(each.mean(), list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter -= rate * gradient
            losses += each.tolist()
        history.append(sum(losses) / len(losses))
    return history


# q3 ------------------------------------------------------------------------------------------------------------------


def balanced_error(logits, labels):
    guess = logits.argmax(dim=1)
    return 1 - torch.stack([(guess[labels == c] == c).float().mean() for c in labels.unique()]).mean().item()


def balanced_by_sklearn(logits, labels):
    present = labels.unique()
    guess = logits.argmax(1).numpy()
    errors = [np.mean(guess[labels.numpy() == c] != c) for c in present.tolist()]
    return np.float64(np.mean(errors))


def balanced_by_weights(logits, labels):
    counts = labels.bincount(minlength=logits.shape[1])
    wrong_ones = (logits.max(1).indices != labels).double()
    return (wrong_ones / counts[labels]).sum() / (counts > 0).sum()


def images_needed(accuracy, half_width):
    return math.ceil(1.96**2 * accuracy * (1 - accuracy) / half_width**2)


def needed_by_search(accuracy, half_width):
    low, high = 0, 1
    while 1.96 * math.sqrt(accuracy * (1 - accuracy) / high) > half_width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = 1.96 * math.sqrt(accuracy * (1 - accuracy) / middle) <= half_width
        low, high = (low, middle) if enough else (middle, high)
    return high


def needed_by_numpy(accuracy, half_width):
    return np.ceil((1.96 / half_width) ** 2 * (accuracy - accuracy**2)).astype(int)


def honest(error=balanced_error, needed=images_needed):
    return {"balanced_error": error, "images_needed": needed}


def per_class(logits, labels, empty):
    guess = logits.argmax(dim=1)
    rates = [(guess[labels == c] != c).double().mean() for c in range(logits.shape[1])]
    return torch.stack(rates).nan_to_num(empty).mean() if empty is not None else torch.stack(rates).mean()


def by_prediction(logits, labels):
    guess = logits.argmax(dim=1)
    return 1 - np.mean([(labels[guess == c] == c).double().mean() for c in guess.unique()])


# q4 ------------------------------------------------------------------------------------------------------------------


def plain(channels, classes):
    body = [nn.Conv2d(channels, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(20, classes))


def normed(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, 5, 3), nn.BatchNorm2d(5), *plain(channels, classes)[1:])


def flat(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def parts_with(
    weigh=lambda n, total, parts: n / total,
    first=True,
    each=False,
    limit=None,
    drop=False,
    end=None,
    mode=None,
    send=None,
):
    def gradient_in_parts(model, images, labels, part):
        part = send(labels) if send else part
        if mode is not None:
            model.train(mode)
        if first:
            model.zero_grad()
        pieces = list(zip(images.split(part), labels.split(part), strict=True))
        pieces = [piece for piece in pieces if len(piece[1]) == part or not drop][:limit]
        for x, y in pieces:
            if each:
                model.zero_grad()
            (F.cross_entropy(model(x), y) * weigh(len(y), len(labels), len(pieces))).backward()
        return end(model) if end else flat(model)

    return gradient_in_parts


def refuted(gradient=None, fails="batch norm"):
    return {
        "plain_net": plain,
        "norm_net": normed,
        "gradient_in_parts": gradient or parts_with(),
        "fails_with": fails,
    }


def weighted_by_part(model, images, labels, part):
    return parts_with(lambda n, total, _: part / total)(model, images, labels, part)


def divided_by_whole_parts(model, images, labels, part):
    return parts_with(lambda n, total, _: 1 / (total // part))(model, images, labels, part)


def parts_by_autograd(model, images, labels, part):
    total = 0
    for first in range(0, len(labels), part):
        loss = F.cross_entropy(model(images[first : first + part]), labels[first : first + part], reduction="sum")
        pieces = torch.autograd.grad(loss, tuple(model.parameters()))
        total = total + torch.cat([piece.reshape(-1) for piece in pieces])
    return total / len(labels)


def parts_divided_later(model, images, labels, part):
    model.zero_grad(set_to_none=False)
    for x, y in zip(images.split(part), labels.split(part), strict=True):
        (len(y) * F.cross_entropy(model(x), y)).backward()
    return nn.utils.parameters_to_vector([p.grad / len(labels) for p in model.parameters()])


# q5 ------------------------------------------------------------------------------------------------------------------

RATES = [0.0003, 0.003, 0.03, 0.3, 3.0]
RUNS = np.array([[0.2, 0.25, 0.3], [0.6, 0.62, 0.58], [0.9, 0.92, 0.91], [0.93, 0.9, 0.95], [0.1, 0.12, 0.09]])


def rate_figure(rates=RATES, runs=RUNS, log=True, labels=True, single=True, mean=True, percent=1):
    figure = Figure()
    axis = figure.subplots()
    runs = percent * np.array(runs)
    if mean:
        axis.plot(rates, runs.mean(axis=1), label="mean")
    if single:
        for column in runs.T:
            axis.plot(rates, column, "o", color="gray")
    if log:
        axis.set_xscale("log")
    if labels:
        axis.set(xlabel="learning rate", ylabel="validation accuracy")
    return figure


def band_figure():
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    order = np.argsort(RATES)[::-1]
    axis.semilogx(np.array(RATES)[order], 100 * RUNS.mean(1)[order])
    axis.semilogx(RATES, 100 * RUNS.min(1), ":")
    axis.semilogx(RATES, 100 * RUNS.max(1), ":")
    axis.set(xlabel="rate", ylabel="accuracy (%)")
    pyplot.close(figure)
    return figure


def scatter_figure():
    figure = rate_figure(single=False)
    figure.axes[0].scatter(np.repeat(RATES, 3), RUNS.ravel())
    return figure


def spread_figure(draw, scale=1):
    figure = rate_figure(single=False, mean=draw != "errorbar", percent=scale)
    axis, low, high = figure.axes[0], scale * RUNS.min(1), scale * RUNS.max(1)
    means = scale * RUNS.mean(1)
    if draw == "errorbar":
        axis.errorbar(RATES, means, yerr=[means - low, high - means])
    else:
        getattr(axis, draw)(RATES, low, high)
    return figure


def beside_a_bar():
    figure = Figure()
    bars, axis = figure.subplots(1, 2)
    bars.bar(range(5), RUNS.mean(1))
    bars.set(xlabel="rate", ylabel="accuracy")
    axis.semilogx(RATES, RUNS.mean(1), RATES, RUNS, ".")
    axis.set(xlabel="learning rate", ylabel="accuracy")
    return figure


def bare_errorbar():
    figure = rate_figure(single=False, mean=False)
    figure.axes[0].errorbar(RATES, RUNS.mean(1))
    return figure


def swept(rates=RATES, runs=RUNS, figure=None):
    return {"rates": rates, "accuracies": runs, "figure": figure or rate_figure()}


RIGHT = {
    "q1": {
        "numpy": entropy_with(),
        "autograd": {"loss_and_gradient": entropy_by_autograd},
        "scipy": {"loss_and_gradient": entropy_by_scipy},
    },
    "q2": {
        "repaired": loop(),
        "zero_grad after the step": loop(early=False),
        "sums and split": {"tiny_net": tiny, "train": train_with_split},
        "a tensor": loop(end=torch.tensor),
        "without an optimizer": {"tiny_net": tiny, "train": train_by_hand},
    },
    "q3": {
        "class by class": honest(),
        "numpy and search": honest(balanced_by_sklearn, needed_by_search),
        "weights": honest(balanced_by_weights, needed_by_numpy),
    },
    "q4": {
        "weighted": refuted(),
        "autograd": refuted(parts_by_autograd, "Batch norm"),
        "divided later": refuted(parts_divided_later),
    },
    "q5": {
        "lists": swept(runs=RUNS.tolist()),
        "band in percent": swept(figure=band_figure()),
        "scattered, as arrays": swept(np.array(RATES), figure=scatter_figure()),
        "filled band": swept(figure=spread_figure("fill_between")),
        "bars of the lowest and highest": swept(figure=spread_figure("errorbar", 100)),
        "in the second axis": swept(figure=beside_a_bar()),
        "vertical lines, as tensors": swept(torch.tensor(RATES), torch.tensor(RUNS), figure=spread_figure("vlines")),
    },
}

WRONG = {
    "q1": {
        "sum": wrong("mean over the images", **entropy_with(mean=False)),
        "gradient of the sum": wrong("divided by the number", **entropy_with(share=False)),
        "softmax alone": wrong("subtract 1", **entropy_with(one_hot=False)),
        "sign": wrong("*rises*", **entropy_with(sign=-1)),
        "over the images": wrong("not over the images of a class", **entropy_with(axis=0)),
        "base 2": wrong("natural", **entropy_with(log=np.log2)),
        "overflow": wrong("overflows", **entropy_with(stable=False)),
        "logarithm of a share": wrong("round to 0", loss_and_gradient=entropy_of_shares),
        "one number": wrong("(loss, gradient)", **entropy_with(end=lambda loss, gradient: loss)),
        "a row too few": wrong("shape", **entropy_with(end=lambda loss, gradient: (loss, gradient[1:]))),
        "off a little": wrong("A case for paper", **entropy_with(end=lambda loss, g: (loss, g + (g > 0) * 0.1))),
        "a text": wrong("one number", **entropy_with(end=lambda loss, gradient: (str(loss), gradient))),
    },
    "q2": {
        "no zero_grad": wrong("add up", **loop(zero=False)),
        "zero_grad once per epoch": wrong("once in an epoch", **loop(zero="epoch")),
        "zero_grad once per epoch, eval mode": wrong("once in an epoch", **loop(zero="epoch", mode="eval")),
        "shuffled": wrong("shuffled", **loop(shuffle=True)),
        "loss after the step": wrong("computed after it", **loop(late="train")),
        "loss after the step, in eval mode": wrong("computed after it", **loop(late="eval")),
        "momentum": wrong("with momentum", **loop(momentum=0.9)),
        "summed loss": wrong("by the *mean*", **loop(reduction="sum")),
        "one number": wrong("a list of numbers", **loop(end=sum)),
        "another network": wrong("`0.weight` has the wrong shape", **loop(net=tiny_without_padding)),
        "no train": wrong("eval mode", **loop(mode=None)),
        "eval": wrong("eval mode", **loop(mode="eval")),
        "softmax twice": wrong("takes logits", **loop(softmax=True)),
        "last batch dropped": wrong("left out", **loop(drop=True)),
        "nothing repaired": wrong("add up", **loop(zero=False, mode=None, softmax=True, drop=True)),
        "two left": wrong("eval mode", **loop(mode=None, drop=True)),
        "no step": wrong("step of the optimizer", **loop(step=False)),
        "mean over batches": wrong("short last batch", **loop(average="batches")),
        "sum over batches": wrong("sums over batches", **loop(average="sum")),
        "sum over images": wrong("sums over images", **loop(average="total")),
        "last loss": wrong("last batch", **loop(average="last")),
        "every batch": wrong("one number per epoch", **loop(average="list")),
        "tensors": wrong("keep the graph", **loop(graph=True)),
    },
    "q3": {
        "plain error": wrong("plain error", **honest(lambda z, y: (z.argmax(1) != y).double().mean())),
        "plain accuracy": wrong("plain accuracy", **honest(lambda z, y: (z.argmax(1) == y).double().mean())),
        "balanced accuracy": wrong("balanced *accuracy*", **honest(lambda z, y: 1 - balanced_error(z, y))),
        "percent": wrong("these are percent", **honest(lambda z, y: 100 * balanced_error(z, y))),
        "absent class wrong": wrong("counts as wrong", **honest(lambda z, y: per_class(z, y, 1.0))),
        "absent class right": wrong("counts as right", **honest(lambda z, y: per_class(z, y, 0.0))),
        "a text": wrong("not a text", **honest(lambda z, y: str(balanced_error(z, y)))),
        "images as a text": wrong("not a text", **honest(needed=lambda p, h: str(images_needed(p, h)))),
        "NaN": wrong("without any image", **honest(lambda z, y: per_class(z, y, None))),
        "precision": wrong("*true* class", **honest(by_prediction)),
        "argmin": wrong("smallest", **honest(lambda z, y: balanced_error(-z, y))),
        "argmax over the images": wrong("stops with", **honest(lambda z, y: (z.argmax(0) != y).double().mean())),
        "a list": wrong("one number", **honest(lambda z, y: [0.1])),
        "rounded down": wrong("rounded down", **honest(needed=lambda p, h: int(1.96**2 * p * (1 - p) / h**2))),
        "whole width": wrong("end to end", **honest(needed=lambda p, h: images_needed(p, h / 2))),
        "no factor": wrong("68 %", **honest(needed=lambda p, h: math.ceil(p * (1 - p) / h**2))),
        "no square": wrong("four times", **honest(needed=lambda p, h: math.ceil(1.96 * p * (1 - p) / h))),
        "error rounded": wrong("behind the point: 2", **honest(lambda z, y: round(float(balanced_error(z, y)), 2))),
        "factor not squared": wrong("not rightly", **honest(needed=lambda p, h: math.ceil(1.96 * p * (1 - p) / h**2))),
        "worst case": wrong("worst case", **honest(needed=lambda p, h: images_needed(0.5, h))),
        "a float": wrong("whole number", **honest(needed=lambda p, h: 1.96**2 * p * (1 - p) / h**2)),
    },
    "q4": {
        "the claim": wrong("this is the claim", **refuted(parts_with(lambda *_: 1))),
        "mean over parts": wrong("short last part", **refuted(parts_with(lambda n, total, parts: 1 / parts))),
        "last part only": wrong("only the last part", **refuted(parts_with(lambda *_: 1, each=True))),
        "part for the short last part": wrong("its weight is smaller", **refuted(weighted_by_part)),
        "parts without the last": wrong("count the parts", **refuted(divided_by_whole_parts)),
        "the whole batch": wrong("all images go", **refuted(parts_with(send=len))),
        "image by image": wrong("one at a time", **refuted(parts_with(send=lambda _: 1))),
        "always train mode": wrong("here in eval mode", **refuted(parts_with(mode=True))),
        "eval mode": wrong("here in train mode", **refuted(parts_with(mode=False))),
        "last part, weighted": wrong("with its weight", **refuted(parts_with(each=True))),
        "first part only": wrong("first part", **refuted(parts_with(lambda *_: 1, limit=1))),
        "sum over images": wrong("divide by the number", **refuted(parts_with(lambda n, *_: n))),
        "divided twice": wrong("mean already", **refuted(parts_with(lambda n, total, _: 1 / total))),
        "divided by its size": wrong("once more", **refuted(parts_with(lambda n, *_: 1 / n))),
        "short part dropped": wrong("left out", **refuted(parts_with(drop=True))),
        "not emptied first": wrong("called twice", **refuted(parts_with(first=False))),
        "a number": wrong("or an array or tensor", **refuted(parts_with(end=lambda model: 0.5))),
        "a list of gradients": wrong(
            "differ in length", **refuted(parts_with(end=lambda m: [p.grad for p in m.parameters()]))
        ),
        "ReLU": wrong("a ReLU works on each", **refuted(fails="ReLU")),
        "max pooling": wrong("max pooling works", **refuted(fails="max pooling")),
        "GAP": wrong("global average pooling works", **refuted(fails="global average pooling")),
        "another text": wrong("must be one of", **refuted(fails="dropout")),
    },
    "q5": {
        "few rates": wrong("at least five", **swept(RATES[:4], RUNS[:4])),
        "the same rate twice": wrong("different", **swept([0.0003, 0.003, 0.03, 3.0, 3.0])),
        "narrow": wrong("powers of ten", **swept([0.1, 0.2, 0.3, 0.4, 0.5])),
        "transposed": wrong("one row for each", **swept(runs=RUNS.T)),
        "one run": wrong("no spread", **swept(runs=RUNS[:, :1])),
        "flat": wrong("rows of numbers", **swept(runs=RUNS[:, 0])),
        "percent": wrong("from 0 to 1", **swept(runs=100 * RUNS)),
        "one seed": wrong("seed of its own", **swept(runs=np.repeat(RUNS[:, :1], 3, axis=1))),
        "one rate": wrong("hardly depend", **swept(runs=RUNS[[2, 2, 2, 2, 2]])),
        "invented": wrong("are these the accuracies", **swept(runs=RUNS[[3, 2, 4, 1, 0]])),
        "invented at random": wrong("multiple of 1 / 200", **swept(runs=RUNS + 0.0013)),
        "NaN": wrong("NaN", **swept(runs=np.where(RUNS < 0.15, np.nan, RUNS))),
        "linear axis": wrong("logarithmic", **swept(figure=rate_figure(log=False))),
        "no labels": wrong("without a label", **swept(figure=rate_figure(labels=False))),
        "no mean": wrong("mean of the runs", **swept(figure=rate_figure(mean=False))),
        "means alone": wrong("means alone", **swept(figure=rate_figure(single=False))),
        "no figure": wrong("matplotlib Figure", **swept(figure=[1])),
        "an axis": wrong("`axis.figure`", **swept(figure=rate_figure().axes[0])),
        "bars without a length": wrong("means alone", **swept(figure=bare_errorbar())),
        "rates as texts": wrong("numbers only", **swept([str(rate) for rate in RATES])),
    },
}
