"""The checks of lab 5, ResNet blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.labs import compare
from coursekit.labs.answers import Function, Hint, Module, NotAnsweredError
from coursekit.labs.lab import Lab

lab = Lab("lab05", "ResNet blocks")
check, done, progress, test = lab.check, lab.done, lab.progress, lab.test


def _mistakes(each: Callable, hints: Mapping[str, str]) -> dict[str, Callable]:
    """Turn the name of a slip and its hint into what `compare.array` wants."""
    return {hint: lambda slip=slip: each(slip) for slip, hint in hints.items()}


@lab.question("Pad for any kernel and stride", points=2)
def q1(pads: object, rng: np.random.Generator) -> None:
    """Ask for the pads of even and wide kernels, with stride and dilation, in the order of `F.pad`."""
    pads = compare.function(pads, "pads")
    settings = [((9, 8), (2, 5), 1, 1), ((7, 12), (1, 1), 2, 1), ((8, 9), (3, 4), 2, 1), ((10, 7), (2, 3), 1, 3)]
    for _ in range(12):
        size, kernel = rng.integers(5, 20, 2).tolist(), rng.integers(1, 7, 2).tolist()
        settings.append((tuple(size), tuple(kernel), *rng.integers(1, 4, 2).tolist()))

    def each(slip: str = "") -> np.ndarray:
        return np.array([_pads(*setting, slip) for setting in settings])

    rows = _whole_rows(pads, "pads", settings, 4)
    if rows.min() < 0:
        raise Hint("a pad cannot be negative: sometimes the image has more pixels than are needed.")
    hints = {
        "lecture": "the lecture's formula knows neither even kernels nor stride and dilation.",
        "too few": "where an odd number of pixels is missing, the two sides must differ: here there is one too few.",
        "too many": "where an odd number of pixels is missing, the two sides must differ: here there is one too many.",
        "stride": "the stride is not in it: fewer positions need fewer pixels.",
        "dilation": "the dilation is not in it.",
        "reach": "how far does a dilated kernel reach? It has gaps between its elements, but none behind the last.",
        "divides": "right only where the stride divides the size; at other sizes the pads differ.",
        "down": "how many positions? Where the stride does not divide the size, round up.",
    }
    order = {
        "these are top, bottom, left, right: `F.pad` begins with the last axis, the width.": each()[:, [2, 3, 0, 1]],
        "the pixel more must be at the right and at the bottom.": each()[:, [1, 0, 3, 2]],
    }
    name = f"the list of pads for {len(settings)} settings"
    calls = [pads.shown(*setting) for setting in settings]
    compare.array(rows, name, each(), order | _mistakes(each, hints), rtol=1e-9, calls=calls)


def _pads(size: tuple, kernel: tuple, stride: int, dilation: int, slip: str) -> list[int]:
    stride, dilation = (1 if slip == "stride" else stride), (1 if slip == "dilation" else dilation)
    result = []
    for pixels, elements in zip(size[::-1], kernel[::-1], strict=True):  # the width first
        reach = dilation * elements if slip == "reach" else dilation * (elements - 1) + 1
        positions = pixels // stride if slip == "down" else -(-pixels // stride)
        lost = reach - stride if slip == "divides" else (positions - 1) * stride + reach - pixels
        lost = max(lost, 0)
        sides = {"too few": 2 * [lost // 2], "too many": 2 * [-(-lost // 2)], "lecture": 2 * [elements // 2]}
        result += sides.get(slip, [lost // 2, lost - lost // 2])
    return result


def _whole_rows(function: Function, name: str, settings: Sequence[tuple], count: int) -> np.ndarray:
    """Call a function with each setting; it must return ``count`` whole numbers."""
    rows = []
    for setting in settings:
        row = function(*setting)
        row = row.tolist() if isinstance(row, np.ndarray) else row
        if not isinstance(row, list | tuple) or len(row) != count:
            raise Hint(f"`{name}` must return {count} numbers in a list or tuple, not {compare.kind(row, show=True)}.")
        rows.append([compare.as_whole(value, f"each number that `{name}` returns") for value in row])
    return np.array(rows)


@lab.question("Repair a residual block", points=3)
def q2(Block: object, rng: np.random.Generator) -> None:
    """Compare blocks with either kind of shortcut: first their parameters, then their outputs in both modes."""
    make = compare.function(Block, "Block")
    narrow, wide = rng.choice(np.arange(2, 7), 2, replace=False).tolist()
    cases, answers = [], []
    for setting in [(narrow, narrow, 1), (narrow, wide, 1), (wide, wide, 2), (wide, narrow, 3)]:
        block, own = compare.module(make(*setting), f"Block{setting}"), _Block(*setting)
        _same_names(set(block.state()), set(own.state_dict()), f"Block{setting}")
        _copy_state(block, own, rng)
        cases.append((block, own, _normal(rng, 4, setting[0], 11, 10), f"Block{setting}"))
    for block, _, x, shown in cases:
        for mode in (False, True):  # train mode last: it changes the running statistics
            block.train(mode)
            answers.append(_call(block, x, shown))

    def each(slip: str = "") -> Tensor:
        return torch.cat([own.train(mode)(x, slip).flatten() for _, own, x, _ in cases for mode in (False, True)])

    hints = {"twice": "`bn1` is used twice, and `bn2` never."}
    for slip, hint in {
        "before": "a branch that ends in a ReLU can only add: the last ReLU belongs behind the sum.",
        "both": "one ReLU too many: a branch that ends in a ReLU can only add.",
        "none": "the ReLU behind the sum is missing.",
        "middle": "the ReLU between the two convolutions is missing.",
        "late": "the stride belongs to the first convolution, not to the second.",
        "alone": "the sum with the shortcut is missing.",
    }.items():
        hints |= {slip: hint, f"{slip} twice": hint + " "}  # keys of their own
    shown = [f"{block.shown(x)}, {mode} mode" for block, _, x, _ in cases for mode in ("eval", "train")]
    calls = [call for call, answer in zip(shown, answers, strict=True) for _ in answer]
    compare.array(torch.cat(answers), "the blocks' outputs", each(), _mistakes(each, hints), rtol=1e-4, calls=calls)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs, momentum=0), nn.BatchNorm2d(outputs, momentum=0)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs, momentum=0))

    def forward(self, x: Tensor, slip: str = "") -> Tensor:
        slip, twice = slip.removesuffix("twice").strip(), slip.endswith("twice")
        strides = (self.conv1.stride, 1)[:: -1 if slip == "late" else 1]
        branch = self.bn1(F.conv2d(x, self.conv1.weight, stride=strides[0], padding=1))
        branch = branch if slip == "middle" else F.relu(branch)
        branch = F.conv2d(branch, self.conv2.weight, stride=strides[1], padding=1)
        branch = self.bn1(branch) if twice else self.bn2(branch)
        branch = F.relu(branch) if slip in ("before", "both") else branch
        result = branch + (0 if slip == "alone" else self.shortcut(x))
        return result if slip in ("before", "none") else F.relu(result)


def _same_names(has: set[str], needs: set[str], shown: str) -> None:
    if any(name.startswith("shortcut") for name in needs - has):
        raise Hint(f"`{shown}` changes the shape of its input: its shortcut needs a convolution and batch norm.")
    if any(name.startswith("shortcut") for name in has - needs) and not any(n.startswith("shortcut") for n in needs):
        raise Hint(f"`{shown}` keeps the shape of its input: its shortcut is `x` itself, without parameters.")
    for name in sorted(needs - has):
        raise Hint(f"`{shown}` has no `{name}`: leave the names `conv1`, `bn1`, `conv2`, `bn2`, `shortcut`.")
    for name in sorted(has - needs):
        also = " No convolution has a bias." if name.endswith(".bias") else ""
        raise Hint(f"`{shown}` has a `{name}`, for which there is no use.{also}")


def _call(block: Module, x: Tensor, shown: str) -> Tensor:
    try:
        answer = block(x)
    except Hint as hint:
        if "must match the size" in str(hint):
            raise Hint(f"in `{shown}`, branch and shortcut differ in size: follow both on paper.") from None
        raise
    if not isinstance(answer, Tensor):
        raise Hint(f"`{shown}` must give a tensor, not {compare.kind(answer)}.")
    return answer.flatten()


def _copy_state(model: Module, own: nn.Module, rng: np.random.Generator) -> None:
    """Give both the same new weights and running statistics."""
    own.load_state_dict(_random_state(own, rng))
    model.load(own.state_dict())


def _random_state(model: nn.Module, rng: np.random.Generator) -> dict[str, Tensor]:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in state.items():
        if value.is_floating_point():
            noise = torch.from_numpy(rng.uniform(-0.4, 0.4, tuple(value.shape))).float()
            state[name] = value + noise if value.ndim == 1 else noise
    return state


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


@lab.question("What a block costs", points=3)
def q3(block_cost: object, rng: np.random.Generator) -> None:
    """Ask for parameters and multiply-adds of both kinds of block, with every kind of shortcut."""
    block_cost = compare.function(block_cost, "block_cost")
    settings = []
    for kind, expand in (("basic", 1), ("bottleneck", 4)):
        channels = int(rng.integers(4, 20))
        outputs = channels * expand
        for inputs, stride in ((outputs, 1), (channels + 21, 1), (outputs, 2), (channels + 3, 2), (channels, 3)):
            rows, columns = (6 * rng.integers(1, 6, 2) + 1).tolist()  # divided by 2 and 3, 1 remains
            settings.append((kind, inputs, channels, stride, (rows, columns + 4)))

    def each(slip: str = "") -> np.ndarray:
        return np.array([_cost(*setting, slip) for setting in settings])

    hints = {
        "norm 0": "the parameters of the batch norms are missing.",
        "norm 1": "a batch norm has a factor *and* a shift for each channel.",
        "norm 3": "a convolution in front of a batch norm has no bias.",
        "norm 4": "the running mean and variance of a batch norm are no parameters: nothing learns them.",
        "never": "the shortcut is missing where the block changes the shape.",
        "always": "the shortcut of a block that keeps the shape costs nothing.",
        "channels": "a block with stride needs a convolution in its shortcut, even if its channels stay.",
        "strides": "a block that changes the channels needs a convolution in its shortcut, even without stride.",
        "narrow": "does a bottleneck keep the shape if its input has `channels` channels? Look at its output.",
        "thin": "how many channels leave a bottleneck? Its shortcut must have as many, or they cannot be added.",
        "wide": "the 1 x 1 of the shortcut has the stride: it works at as many positions as its *output* has.",
        "early": "the stride of a bottleneck is in its 3 x 3; before that, the maps are still large.",
        "late": "a convolution with stride works at as many positions as its *output* has.",
        "same": "the strides make the maps smaller: the multiply-adds must feel it.",
        "down": "where the stride does not divide the size, round up.",
        "expand": "the last convolution of a bottleneck has four times as many outputs.",
        "line": "a kernel has a height *and* a width.",
        "double": "a product and a sum together are *one* multiply-add.",
    }
    turned = {"these are multiply-adds, then parameters: it should be the other way round.": each()[:, ::-1]}
    name = f"the list of costs for {len(settings)} blocks"
    rows = _whole_rows(block_cost, "block_cost", settings, 2)
    calls = [block_cost.shown(*setting) for setting in settings]
    compare.array(rows, name, each(), turned | _mistakes(each, hints), rtol=1e-9, calls=calls)


def _cost(kind: str, inputs: int, channels: int, stride: int, size: tuple, slip: str) -> tuple[int, int]:
    before = after = size[0] * size[1]
    if slip != "same":
        after = np.prod([side // stride if slip == "down" else -(-side // stride) for side in size])
    inside = before if slip == "late" else after  # of the convolution with the stride
    layers, outputs = [(inputs, channels, 3, inside), (channels, channels, 3, after)], channels
    if kind == "bottleneck":
        outputs = channels if slip == "expand" else 4 * channels
        layers = [(inputs, channels, 1, after if slip == "early" else before)]
        layers += [(channels, channels, 3, inside), (channels, outputs, 1, after)]
    changes = inputs != (channels if slip == "narrow" else outputs)
    rule = {"never": False, "always": True, "channels": changes, "strides": stride > 1}
    if rule.get(slip, changes or stride > 1):
        layers.append((inputs, channels if slip == "thin" else outputs, 1, before if slip == "wide" else after))
    weights = [i * o * k ** (1 if slip == "line" else 2) for i, o, k, _ in layers]
    products = sum(weight * layer[3] for weight, layer in zip(weights, layers, strict=True))
    each = int(slip[-1]) if slip.startswith("norm") else 2
    return sum(weights) + each * sum(layer[1] for layer in layers), products * (2 if slip == "double" else 1)


@lab.question("ResNet9, another way round", points=4)
def q4(ResNet9: object, rng: np.random.Generator) -> None:
    """Look at the layers first, then load weights into them, and compare the logits in both modes."""
    make = compare.function(ResNet9, "ResNet9")
    channels, width, classes = int(rng.choice([1, 2, 4])), int(rng.integers(3, 7)), int(rng.integers(2, 9))
    shown = f"ResNet9({classes}, {channels}, {width})"
    model = compare.module(make(classes, channels, width), shown)
    if not model.parameters():
        hidden = "A plain list hides layers: use `nn.Sequential` or `nn.ModuleList`."
        raise NotAnsweredError(f"`{shown}` has no layers yet. {hidden}")
    own = _Nine(classes, channels, width)
    own.load_state_dict(_random_state(own, rng))
    _give_weights(model, own, shown)
    cases = list(product((False, True), [_normal(rng, 3, channels, 8, 13), _normal(rng, 2, channels, 13, 10)]))
    answers = []
    for mode, x in cases:
        model.train(mode)
        answers.append(model(x))
        if not isinstance(answers[-1], Tensor) or answers[-1].shape != (len(x), classes):
            raise Hint(f"`{shown}` must give a tensor [images, classes].")

    def each(slip: str = "") -> Tensor:
        return torch.cat([own.train(mode and slip != "eval")(x, slip) for mode, x in cases])

    hints = {
        "relu": "nothing stands behind the sum of a residual layer: not even a ReLU.",
        "no sum": "the residual layers do not add their input.",
        "active": "what is added is `x` itself, not what came out of its batch norm and ReLU.",
        "swapped": "batch norm comes first, then the ReLU.",
        "order": "batch norm and ReLU stand *in front of* their convolution.",
        "after": "batch norm and ReLU stand *in front of* their convolution, also in front of the first one.",
        "one relu": "each batch norm is followed by a ReLU; here, one in each residual layer is missing.",
        "start": "the first convolution is followed directly by the residual layer: no ReLU.",
        "end": "the ReLU behind the last batch norm is missing.",
        "no norm": "the last batch norm is made, but not used.",
        "late": "the pooling stands in front of the second convolution of the table, not behind it.",
        "one pool": "the pooling in front of the last residual layer is missing.",
        "behind": "the last pooling stands in front of the last residual layer, not behind it.",
        "ceil": "the pooling rounds odd sizes down.",
        "no pool": "the pooling in front of the second convolution of the table is missing.",
        "mean pool": "the pooling inside takes the maximum, not the mean.",
        "maximum": "the head takes the mean of each map, not its maximum.",
        "softmax": "logits are asked for: no softmax at the end.",
        "eval": "right in eval mode, but in train mode batch norm must use the batch: who has switched it off?",
    }
    compare.array(torch.cat(answers), "the logits", each(), _mistakes(each, hints), rtol=1e-4)


class _Nine(nn.Module):
    def __init__(self, classes: int, channels: int, width: int) -> None:
        super().__init__()
        ends = [channels, *3 * [width], *5 * [2 * width]]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in pairwise(ends))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k * width, momentum=0) for k in (1, 1, 2, 2, 2, 2, 2))
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor, slip: str = "") -> Tensor:
        convs, norms = iter(self.convs), iter(self.norms)
        pool = partial(F.avg_pool2d if slip == "mean pool" else F.max_pool2d, ceil_mode=slip == "ceil")
        x = next(convs)(x)
        x = _residual(F.relu(x) if slip == "start" else x, convs, norms, slip)
        x = next(convs)(x if slip in ("late", "no pool") else pool(x, 2))
        x = _residual(pool(x, 2) if slip == "late" else x, convs, norms, slip)
        x = _residual(x if slip in ("one pool", "behind") else pool(x, 2), convs, norms, slip)
        x = pool(x, 2) if slip == "behind" else x
        x = x if slip == "no norm" else next(norms)(x)
        x = x if slip == "end" else F.relu(x)
        x = self.linear(x.amax(dim=(2, 3)) if slip == "maximum" else x.mean(dim=(2, 3)))
        return x.softmax(dim=1) if slip == "softmax" else x


def _residual(x: Tensor, convs: Iterator[nn.Module], norms: Iterator[nn.Module], slip: str) -> Tensor:
    def active(x: Tensor) -> Tensor:
        norm = next(norms)
        return norm(F.relu(x)) if slip == "swapped" else F.relu(norm(x))

    if slip in ("order", "after"):
        middle = active(next(convs)(x))
        branch = next(norms)(next(convs)(middle))
        return x + (branch if slip == "order" else F.relu(branch))
    first = active(x)
    middle = next(convs)(first)
    branch = next(convs)(next(norms)(middle) if slip == "one relu" else active(middle))
    result = {"no sum": 0, "active": first}.get(slip, x) + branch
    return F.relu(result) if slip == "relu" else result


_ORDER = "Are the layers made in the order in which an image passes?"


def _give_weights(model: Module, own: _Nine, shown: str) -> None:
    """Load the weights of ``own``, layer by layer of each kind, so that the student's names do not matter."""
    layers, shapes, given = model.layers(), model.parameters(), {}
    for kind, parts in (("Conv2d", own.convs), ("BatchNorm2d", own.norms), ("Linear", [own.linear])):
        found = [layer for layer in layers if layer["kind"] == kind]
        if kind == "Conv2d" and any(layer["settings"]["bias"] for layer in found):
            raise Hint("the convolutions are to have no bias.")
        if len(found) != len(parts):
            norms = " Each residual layer has two of its own, and one stands in front of the head."
            raise Hint(f"`{shown}` has {len(found)} layers of kind {kind}.{norms * (kind == 'BatchNorm2d')}")
        for number, (layer, part) in enumerate(zip(found, parts, strict=True), start=1):
            shape = tuple(shapes[layer["name"] + ".weight"]["shape"])
            if shape != tuple(part.weight.shape):
                raise Hint(
                    f"in `{shown}`, the weight of {kind} number {number} has the wrong shape {list(shape)}. {_ORDER}"
                )
            given |= {f"{layer['name']}.{key}": value for key, value in part.state_dict().items()}
    model.load(given)


