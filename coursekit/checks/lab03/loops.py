"""Questions 2 and 4: a training loop with mistakes in it, and the gradient of a large batch from parts of it."""

from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module, is_finite
from coursekit.checks.weights import given, normal, random_state

_BUGS = {
    "epoch": "gradients add up from step to step: it is not enough to set them to zero once in an epoch.",
    "zero": "gradients add up from step to step: they must be set to zero before each `backward`.",
    "mode": "the network may come in eval mode, and then its batch norm learns no mean and variance.",
    "softmax": "`F.cross_entropy` takes logits: it computes the softmax by itself.",
    "last": "the last batch is left out when it is smaller than the others.",
}
_ALONE = {  # looked for without others
    "after": "a batch's loss is the one just before the step; here it is computed after it.",
    "sum": "each step goes by the *mean* loss of its batch, not by the sum.",
    "momentum": "these are steps with momentum; asked for are plain ones.",
}


def q2(tiny_net: Function, train: Function, rng: np.random.Generator) -> None:
    """Five lines that each do their work; weights and losses must be those of the repaired loop."""
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    images, labels = pairs(rng, 22, channels, classes)
    start = random_state(_tiny(channels, classes), rng, 0.3)
    model = given(tiny_net(channels, classes), "tiny_net(channels, classes)", start)
    model.train(False)
    losses = train(model, images, labels, 2, 0.3, 8, finite=False)
    if not (is_finite(losses) and is_finite(model.state())):
        raise Hint("the training diverges: weights or losses grow to NaN. Do gradients add up? Is a step too large?")
    state = model.state()
    if all(torch.equal(state[name], value) for name, value in start.items() if "weight" in name):
        raise Hint("after `train` the weights are still what they were: is there a step of the optimizer?")

    def after(*bugs: str) -> Tensor:
        return flat(_train(_tiny(channels, classes), start, images, labels, bugs)[0])

    mistakes: list[tuple[str, object]] = [(hint, lambda bug=bug: after(bug)) for bug, hint in _ALONE.items()]
    for number in range(1, len(_BUGS) + 1):
        for bugs in combinations(_BUGS, number):
            if not {"zero", "epoch"} <= set(bugs):
                mistakes.append((_BUGS[bugs[0]], lambda bugs=bugs: after(*bugs)))
    right, means, late = _train(_tiny(channels, classes), start, images, labels, ())
    name = "the network's state after two epochs"
    small = partial(_smallest_run, tiny_net, train, rng)
    compare.array(flat(state), name, flat(right), mistakes, rtol=1e-4, small=small)
    _check_losses(losses, means, late)


def _smallest_run(tiny_net: Function, train: Function, rng: np.random.Generator) -> str:
    """Look for the shortest training that goes wrong: one step, two steps, a short last batch, two epochs."""
    runs = {(4, 1): "with one step", (8, 1): "with two steps"}
    runs |= {(6, 1): "with a short last batch", (4, 2): "with two epochs"}
    start, right = random_state(_tiny(1, 3), rng, 0.3), []
    for (count, epochs), text in runs.items():
        images, labels = pairs(rng, count, 1, 3)
        found = []
        for _ in range(2):
            model = given(tiny_net(1, 3), "tiny_net(1, 3)", start)
            model.train(False)
            train(model, images, labels, epochs, 0.3, 4)
            found.append(flat(model.state()))
        if not torch.equal(*found):
            raise Hint("from the same start, `train` gives other weights each time: are the images shuffled?")
        own = _train(_tiny(1, 3), start, images, labels, (), epochs, 4)[0]
        wrong = [name for name, value in model.state().items() if not torch.allclose(value, own[name], rtol=1e-3)]
        if wrong:
            fine = f"right {', and '.join(right)}, but " if right else ""
            case = f"{text} ({count} images, batch_size 4, {epochs} epoch{'s' * (epochs > 1)})"
            return f" It is {fine}wrong {case}. There, {', '.join(wrong)} come out wrong."
        right.append(text)
    return " It is right for the shortest trainings, and wrong for longer ones: what is carried from epoch to epoch?"


def _check_losses(losses: object, means: list[list[float]], late: list[list[float]]) -> None:
    if isinstance(losses, list | tuple) and any(isinstance(value, Tensor) for value in losses):
        raise Hint("`train` returns tensors, and each may keep the graph of its batch alive: take the numbers out.")
    sizes = np.array([8, 8, 6])
    batches = np.array(means)
    compare.array(
        losses,
        "the list of losses",
        batches @ sizes / 22,
        {
            "the mean of the batches' losses lets the short last batch weigh too much.": batches.mean(axis=1),
            "these are sums over batches; asked for is the mean over images.": batches.sum(axis=1),
            "these are sums over images; asked for is their mean.": batches @ sizes,
            "these are the losses of each epoch's last batch.": batches[:, -1],
            "this is a list of the batches' losses; asked for is one number per epoch.": batches.ravel(),
            _ALONE["after"]: np.array(late) @ sizes / 22,
        },
        rtol=1e-4,
    )


def _tiny(channels: int, classes: int) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes)]
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), *head)


def _train(
    model: nn.Module, start: dict, images: Tensor, labels: Tensor, bugs: tuple[str, ...], epochs: int = 2, size: int = 8
):
    model.load_state_dict(start)
    model.train("mode" not in bugs)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9 * ("momentum" in bugs))
    means, late = [], []
    for _ in range(epochs):
        means.append([])
        late.append([])
        if "epoch" in bugs:
            optimizer.zero_grad()
        for first in range(0, len(images) - size * ("last" in bugs), size):
            outputs = model(images[first : first + size])
            outputs = outputs.softmax(dim=1) if "softmax" in bugs else outputs
            loss = F.cross_entropy(outputs, labels[first : first + size])
            if not {"zero", "epoch"} & set(bugs):
                optimizer.zero_grad()
            (loss * (len(outputs) if "sum" in bugs else 1)).backward()
            optimizer.step()
            means[-1].append(loss.item())
            with torch.no_grad():
                model.train("after" in bugs)  # then batch norm learns from the batch once more
                after = model(images[first : first + size])
                late[-1].append(F.cross_entropy(after, labels[first : first + size]).item())
                model.train("mode" not in bugs)
    return model.state_dict(), means, late


