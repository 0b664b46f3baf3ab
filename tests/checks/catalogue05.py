"""Right and wrong answers to lab 5."""

import math
from functools import partial
from itertools import product

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.stats import binom
from torch import nn

from tests.checks.catalogue import wrong

matplotlib.use("Agg")


# q1 ------------------------------------------------------------------------------------------------------------------


def axis_pads(pixels, elements, stride, dilation):
    positions = math.ceil(pixels / stride)
    lost = max(0, (positions - 1) * stride + dilation * (elements - 1) + 1 - pixels)
    return lost // 2, lost - lost // 2


def pads_with(axis, order=(0, 1, 2, 3), turn=False):
    def pads(size, kernel, stride=1, dilation=1):
        height, width = kernel[::-1] if turn else kernel
        four = [*axis(size[1], width, stride, dilation), *axis(size[0], height, stride, dilation)]
        return [four[k] for k in order]

    return {"pads": pads}


def pads_by_remainder(size, kernel, stride=1, dilation=1):
    sides = []
    for n, k in zip(reversed(size), reversed(kernel), strict=True):
        behind_the_last = stride - 1 if n % stride == 0 else n % stride - 1
        lost = max(dilation * (k - 1) - behind_the_last, 0)
        sides += [lost // 2, (lost + 1) // 2]
    return tuple(sides)


def pads_by_trying(size, kernel, stride=1, dilation=1):
    sides = np.zeros((2, 2), dtype=int)
    for axis in (0, 1):
        step = 0
        line = torch.zeros(1, 1, size[axis])
        layer = nn.Conv1d(1, 1, kernel[axis], stride, dilation=dilation)
        while True:
            padded = F.pad(line, sides[axis].tolist())
            reach = dilation * (kernel[axis] - 1) + 1
            if padded.shape[-1] >= reach and layer(padded).shape[-1] >= -(-size[axis] // stride):
                break
            sides[axis, 1 - step % 2] += 1
            step += 1
    return sides[::-1].ravel()


def lost_for(positions=math.ceil, reach=lambda k, d: d * (k - 1) + 1, least=0, sides=None):
    def axis(n, k, s, d):
        lost = (positions(n / s) - 1) * s + reach(k, d) - n
        lost = lost if least is None else max(lost, least)
        return sides(lost) if sides else (lost // 2, lost - lost // 2)

    return axis


# q2 ------------------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    strides = (True, False)  # which of the two convolutions has the stride
    projects = staticmethod(lambda inputs, outputs, stride: stride != 1 or inputs != outputs)
    shortcut_stride = True
    bias = False

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        first, second = (stride if has else 1 for has in self.strides)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, first, padding=1, bias=self.bias)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, second, padding=1, bias=self.bias)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if self.projects(inputs, outputs, stride):
            conv = nn.Conv2d(inputs, outputs, 1, stride if self.shortcut_stride else 1, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + branch)


class BlockInEvalMode(Block):
    def forward(self, x):
        self.eval()
        return super().forward(x)


class BiasedShortcut(Block):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__(inputs, outputs, stride)
        if self.projects(inputs, outputs, stride):
            self.shortcut[0] = nn.Conv2d(inputs, outputs, 1, stride)


class WideShortcut(Block):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__(inputs, outputs, stride)
        if self.projects(inputs, outputs, stride):
            self.shortcut[0] = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class FriendsBlock(Block):
    strides = (True, True)
    projects = staticmethod(lambda inputs, outputs, stride: inputs != outputs)
    shortcut_stride = False

    def forward(self, x):
        branch = F.relu(self.bn1(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x = self.shortcut(x)
        x += branch
        return x


class InPlaceBlock(nn.Module):
    """Writes in place, but only into what is its own; its parts are made in another order."""

    def __init__(self, c_in, c_out, step=1):
        super().__init__()
        same = c_in == c_out and step == 1
        norm = nn.BatchNorm2d
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(c_in, c_out, 1, step, bias=False), norm(c_out))
        self.bn2, self.bn1 = norm(c_out), norm(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, "same", bias=False)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, step, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return self.relu(out)


class SlicingBlock(Block):
    """Takes every second pixel by itself, which is what a 1 x 1 convolution with stride does."""

    shortcut_stride = False

    def __init__(self, inputs, outputs, stride=1):
        super().__init__(inputs, outputs, stride)
        self.stride = stride

    def forward(self, x):
        branch = self.bn2(self.conv2(self.bn1(self.conv1(x)).clamp(min=0)))
        return torch.relu(branch + self.shortcut(x[:, :, :: self.stride, :: self.stride]))


def block_with(forward=None, base=Block, **settings):
    settings = {name: staticmethod(value) if callable(value) else value for name, value in settings.items()}
    return {"Block": type("Block", (base,), settings | ({"forward": forward} if forward else {}))}


def forward_with(norms="12", middle=F.relu, inner=lambda x: x, outer=F.relu, shortcut=True):
    def forward(self, x):
        branch = middle(getattr(self, f"bn{norms[0]}")(self.conv1(x)))
        branch = inner(getattr(self, f"bn{norms[1]}")(self.conv2(branch)))
        return outer(self.shortcut(x) + branch if shortcut else branch)

    return forward


def forward_in_place(self, x):
    branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    shortcut = self.shortcut(x)
    shortcut += branch
    return F.relu(shortcut)


def linear(x):
    return x


# q3 ------------------------------------------------------------------------------------------------------------------


def cost_with(
    norm=2,
    project=lambda i, o, s: i != o or s > 1,
    early=False,
    late=False,
    up=True,
    expand=4,
    line=1,
    work=1,
    same=False,
    thin=False,
    wide=False,
):
    def block_cost(kind, inputs, channels, stride, size):
        before = math.prod(size)
        after = before if same else math.prod(math.ceil(n / stride) if up else n // stride for n in size)
        inside = before if late else after
        if kind == "basic":
            outputs, layers = channels, [(inputs, channels, 3, inside), (channels, channels, 3, after)]
        else:
            outputs = expand * channels
            layers = [(inputs, channels, 1, after if early else before), (channels, channels, 3, inside)]
            layers.append((channels, outputs, 1, after))
        if project(inputs, channels if project is narrow else outputs, stride):
            layers.append((inputs, channels if thin else outputs, 1, before if wide else after))
        parameters = sum(i * o * k ** (1 + line) + norm * o for i, o, k, _ in layers)
        return parameters, work * sum(i * o * k ** (1 + line) * positions for i, o, k, positions in layers)

    return {"block_cost": block_cost}


def narrow(inputs, outputs, stride):
    return inputs != outputs or stride > 1


def cost_by_building(kind, inputs, channels, stride, size):
    from torch.utils.flop_counter import FlopCounterMode
    from torchvision.models import resnet

    make, outputs = (resnet.BasicBlock, channels) if kind == "basic" else (resnet.Bottleneck, 4 * channels)
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    block = make(inputs, channels, stride, shortcut if narrow(inputs, outputs, stride) else None).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.zeros(1, inputs, *size))
    return sum(p.numel() for p in block.parameters()), counter.get_total_flops() // 2


def cost_case_by_case(kind, inputs, channels, stride, size):
    height, width = ((n - 1) // stride + 1 for n in size)
    if kind == "basic":
        weights = 9 * channels * (inputs + channels)
        norms, outputs, early = 4 * channels, channels, 0
    else:
        weights = channels * (9 * channels + 4 * channels)
        norms, outputs, early = 12 * channels, 4 * channels, inputs * channels
    if stride != 1 or inputs != outputs:
        weights, norms = weights + inputs * outputs, norms + 2 * outputs
    return np.array([weights + norms + early, weights * height * width + early * size[0] * size[1]])


# q4 ------------------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """The residual layer, with the slips of students."""

    def __init__(self, width, slip="", bias=False):
        super().__init__()
        self.slip = slip
        self.bn1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = self.bn1 if slip == "shared" else nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)

    def forward(self, x):
        if self.slip == "order":
            return x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.slip == "after":
            return x + F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        if self.slip == "swapped":
            return x + self.conv2(self.bn2(F.relu(self.conv1(self.bn1(F.relu(x))))))
        first = F.relu(self.bn1(x))
        middle = self.bn2(self.conv1(first))
        branch = self.conv2(middle if self.slip == "one relu" else F.relu(middle))
        if self.slip == "no sum":
            return branch
        result = (first if self.slip == "active" else x) + branch
        return F.relu(result) if self.slip == "relu" else result


class ResNet9(nn.Module):
    def __init__(self, classes, channels=3, width=16, slip="", bias=False):
        super().__init__()
        self.slip = slip
        padding = 0 if slip == "no padding" else 1
        self.conv1 = nn.Conv2d(channels, width, 3, padding=padding, bias=bias)
        self.first = Residual(width, slip, bias)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=bias)
        self.second = Residual(2 * width, slip, bias)
        self.third = Residual(2 * width, slip, bias)
        self.norm = nn.Identity() if slip == "no last norm" else nn.BatchNorm2d(2 * width)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x):
        slip = self.slip
        pool = partial(F.avg_pool2d if slip == "mean pool" else F.max_pool2d, ceil_mode=slip == "up")
        x = self.conv1(x)
        x = self.first(F.relu(x) if slip == "start" else x)
        x = pool(self.conv2(x), 2) if slip == "late" else self.conv2(x if slip == "no pool" else pool(x, 2))
        x = self.second(x)
        x = pool(self.third(x), 2) if slip == "behind" else self.third(x if slip == "one pool" else pool(x, 2))
        x = x if slip == "unused norm" else self.norm(x)
        x = x if slip == "end" else F.relu(x)
        x = x.amax(dim=(2, 3)) if slip == "maximum" else x.mean(dim=(2, 3))
        x = self.head(x)
        return x.softmax(dim=1) if slip == "softmax" else x[0] if slip == "one image" else x


