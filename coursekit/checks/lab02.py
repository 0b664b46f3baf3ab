"""The checks of lab 2, filters in a layer."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from coursekit.checks import compare
from coursekit.checks.answers import Hint, Module
from coursekit.checks.lab import Lab

lab = Lab("lab02", "Filters in a layer")
check, done, progress, test = lab.check, lab.done, lab.progress, lab.test


@lab.question("Kernels into a layer", points=2)
def q1(outline_layer: object, rng: np.random.Generator) -> None:
    """Ask for a layer of four fixed kernels that keeps the image's size and works on each colour by itself."""
    kernels = rng.normal(size=(2, 3, 3))
    layer = compare.function(outline_layer, "outline_layer")(kernels)
    layer = compare.module(layer, "outline_layer(kernels)")
    if any(part["settings"]["bias"] for part in layer.layers()):
        raise Hint("the layer has a bias: a random number that is added to every pixel. Make it without.")
    x = _randn(rng, 2, 3, 7, 9)
    weight = torch.tensor(kernels, dtype=torch.float32)[:, None].repeat(3, 1, 1, 1)

    def convolved(weight: torch.Tensor, x: torch.Tensor = x) -> torch.Tensor:
        return F.conv2d(x, weight, padding=1, groups=3)

    interleaved = weight.view(3, 2, 1, 3, 3).transpose(0, 1).reshape(6, 1, 3, 3)
    right = convolved(weight)
    compare.array(
        layer(x),
        "the layer's output",
        right,
        {
            "the kernels are turned: a layer correlates, so write them in as they are.": convolved(weight.flip(2, 3)),
            "rows and columns of the kernels are exchanged.": convolved(weight.transpose(2, 3)),
            "the order of the outputs is wrong: first both kernels on red, then both on green, then on blue.": (
                right.view(2, 3, 2, 7, 9).transpose(1, 2).reshape(2, 6, 7, 9)
            ),
            "the layer's groups take the kernels in another order than you wrote them.": convolved(interleaved),
            "the colours are added up: with `groups=3` each is treated by itself.": F.conv2d(
                x, weight.expand(-1, 3, -1, -1), padding=1
            ),
        },
        rtol=1e-5,
        shapes={
            (2, 6, 5, 7): "the output has lost its border: the layer needs padding.",
            (2, 2, 7, 9): "there are two maps in all, but each of the three colours should have two of its own.",
        },
    )


