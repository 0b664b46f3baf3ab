"""Right and wrong answers to lab 2."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from coursekit import filters
from tests.checks.catalogue import wrong

# q1 ------------------------------------------------------------------------------------------------------------------


def outline_with(prepare=lambda weight: weight, repeat=lambda w: w.repeat(3, 1, 1, 1), **settings):
    def outline_layer(kernels):
        weight = prepare(repeat(torch.tensor(kernels, dtype=torch.float32)[:, None]))
        chosen = {"padding": 1, "groups": 3, "bias": False} | settings
        layer = nn.Conv2d(3, len(weight), 3, **chosen)
        state = {"weight": weight} | ({"bias": torch.randn(len(weight))} if chosen["bias"] else {})
        layer.load_state_dict(state)
        return layer

    return {"outline_layer": outline_layer}


def outline_by_copy(kernels):
    layer = nn.Sequential(nn.Conv2d(3, 6, 3, padding="same", groups=3, bias=False))
    with torch.no_grad():
        for output in range(6):
            layer[0].weight[output, 0] = torch.from_numpy(kernels[output % 2])
    return layer


class Dense(nn.Module):
    """Without groups: the other colours get weights of zero."""

    def __init__(self, kernels):
        super().__init__()
        weight = torch.zeros(6, 3, 3, 3)
        for colour in range(3):
            weight[2 * colour : 2 * colour + 2, colour] = torch.tensor(kernels).float()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return F.conv2d(x, self.weight, padding=1)


class OtherOrder(nn.Module):
    def __init__(self, kernels):
        super().__init__()
        self.layer = outline_by_copy(kernels)

    def forward(self, x):
        return self.layer(x)[:, [0, 2, 4, 1, 3, 5]]


def summed_over_colours(kernels):
    weight = torch.tensor(kernels).float()[:, None].expand(2, 3, 3, 3).repeat(3, 1, 1, 1)
    return filters.conv2d_from_kernels(weight, padding=1)


# q2 ------------------------------------------------------------------------------------------------------------------


def cost(weights=None, biases=None, places=None, products=None):
    """A cost function in which some pieces are computed in another way."""

    def layer_cost(inputs, outputs, size, kernel, stride=1, padding=0, groups=1):
        k = {"i": inputs, "o": outputs, "h": size[0], "w": size[1], "k": kernel, "s": stride, "p": padding, "g": groups}
        w = weights(k) if weights else outputs * inputs // groups * kernel**2
        right = outputs * inputs // groups * kernel**2
        n = places(k) if places else positions(k, size[0]) * positions(k, size[1])
        b = biases(k) if biases else outputs
        return w + b, (products(k, w, n) if products else right * n)

    return {"layer_cost": layer_cost}


def positions(k, size):
    return (size + 2 * k["p"] - k["k"]) // k["s"] + 1


def places_by(formula):
    return lambda k: math.prod(formula(k[side], k["k"], k["s"], k["p"]) for side in "hw")


def cost_by_layer(inputs, outputs, size, kernel, stride=1, padding=0, groups=1):
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
    with torch.no_grad():
        maps = layer(torch.zeros(1, inputs, *size))
    return sum(p.numel() for p in layer.parameters()), layer.weight.numel() * maps[0, 0].numel()


def cost_on_meta(inputs, outputs, size, *, kernel, stride, padding, groups):
    with torch.device("meta"):
        layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
        out = layer(torch.empty(1, inputs, *size))
    return [layer.weight.numel() + layer.bias.numel(), out.numel() * inputs // groups * kernel * kernel]


# q3 ------------------------------------------------------------------------------------------------------------------


def make_layer(weight, bias, stride, padding):
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), stride, padding)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def with_matrix(matrix_of):
    return {"make_layer": make_layer, "matrix_of": matrix_of}


def matrix_at_once(layer, shape):
    pixels = int(np.prod(shape))
    with torch.no_grad():
        zero = layer(torch.zeros(1, *shape))
        return (layer(torch.eye(pixels).view(pixels, *shape)) - zero).flatten(1).T


def matrix_by_loop(layer, shape):
    zeros = torch.zeros(1, *shape)
    columns = []
    for pixel in range(zeros.numel()):
        image = zeros.clone()
        image.view(-1)[pixel] = 1
        columns.append((layer(image) - layer(zeros)).flatten())
    return torch.stack(columns, dim=1).detach()


def matrix_by_gradient(layer, shape):
    return torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], torch.zeros(shape)).flatten(3).flatten(0, 2)


def matrix_of_one_channel(layer, shape):
    height, width = shape[1:]
    with torch.no_grad():
        answers = layer(torch.eye(height * width).reshape(-1, 1, height, width))
        return (answers - layer(torch.zeros(1, *shape))).flatten(1).T


def matrix_from_inside(layer, shape):
    images = torch.eye(int(np.prod(shape))).view(-1, *shape)
    return F.conv2d(images, layer.weight, None, layer.stride, layer.padding).flatten(1).T.detach()


def matrix_without_bias(layer, shape):
    layer.bias.data.zero_()
    return layer(torch.eye(int(np.prod(shape))).view(-1, *shape)).flatten(1).T.detach()


def asked(finish):
    def matrix_of(layer, shape):
        pixels = int(np.prod(shape))
        with torch.no_grad():
            images = torch.eye(pixels).view(pixels, *shape)
            return finish(layer, images, layer(images), layer(torch.zeros(1, *shape)))

    return with_matrix(matrix_of)


# q4 ------------------------------------------------------------------------------------------------------------------


def repaired(dilations=(1, 2, 4), paddings=None, last=False, kernel=3, width=6):
    class Repaired(nn.Module):
        def __init__(self):
            super().__init__()
            pads = paddings or [d * (kernel - 1) // 2 for d in dilations]
            sizes = [1] + [width] * (len(dilations) - 1) + [1]
            self.layers = nn.Sequential()
            for k, (d, p) in enumerate(zip(dilations, pads, strict=True)):
                self.layers.append(nn.Conv2d(sizes[k], sizes[k + 1], kernel, padding=p, dilation=d))
                if last or k < len(dilations) - 1:
                    self.layers.append(nn.ReLU())

        def forward(self, x):
            return self.layers(x)

    return {"Repaired": Repaired}


class RepairedByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 4, 3, padding="same", dilation=4)
        self.b = nn.Conv2d(4, 4, 3, padding="same", dilation=2)
        self.c = nn.Conv2d(4, 1, 3, padding="same")

    def forward(self, x):
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


class WithNorm(RepairedByName):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.c(F.relu(self.norm(self.b(F.relu(self.a(x))))))


class OfNaN(RepairedByName):
    def forward(self, x):
        return super().forward(x) * torch.nan


# q5 ------------------------------------------------------------------------------------------------------------------

STRIPES = torch.arange(8.0).remainder(2).expand(1, 1, 8, 8)


def stable(pad="circular", relu=True, reduce=lambda maps: maps.mean((2, 3)), flip=False, example=STRIPES):
    def shift_stable(images, kernels):
        kernels = kernels.flip(2, 3) if flip else kernels
        if pad == "circular":
            images = F.pad(images, [1] * 4, mode="circular")
        maps = F.conv2d(images, kernels, padding=1 if pad == "zeros" else 0)
        return reduce(maps.relu() if relu else maps)

    return {"counterexample": example, "shift_stable": shift_stable}


def stable_by_rolls(images, kernels):
    maps = sum(
        torch.roll(images, (1 - i, 1 - j), (2, 3)) * kernels[:, 0, i, j].view(-1, 1, 1)
        for i in range(3)
        for j in range(3)
    )
    return maps.clamp(min=0).flatten(2).mean(2)


def stable_by_layer(images, kernels):
    layer = filters.conv2d_from_kernels(kernels, padding=1, padding_mode="circular")
    return nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())(images).detach()


# q6 ------------------------------------------------------------------------------------------------------------------


def find_by_descent(x, y, size):
    layer = nn.Conv2d(1, 1, size)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.8)
    for _ in range(150):
        loss = F.mse_loss(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer.weight, layer.bias


def find_without_zero_grad(x, y, size):
    layer = nn.Conv2d(1, 1, size)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    for _ in range(150):
        F.mse_loss(layer(x), y).backward()
        optimizer.step()
    return layer.weight, layer.bias


def find_by_hand(x, y, size):
    seen, kernel, bias = x.unfold(2, size, 1).unfold(3, size, 1), torch.zeros(1, 1, size, size), 0.0
    for _ in range(250):
        error = torch.einsum("bnijkl,mnkl->bmij", seen, kernel) + bias - y
        kernel = kernel - 0.3 * torch.einsum("bmij,bnijkl->mnkl", error, seen) / error.numel()
        bias = bias - 0.3 * error.mean().item()
    return kernel, bias


def find_by_least_squares(x, y, size):
    columns = F.unfold(x, size).transpose(1, 2).reshape(-1, size * size)
    columns = torch.cat([columns, torch.ones(len(columns), 1)], dim=1)
    solution = torch.linalg.lstsq(columns, y.reshape(-1, 1)).solution[:, 0]
    return solution[:-1].view(size, size), solution[-1:]


def found(change):
    return {"find_kernel": lambda x, y, size: change(*find_by_least_squares(x, y, size))}


def without_bias(x, y, size):
    layer = nn.Conv2d(1, 1, size, bias=False)
    return find_by_least_squares(x, y, size)[0], torch.zeros(1) + 0 * layer.weight.sum().item()


RIGHT = {
    "q1": {
        "repeat": outline_with(),
        "one by one": {"outline_layer": outline_by_copy},
        "without groups": {"outline_layer": Dense},
    },
    "q2": {
        "formula": cost(),
        "from a layer": {"layer_cost": cost_by_layer},
        "without memory": {"layer_cost": cost_on_meta},
        "an array": {"layer_cost": lambda *a, **k: np.array(cost_on_meta(*a, **k))},
    },
    "q3": {
        "all pixels at once": with_matrix(matrix_at_once),
        "one by one": with_matrix(matrix_by_loop),
        "by the Jacobian": with_matrix(matrix_by_gradient),
    },
    "q4": {
        "1, 2, 4": repaired(),
        "4, 1, 2": repaired((4, 1, 2), width=9),
        "padding same": {"Repaired": RepairedByName},
    },
    "q5": {
        "pad": stable(),
        "rolls": {
            "counterexample": STRIPES * torch.tensor([1, 0.5]).repeat(4)[:, None],
            "shift_stable": stable_by_rolls,
        },
        "layers": {"counterexample": STRIPES.double() * 5, "shift_stable": stable_by_layer},
        "whole numbers in lists": stable(example=STRIPES.long().tolist()),
    },
    "q6": {
        "descent": {"find_kernel": find_by_descent},
        "by hand": {"find_kernel": find_by_hand},
        "lists": {"find_kernel": lambda *given: tuple(part.tolist() for part in find_by_least_squares(*given))},
        "least squares": {"find_kernel": find_by_least_squares},
    },
}

WRONG = {
    "q1": {
        "turned": wrong("turned", **outline_with(lambda w: w.flip(2, 3))),
        "transposed": wrong("rows and columns", **outline_with(lambda w: w.transpose(2, 3))),
        "kernels in another order": wrong("another order", **outline_with(repeat=lambda w: w.repeat_interleave(3, 0))),
        "outputs in another order": wrong("order of the outputs", outline_layer=OtherOrder),
        "no padding": wrong("lost its border", **outline_with(padding=0)),
        "mirrored": wrong("outside the image lie zeros", **outline_with(padding_mode="reflect")),
        "bias": wrong("bias", **outline_with(bias=True)),
        "colours added": wrong("added up", outline_layer=summed_over_colours),
        "two maps": wrong(
            "two maps in all", outline_layer=lambda k: filters.conv2d_from_kernels(np.stack([k] * 3, 1), padding=1)
        ),
        "a tensor": wrong("torch.nn.Module", outline_layer=lambda k: torch.tensor(k)),
        "double precision": wrong(
            "stops with RuntimeError", outline_layer=lambda k: outline_with()["outline_layer"](k).double()
        ),
    },
    "q2": {
        "no bias": wrong("biases are missing", **cost(biases=lambda k: 0)),
        "bias for inputs": wrong("*output* channel", **cost(biases=lambda k: k["i"])),
        "bias for pairs": wrong("smallest case", **cost(biases=lambda k: k["o"] * k["i"] // k["g"])),
        "groups forgotten": wrong("smallest case", **cost(lambda k: k["o"] * k["i"] * k["k"] ** 2)),
        "groups squared": wrong("smallest case", **cost(lambda k: k["o"] * k["i"] // k["g"] ** 2 * k["k"] ** 2)),
        "kernel not squared": wrong("smallest case", **cost(lambda k: k["o"] * k["i"] // k["g"] * k["k"])),
        "weights as products": wrong("every position", **cost(products=lambda k, w, n: w)),
        "input positions": wrong("in the *output*", **cost(places=lambda k: k["h"] * k["w"])),
        "no stride": wrong(
            "stride is missing",
            **cost(places=lambda k: positions(k | {"s": 1}, k["h"]) * positions(k | {"s": 1}, k["w"])),
        ),
        "no padding": wrong(
            "padding is missing",
            **cost(places=lambda k: positions(k | {"p": 0}, k["h"]) * positions(k | {"p": 0}, k["w"])),
        ),
        "one padding": wrong("on *both* sides", **cost(places=places_by(lambda n, k, s, p: (n + p - k) // s + 1))),
        "rounded up": wrong("round down", **cost(places=places_by(lambda n, k, s, p: -((k - n - 2 * p) // s) + 1))),
        "exchanged": wrong("the other way round", layer_cost=lambda *a, **k: cost()["layer_cost"](*a, **k)[::-1]),
        "bias multiplied": wrong("a bias is added", **cost(products=lambda k, w, n: (w + k["o"]) * n)),
        "operations": wrong("products and sums", **cost(products=lambda k, w, n: 2 * w * n)),
        "square image": wrong("smallest case", **cost(places=lambda k: positions(k, k["h"]) ** 2)),
        "the call is shown": wrong("case that is wrong: `layer_cost(", **cost(biases=lambda k: 7)),
        "floats": wrong("*whole*", layer_cost=lambda *_, **__: (1.0, 2.0)),
        "one number": wrong("must be 2 numbers, not 5", layer_cost=lambda *_, **__: 5),
        "hard-coded": wrong(
            "smallest case that is wrong: `layer_cost(1, 1, (3, 4), kernel=2", layer_cost=lambda *_, **__: (614400, 1)
        ),
    },
    "q3": {
        "bias inside": wrong("bias as well", **asked(lambda layer, images, out, zero: out.flatten(1).T)),
        "transposed": wrong("*column* k", **asked(lambda layer, images, out, zero: (out - zero).flatten(1))),
        "transposed with bias": wrong("*column* k", **asked(lambda layer, images, out, zero: out.flatten(1))),
        "channels last": wrong(
            "[channel, row, column]",
            **asked(lambda layer, images, out, zero: (out - zero).permute(0, 2, 3, 1).flatten(1).T),
        ),
        "layer's settings ignored": wrong(
            "not look inside", **asked(lambda layer, images, out, zero: F.conv2d(images, layer.weight).flatten(1).T)
        ),
        "an array": wrong("torch tensor", **asked(lambda layer, images, out, zero: (out - zero).flatten(1).T.numpy())),
        "one channel only": wrong("stops with RuntimeError", **with_matrix(matrix_of_one_channel)),
        "looks inside": wrong("not look inside", **with_matrix(matrix_from_inside)),
        "breaks the bias": wrong("not look inside", **with_matrix(matrix_without_bias)),
        "not flat": wrong("shape", **asked(lambda layer, images, out, zero: out - zero)),
        "another layer": wrong(
            "leave that function",
            make_layer=lambda w, b, s, p: make_layer(w.flip(2), b, s, p),
            matrix_of=matrix_at_once,
        ),
    },
    "q4": {
        "as it came": wrong("keep its size", **repaired((2, 2, 2), (1, 1, 1), last=True)),
        "dilation forgotten in the padding": wrong("keep its size", **repaired(paddings=(1, 1, 1))),
        "ReLU at the end": wrong("never below zero", **repaired(last=True)),
        "a batch norm": wrong("no norm layer", Repaired=WithNorm),
        "NaN": wrong("NaN", Repaired=OfNaN),
        "holes": wrong("leaves holes", **repaired((2, 2, 3))),
        "no dilation": wrong("sees 7 x 7", **repaired((1, 1, 1))),
        "too far": wrong("sees 19 x 19", **repaired((1, 3, 5))),
        "larger kernels": wrong("sees 13 x 13", **repaired((1, 1, 1), kernel=5)),
        "seven layers": wrong("three convolutions", **repaired((1,) * 7)),
        "an object": wrong("a class or function", Repaired=repaired()["Repaired"]()),
    },
    "q5": {
        "zeros outside": wrong("padded with zeros", **stable("zeros")),
        "no padding": wrong("count less", **stable("none")),
        "no ReLU": wrong("ReLU is missing", **stable(relu=False)),
        "ReLU last": wrong("before the mean", **stable(relu=False, reduce=lambda maps: maps.mean((2, 3)).relu())),
        "maximum": wrong("A case for paper", **stable(reduce=lambda maps: maps.amax((2, 3)))),
        "strided": wrong("A case for paper", **stable(reduce=lambda maps: maps[:, :, ::2, ::2].mean((2, 3)))),
        "turned": wrong("turned", **stable(flip=True)),
        "maps": wrong("these are the maps", **stable(reduce=lambda maps: maps)),
        "not flattened": wrong("flatten it", **stable(reduce=lambda maps: maps.mean((2, 3), keepdim=True))),
        "exchanged": wrong("exchanged", **stable(reduce=lambda maps: maps.mean((2, 3)).T)),
        "one white pixel": wrong("changes by 6%", **stable(example=F.pad(torch.ones(1, 1, 1, 1), (0, 7, 0, 7)))),
        "a ramp": wrong("It can be 100 %", **stable(example=torch.arange(8.0).expand(1, 1, 8, 8))),
        "NaN": wrong("NaN", **stable(example=STRIPES * torch.nan)),
        "a sum": wrong("the sum over", **stable(reduce=lambda maps: maps.sum((2, 3)))),
        "a flat image": wrong("(nearly) stays", **stable(example=torch.ones(1, 1, 8, 8))),
        "rows for columns": wrong("(nearly) stays", **stable(example=STRIPES.transpose(2, 3))),
        "small image": wrong("1 x 1 x 8 x 8", **stable(example=torch.eye(8))),
        "a text": wrong("numbers only", **stable(example="stripes")),
    },
    "q6": {
        "turned": wrong("turned by 180", **found(lambda k, b: (k.flip(0, 1), b))),
        "transposed": wrong("transposed", **found(lambda k, b: (k.T, b))),
        "sign": wrong("wrong sign", **found(lambda k, b: (-k, b))),
        "nothing learned": wrong("that remains", **found(lambda k, b: (0 * k, b))),
        "no bias": wrong("bias stays zero", find_kernel=without_bias),
        "not converged": wrong("the loss that remains", **found(lambda k, b: (k * 0.9 + 0.02, b))),
        "rounded": wrong("that remains", **found(lambda k, b: (k.round(decimals=0), b))),
        "kernel alone": wrong("(kernel, bias)", find_kernel=lambda x, y, size: find_by_least_squares(x, y, size)[0]),
        "the loss": wrong("list of numbers", **found(lambda k, b: ([0.1], b))),
        "exchanged": wrong("the other way round", **found(lambda k, b: (b, k))),
        "one long row": wrong("expected is", **found(lambda k, b: (k.flatten(), b))),
        "no zero_grad": wrong("the descent diverges", find_kernel=find_without_zero_grad),
        "fixed size": wrong("", find_kernel=lambda x, y, size: find_by_least_squares(x, y, 3)),
    },
}
