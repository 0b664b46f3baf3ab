"""The checks of lab 2, filters in a layer."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from coursekit.checks import compare
from coursekit.checks.answers import Function, Hint, Module, is_finite
from coursekit.checks.lab import Lab
from coursekit.checks.weights import normal

lab = Lab("lab02", "Filters in a layer")
check, done, hint, progress, test = lab.check, lab.done, lab.hint, lab.progress, lab.test


@lab.question(
    "Kernels into a layer",
    "with `groups=3` each colour has its own outputs, and no colour sees another one.",
    "the weight of such a layer has the shape [6, 1, 3, 3]: the first two kernels are those of red.",
    points=2,
    truth="54 weights with groups=3, 162 without (most of them zero)",
)
def q1(outline_layer: Function, rng: np.random.Generator) -> None:
    """Ask for a layer of four fixed kernels that keeps the image's size and works on each colour by itself."""
    kernels = rng.normal(size=(2, 3, 3))
    layer = compare.module(outline_layer(kernels), "outline_layer(kernels)")
    if any(part["settings"]["bias"] for part in layer.layers()):
        raise Hint("the layer has a bias: a random number that is added to every pixel. Make it without.")
    x = normal(rng, 2, 3, 7, 9)
    weight = torch.tensor(kernels, dtype=torch.float32)[:, None].repeat(3, 1, 1, 1)

    convolved = partial(F.conv2d, x, padding=1, groups=3)
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
            **{
                f"outside the image lie zeros; this is the padding {mode!r}.": F.conv2d(
                    F.pad(x, [1] * 4, mode=mode), weight, groups=3
                )
                for mode in ("reflect", "replicate", "circular")
            },
        },
        rtol=1e-5,
        small=(lambda k, x: outline_layer(k)(x), _outlined, {"kernels": _PAIR, "image": _WHITE}),
        shapes={
            (2, 6, 5, 7): "the output has lost its border: the layer needs padding.",
            (2, 2, 7, 9): "there are two maps in all, but each of the three colours should have two of its own.",
        },
    )


_PAIR = np.array([[[0, 0, 0], [1, -2, 3], [0, 0, 0]], [[0, 7, 0], [4, 5, 6], [0, 8, 0]]], dtype=float)
_WHITE = torch.tensor([[0.0, 1, 0]]) * torch.tensor([1, 10, 100]).view(1, 3, 1, 1)


def _outlined(kernels: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, torch.tensor(kernels, dtype=torch.float32)[:, None].repeat(3, 1, 1, 1), padding=1, groups=3)


@lab.question(
    "What does it cost?",
    "a kernel has `kernel**2` elements for each input channel that its output sees: how many are these with groups?",
    "each weight is used once at each position of the output: how many positions are there, with stride and padding?",
    points=3,
    truth="groups=64: parameters / 57.7, products / 64; stride=2: parameters / 1, products / 4",
)
def q2(layer_cost: Function, rng: np.random.Generator) -> None:
    """Ask for weights and products of any convolutional layer, with groups, stride and padding."""
    few: list[tuple] = [(1, 1, (3, 4), 2, 1, 0, 1), (2, 2, (3, 4), 1, 1, 0, 2), (1, 1, (3, 4), 3, 2, 1, 1)]  # for paper
    for _ in range(12):
        size, channels = tuple(rng.integers(8, 40, 2).tolist()), (4 * rng.integers(1, 9, 2)).tolist()
        few.append((*channels, size, *rng.integers([1, 1, 0], [6, 4, 3]).tolist(), int(rng.choice([1, 2, 4]))))
    settings = [(*row[:3], dict(zip(("kernel", "stride", "padding", "groups"), row[3:], strict=True))) for row in few]
    hints = {
        "turned": "these are products, then parameters: it should be the other way round.",
        "no bias": "the biases are missing: one for each output channel.",
        "inputs": "there is one bias for each *output* channel, not for each input channel.",
        "groups": "with groups, an output sees only its group's share of the inputs.",
        "weights": "the products are as many as the weights: but each weight works in every position.",
        "image": "count positions in the *output*: stride and padding change how many there are.",
        "no stride": "the stride is missing in the number of positions.",
        "no padding": "the padding is missing in the number of positions.",
        "one side": "padding is added on *both* sides.",
        "up": "where the stride does not divide, the last step does not fit any more: round down.",
        "biased": "a bias is added, not multiplied: it is no product.",
        "sums": "products and sums are counted here; asked for are the products.",
    }
    compare.each_call(layer_cost, settings, _cost, hints, "the list of costs", (2,))