def q4(
    plain_net: Function, norm_net: Function, gradient_in_parts: Function, fails_with: object, rng: np.random.Generator
) -> None:
    """Compare the gradient of a mean loss from unequal parts; ask for the layer for which there is no such way."""
    channels, classes = int(rng.integers(1, 4)), int(rng.integers(3, 6))
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, classes)]
    own = nn.Sequential(nn.Conv2d(channels, 5, 3), *head)
    own.load_state_dict(state := random_state(own, rng, 0.3))
    model = given(plain_net(channels, classes), "plain_net(channels, classes)", state)
    small = partial(_smallest_parts, model, own, gradient_in_parts, rng)
    for count, part in ((8, 4), (11, 4), (7, 3)):
        images, labels = pairs(rng, count, channels, classes)
        sizes = [len(y) for y in labels.split(part)]
        means = [_gradient(own, x, y) for x, y in zip(images.split(part), labels.split(part), strict=True)]
        weighted = [mean * size / count for mean, size in zip(means, sizes, strict=True)]
        right, whole = _gradient(own, images, labels), weighted[: count // part]
        mistakes = {
            "this is the claim: a sum of means is larger than the mean over all.": sum(means),
            "a mean over parts lets the images of a short last part weigh more.": sum(means) / len(means),
            "only the last part is in it: the gradients of the others are gone.": means[-1],
            "only the last part is in it, with its weight: the gradients of the others are gone.": weighted[-1],
            "only the first part is in it.": means[0],
            "the last part may be shorter than `part`: then its weight is smaller.": sum(means) * part / count,
            "count the parts: `n // part` forgets the short last one.": sum(means) / (count // part),
            "divide by the number of images: this is the sum over them.": right * count,
            "each part's mean is divided by its own size once more.": sum(map(torch.div, means, sizes)),
            "divided by the number of images, but each part is a mean already: give it its weight.": sum(means) / count,
            "the last part, shorter than the others, is left out.": sum(whole),
        }
        answer = gradient_in_parts(model, images, labels, part)
        shown = f"the gradient of {count} images in parts of {part}"
        compare.array(answer, shown, right, mistakes, rtol=1e-4, small=small)
        again, name = gradient_in_parts(model, images, labels, part), "the gradient from parts, computed a second time,"
        added = {"called twice, it adds the first call's gradients to the second's.": 2 * right}
        compare.array(again, name, right, added, rtol=1e-4)
    own.insert(1, nn.BatchNorm2d(5))
    own.load_state_dict(state := random_state(own, rng, 0.3))
    model = given(norm_net(channels, classes), "norm_net(channels, classes)", state)
    _compare_sent(gradient_in_parts, model, own, *pairs(rng, 11, channels, classes))
    options = {"relu": "a ReLU", "max pooling": "max pooling", "global average pooling": "global average pooling"}
    alone = "works on each image by itself, so that it does not matter which other images are in the batch."
    hints = {name: f"{what} {alone}" for name, what in options.items()}
    compare.choice(fails_with, "`fails_with`", "batch norm", hints)


def _smallest_parts(model: Module, own: nn.Sequential, gradient_in_parts: Function, rng: np.random.Generator) -> str:
    sizes = {name: value.shape for name, value in own.state_dict().items()}
    channels, classes = sizes["0.weight"][1], sizes["4.bias"][0]
    for count, part in ((1, 1), (2, 2), (2, 1), (3, 2)):
        images, labels = pairs(rng, count, channels, classes)
        answer = compare.as_array(gradient_in_parts(model, images, labels, part), "the gradient from parts")
        right = _gradient(own, images, labels).numpy()
        if answer.shape != right.shape or not np.allclose(answer, right, atol=1e-4 * np.abs(right).max()):
            return f" The smallest case that is wrong: {count} image{'s' * (count > 1)}, in parts of {part}."
    return " It is right for 2 images in parts of 1, and for 3 in parts of 2."


def _compare_sent(gradient_in_parts: Function, model: Module, own: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Look at what is sent through the network: with batch norm in train mode, this shows in the gradient."""

    def sent(part: int) -> Tensor:
        pieces = zip(images.split(part), labels.split(part), strict=True)
        return sum((_gradient(own, x, y) * len(y) / len(labels) for x, y in pieces), start=torch.zeros(()))

    still = _gradient(own.eval(), images, labels)
    own.train()
    for mode, right, other in (("eval", still, sent(4)), ("train", sent(4), still)):
        model.train(mode == "train")
        compare.array(
            gradient_in_parts(model, images, labels, 4),
            f"the gradient of `norm_net` in {mode} mode, from parts,",
            right,
            {
                "all images go through the network at once: send `part` at a time.": sent(len(labels)),
                "the images go through the network one at a time: send `part` at a time.": lambda: sent(1),
                f"leave the network in the mode in which it comes, here in {mode} mode.": other,
            },
            rtol=1e-4,
        )


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(model(images), labels)
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(model.parameters()))])


def pairs(rng: np.random.Generator, count: int, channels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Draw images and labels."""
    images = normal(rng, count, channels, 7, 8)
    return images, torch.from_numpy(rng.integers(0, classes, count))


def flat(state: dict[str, Tensor]) -> Tensor:
    """Return all weights and statistics one behind the other."""
    return torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])
