"""Right and wrong answers to lab 6."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from skimage import color
from torch import nn

from tests.checks.catalogue import wrong

# q1 ------------------------------------------------------------------------------------------------------------------


def output_paddings(size, layers):
    extra = []
    for kernel, stride, padding, dilation in layers:
        free = size + 2 * padding - dilation * (kernel - 1) - 1
        extra.insert(0, free % stride)
        size = free // stride + 1
    return extra


def paddings_by_layers(size, layers):
    sizes = [size]
    for layer in layers:
        sizes.append(nn.Conv1d(1, 1, *layer)(torch.zeros(1, 1, sizes[-1])).shape[-1])
    extra = []
    for before, after, (kernel, stride, padding, dilation) in zip(sizes, sizes[1:], layers, strict=False):
        plain = (after - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
        extra.append(before - plain)
    return np.array(extra[::-1])


def paddings_recursive(size, layers):
    if not layers:
        return ()
    (kernel, stride, padding, dilation), *rest = layers
    positions, left = divmod(size + 2 * padding - (dilation * (kernel - 1) + 1), stride)
    return (*paddings_recursive(positions + 1, rest), left)


def paddings_with(left=lambda free, s, n: free % s, reach=lambda k, d: d * (k - 1), sides=2, one=1, turn=-1, chain=1):
    def output_paddings(size, layers):
        extra, pixels = [], size
        for kernel, stride, padding, dilation in layers:
            free = pixels + sides * padding - reach(kernel, dilation) - one
            extra.append(left(free, stride, pixels))
            pixels = free // stride + 1 if chain else size
        return extra[::turn]

    return {"output_paddings": output_paddings}


def enlarged(n, kernel, stride, padding, dilation):
    return (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1


def by_sizes(
    back=enlarged,
    there=lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1,
    pairs=lambda sizes: (sizes[-2::-1], sizes[:0:-1]),
    turn=-1,
):
    def output_paddings(size, layers):
        sizes = [size]
        for layer in layers:
            sizes.append(there(sizes[-1], *layer))
        steps = zip(layers[::turn], *pairs(sizes), strict=True)
        return [before - back(after, *layer) for layer, before, after in steps]

    return {"output_paddings": output_paddings}


def decoder_from_size(size, layers):
    return output_paddings(size, layers[::-1])[::-1]


def without_extra_on_the_way(size, layers, all_at_the_end=False):
    goals, extra = sizes_before(size, layers), []
    pixels = sizes_before(size, [*layers, (1, 1, 0, 1)])[0]
    for layer, goal in zip(layers[::-1], goals, strict=True):
        pixels = enlarged(pixels, *layer)
        extra.append(goal - pixels)
    return [0] * (len(layers) - 1) + [size - pixels] if all_at_the_end else extra


def sizes_before(size, layers):
    sizes = [size]
    for kernel, stride, padding, dilation in layers[:-1]:
        sizes.append((sizes[-1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return sizes[::-1]


def more_in_chains(size, layers):
    steps = zip(output_paddings(size, layers), layers[::-1], strict=True)
    return [(extra + len(layers) - 1) % stride for extra, (_, stride, _, _) in steps]


def halved(size, layers):
    left = []
    for _, stride, _, _ in layers:
        left.append(size % stride)
        size //= stride
    return left[::-1]


def from_goals(value):
    def output_paddings(size, layers):
        return [value(n, *layer) for n, layer in zip(sizes_before(size, layers), layers[::-1], strict=True)]

    return {"output_paddings": output_paddings}


# q2 ------------------------------------------------------------------------------------------------------------------


def panorama_matrix(kernel, shape, stride):
    rows = []
    for top in range(0, shape[0] - kernel.shape[0] + 1, stride):
        for left in range(0, shape[1], stride):
            image = np.zeros(shape)
            image[top : top + len(kernel), (left + np.arange(kernel.shape[1])) % shape[1]] = kernel
            rows.append(image.ravel())
    return np.stack(rows)


def paint_back(y, kernel, shape, stride):
    return (panorama_matrix(kernel, shape, stride).T @ y.ravel()).reshape(shape)


def painted_by_hand(y, kernel, shape, stride):
    image = np.zeros(shape)
    for (i, j), value in np.ndenumerate(y):
        for (m, n), weight in np.ndenumerate(kernel):
            image[i * stride + m, (j * stride + n) % shape[1]] += value * weight
    return image


def painted_by_torch(y, kernel, shape, stride):
    y, kernel = (torch.from_numpy(values)[None, None] for values in (y, kernel))
    wide = F.conv_transpose2d(y, kernel, stride=stride)[0, 0].numpy()
    image = np.zeros(shape)
    for column in range(wide.shape[1]):
        image[: len(wide), column % shape[1]] += wide[:, column]
    return image


def around(paint=paint_back):
    return {"paint_back": paint}


def into_the_next_row(y, kernel, shape, stride):
    image = np.zeros(shape[0] * shape[1])
    for (i, j), value in np.ndenumerate(y):
        for (m, n), weight in np.ndenumerate(kernel):
            image[((i * stride + m) * shape[1] + j * stride + n) % len(image)] += value * weight
    return image.reshape(shape)


def paint_over(y, kernel, shape, stride):
    image = np.zeros(shape)
    for (i, j), value in np.ndenumerate(y):
        columns = (j * stride + np.arange(kernel.shape[1])) % shape[1]
        image[i * stride : i * stride + len(kernel), columns] = value * kernel
    return image


def paint_cut(y, kernel, shape, stride):
    image = np.zeros(shape)
    for (i, j), value in np.ndenumerate(y):
        place = image[i * stride : i * stride + len(kernel), j * stride : j * stride + kernel.shape[1]]
        place += value * kernel[:, : place.shape[1]]
    return image


# q3 ------------------------------------------------------------------------------------------------------------------


def hits(kernel, stride, dilation):
    counts = np.zeros(stride)
    for m, n in np.ndindex(*kernel):
        counts[m * dilation % stride[0], n * dilation % stride[1]] += 1
    return counts


def hits_measured(kernel, stride, dilation):
    ones = torch.ones(1, 1, 40, 40), torch.ones(1, 1, *kernel)
    wide = F.conv_transpose2d(*ones, stride=stride, dilation=dilation)[0, 0]
    rows, columns = (20 * s for s in stride)
    return wide[rows : rows + stride[0], columns : columns + stride[1]].numpy()


def hits_as_lists(kernel, stride, dilation):
    rows, columns = (
        [sum(dilation * m % s == phase for m in range(k)) for phase in range(s)]
        for k, s in zip(kernel, stride, strict=True)
    )
    return [[row * column for column in columns] for row in rows]


def up(channels, outputs, mode="nearest", kernel=3, last=True, first=None):
    size = {"kernel_size": kernel, "padding": kernel // 2}
    layers = [nn.Upsample(scale_factor=2, mode=mode), nn.Conv2d(channels, channels // 2, **size), nn.ReLU()]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2, mode=mode), nn.Conv2d(channels // 2, outputs, **size))


class UpClass(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.one, self.norm = nn.Conv2d(channels, 12, 3, padding="same", bias=False), nn.BatchNorm2d(12)
        self.two = nn.Conv2d(12, outputs, 5, padding=2)

    def forward(self, x):
        x = F.interpolate(F.gelu(self.norm(self.one(x))), scale_factor=4, mode="nearest")
        return self.two(x)


class TwoResults(UpClass):
    def forward(self, x):
        y = super().forward(x)
        return y[:, :1], y[:, 1:]


def bicubic(channels, outputs):
    layers = [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, outputs, 5, padding=2)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=4, mode="bicubic"))


def bilinear(channels, outputs):
    layers = [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(channels, outputs, 3, padding=1)]
    return nn.Sequential(*layers, nn.UpsamplingBilinear2d(scale_factor=4), nn.Tanh())


def repaired(count=hits, make=up):
    return {"hits": count, "decoder": make}


def hits_with(place=lambda m, d, s: m * d % s, join=np.multiply.outer):
    def hits(kernel, stride, dilation):
        return join(
            *(
                np.bincount([place(m, dilation, s) for m in range(k)], minlength=s)
                for k, s in zip(kernel, stride, strict=True)
            )
        )

    return hits


def transposed(kernel, padding, extra=0, last=False):
    def decoder(channels, outputs):
        size = {"kernel_size": kernel, "stride": 2, "padding": padding, "output_padding": extra}
        layers = [nn.ConvTranspose2d(channels, channels // 2, **size), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels // 2, outputs, **size)]
        return nn.Sequential(*layers, *[nn.ReLU()] * last)

    return decoder


# q4 ------------------------------------------------------------------------------------------------------------------


def to_network(images):
    lab = torch.from_numpy(color.rgb2lab(images.permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2).float()
    return (lab[:, :1] - 50) / 100, lab[:, 1:] / 110


def to_images(light, ab):
    lab = torch.cat([100 * light + 50, 110 * ab], dim=1).double()
    rgb = torch.from_numpy(color.lab2rgb(lab.permute(0, 2, 3, 1).numpy()))
    return (255 * rgb).round().byte().permute(0, 3, 1, 2)


def to_network_by_numpy(images):
    lab = color.rgb2lab(images.numpy().astype(np.float32) / 255, channel_axis=1).astype(np.float32)
    return [torch.tensor(lab[:, [0]] / 100 - 0.5), torch.tensor(lab[:, 1:3] / 110)]


def to_images_by_numpy(light, ab):
    lab = np.concatenate([(light.numpy() + 0.5) * 100, ab.numpy() * 110], axis=1)
    rgb = np.clip(color.lab2rgb(lab, channel_axis=1), 0, 1)
    return torch.tensor((rgb * 255 + 0.5).astype(np.uint8))


def to_network_one_by_one(images):
    pairs = [color.rgb2lab(np.moveaxis(image.numpy(), 0, 2) / 255.0) for image in images]
    lab = torch.stack([torch.tensor(pair, dtype=torch.float32) for pair in pairs]).movedim(-1, 1)
    return torch.split(
        (lab - torch.tensor([50, 0, 0])[:, None, None]) / torch.tensor([[[100]], [[110]], [[110]]]), [1, 2], 1
    )


def to_images_one_by_one(light, ab):
    result = []
    for image in torch.cat([light * 100 + 50, ab * 110], 1):
        rgb = color.lab2rgb(image.movedim(0, 2).numpy())
        result.append(torch.tensor(np.rint(rgb * 255), dtype=torch.uint8).movedim(2, 0))
    return torch.stack(result)


def repaired_conversions(forth=to_network, back=to_images):
    return {"to_network": forth, "to_images": back}


def forth_with(
    move=lambda images: images.permute(0, 2, 3, 1),
    high=lambda pixels: pixels,
    light=lambda L: (L - 50) / 100,
    factor=110,
    end=lambda values: values.float(),
    order=(0, 3, 1, 2),
):
    def to_network(images):
        lab = torch.from_numpy(color.rgb2lab(high(move(images)).numpy())).permute(*order)
        return end(light(lab[:, :1])), end(lab[:, 1:] / factor)

    return to_network


def back_with(centre=50, factor=110, end=lambda rgb: (255 * rgb).round().byte(), order=(0, 3, 1, 2)):
    def to_images(light, ab):
        lab = torch.cat([100 * light + centre, factor * ab], dim=1).double().permute(0, 2, 3, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return end(torch.from_numpy(color.lab2rgb(lab.numpy()))).permute(*order)

    return to_images


def given_to_network(images):
    pixels = images.reshape(len(images), *images.shape[2:], 3).float().numpy()
    lab = torch.from_numpy(color.rgb2lab(pixels)).permute(0, 3, 1, 2)
    return lab[:, :1] / 100, lab[:, 1:] / 110


def reshaped_back(images):
    lab = torch.from_numpy(color.rgb2lab(images.movedim(1, 3).numpy())).float()
    lab = lab.reshape(images.shape)
    return (lab[:, :1] - 50) / 100, lab[:, 1:] / 110


def back_in_place(light, ab):
    light += 0.5
    return to_images(light - 0.5, ab)


# q5 ------------------------------------------------------------------------------------------------------------------


def skill(predicted, true, train):
    constant = train.mean(dim=(0, 2, 3))[:, None, None]
    return 1 - ((predicted - true) ** 2).mean() / ((constant - true) ** 2).mean()


def skill_by_numpy(predicted, true, train):
    predicted, true, train = (part.double().movedim(1, -1).reshape(-1, 2).numpy() for part in (predicted, true, train))
    own, other = np.sum((predicted - true) ** 2), np.sum((train.mean(axis=0) - true) ** 2)
    return (other - own) / other


def skill_by_torch(predicted, true, train):
    a, b = train[:, 0].mean(), train[:, 1].mean()
    constant = torch.stack([torch.full_like(true[:, 0], a), torch.full_like(true[:, 1], b)], dim=1)
    return float(1 - F.mse_loss(predicted, true) / F.mse_loss(constant, true))


def visible(predicted, true, threshold):
    difference = color.deltaE_ciede2000(color.rgb2lab(true), color.rgb2lab(predicted))
    return (difference > threshold).mean(axis=(1, 2))


def visible_one_by_one(predicted, true, threshold):
    shares = []
    for one, two in zip(predicted / 255, true / 255, strict=True):
        difference = color.deltaE_ciede2000(color.rgb2lab(two), color.rgb2lab(one))
        shares.append(np.count_nonzero(difference > threshold) / difference.size)
    return shares


def visible_flat(predicted, true, threshold):
    labs = [color.rgb2lab((part / 255.0).astype(np.float32)).reshape(len(true), -1, 3) for part in (true, predicted)]
    return np.mean(color.deltaE_ciede2000(*labs) > threshold, axis=1)


def measured(gain=skill, share=visible):
    return {"skill": gain, "visible": share}


def skill_with(
    baseline=lambda train, true: train.mean((0, 2, 3))[:, None, None],
    error=torch.square,
    over=None,
    end=lambda ratio: 1 - ratio.mean().item(),
):
    def skill(predicted, true, train):
        own, other = error(predicted - true), error(baseline(train, true) - true)
        return end(own.mean(over) / other.mean(over)) if over else end(own.mean() / other.mean())

    return skill


def skill_at_home(predicted, true, train):
    return 1 - ((predicted - true) ** 2).mean() / (train - train.mean((0, 2, 3), keepdim=True)).square().mean()


def visible_with(
    space=color.rgb2lab, distance=color.deltaE_ciede2000, end=lambda difference, t: (difference > t).mean((1, 2))
):
    return lambda predicted, true, threshold: end(distance(space(true), space(predicted)), threshold)


# q6 ------------------------------------------------------------------------------------------------------------------


def median(colours, shares):
    result = []
    for channel in colours.T:
        order = channel.argsort()
        result.append(channel[order][np.cumsum(shares[order]) >= 0.5][0])
    return result


def best_answers(colours, shares, temperature):
    sharp = shares ** (1 / temperature)
    return shares @ colours, median(colours, shares), sharp / sharp.sum() @ colours


def best_by_trying(colours, shares, temperature):
    middle = [min(channel, key=lambda value: np.sum(shares * abs(channel - value))) for channel in colours.T]
    logits = torch.tensor(shares).log() / temperature
    return np.array([np.average(colours, axis=0, weights=shares), middle, logits.softmax(0).numpy() @ colours])


def best_by_repeating(colours, shares, temperature):
    total = next(n for n in range(1, 2000) if np.allclose(shares * n, np.round(shares * n)))
    pixels = np.repeat(colours, np.round(shares * total).astype(int), axis=0)
    sharp = np.exp(np.log(shares / shares.max()) / temperature)
    return [pixels.mean(0).tolist(), np.median(pixels, axis=0).tolist(), np.average(colours, 0, sharp).tolist()]


def errors(t, power, share=0.7, root=1):
    return (share * t**power + (1 - share) * (1 - t) ** power) ** root


def error_figure(
    points=21, share=0.7, powers=(2, 1), root=1, scale=(1.1, 0.9), labels=True, last=1, legend=True, names=None
):
    figure = Figure()
    axis = figure.subplots()
    t = np.linspace(0, last, points)
    for power, factor in zip(powers, scale, strict=False):
        axis.plot(t, factor * errors(t, power, share, root), label=(names or {}).get(power, f"power {power}"))
    if legend:
        axis.legend()
    if labels:
        axis.set(xlabel="t", ylabel="error")
    return figure


def two_axes():
    figure = Figure()
    for axis, power in zip(figure.subplots(2), (1, 2), strict=True):
        t = np.linspace(0, 1, 11)
        axis.plot(t, 300 * errors(t, power), "o-")
        axis.set(xlabel="t", ylabel=f"error to the power of {power}")
    return figure


def twin_axes():
    figure = error_figure(powers=(2,))
    axis = figure.axes[0].twinx()
    t = np.linspace(1, 0, 101)
    axis.plot(t, errors(t, 1))
    axis.set_ylabel("absolute error")
    return figure


def shared_axes(say=lambda figure, axes: axes[1].set_xlabel("t")):
    figure = Figure()
    axes = figure.subplots(2, 1, sharex=True)
    for axis, power in zip(axes, (1, 2), strict=True):
        axis.plot(np.linspace(0, 1, 11), errors(np.linspace(0, 1, 11), power))
        axis.set_ylabel(f"error to the power of {power}")
    say(figure, axes)
    return figure


def explained(best=best_answers, figure=None):
    return {"best_answers": best, "figure": figure or error_figure()}


def best_with(mean=lambda c, p: p @ c, middle=lambda c, p: median(c, p), sharpen=None):
    def annealed(c, p, t):
        sharp = p ** (1 / t)
        return sharp / sharp.sum() @ c

    return lambda c, p, t: (mean(c, p), middle(c, p), (sharpen or annealed)(c, p, t))


def softmax_of(z):
    return np.exp(z) / np.exp(z).sum()


RIGHT = {
    "q1": {
        "remainders": paddings_with(),
        "with layers": {"output_paddings": paddings_by_layers},
        "recursive": {"output_paddings": paddings_recursive},
        "inserted": {"output_paddings": output_paddings},
    },
    "q2": {
        "by the matrix": around(),
        "loops": around(painted_by_hand),
        "torch": around(painted_by_torch),
    },
    "q3": {
        "counted": repaired(),
        "measured, one enlargement by 4": repaired(hits_measured, UpClass),
        "lists, bilinear at the end": repaired(hits_as_lists, bilinear),
        "bicubic": repaired(make=lambda c, o: up(c, o, "bicubic")),
        "a tensor": repaired(lambda *a: torch.tensor(hits(*a))),
        "kernel 5": repaired(make=lambda c, o: up(c, o, kernel=5)),
        "3 x 3, 5 x 5, bicubic at the end": repaired(make=bicubic),
    },
    "q4": {
        "torch": repaired_conversions(),
        "numpy, channel axis 1": repaired_conversions(to_network_by_numpy, to_images_by_numpy),
        "one by one": repaired_conversions(to_network_one_by_one, to_images_one_by_one),
    },
    "q5": {
        "tensors": measured(),
        "flat": measured(skill_by_numpy, visible_flat),
        "a tensor of shares": measured(share=lambda *a: torch.tensor(visible(*a))),
        "one by one": measured(skill_by_torch, visible_one_by_one),
    },
    "q6": {
        "cumulated": explained(),
        "shared axis": explained(figure=shared_axes()),
        "label of the figure": explained(figure=shared_axes(lambda figure, _: figure.supxlabel("t"))),
        "tried": explained(best_by_trying, two_axes()),
        "one array": explained(lambda *given: np.array(best_answers(*given))),
        "repeated pixels": explained(best_by_repeating, twin_axes()),
    },
}

WRONG = {
    "q1": {
        "encoder's order": wrong("begins where the encoder ends", **paddings_with(turn=1)),
        "not chained": wrong("what the one before it has left", **paddings_with(chain=0)),
        "no dilation": wrong("reaches farther", **paddings_with(reach=lambda k, d: k - 1)),
        "padding once": wrong("*both* sides", **paddings_with(sides=1)),
        "off by one": wrong("off by one", **paddings_with(one=0)),
        "missing for one more": wrong("smallest case", **paddings_with(lambda free, s, n: -free % s)),
        "size modulo stride": wrong("the kernel and the padding", **paddings_with(lambda free, s, n: n % s)),
        "always the largest": wrong("largest output padding", **paddings_with(lambda free, s, n: s - 1)),
        "always zero": wrong("without any output padding", **paddings_with(lambda free, s, n: 0)),
        "always one": wrong("smallest case", **paddings_with(lambda free, s, n: 1)),
        "way back without dilation": wrong(
            "one more position", **by_sizes(lambda n, k, s, p, d: (n - 1) * s - 2 * p + k)
        ),
        "way back, padding kept": wrong("below zero", **by_sizes(lambda *a: enlarged(*a) + 2 * a[3])),
        "way there without dilation": wrong(
            "below zero", **by_sizes(there=lambda n, k, s, p, d: (n + 2 * p - k) // s + 1)
        ),
        "way there without dilation, remainders": wrong(
            "smallest case", **from_goals(lambda n, k, s, p, d: (n + 2 * p - k) % s)
        ),
        "a gap too many": wrong("behind the last", **paddings_with(reach=lambda k, d: d * k, one=0)),
        "rounded": wrong(
            "below zero", **by_sizes(there=lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s + 1))
        ),
        "divided by the stride, up": wrong("below zero", **by_sizes(there=lambda n, k, s, p, d: -(-n // s))),
        "what division leaves": wrong("smallest case", output_paddings=halved),
        "sizes of the encoder": wrong("below zero", **by_sizes(pairs=lambda sizes: (sizes[:-1], sizes[1:]))),
        "layers of the encoder": wrong("below zero", **by_sizes(turn=1)),
        "all to size": wrong(
            "smaller than the stride", **by_sizes(pairs=lambda sizes: (sizes[:1] * (len(sizes) - 1), sizes[:0:-1]))
        ),
        "decoder from size": wrong("right for a single layer", output_paddings=decoder_from_size),
        "none on the way": wrong("smaller than the stride", output_paddings=without_extra_on_the_way),
        "all at the end": wrong(
            "smaller than the stride", output_paddings=lambda *a: without_extra_on_the_way(*a, True)
        ),
        "at most one": wrong("more than one pixel", output_paddings=lambda *a: np.minimum(output_paddings(*a), 1)),
        "even sizes": wrong("even or odd", **from_goals(lambda n, *_: 1 - n % 2)),
        "odd sizes": wrong("smallest case", **from_goals(lambda n, *_: n % 2)),
        "stride times, no dilation": wrong("below zero", **from_goals(lambda n, k, s, p, d: 2 * p + s - k)),
        "the sizes themselves": wrong("these are the sizes", **from_goals(lambda n, *_: n)),
        "below zero": wrong("below zero", **from_goals(lambda n, k, s, p, d: -1)),
        "a whole stride": wrong("smaller than the stride", **from_goals(lambda n, k, s, p, d: s)),
        "right alone": wrong(
            "right for a single layer",
            output_paddings=more_in_chains,
        ),
        "the call is shown": wrong("smallest case", **from_goals(lambda n, k, s, p, d: k % s)),
        "one number": wrong("a list of one number", output_paddings=lambda size, layers: 1),
        "rows that differ": wrong("differ in length", output_paddings=lambda size, layers: [[1], [1, 0]]),
        "floats": wrong("*whole* numbers", **paddings_with(lambda free, s, n: free % s / 1)),
        "sizes too": wrong("a list of one number", output_paddings=lambda s, layers: [*output_paddings(s, layers), s]),
    },
    "q2": {
        "turned": wrong("by 180 degrees", **around(lambda y, k, *a: paint_back(y, k[::-1, ::-1], *a))),
        "painted over": wrong("overlap", **around(paint_over)),
        "cut": wrong("is lost", **around(paint_cut)),
        "into the next row": wrong("*same* row", **around(into_the_next_row)),
        "whole numbers": wrong("dtype=int", **around(lambda *a: np.trunc(paint_back(*a)))),
        "no stride": wrong("side by side", **around(lambda y, k, shape, stride: painted_by_hand(y, k, shape, 1))),
        "inverse": wrong(
            "A case for paper",
            **around(lambda y, *a: (np.linalg.pinv(panorama_matrix(*a)) @ y.ravel()).reshape(a[1])),
        ),
        "flat": wrong("one long row", **around(lambda *a: paint_back(*a).ravel())),
        "forgets its transpose": wrong(
            "stops with ValueError", **around(lambda y, *a: panorama_matrix(*a) @ y.ravel())
        ),
        "a list": wrong("numpy array", **around(lambda *a: paint_back(*a).tolist())),
    },
    "q3": {
        "no dilation": wrong("land `dilation` pixels", **repaired(lambda k, s, d: hits(k, s, 1))),
        "exchanged": wrong("[rows, columns]", **repaired(lambda *a: hits(*a).T)),
        "added": wrong("they do not add", **repaired(hits_with(join=np.add.outer))),
        "a mean": wrong("mean of the pattern", **repaired(lambda k, s, d: np.full(s, k[0] * k[1] / s[0] / s[1]))),
        "shifted": wrong("wrong place", **repaired(hits_with(lambda m, d, s: (m * d + 1) % s))),
        "backwards": wrong("runs backwards", **repaired(hits_with(lambda m, d, s: -m * d % s))),
        "whether": wrong("how *often*", **repaired(lambda *a: hits(*a) > 0)),
        "one number": wrong("numbers [rows, columns]", **repaired(lambda k, s, d: 4)),
        "rows that differ": wrong("differ in length", **repaired(lambda k, s, d: [[1], [1, 2]])),
        "rows alone": wrong("numbers [rows, columns]", **repaired(lambda *a: hits(*a)[0])),
        "as given": wrong("2 n - 1", **repaired(make=transposed(3, 1, last=True))),
        "size alone repaired": wrong("comes out with a pattern", **repaired(make=transposed(3, 1, 1, last=True))),
        "kernel 4": wrong("Even counts are not enough", **repaired(make=transposed(4, 1))),
        "kernel 2": wrong("Even counts are not enough", **repaired(make=transposed(2, 0))),
        "pixel shuffle": wrong(
            "comes out with a pattern",
            **repaired(
                make=lambda c, o: nn.Sequential(nn.Conv2d(c, 16 * o, 3, padding=1), nn.ReLU(), nn.PixelShuffle(4))
            ),
        ),
        "last ReLU": wrong("both signs", **repaired(make=lambda c, o: nn.Sequential(up(c, o), nn.ReLU()))),
        "sigmoid": wrong("both signs", **repaired(make=lambda c, o: nn.Sequential(up(c, o), nn.Sigmoid()))),
        "1 x 1": wrong("looks at its neighbours", **repaired(make=lambda c, o: up(c, o, kernel=1))),
        "3 x 3 and 1 x 1": wrong(
            "only one convolution",
            **repaired(make=lambda c, o: nn.Sequential(*up(c, 2 * o)[:4], nn.Conv2d(c // 2, o, 1))),
        ),
        "linear": wrong(
            "linear now", **repaired(make=lambda c, o: nn.Sequential(*[m for m in up(c, o) if str(m) != "ReLU()"]))
        ),
        "twice as large": wrong("four times", **repaired(make=lambda c, o: up(c, o)[1:])),
        "two results": wrong("it must have", **repaired(make=TwoResults)),
        "two channels always": wrong("channels", **repaired(make=lambda c, o: up(c, 1))),
        "a function": wrong("torch.nn.Module", **repaired(make=lambda c, o: lambda x: x)),
    },
    "q4": {
        "as given": wrong("`reshape` does not move", **repaired_conversions(given_to_network)),
        "reshape left": wrong(
            "`reshape` does not move",
            **repaired_conversions(lambda images: to_network(images.reshape(2, 5, 7, 3).permute(0, 3, 1, 2))),
        ),
        "reshaped back": wrong("`reshape` does not move", **repaired_conversions(reshaped_back)),
        "floats to 255": wrong("floats from 0 to 1", **repaired_conversions(forth_with(high=lambda x: x.float()))),
        "floats to 255, L not centred": wrong(
            "floats from 0 to 1", **repaired_conversions(forth_with(high=lambda x: x.float(), light=lambda L: L / 100))
        ),
        "divided twice": wrong("255 twice", **repaired_conversions(forth_with(high=lambda x: x / 255 / 255))),
        "blue first": wrong("red and blue", **repaired_conversions(lambda images: to_network(images.flip(1)))),
        "not centred": wrong("take 50 away", **repaired_conversions(forth_with(light=lambda L: L / 100))),
        "L as it is": wrong("take 50 away", **repaired_conversions(forth_with(light=lambda L: L))),
        "L by 50": wrong("take 50 away", **repaired_conversions(forth_with(light=lambda L: (L - 50) / 50))),
        "ab by 100": wrong("divided by 110", **repaired_conversions(forth_with(factor=100))),
        "ab by 128": wrong("divided by 110", **repaired_conversions(forth_with(factor=128))),
        "float64": wrong("must be float32", **repaired_conversions(forth_with(end=lambda values: values))),
        "arrays": wrong("torch tensor", **repaired_conversions(forth_with(end=lambda values: values.float().numpy()))),
        "channels last": wrong(
            "must be axis 1", **repaired_conversions(lambda x: [part.permute(0, 2, 3, 1) for part in to_network(x)])
        ),
        "no channel axis": wrong(
            "single channel", **repaired_conversions(lambda x: (to_network(x)[0][:, 0], to_network(x)[1]))
        ),
        "rows and columns exchanged": wrong(
            "rows and columns", **repaired_conversions(lambda x: [part.mT for part in to_network(x)])
        ),
        "one tensor": wrong("two tensors", **repaired_conversions(lambda x: torch.cat(to_network(x), dim=1))),
        "a and b exchanged": wrong(
            "a and b are exchanged", **repaired_conversions(lambda x: (to_network(x)[0], to_network(x)[1].flip(1)))
        ),
        "zeros and ones": wrong(
            "between 0 and 1", **repaired_conversions(back=back_with(end=lambda rgb: rgb.round().byte()))
        ),
        "cut off": wrong("nearest byte", **repaired_conversions(back=back_with(end=lambda rgb: (255 * rgb).byte()))),
        "L stays centred": wrong("must come back", **repaired_conversions(back=back_with(centre=0))),
        "back by 100": wrong("another number", **repaired_conversions(back=back_with(factor=100))),
        "back as given": wrong(
            "must come back", **repaired_conversions(back=back_with(0, 100, lambda rgb: (255 * rgb).byte()))
        ),
        "back in 0 to 1": wrong("must be uint8", **repaired_conversions(back=back_with(end=lambda rgb: rgb))),
        "back, channels last": wrong("axis 1 again", **repaired_conversions(back=back_with(order=(0, 1, 2, 3)))),
        "in place": wrong("work on a copy", **repaired_conversions(back=back_in_place)),
    },
    "q5": {
        "constant of the truth": wrong(
            "from the training images", **measured(skill_with(lambda train, true: true.mean((0, 2, 3))[:, None, None]))
        ),
        "one number": wrong("one number for a", **measured(skill_with(lambda train, true: train.mean()))),
        "gray": wrong("compares with gray", **measured(skill_with(lambda train, true: torch.zeros(())))),
        "mean image": wrong("a mean of its own", **measured(skill_with(lambda train, true: train.mean(0)))),
        "each image's constant": wrong(
            "each image has its own", **measured(skill_with(lambda train, true: true.mean((2, 3), keepdim=True)))
        ),
        "ratio": wrong("here 0 is perfect", **measured(skill_with(end=lambda ratio: ratio.item()))),
        "percent of skill": wrong("here these are percent", **measured(lambda *given: 100 * skill(*given))),
        "sign": wrong("sign is wrong", **measured(skill_with(end=lambda ratio: ratio.item() - 1))),
        "mean of ratios": wrong("mean of the images' ratios", **measured(skill_with(over=(1, 2, 3)))),
        "root": wrong("root mean squares", **measured(skill_with(end=lambda ratio: 1 - ratio.sqrt().item()))),
        "absolute": wrong("absolute errors", **measured(skill_with(error=torch.abs))),
        "constant tried at home": wrong("tried on the test images", **measured(skill_at_home)),
        "a list": wrong("one number", **measured(lambda *_: [0.4])),
        "a constant": wrong("the same number", **measured(lambda *_: 0.4)),
        "the right ones": wrong("look right", **measured(share=lambda *a: 1 - visible(*a))),
        "mean difference": wrong("mean differences", **measured(share=visible_with(end=lambda d, _: d.mean((1, 2))))),
        "CIE76": wrong("CIE76", **measured(share=visible_with(distance=color.deltaE_cie76))),
        "distance in RGB": wrong(
            "distance in RGB", **measured(share=visible_with(lambda x: x.astype(float), color.deltaE_cie76))
        ),
        "no Lab": wrong("wants Lab", **measured(share=visible_with(lambda x: x.astype(float)))),
        "floats to 255": wrong(
            "floats from 0 to 1", **measured(share=visible_with(lambda x: color.rgb2lab(x.astype(float))))
        ),
        "percent": wrong("percent", **measured(share=lambda *a: 100 * visible(*a))),
        "counts": wrong("numbers of pixels", **measured(share=visible_with(end=lambda d, t: (d > t).sum((1, 2))))),
        "one for all": wrong("must be a list of numbers", **measured(share=lambda *a: visible(*a).mean())),
        "one for all, as float": wrong(
            "must be a list of numbers", **measured(share=lambda *a: float(visible(*a).mean()))
        ),
        "the threshold, too": wrong("*above*", **measured(share=visible_with(end=lambda d, t: (d >= t).mean((1, 2))))),
        "a map": wrong("map for each", **measured(share=visible_with(end=lambda d, t: d > t))),
    },
    "q6": {
        "texts": wrong("numbers only", **explained(lambda *a: [[str(v) for v in c] for c in best_answers(*a)])),
        "unweighted mean": wrong("squared error: each colour counts", **explained(best_with(lambda c, p: c.mean(0)))),
        "commonest": wrong("least *squared* error", **explained(best_with(lambda c, p: c[p.argmax()]))),
        "exchanged": wrong("belongs to the absolute", **explained(best_with(median, lambda c, p: p @ c))),
        "unweighted median": wrong(
            "absolute error: each colour counts", **explained(best_with(middle=lambda c, p: np.median(c, 0)))
        ),
        "mean twice": wrong("belongs to the squared", **explained(best_with(middle=lambda c, p: p @ c))),
        "commonest for absolute": wrong(
            "least *absolute* error", **explained(best_with(middle=lambda c, p: c[p.argmax()]))
        ),
        "one colour chosen": wrong(
            "A case for paper",
            **explained(best_with(middle=lambda c, p: c[(np.abs(c[:, None] - c).sum(2) @ p).argmin()])),
        ),
        "p to the T": wrong("1 / T", **explained(best_with(sharpen=lambda c, p, t: p**t / (p**t).sum() @ c))),
        "not scaled": wrong("sum 1", **explained(best_with(sharpen=lambda c, p, t: p ** (1 / t) @ c))),
        "softmax of shares": wrong("no logits", **explained(best_with(sharpen=lambda c, p, t: softmax_of(p / t) @ c))),
        "softmax, multiplied": wrong(
            "not multiplied", **explained(best_with(sharpen=lambda c, p, t: softmax_of(p * t) @ c))
        ),
        "no temperature": wrong("plain mean", **explained(best_with(sharpen=lambda c, p, t: p @ c))),
        "temperature 0": wrong("temperature 0", **explained(best_with(sharpen=lambda c, p, t: c[p.argmax()]))),
        "two answers": wrong("three colours", **explained(lambda *a: best_answers(*a)[:2])),
        "no channels": wrong("must be 2 numbers", **explained(lambda *a: [np.mean(part) for part in best_answers(*a)])),
        "few points": wrong("at least 11", **explained(figure=error_figure(5))),
        "half the way": wrong("at least 11", **explained(figure=error_figure(last=0.5))),
        "shares exchanged": wrong("exchanged", **explained(figure=error_figure(share=0.3))),
        "equal shares": wrong("count the same", **explained(figure=error_figure(share=0.5))),
        "root": wrong("root", **explained(figure=error_figure(root=0.5))),
        "squared alone": wrong("mean absolute error", **explained(figure=error_figure(powers=(2,)))),
        "absolute alone": wrong("mean squared error", **explained(figure=error_figure(powers=(1,)))),
        "no label on a shared axis": wrong("without a label", **explained(figure=shared_axes(lambda *_: None))),
        "two units in one axis": wrong("different units", **explained(figure=error_figure(scale=(90, 1)))),
        "no legend": wrong("no legend", **explained(figure=error_figure(legend=False))),
        "no labels": wrong("without a label", **explained(figure=error_figure(labels=False))),
    },
}