def nine_with(slip="", **settings):
    return {"ResNet9": lambda classes, channels, width: ResNet9(classes, channels, width, slip, **settings)}


def nine_as_list(classes, channels, width):
    class Sum(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + x

    def conv(i, o):
        return nn.Conv2d(i, o, 3, padding="same", bias=False)

    def unit(w):
        return [nn.BatchNorm2d(w), nn.ReLU(), conv(w, w)]

    start = [conv(channels, width), Sum(*unit(width), *unit(width)), nn.MaxPool2d(2), conv(width, 2 * width)]
    middle = [Sum(*unit(2 * width), *unit(2 * width)), nn.MaxPool2d(2), Sum(*unit(2 * width), *unit(2 * width))]
    end = [nn.BatchNorm2d(2 * width), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()]
    return nn.Sequential(*start, *middle, *end, nn.Linear(2 * width, classes))


class NineByKind(nn.Module):
    """All convolutions first, then all norms."""

    def __init__(self, classes, channels, width):
        super().__init__()
        sizes = [(channels, width), (width, width), (width, width), (width, 2 * width)] + [(2 * width, 2 * width)] * 4
        self.c = nn.ModuleList([nn.Conv2d(i, o, 3, 1, 1, bias=False) for i, o in sizes])
        self.n = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])
        self.n.extend(nn.BatchNorm2d(2 * width) for _ in range(5))
        self.out = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = self.c[0](x)
        for conv, norm in ((1, 0), (4, 2), (6, 4)):
            x = {1: lambda x: x, 4: lambda x: self.c[3](F.max_pool2d(x, 2)), 6: lambda x: F.max_pool2d(x, 2)}[conv](x)
            inside = self.c[conv](self.n[norm](x).relu())
            x = x + self.c[conv + 1](self.n[norm + 1](inside).relu())
        return self.out(self.n[6](x).relu().flatten(2).mean(-1))