@lab.question("What does it cost?", points=3)
def q2(layer_cost: object, rng: np.random.Generator) -> None:
    """Ask for weights and products of any convolutional layer, with groups, stride and padding."""
    layer_cost = compare.function(layer_cost, "layer_cost")
    groups = rng.choice([1, 2, 4], 12)
    inputs, outputs = 4 * rng.integers(1, 9, 12), 4 * rng.integers(1, 9, 12)
    kernel, stride, padding = rng.integers(1, 6, 12), rng.integers(1, 4, 12), rng.integers(0, 3, 12)
    height, width = rng.integers(8, 40, 12), rng.integers(8, 40, 12)
    groups[0], padding[0], stride[0], stride[1], groups[1] = 1, 0, 1, 2, 2
    answers, calls = [], []
    for k in range(12):
        settings = {"kernel": kernel, "stride": stride, "padding": padding, "groups": groups}
        settings = {name: int(values[k]) for name, values in settings.items()}
        size = (int(height[k]), int(width[k]))
        answer = layer_cost(int(inputs[k]), int(outputs[k]), size, **settings)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Hint(f"`layer_cost` must return (parameters, products), not {compare.kind(answer)}.")
        for value in answer:
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise Hint(f"`layer_cost` must return *whole* numbers; one of yours is {compare.kind(value)}.")
        answers.append(answer)
        calls.append(layer_cost.shown(int(inputs[k]), int(outputs[k]), size, **settings))
    rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
    weights, places = outputs * inputs // groups * kernel**2, rows * columns
    got = np.array(answers, dtype=float)
    compare.array(
        got[:, 0],
        "the list of parameters for 12 layers",
        (weights + outputs).astype(float),
        {
            "the biases are missing: one for each output channel.": weights,
            "there is one bias for each *output* channel, not for each input channel.": weights + inputs,
            "there is one bias for each output channel, not for each weight's pair of channels.": weights
            + outputs * inputs // groups,
            "with groups, an output sees only its group's share of the inputs.": outputs * inputs * kernel**2 + outputs,
            "with groups, divide once: outputs meet the inputs of their own group.": outputs
            * inputs
            // groups**2
            * kernel**2
            + outputs,
            "a kernel of size k has k x k elements.": outputs * inputs // groups * kernel + outputs,
        },
        calls=calls,
    )
    compare.array(
        got[:, 1],
        "the list of products for 12 layers",
        (weights * places).astype(float),
        {
            "the products are as many as the weights: but each weight works in every position.": weights,
            "count positions in the *output*: stride and padding change how many there are.": weights * height * width,
            "the stride is missing in the number of positions.": weights
            * (height + 2 * padding - kernel + 1)
            * (width + 2 * padding - kernel + 1),
            "the padding is missing in the number of positions.": weights
            * np.maximum((height - kernel) // stride + 1, 0)
            * np.maximum((width - kernel) // stride + 1, 0),
            "a bias is added, not multiplied: it is no product.": (weights + outputs) * places,
            "products and sums are counted here; asked for are the products.": 2 * weights * places,
            "the image is not square: rows and columns differ.": weights * rows**2,
            "with groups, an output meets only its group's share of the inputs.": weights * groups * places,
        },
        calls=calls,
    )


@lab.question("The matrix of a layer", points=3)
def q3(make_layer: object, matrix_of: object, rng: np.random.Generator) -> None:
    """Ask for the matrix of a layer, found by asking the layer."""
    make_layer = compare.function(make_layer, "make_layer")
    matrix_of = compare.function(matrix_of, "matrix_of")
    for stride, padding, bias in ((1, 0, 0.0), (2, 1, 0.0), (1, 1, 0.5)):
        weight = _randn(rng, 2, 1, 3, 2)
        shape = (1, int(rng.integers(4, 6)), int(rng.integers(6, 8)))
        images = torch.eye(int(np.prod(shape))).view(-1, *shape)
        answers = F.conv2d(images, weight, stride=stride, padding=padding)
        layer = make_layer(weight, torch.full((2,), bias), stride, padding)
        expected = answers + bias
        compare.array(layer(images), "what the layer of `make_layer` gives (leave that function as it was)", expected)
        right = answers.flatten(1).T
        last = answers.permute(0, 2, 3, 1).flatten(1).T
        compare.array(
            matrix_of(layer, shape),
            "the matrix",
            right,
            {
                "it holds the bias as well: what does the layer give for an image of zeros?": expected.flatten(1).T,
                "its rows are in the order [row, column, channel], not [channel, row, column].": last,
                "it is transposed: the answer to pixel number k is *column* k.": right.T,
                "it is transposed, and holds the bias.": expected.flatten(1),
                "stride or padding of the layer are lost.": F.conv2d(images, weight).flatten(1).T,
            },
            rtol=1e-5,
        )


@lab.question("Repair a network that loses its border", points=3)
def q4(Repaired: object, rng: np.random.Generator) -> None:
    """Ask for a network whose three faults are repaired: size, receptive field, dead output."""
    network = compare.module(compare.function(Repaired, "Repaired")(), "Repaired()")
    size = (1, 1, int(rng.integers(20, 30)), int(rng.integers(30, 40)))
    x = _randn(rng, *size)
    out = network(x)
    if tuple(out.shape) != size:
        raise Hint(
            f"an image of shape {list(size)} comes out with shape {list(out.shape)}; it must keep its size. "
            "Which padding does a kernel with dilation need?"
        )
    network.load({k: _randn(rng, *v.shape) * (v.ndim > 1) for k, v in network.state().items()})  # biases become zero
    if float(network(x).min()) >= 0:
        raise Hint("the output is never below zero: does something stand behind the last convolution?")
    rows, columns, holes = _field(network)
    if holes:
        raise Hint("one output uses only some of the pixels in its field: the same dilation again leaves holes.")
    if (rows, columns) != (15, 15):
        raise Hint(f"one output sees {rows} x {columns} pixels; it must see 15 x 15, by the dilations alone.")
    layers = [layer for layer in network.layers() if layer["kind"] == "Conv2d"]
    if len(layers) != 3 or any(tuple(layer["settings"]["kernel_size"]) != (3, 3) for layer in layers):
        raise Hint("there must remain three convolutions with kernels of 3 x 3: repair by padding and dilation alone.")


@lab.question("Refute a claim: blind to a shift", points=3)
def q5(counterexample: object, shift_stable: object, rng: np.random.Generator) -> None:
    """Ask for an image on which stride breaks invariance, and for a descriptor that is invariant."""
    if not hasattr(counterexample, "dtype") or not isinstance(counterexample, torch.Tensor):
        raise Hint(f"`counterexample` must be a torch tensor, not {compare.kind(counterexample)}.")
    if tuple(counterexample.shape) != (1, 1, 8, 8) or not counterexample.is_floating_point():
        raise Hint("`counterexample` must be an image of shape [1, 1, 8, 8], of floats.")
    if not torch.isfinite(counterexample).all():
        raise Hint("`counterexample` holds NaN or infinite values.")
    x = counterexample.double()

    def claimed(image: torch.Tensor) -> float:
        return F.max_pool2d(image, 1, stride=2).mean().item()

    if abs(claimed(x) - claimed(torch.roll(x, 1, 3))) < 0.1 * float(x.std(unbiased=False) + 1e-12):
        raise Hint("shift this image by one pixel, and the mean of its subsampled version (nearly) stays.")
    shift_stable = compare.function(shift_stable, "shift_stable")
    images, kernels = _randn(rng, 3, 1, 12, 16), _randn(rng, 4, 1, 3, 3)
    answer = shift_stable(images, kernels)
    padded = F.pad(images, [1] * 4, mode="circular")
    maps = F.conv2d(padded, kernels).relu()
    right = maps.mean((2, 3))
    compare.array(
        answer,
        "the descriptor",
        right,
        {
            "the border is padded with zeros: what leaves the image at one edge must come in at the other.": (
                F.conv2d(images, kernels, padding=1).relu().mean((2, 3))
            ),
            "without padding, the pixels at the edge count less than the others.": F.conv2d(images, kernels)
            .relu()
            .mean((2, 3)),
            "the ReLU is missing: without it only the kernel's sum times the image's mean is left.": F.conv2d(
                padded, kernels
            ).mean((2, 3)),
            "the largest value is taken; asked for is the mean.": maps.amax((2, 3)),
            "the ReLU comes before the mean, not after it.": F.conv2d(padded, kernels).mean((2, 3)).relu(),
            "the mean runs over the kernels too: keep [B, K].": maps.mean((1, 2, 3))[:, None].expand(-1, 4),
            "only every second position counts: a stride puts a grid on the image.": maps[:, :, ::2, ::2].mean((2, 3)),
            "the kernels are turned: a layer correlates.": F.conv2d(padded, kernels.flip(2, 3)).relu().mean((2, 3)),
        },
        rtol=1e-5,
        shapes={
            (3, 4, 12, 16): "these are the maps; asked for is one number for each image and kernel.",
            (3, 4, 1, 1): "the shape is [3, 4, 1, 1]: flatten it to [B, K].",
            (4, 3): "images and kernels are exchanged: [B, K] has a row for each image.",
        },
    )


@lab.question("Find a kernel by its gradient", points=3)
def q6(find_kernel: object, rng: np.random.Generator) -> None:
    """Ask for gradient descent that finds an unknown kernel from pairs of images."""
    find_kernel = compare.function(find_kernel, "find_kernel")
    for size in (3, 2):
        x, kernel = _randn(rng, 3, 1, 14, 17), _randn(rng, 1, 1, size, size)
        bias = float(rng.uniform(0.5, 1.5))
        y = F.conv2d(x, kernel, torch.tensor([bias]))
        answer = find_kernel(x, y, size)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Hint(f"`find_kernel` must return (kernel, bias), not {compare.kind(answer)}.")
        found, offset = answer
        compare.array(
            _tensor_of(found, "the kernel").reshape(-1),
            "the kernel",
            kernel.reshape(-1),
            {
                "the kernel is found turned by 180 degrees: the layer correlates.": kernel.flip(2, 3).reshape(-1),
                "the kernel is found transposed.": kernel.transpose(2, 3).reshape(-1),
                "the kernel has the wrong sign: which way does one go along a gradient?": -kernel.reshape(-1),
                "the kernel is still zero: nothing was learned.": torch.zeros(size * size),
            },
            rtol=0.02,
        )
        offset = _tensor_of(offset, "the bias").reshape(-1)
        compare.array(offset, "the bias", torch.tensor([bias]), {"the bias stays zero.": torch.zeros(1)}, rtol=0.02)


lab.written("q7", "Explain: local, shared, and what it costs", points=3)


def _field(network: Module) -> tuple[int, int, int]:
    """Return the size of the receptive field and its holes: the answer to one white pixel, all weights equal."""
    network.load({name: torch.full(value.shape, 0.1 * (value.ndim > 1)) for name, value in network.state().items()})
    image = torch.zeros(1, 1, 61, 61)
    image[0, 0, 30, 30] = 1
    seen = (network(image)[0, 0] > 1e-9).nonzero()
    rows, columns = (int(k) + 1 for k in seen.amax(0) - seen.amin(0)) if len(seen) else (0, 0)
    return rows, columns, rows * columns - len(seen)


def _randn(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.tensor(rng.normal(size=shape), dtype=torch.float32)


def _tensor_of(answer: object, name: str) -> torch.Tensor:
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return torch.tensor([float(answer)])
    if not isinstance(answer, torch.Tensor):
        raise Hint(f"{name} must be a tensor, not {compare.kind(answer)}.")
    return answer.float()