@lab.question("Follow the gradient", points=3)
def q5(
    deep_net: object,
    gradient_norms: object,
    with_skip: object,
    without_skip: object,
    figure: object,
    rng: np.random.Generator,
) -> None:
    """Compare norms of the gradient for the input of each part of a chain; look at those measured and drawn."""
    make, gradient_norms = compare.function(deep_net, "deep_net"), compare.function(gradient_norms, "gradient_norms")
    for skip in (True, False):
        blocks, channels, classes = rng.integers(2, 6, 3).tolist()
        model = compare.module(make(blocks, skip, channels, 4, classes), "deep_net(...)")
        own = _deep(blocks, skip, channels, classes)
        _copy_state(model, own, rng)
        images, labels = _normal(rng, 7, channels, 6, 8), torch.from_numpy(rng.integers(0, classes, 7))
        _compare_norms(gradient_norms(model, images, labels), own, images, labels)
    _check_chart(with_skip, without_skip, figure)


def _compare_norms(answer: object, own: nn.Sequential, images: Tensor, labels: Tensor) -> None:
    values = [images.requires_grad_()]
    for part in own:
        values.append(part(values[-1]))
    loss = F.cross_entropy(values[-1], labels)

    def norms(of: Sequence[Tensor], loss: Tensor = loss) -> np.ndarray:
        return np.array([g.norm().item() for g in torch.autograd.grad(loss, of, retain_graph=True)])

    def weights(least: int) -> list[float]:
        return [np.linalg.norm(norms([w for w in part.parameters() if w.ndim > least])) for part in own]

    tensors = answer if isinstance(answer, list | tuple) else [answer]
    if any(isinstance(value, Tensor) for value in tensors):
        raise Hint("`gradient_norms` returns tensors: take the numbers out, with `.item()`.")
    right, parts = norms(values[:-1]), len(own)
    gradients = torch.autograd.grad(loss, values[:-1], retain_graph=True)
    single = np.array([g.flatten(1).norm(dim=1).sum().item() for g in gradients])
    mistakes = {
        "these are gradients for the *parameters* of each part, not for its input.": weights(0),
        "these are gradients for the *weights* of each part, not for its input.": weights(1),
        "these belong to the *output* of each part; asked for is its input.": norms(values[1:]),
        "the order is reversed: the first number belongs to the images.": right[::-1],
        "these are norms of the values on their way, not of gradients.": [v.norm().item() for v in values[:-1]],
        "these are the norms squared.": right**2,
        "take one norm over the whole batch; this is the mean of one norm for each image.": single / len(images),
        "take one norm over the whole batch; this is the sum of one norm for each image.": single,
        "a norm is the root of the *sum* of squares, not of their mean.": right
        / [v.numel() ** 0.5 for v in values[:-1]],
        "the loss is the mean over the images, not the sum.": right * len(images),
        "this is the gradient of the sum of the logits: take that of the loss.": norms(values[:-1], values[-1].sum()),
    }
    shapes = {
        (parts - 1,): "one number is missing: each part counts, the first and the last one too.",
        (parts - 2,): "two numbers are missing: each part counts, the first and the last one too.",
        (parts + 1,): "one number too many: the logits are the input of no part.",
        (): "`gradient_norms` returns one number; asked for is one for each part.",
    }
    compare.array(answer, "the result of `gradient_norms`", right, mistakes, rtol=1e-4, lists=True, shapes=shapes)