class BackToFront(ResNet9):
    def __init__(self, classes, channels, width):
        super().__init__(classes, channels, width)
        first, second = self._modules.pop("conv1"), self._modules.pop("conv2")
        self.conv2, self.conv1 = second, first


class AlwaysEval(ResNet9):
    def forward(self, x):
        return ResNet9.forward(self.eval(), x)


class NoHeadBias(ResNet9):
    def __init__(self, classes, channels, width):
        super().__init__(classes, channels, width)
        self.head = nn.Linear(2 * width, classes, bias=False)


class TooWide(ResNet9):
    def __init__(self, classes, channels, width):
        super().__init__(classes, channels, width + 1)


# q5 ------------------------------------------------------------------------------------------------------------------


class Skip(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def deep_net(blocks, skip, channels=1, width=8, classes=10):
    block = Skip if skip else nn.Sequential
    start = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.AvgPool2d(2))
    middle = [block(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()) for _ in range(blocks)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    return nn.Sequential(start, *middle, head)


def norms_with(
    take=lambda inputs, outputs: inputs, loss=F.cross_entropy, end=lambda g: g.norm().item(), after=np.array
):
    def gradient_norms(model, images, labels):
        x, inputs, outputs = images.clone().requires_grad_(), [], []
        for part in model:
            inputs.append(x)
            x = part(x)
            outputs.append(x)
        gradients = torch.autograd.grad(loss(x, labels), take(inputs, outputs))
        return after([end(gradient) for gradient in gradients])

    return gradient_norms


def norms_by_retaining(model, images, labels):
    values = [images.requires_grad_()]
    for part in model[:-1]:
        values.append(part(values[-1]))
        values[-1].retain_grad()
    F.cross_entropy(model[-1](values[-1]), labels).backward()
    return [float(value.grad.norm()) for value in values]


def norms_by_hooks(model, images, labels):
    found = []

    def keep(module, given):
        given[0].register_hook(lambda gradient: found.append(gradient.square().sum().sqrt().item()))

    hooks = [part.register_forward_pre_hook(keep) for part in model]
    F.cross_entropy(model(images.requires_grad_()), labels).backward()
    for hook in hooks:
        hook.remove()
    return np.array(found[::-1], dtype=np.float32)


def norms_of_weights(least, only=None):
    def gradient_norms(model, images, labels):
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        return [
            math.sqrt(sum(float(p.grad.square().sum()) for p in part.parameters() if p.ndim > least)) for part in model
        ]

    return gradient_norms


def norms_of_values(model, images, labels):
    x, found = images, []
    for part in model:
        found.append(x.norm().item())
        x = part(x)
    return found


LEVEL = np.geomspace(0.8, 0.02, 22)
FALLING = np.geomspace(1e-12, 0.01, 22)


def norms_figure(level=LEVEL, falling=FALLING, log=True, labels=True, legend=True):
    figure = Figure()
    axis = figure.subplots()
    for values, label in ((level, "with"), (falling, "without")):
        if values is not None:
            axis.plot(values, label=label)
    if log:
        axis.set_yscale("log")
    if labels:
        axis.set(xlabel="part", ylabel="norm")
    if legend:
        axis.legend()
    return figure


def scattered_figure():
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    for values, label in ((FALLING, "none"), (LEVEL, "skips")):
        axis.scatter(range(1, 23), values, label=label)
    axis.set(xlabel="part", ylabel="norm of the gradient", yscale="log")
    axis.legend()
    pyplot.close(figure)
    return figure


def two_panels():
    figure = Figure()
    for axis, values in zip(figure.subplots(1, 3)[1:], (FALLING, LEVEL), strict=True):
        axis.semilogy(values)
        axis.set(xlabel="part", ylabel="norm")
    return figure


def measured(norms=None, level=LEVEL, falling=FALLING, figure=None):
    return {
        "deep_net": deep_net,
        "gradient_norms": norms or norms_with(),
        "with_skip": level,
        "without_skip": falling,
        "figure": figure or norms_figure(level, falling),
    }


# q6 ------------------------------------------------------------------------------------------------------------------


def count_paths(layers):
    counts = [1]
    for length in layers:
        counts = [a + b for a, b in zip(counts + [0] * length, [0] * length + counts, strict=True)]
    return counts


def depth_in_training(layers, drop):
    chances = np.ones(1)
    for length, p in zip(layers, drop, strict=True):
        chances = np.convolve(chances, [p] + [0] * (length - 1) + [1 - p])
    return chances


def listed(layers, weigh, start=0):
    found = [0] * (sum(layers) + 1)
    for path in list(product((0, 1), repeat=len(layers)))[start:]:
        found[sum(length for length, taken in zip(layers, path, strict=True) if taken)] += weigh(path)
    return found


def chance_of(drop):
    return lambda path: math.prod(1 - p if taken else p for p, taken in zip(drop, path, strict=True))


def counted_recursively(layers):
    if len(layers) == 0:
        return torch.ones(1)
    rest = counted_recursively(layers[:-1])
    return F.pad(rest, (0, layers[-1])) + F.pad(rest, (layers[-1], 0))


def by_polynomial(layers, drop):
    result = np.polynomial.Polynomial([1])
    for length, p in zip(layers, drop, strict=True):
        result = result * np.polynomial.Polynomial([p, *[0] * (length - 1), 1 - p])
    return result.coef.tolist()


def spread(counts=count_paths, depth=depth_in_training):
    return {"count_paths": counts, "depth_in_training": depth}


def depth_with(around, through):
    def depth(layers, drop):
        chances = np.ones(1)
        for length, p in zip(layers, drop, strict=True):
            chances = np.convolve(chances, [around(p, drop), *[0] * (length - 1), through(p, drop)])
        return chances

    return depth


RIGHT = {
    "q1": {
        "positions and reach": pads_with(axis_pads),
        "by the remainder": {"pads": pads_by_remainder},
        "by trying, as an array": {"pads": pads_by_trying},
        "a tensor": {"pads": lambda *setting: torch.tensor(pads_by_remainder(*setting))},
    },
    "q2": {
        "repaired": block_with(),
        "in place, in its own": {"Block": InPlaceBlock},
        "slicing": {"Block": SlicingBlock},
    },
    "q3": {
        "formula": cost_with(),
        "built and counted": {"block_cost": cost_by_building},
        "case by case": {"block_cost": cost_case_by_case},
    },
    "q4": {
        "a module": nine_with(),
        "one list": {"ResNet9": nine_as_list},
        "by kind": {"ResNet9": NineByKind},
    },
    "q5": {
        "autograd": measured(),
        "tensors": measured(norms_with(end=lambda g: g.norm(), after=list), torch.tensor(LEVEL), torch.tensor(FALLING)),
        "one tensor, two panels": measured(norms_with(after=torch.tensor), figure=two_panels()),
        "retain_grad, lists": measured(norms_by_retaining, LEVEL.tolist(), FALLING.tolist()),
        "hooks, scattered": measured(norms_by_hooks, figure=scattered_figure()),
    },
    "q6": {
        "sums and convolution": spread(),
        "listed": spread(
            lambda layers: listed(layers, lambda _: 1), lambda layers, drop: listed(layers, chance_of(drop))
        ),
        "recursion and polynomials": spread(counted_recursively, by_polynomial),
    },
}

WRONG = {
    "q1": {
        "other order": wrong("top, bottom, left, right", **pads_with(axis_pads, (2, 3, 0, 1))),
        "more at the left": wrong("right and at the bottom", **pads_with(axis_pads, (1, 0, 3, 2))),
        "one too few": wrong("too few", **pads_with(lost_for(sides=lambda lost: (lost // 2, lost // 2)))),
        "one too many": wrong("too many", **pads_with(lost_for(sides=lambda lost: ((lost + 1) // 2, (lost + 1) // 2)))),
        "the lecture's": wrong("the lecture's", **pads_with(lambda n, k, s, d: 2 * (k - math.ceil(k / 2),))),
        "notebook 5": wrong("stride is not in it", **pads_with(lambda n, k, s, d: axis_pads(n, k, 1, d))),
        "no dilation": wrong("dilation is not in it", **pads_with(lambda n, k, s, d: axis_pads(n, k, s, 1))),
        "reach too far": wrong("none behind the last", **pads_with(lost_for(reach=lambda k, d: d * k))),
        "negative": wrong("negative", **pads_with(lost_for(least=None))),
        "stride divides": wrong(
            "stride divides the size", **pads_with(lambda n, k, s, d: axis_pads(s, k, s, d) if s else None)
        ),
        "rounded down": wrong("round up", **pads_with(lost_for(positions=math.floor))),
        "floats": wrong("*whole* numbers", **pads_with(lost_for(sides=lambda lost: (lost / 2, lost / 2)))),
        "two numbers": wrong("4 numbers", **pads_with(axis_pads, (0, 1))),
        "as a rectangle": wrong("left, top, right, bottom", **pads_with(axis_pads, (0, 2, 1, 3))),
        "texts": wrong("numbers only", pads=lambda *setting: [str(n) for n in pads_by_remainder(*setting)]),
        "hard-coded": wrong("smallest case", pads=lambda *_: [0, 1, 0, 1]),
        "the call is shown": wrong("smallest case", pads=lambda *_: [7, 7, 7, 7]),
        "a turned kernel": wrong("smallest case", **pads_with(axis_pads, turn=True)),
    },
    "q2": {
        "nothing repaired": wrong("changes what", **block_with(base=FriendsBlock, projects=Block.projects)),
        "as given": wrong("changes the shape", Block=FriendsBlock),
        "ReLU before the sum": wrong("can only add: the last", **block_with(forward_with(inner=F.relu, outer=linear))),
        "two ReLUs": wrong("one ReLU too many", **block_with(forward_with(inner=F.relu))),
        "no last ReLU": wrong("behind the sum is missing", **block_with(forward_with(outer=linear))),
        "no ReLU between": wrong("between the two", **block_with(forward_with(middle=linear))),
        "one norm twice": wrong("used twice", **block_with(forward_with("11"))),
        "one norm twice, ReLU before": wrong(
            "can only add: the last", **block_with(forward_with("11", inner=F.relu, outer=linear))
        ),
        "no shortcut": wrong("sum with the shortcut", **block_with(forward_with(shortcut=False))),
        "stride in both": wrong("differ in size", **block_with(strides=(True, True))),
        "stride in the second": wrong("first convolution, not", **block_with(strides=(False, True))),
        "shortcut without stride": wrong("differ in size", **block_with(shortcut_stride=False)),
        "convolution for channels alone": wrong("changes the shape", **block_with(projects=FriendsBlock.projects)),
        "convolution always": wrong("keeps the shape", **block_with(projects=lambda *_: True)),
        "in place": wrong("changes what", **block_with(forward_in_place)),
        "biases": wrong("no use", **block_with(bias=True)),
        "an object": wrong("a class or function", Block=Block(4, 4)),
        "biased shortcut": wrong("No convolution has a bias", Block=BiasedShortcut),
        "3 x 3 in the shortcut": wrong("`shortcut.0.weight` has the wrong shape", Block=WideShortcut),
        "the call is shown": wrong("A case for paper", **block_with(forward_with(middle=torch.sigmoid))),
        "always in eval mode": wrong("switched it off", Block=BlockInEvalMode),
        "other names": wrong("leave the names", Block=lambda i, o, s: nn.Sequential(nn.Conv2d(i, o, 3, s))),
    },
    "q3": {
        "no batch norm": wrong("batch norms are missing", **cost_with(norm=0)),
        "factor alone": wrong("factor *and* a shift", **cost_with(norm=1)),
        "biases too": wrong("has no bias", **cost_with(norm=3)),
        "running values": wrong("nothing learns", **cost_with(norm=4)),
        "no shortcut": wrong("shortcut is missing", **cost_with(project=lambda *_: False)),
        "shortcut always": wrong("costs nothing", **cost_with(project=lambda *_: True)),
        "shortcut for channels": wrong("even if its channels stay", **cost_with(project=lambda i, o, s: i != o)),
        "shortcut for strides": wrong("even without stride", **cost_with(project=lambda i, o, s: s > 1)),
        "channels for outputs": wrong("smallest case", **cost_with(project=narrow)),
        "shortcut to `channels`": wrong("smallest case", **cost_with(thin=True)),
        "shortcut on the large map": wrong("of the shortcut has the stride", **cost_with(wide=True)),
        "the call is shown": wrong("smallest case that is wrong: `block_cost('basic', 1", block_cost=lambda *_: (1, 2)),
        "stride first": wrong("before that", **cost_with(early=True)),
        "size of the input": wrong("as its *output* has", **cost_with(late=True)),
        "stride forgotten": wrong("must feel it", **cost_with(same=True)),
        "rounded down": wrong("round up", **cost_with(up=False)),
        "not four times": wrong("four times as many", **cost_with(expand=1)),
        "not squared": wrong("height *and* a width", **cost_with(line=0)),
        "operations": wrong("*one* multiply-add", **cost_with(work=2)),
        "turned round": wrong("other way", block_cost=lambda *setting: cost_case_by_case(*setting)[::-1]),
        "divided": wrong("*whole* numbers", block_cost=lambda *setting: cost_case_by_case(*setting) / 1.0),
        "one number": wrong("2 numbers", block_cost=lambda *setting: int(cost_case_by_case(*setting)[0])),
    },
    "q4": {
        "ReLU behind the sum": wrong("not even a ReLU", **nine_with("relu")),
        "no sum": wrong("do not add", **nine_with("no sum")),
        "normed shortcut": wrong("`x` itself", **nine_with("active")),
        "ReLU before norm": wrong("batch norm comes first", **nine_with("swapped")),
        "the usual order": wrong("*in front of*", **nine_with("order")),
        "ReLU behind all": wrong("also in front of the first", **nine_with("after")),
        "last pooling late": wrong("A simpler case", **nine_with("behind")),
        "rounded up": wrong("everything but the branches", **nine_with("up")),
        "three channels always": wrong(
            "wrong shape", ResNet9=lambda classes, channels, width: ResNet9(classes, 3, width)
        ),
        "no bias in the linear layer": wrong("has no `head.bias`", ResNet9=NoHeadBias),
        "one ReLU": wrong("A simpler case", **nine_with("one relu")),
        "ReLU at the start": wrong("A simpler case", **nine_with("start")),
        "no ReLU at the end": wrong("behind the last batch norm", **nine_with("end")),
        "unused norm": wrong("A simpler case", **nine_with("unused norm")),
        "no norm at the end": wrong("in front of the head", **nine_with("no last norm")),
        "norm shared": wrong("two of its own", **nine_with("shared")),
        "pooling late": wrong("not behind it", **nine_with("late")),
        "one pooling": wrong("last residual layer is missing", **nine_with("one pool")),
        "no first pooling": wrong("of the table is missing", **nine_with("no pool")),
        "mean pooling": wrong("A simpler case", **nine_with("mean pool")),
        "maximum at the end": wrong("not its maximum", **nine_with("maximum")),
        "softmax": wrong("no softmax", **nine_with("softmax")),
        "biases": wrong("no bias", **nine_with(bias=True)),
        "no padding": wrong("A simpler case", **nine_with("no padding")),
        "one image": wrong("[images, classes]", **nine_with("one image")),
        "always eval": wrong("switched it off", ResNet9=AlwaysEval),
        "back to front": wrong("Are the layers made in the order", ResNet9=BackToFront),
        "hard-coded width": wrong(
            "wrong shape", ResNet9=lambda classes, channels, width: ResNet9(classes, channels, 16)
        ),
        "too wide": wrong("wrong shape", ResNet9=TooWide),
        "an object": wrong("a class or function", ResNet9=ResNet9(10)),
        "ready-made": wrong(
            "layers of kind", ResNet9=lambda *settings: __import__("coursekit.resnet").resnet.resnet9(*settings)
        ),
    },
    "q5": {
        "parameters": wrong("*parameters* of each part", **measured(norms_of_weights(0))),
        "weights": wrong("*weights* of each part", **measured(norms_of_weights(1))),
        "outputs": wrong("*output* of each part", **measured(norms_with(lambda inputs, outputs: outputs))),
        "turned round": wrong("reversed", **measured(norms_with(after=lambda norms: norms[::-1]))),
        "values": wrong("not of gradients", **measured(norms_of_values)),
        "squared": wrong("squared", **measured(norms_with(end=lambda g: g.square().sum().item()))),
        "sum over images": wrong(
            "not the sum", **measured(norms_with(loss=lambda z, y: F.cross_entropy(z, y, reduction="sum")))
        ),
        "logits": wrong("sum of the logits", **measured(norms_with(loss=lambda z, y: z.sum()))),
        "norm per image": wrong(
            "mean of one norm", **measured(norms_with(end=lambda g: g.flatten(1).norm(dim=1).mean().item()))
        ),
        "norms per image, added": wrong(
            "sum of one norm", **measured(norms_with(end=lambda g: g.flatten(1).norm(dim=1).sum().item()))
        ),
        "root of the mean": wrong(
            "not of their mean", **measured(norms_with(end=lambda g: g.square().mean().sqrt().item()))
        ),
        "mean size": wrong("all values are too small", **measured(norms_with(end=lambda g: g.abs().mean().item()))),
        "without the images": wrong("one number is missing", **measured(norms_with(lambda i, o: i[1:]))),
        "blocks alone": wrong("two numbers are missing", **measured(norms_with(lambda i, o: i[1:-1]))),
        "logits too": wrong("too many", **measured(norms_with(lambda i, o: [*i, o[-1]]))),
        "one number": wrong("a list of numbers", **measured(norms_with(after=lambda norms: np.float64(norms[0])))),
        "short": wrong("20 blocks", **measured(level=LEVEL[:12], falling=FALLING[:12])),
        "other depths": wrong("same depth", **measured(level=LEVEL, falling=np.geomspace(1e-14, 0.01, 26))),
        "swapped": wrong("swap", **measured(level=FALLING, falling=LEVEL)),
        "twice the same": wrong("hardly differ", **measured(falling=LEVEL)),
        "zeros": wrong("fewer blocks", **measured(falling=FALLING * (FALLING > 1e-6))),
        "NaN": wrong("holds NaN", **measured(falling=np.where(FALLING > 1e-6, FALLING, np.nan))),
        "numbers as texts": wrong("numbers only", **measured(level=[str(v) for v in LEVEL], figure=norms_figure())),
        "an axis": wrong("`axis.figure`", **measured(figure=norms_figure().axes[0])),
        "texts": wrong("must hold numbers", **measured(level=["a"], figure=norms_figure())),
        "linear axis": wrong("logarithmic", **measured(figure=norms_figure(log=False))),
        "no labels": wrong("without a label", **measured(figure=norms_figure(labels=False))),
        "no legend": wrong("legend", **measured(figure=norms_figure(legend=False))),
        "one curve": wrong("shows `without_skip`", **measured(figure=norms_figure(falling=None))),
        "no figure": wrong("matplotlib Figure", **measured(figure=[1])),
    },
    "q6": {
        "blocks": wrong("each number of layers", **spread(lambda layers: count_paths([1] * len(layers)))),
        "binomial": wrong(
            "each number of layers", **spread(lambda n: 2 ** len(n) * binom.pmf(np.arange(len(n) + 1), len(n), 0.5))
        ),
        "layers by themselves": wrong("all layers of a branch", **spread(lambda n: count_paths([1] * sum(n)))),
        "each path": wrong(
            "must be 6 numbers", **spread(lambda n: sorted(sum(p) for p in product(*((0, k) for k in n))))
        ),
        "shares": wrong("these are shares", **spread(lambda n: np.array(count_paths(n)) / 2 ** len(n))),
        "whether": wrong("count them all", **spread(lambda n: np.minimum(count_paths(n), 1))),
        "shortest left out": wrong("no branch at all", **spread(lambda n: listed(n, lambda _: 1, start=1))),
        "one short": wrong("from 0 to all", **spread(lambda n: count_paths(n)[1:])),
        "cumulative": wrong("*at most*", **spread(lambda n: np.cumsum(count_paths(n)))),
        "one number": wrong("must be 6 numbers, not 4", **spread(lambda n: 2 ** len(n))),
        "texts": wrong("numbers only", **spread(lambda n: [str(v) for v in count_paths(n)])),
        "the call is shown": wrong("`count_paths([1])`", **spread(lambda n: [7] * (sum(n) + 1))),
        "chances as texts": wrong(
            "numbers only", **spread(depth=lambda n, p: [str(v) for v in depth_in_training(n, p)])
        ),
        "a dictionary": wrong("numbers only", **spread(lambda n: dict(enumerate(count_paths(n))))),
        "kept for dropped": wrong(
            "left out; here", **spread(depth=lambda n, drop: depth_in_training(n, [1 - p for p in drop]))
        ),
        "mean": wrong("of its own", **spread(depth=depth_with(lambda p, d: np.mean(d), lambda p, d: 1 - np.mean(d)))),
        "halves": wrong("half of the time", **spread(depth=lambda n, drop: np.array(count_paths(n)) / 2 ** len(n))),
        "counts": wrong("not probabilities", **spread(depth=lambda n, drop: count_paths(n))),
        "no drop": wrong("left out?", **spread(depth=depth_with(lambda p, _: 1, lambda p, _: 1 - p))),
        "no keep": wrong("are kept?", **spread(depth=depth_with(lambda p, _: p, lambda p, _: 1))),
        "expected depth": wrong(
            "must be 6 numbers", **spread(depth=lambda n, drop: float(np.dot(n, 1 - np.array(drop))))
        ),
    },
}