def _cost(inputs: int, outputs: int, size: tuple[int, ...], options: dict, slip: str) -> tuple[int, ...]:
    kernel, stride, padding, groups = options.values()
    sides = []
    for side in size:
        free = side + {"no padding": 0, "one side": padding}.get(slip, 2 * padding) - kernel
        step = 1 if slip == "no stride" else stride
        sides.append(side if slip == "image" else 1 + (-(-free // step) if slip == "up" else free // step))
    pairs = outputs * inputs // (1 if slip == "groups" else groups)
    weights = pairs * kernel**2
    positions = 1 if slip == "weights" else sides[0] * sides[1]
    cost = weights + {"no bias": 0, "inputs": inputs}.get(slip, outputs), weights * positions
    cost = cost[0], {"biased": cost[0] * positions, "sums": 2 * cost[1]}.get(slip, cost[1])
    return cost[::-1] if slip == "turned" else cost


@lab.question(
    "The matrix of a layer",
    "send an image through the layer that is black but for one white pixel: the answer is one column of the matrix.",
    "`torch.eye(C * H * W).view(-1, C, H, W)` is a batch of all such images; and what gives an image of zeros?",
    points=3,
    truth="call it with an image of zeros, and subtract what comes out",
)
def q3(make_layer: Function, matrix_of: Function, rng: np.random.Generator) -> None:
    """Ask for the matrix of a layer, found by asking the layer."""
    settings = ((1, 1, 0, 0.0), (1, 2, 1, 0.0), (1, 1, 1, 0.5), (2, 1, 0, 0.3), (3, 2, 1, 0.0))
    for channels, stride, padding, bias in settings:
        weight = normal(rng, 2, channels, 3, 2)
        shape = (channels, int(rng.integers(4, 6)), int(rng.integers(6, 8)))
        right, images, answers = _matrix(weight, shape, stride, padding)
        layer = compare.module(make_layer(weight, torch.full((2,), bias), stride, padding), "make_layer(...)")
        expected = answers + bias
        compare.array(layer(images), "what the layer of `make_layer` gives (leave that function as it was)", expected)
        last = answers.permute(0, 2, 3, 1).flatten(1).T
        compare.array(
            _asked(matrix_of, layer, shape),
            "the matrix",
            right,
            {
                "it holds the bias as well: what does the layer give for an image of zeros?": expected.flatten(1).T,
                "its rows are in the order [row, column, channel], not [channel, row, column].": last,
                "it is transposed: the answer to pixel number k is *column* k.": right.T,
            },
            rtol=1e-5,
            small=(lambda kernel, size: _asked(matrix_of, make_layer(kernel, torch.zeros(1), 1, 0), size),
                   lambda kernel, size: _matrix(kernel, size, 1, 0)[0],
                   {"kernel": torch.tensor([[[[1.0, 2]]]]), "shape": (1, 2, 3)}),
        )  # fmt: skip


def _matrix(weight: torch.Tensor, shape: tuple[int, ...], stride: int, padding: int) -> tuple[torch.Tensor, ...]:
    """Return the matrix of a layer without bias, and its answers to images of one white pixel."""
    images = torch.eye(int(np.prod(shape))).view(-1, *shape)
    answers = F.conv2d(images, weight, stride=stride, padding=padding)
    return answers.flatten(1).T, images, answers


def _asked(matrix_of: Function, layer: Module, shape: tuple[int, ...]) -> object:
    try:
        return matrix_of(layer.closed(), shape)
    except Hint as hint:
        if "has no attribute" in str(hint):
            raise Hint(f"you may call the layer, but not look inside. (Python says: {hint})") from None
        raise


@lab.question(
    "Repair a network that loses its border",
    "a kernel of 3 with dilation d reaches over 2 d + 1 pixels: how much padding keeps the size?",
    "each layer adds 2 d to the field of 1 pixel: which three dilations give 15 without holes? And what ends in 0?",
    points=3,
)
def q4(Repaired: Function, rng: np.random.Generator) -> None:
    """Ask for a network whose three faults are repaired: size, receptive field, dead output."""
    network = compare.module(Repaired(), "Repaired()")
    size = (1, 1, int(rng.integers(20, 30)), int(rng.integers(30, 40)))
    x = normal(rng, *size)
    out = network(x)
    if tuple(out.shape) != size:
        lost = f"an image of shape {list(size)} comes out with shape {list(out.shape)}; it must keep its size."
        raise Hint(f"{lost} Which padding does a kernel with dilation need?")
    if any("Norm" in layer["kind"] for layer in network.layers()):
        raise Hint("there was no norm layer: repair by padding and dilation, and by what stands at the end.")
    network.load({k: normal(rng, *v.shape) * (v.ndim > 1) for k, v in network.state().items()})  # biases become zero
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


@lab.question(
    "Refute a claim: blind to a shift",
    "which columns are kept before the shift, and which after it? Make them as different as you can.",
    "`F.pad(..., mode='circular')` brings in at one edge what leaves at the other. Then ReLU, then the mean.",
    points=3,
    truth="stripes of one pixel: every second column bright, the others dark",
)
def q5(counterexample: object, shift_stable: Function, rng: np.random.Generator) -> None:
    """Ask for an image on which stride breaks invariance, and for a descriptor that is invariant."""
    x = torch.from_numpy(compare.as_array(counterexample, "`counterexample`", (1, 1, 8, 8)))

    def claimed(image: torch.Tensor) -> float:
        return F.max_pool2d(image, 1, stride=2).mean().item()

    difference, reach = abs(claimed(x) - claimed(torch.roll(x, 1, 3))), (x.max() - x.min()).item()
    if difference < 0.1 * float(x.std(unbiased=False) + 1e-12):
        raise Hint("shift this image by one pixel, and the mean of its subsampled version (nearly) stays.")
    if difference < 0.999 * reach:
        much = f"the mean changes by {difference / reach:.0%} of what lies between darkest and brightest pixel"
        raise Hint(f"{much}. It can be 100 %: which pixels are kept before the shift, and which after it?")
    images, kernels = normal(rng, 3, 1, 12, 16), normal(rng, 4, 1, 3, 3)
    padded = F.pad(images, [1] * 4, mode="circular")
    raw, cut = F.conv2d(padded, kernels), F.conv2d(images, kernels)
    maps, zeros = raw.relu(), F.conv2d(images, kernels, padding=1).relu().mean((2, 3))
    compare.array(
        shift_stable(images, kernels),
        "the descriptor",
        maps.mean((2, 3)),
        {
            "the border is padded with zeros: what leaves at one edge must come in at the other.": zeros,
            "without padding, the pixels at the edge count less than the others.": cut.relu().mean((2, 3)),
            "the ReLU is missing: without it only the kernel's sum times the image's mean is left.": raw.mean((2, 3)),
            "this is the sum over all positions; asked for is the mean.": maps.sum((2, 3)),
            "the ReLU comes before the mean, not after it.": raw.mean((2, 3)).relu(),
            "the kernels are turned: a layer correlates.": F.conv2d(padded, kernels.flip(2, 3)).relu().mean((2, 3)),
        },
        rtol=1e-5,
        small=(shift_stable, _stable, {"image": _SPOT, "kernel": _STEP}),
        shapes={
            (3, 4, 12, 16): "these are the maps; asked for is one number for each image and kernel.",
            (3, 4, 1, 1): "the shape is [3, 4, 1, 1]: flatten it to [B, K].",
            (4, 3): "images and kernels are exchanged: [B, K] has a row for each image.",
        },
    )


_SPOT = torch.tensor([[[[-2.0, 0, 5], [0, 3, 0], [1, 0, 6]]]])
_STEP = torch.tensor([[[[0.0, 1, 0], [-3, 2, 0], [0, 0, 0]]]])


def _stable(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(images, [1] * 4, mode="circular"), kernels).relu().mean((2, 3))


@lab.question(
    "Find a kernel by its gradient",
    "make a layer `nn.Conv2d(1, 1, size)` and let it learn: the loss is the mean squared error to `y`.",
    "forward, loss, `zero_grad`, `backward`, `step`, some hundred times. Print the loss: does it reach zero?",
    points=3,
)
def q6(find_kernel: Function, rng: np.random.Generator) -> None:
    """Ask for gradient descent that finds an unknown kernel from pairs of images."""
    for size in (3, 2):
        x, kernel = normal(rng, 3, 1, 14, 17), normal(rng, 1, 1, size, size)
        bias = float(rng.uniform(0.5, 1.5))
        y = F.conv2d(x, kernel, torch.tensor([bias]))
        answer = find_kernel(x, y, size, finite=False)
        if not is_finite(answer):
            why = "Is there a `zero_grad` before each step? Then take smaller steps."
            raise Hint(f"the descent diverges: the numbers grow to NaN. {why}")
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Hint(f"`find_kernel` must return (kernel, bias), not {compare.kind(answer)}.")
        found, offset = (compare.as_array(part, "the kernel, or the bias,").squeeze() for part in answer)
        right = kernel[0, 0].numpy()
        mistakes: list[tuple[str, object]] = [
            ("the kernel is found turned by 180 degrees: the layer correlates.", right[::-1, ::-1]),
            ("the kernel is found transposed.", right.T),
            ("the kernel has the wrong sign: which way does one go along a gradient?", -right),
        ]
        if (found.shape, offset.size) == ((size, size), 1):
            near = F.conv2d(x, torch.tensor(found).float().view(kernel.shape), torch.tensor(offset).float().view(1))
            hint = f"not found yet: the loss that remains is {F.mse_loss(near, y):.2g}."
            mistakes.append((f"{hint} Is `zero_grad` there? Are there steps enough, and large enough?", found))
        if (found.size, offset.size) == (1, size**2):
            raise Hint("these are the bias, then the kernel: it should be the other way round.")
        compare.array(found, "the kernel", right, mistakes, rtol=0.02)
        compare.array(offset, "the bias", np.array(bias), {"the bias stays zero.": 0.0}, rtol=0.02)


lab.written("q7", "Explain: local, shared, and what it costs", points=3)


def _field(network: Module) -> tuple[int, int, int]:
    """Return the size of the receptive field and its holes: the answer to one white pixel, all weights equal."""
    network.load({name: torch.full(value.shape, 0.1 * (value.ndim > 1)) for name, value in network.state().items()})
    image = torch.zeros(1, 1, 61, 61)
    image[0, 0, 30, 30] = 1
    seen = (network(image)[0, 0] > 1e-9).nonzero()
    rows, columns = (int(k) + 1 for k in seen.amax(0) - seen.amin(0)) if len(seen) else (0, 0)
    return rows, columns, rows * columns - len(seen)