def _deep(blocks: int, skip: bool, channels: int, classes: int) -> nn.Sequential:
    class Skip(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    block = Skip if skip else nn.Sequential
    start = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.AvgPool2d(2))
    middle = [block(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(blocks)]
    return nn.Sequential(start, *middle, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)))


def _check_chart(with_skip: object, without_skip: object, figure: object) -> None:
    curves = {"with_skip": with_skip, "without_skip": without_skip}
    for name, curve in curves.items():
        curves[name] = values = compare.as_floats(curve, f"`{name}`")
        if values.ndim != 1 or len(values) < 22:
            raise Hint(f"`{name}` must hold one number for each part of a network with 20 blocks or more.")
        if not (np.isfinite(values).all() and np.all(values >= 0)):
            raise Hint(f"`{name}` holds a number that is no norm: negative, infinite or NaN.")
        if np.any(values == 0):
            raise Hint(f"`{name}` holds zeros: so small a gradient does not fit into 32 bits. Take fewer blocks.")
    if len({len(values) for values in curves.values()}) > 1:
        raise Hint("compare networks of the same depth: `with_skip` and `without_skip` differ in length.")
    left, lost = (values[1] / values[-1] for values in curves.values())  # behind the start, against the head
    if left < lost:
        raise Hint("more of the gradient arrives in `without_skip` than in `with_skip`: did you swap the two?")
    if left < 100 * lost:
        raise Hint("`with_skip` and `without_skip` hardly differ: was one of the networks made with `skip=False`?")
    axis = compare.chart(figure, "figure").axes[0]
    for name, values in curves.items():
        drawn = [line["y"] for line in axis["lines"] if np.shape(line["y"]) == values.shape]
        if not any(np.allclose(y, values, rtol=1e-3, atol=0) for y in drawn):
            raise Hint(f"no curve of `figure` shows `{name}`, with all its numbers.")
    if axis["yscale"] != "log":
        raise Hint("make the axis of the norms logarithmic: they span many powers of ten.")
    if len(axis["legend"]) < 2:
        raise Hint("`figure` needs a legend: which curve is which?")


@lab.question("Paths of unequal blocks", points=2)
def q6(count_paths: object, depth_in_training: object, rng: np.random.Generator) -> None:
    """Compare how a sum of independent lengths is distributed: counted, and with probabilities."""
    count_paths = compare.function(count_paths, "count_paths")
    depth_in_training = compare.function(depth_in_training, "depth_in_training")
    chains = [[2, 3], [3, 1, 2, 2, 5]] + [[*rng.integers(1, 6, n).tolist(), 2] for n in (3, 4, 6)]

    def counts(slip: str = "") -> np.ndarray:
        rows = [_spread([1] * sum(chain) if slip == "layers" else chain, 1, 1) for chain in chains]
        rows = {
            "shares": [row / row.sum() for row in rows],
            "kinds": [np.minimum(row, 1) for row in rows],
            "around": [row - (np.arange(len(row)) == 0) for row in rows],
            "sums": [np.cumsum(row) for row in rows],
        }.get(slip, rows)
        return np.concatenate(rows)

    hints = {
        "shares": "these are shares of all paths; asked for are their numbers.",
        "kinds": "several paths may have the same length: count them all.",
        "layers": "a path goes through all layers of a branch or through none of them.",
        "around": "one path goes through no branch at all.",
        "sums": "these are the paths with *at most* so many layers; asked for are those with exactly so many.",
    }
    answer = _in_one([count_paths(chain) for chain in chains], "count_paths", chains)
    calls = [count_paths.shown(chain) for chain in chains for _ in range(sum(chain) + 1)]
    name = f"the list of counts for {len(chains)} networks"
    compare.array(answer, name, counts(), _mistakes(counts, hints), calls=calls)

    drops = [rng.uniform(0.05, 0.9, len(chain)).round(3).tolist() for chain in chains]

    def chances(slip: str = "") -> np.ndarray:
        rows = []
        for chain, p in zip(chains, map(np.array, drops), strict=True):
            ways = {"kept": (1 - p, p), "mean": (p.mean(), 1 - p.mean()), "half": (0.5, 0.5), "counts": (1, 1)}
            ways |= {"no drop": (1, 1 - p), "no keep": (p, 1)}
            rows.append(_spread(chain, *ways.get(slip, (p, 1 - p))))
        return np.concatenate(rows)

    hints = {
        "kept": "`drop` is the probability that a branch is left out; here it is kept with it.",
        "mean": "each block has a probability of its own, not the mean of all.",
        "half": "these are the shares of paths, as if each branch were left out half of the time.",
        "counts": "these are the numbers of paths, not probabilities.",
        "no drop": "the probabilities do not add up to 1: what of the blocks that are left out?",
        "no keep": "the probabilities do not add up to 1: what of the blocks that are kept?",
    }
    pairs = list(zip(chains, drops, strict=True))
    answer = _in_one([depth_in_training(*pair) for pair in pairs], "depth_in_training", chains)
    calls = [depth_in_training.shown(*pair) for pair in pairs for _ in range(sum(pair[0]) + 1)]
    name = f"the list of probabilities for {len(chains)} networks"
    compare.array(answer, name, chances(), _mistakes(chances, hints), calls=calls)


def _spread(layers: Sequence[int], around: float | np.ndarray, through: float | np.ndarray) -> np.ndarray:
    """Multiply out: for each block the weight around its branch, plus that through its layers."""
    result = np.ones(1)
    weights = (np.broadcast_to(weight, len(layers)) for weight in (around, through))
    for length, out, into in zip(layers, *weights, strict=True):
        result = np.convolve(result, [out, *[0] * (length - 1), into])
    return result


def _in_one(answers: list, name: str, chains: list[list[int]]) -> np.ndarray:
    rows = []
    for answer, chain in zip(answers, chains, strict=True):
        shown, layers = f"`{name}` for branches of {chain} layers", sum(chain)
        shapes = {
            (len(chain) + 1,): f"{shown}: the length of a path is the number of its layers, not of its blocks.",
            (2 ** len(chain),): f"{shown} has an element for each path; asked for is one for each length.",
            (layers,): f"{shown} has {layers} elements: but a path may have from 0 to {layers} layers.",
            (): f"`{name}` must return a list, not {compare.kind(answer)}.",
        }
        if isinstance(answer, str | dict):
            raise Hint(f"`{name}` must return a list of numbers, not {compare.kind(answer)}.")
        rows.append(compare.as_floats(answer, f"what `{name}` returns"))
        if rows[-1].shape != (layers + 1,):
            raise Hint(shapes.get(rows[-1].shape, f"{shown} has shape {list(rows[-1].shape)}."))
    return np.concatenate(rows)


lab.written("q7", "Explain: what skips do, and what they do not", points=3)
