"""Right and wrong answers to lab 4."""

import copy
import hashlib
import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.catalogue import wrong

# q1 ------------------------------------------------------------------------------------------------------------------


def nearest_with(norm=True, pick=lambda like: like.argmax(1), label=True, center=False, end=None):
    def nearest(train, labels, test):
        mean = train.mean(0) if center else 0
        train, test = (F.normalize(part - mean, dim=1) if norm else part - mean for part in (train, test))
        found = pick(test @ train.T)
        found = labels[found] if label else found
        return end(found) if end else found

    return {"nearest": nearest}


def nearest_in_loops(train, labels, test):
    result = []
    for one in test.numpy():
        cosines = [one @ other / np.linalg.norm(other) for other in train.numpy()]
        result.append(int(labels[int(np.argmax(cosines))]))
    return result


def nearest_by_distance(train, labels, test):
    return labels[torch.cdist(test, train).argmin(1)]


def nearest_by_sklearn(train, labels, test):
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(1, metric="cosine").fit(train.numpy(), labels.numpy())
    return classifier.predict(test.numpy())


def nearest_together(train, labels, test):
    test = test - test.mean(0)
    return labels[(test @ F.normalize(train).T).argmax(1)]


# q2 ------------------------------------------------------------------------------------------------------------------


def prepared(reshape=False, order=False, blue=False, width=False, last=False, double=False, way=None):
    def prepare(images, mean, std):
        n, height, wide, channels = images.shape
        pixels = torch.from_numpy(images.copy())
        pixels = pixels.double() if double else pixels.float()
        pixels = pixels.flip(3) if blue else pixels
        pixels = pixels.reshape(n, channels, height, wide) if reshape else pixels.permute(0, 3, 1, 2)
        m, s = (torch.tensor(v, dtype=pixels.dtype)[:, None, None] for v in (mean, std))
        if way:
            return way(pixels, m, s)
        pixels = (pixels - m) / s / 255 if order else (pixels / 255 - m) / s
        pixels = pixels.transpose(2, 3) if width else pixels
        return pixels.permute(0, 2, 3, 1) if last else pixels

    return {"prepare": prepare}


def by_numpy(images, mean, std):
    pixels = (images / 255 - np.array(mean)) / np.array(std)
    return torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)


def by_torchvision(images, mean, std):
    from torchvision.transforms import v2

    steps = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    return torch.stack([steps(image) for image in images])


# q3 ------------------------------------------------------------------------------------------------------------------


def series_of(name):
    return name.rsplit("_", 1)[0]


def splitter(of=series_of, stratify=True, count=None, swap=False, fixed=False, seeded=True, overlap=False, what="both"):
    count = count or (lambda share, n: max(1, round(share * n)))

    def split(names, share, seed):
        draw = random.Random(0 if fixed else seed if seeded else None)
        classes = defaultdict(set)
        for name in names:
            classes[name.split("/")[0] if stratify else ""].add(of(name))
        chosen = set()
        for name in sorted(classes):
            chosen.update(draw.sample(sorted(classes[name]), count(share, len(classes[name]))))
        test = [k for k, name in enumerate(names) if of(name) in chosen]
        train = [k for k, name in enumerate(names) if of(name) not in chosen or overlap]
        if what == "names":
            return [names[k] for k in train], [names[k] for k in test]
        if what == "test":
            return test
        return (test, train) if swap else (train, test)

    return {"split": split}


def split_with_numpy(names, share, seed):
    rng = np.random.default_rng(seed)
    series = np.array([series_of(name) for name in names])
    folders = np.array([name.split("/")[0] for name in names])
    in_test = np.zeros(len(names), bool)
    for folder in np.unique(folders):
        own = np.unique(series[folders == folder])
        in_test |= np.isin(series, rng.permutation(own)[: max(1, round(share * len(own)))])
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def split_with_torch(names, share, seed):
    draw = torch.Generator().manual_seed(seed)
    train, test = [], []
    for folder in sorted({name.partition("/")[0] for name in names}):
        own = sorted({series_of(name) for name in names if name.startswith(folder + "/")})
        order = torch.randperm(len(own), generator=draw).tolist()
        chosen = {own[k] for k in order[: max(1, round(share * len(own)))]}
        for k, name in enumerate(names):
            if name.startswith(folder + "/"):
                (test if series_of(name) in chosen else train).append(k)
    return torch.tensor(train), torch.tensor(test)


def split_by_digest(names, share, seed):
    series = {name.rpartition("_")[0] for name in names}
    digests = {one: hashlib.md5(f"{seed} {one}".encode()).digest() for one in series}
    test = set()
    for folder in {one.split("/")[0] for one in series}:
        own = sorted((one for one in series if one.split("/")[0] == folder), key=digests.get)
        test.update(own[: max(1, round(share * len(own)))])
    chosen = [name.rpartition("_")[0] in test for name in names]
    return np.flatnonzero(np.invert(chosen)).tolist(), np.flatnonzero(chosen).tolist()


def split_by_set(names, share, seed):
    draw, chosen = random.Random(seed), []
    for folder in sorted({name.split("/")[0] for name in names}):
        own = list({series_of(name) for name in names if name.startswith(folder + "/")})
        chosen += draw.sample(own, max(1, round(share * len(own))))
    test = [k for k, name in enumerate(names) if series_of(name) in chosen]
    return [k for k in range(len(names)) if k not in test], test


def split_by_image(names, share, seed):
    draw = random.Random(seed)
    test = []
    for folder in sorted({name.split("/")[0] for name in names}):
        own = [k for k, name in enumerate(names) if name.startswith(folder)]
        test += draw.sample(own, round(share * len(own)))
    return [k for k in range(len(names)) if k not in test], test


def split_without_some(names, share, seed):
    train, test = splitter()["split"](names, share, seed)
    return train[1:], test


def split_by_numpy(order):
    def split(names, share, seed):
        series = order({series_of(name) for name in names})
        drawn = np.random.default_rng(seed).choice(series, max(1, round(share * len(series))), replace=False)
        chosen = set(drawn.tolist())
        test = [k for k, name in enumerate(names) if series_of(name) in chosen]
        return [k for k in range(len(names)) if k not in test], test

    return {"split": split}


# q4 ------------------------------------------------------------------------------------------------------------------


def tiny_body(channels):
    layers = [nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.25)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def tiny_head(classes):
    return nn.Sequential(nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Linear(24, classes))


class Held(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body.requires_grad_(False).eval()

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.body(x)


class Whole(nn.Module):
    def __init__(self, body, head):
        super().__init__()
        self.head = head
        self.body = body.requires_grad_(False)
        self.train()

    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            features = self.body(x)
        return self.head(features)


def held_by_instance(body, head):
    body = copy.deepcopy(body)
    for parameter in body.parameters():
        parameter.requires_grad = False
    body.eval()
    body.train = lambda mode=True: body
    return nn.Sequential(body, head)


class EvalInForward(nn.Module):
    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body.requires_grad_(False), head

    def forward(self, x):
        return self.head(self.body.eval()(x))


class TrainAlone(Whole):
    def __init__(self, body, head):
        nn.Module.__init__(self)
        self.body, self.head = body.train().requires_grad_(False), head


class AsItCame(Whole):
    """Holds still as soon as `train` is called, and not before."""

    def __init__(self, body, head):
        nn.Module.__init__(self)
        self.body, self.head = body.requires_grad_(False), head


class HiddenInList(Whole):
    def __init__(self, body, head):
        nn.Module.__init__(self)
        self.head, self.parts = head, [body.requires_grad_(False).eval()]

    def train(self, mode=True):
        return nn.Module.train(self, mode)

    def forward(self, x):
        return self.head(self.parts[0](x))


class BodyForgotten(TrainAlone):
    def train(self, mode=True):
        self.head.train(mode)
        return self


class NoGradient(Whole):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class NoTrain(nn.Sequential):
    def train(self, mode=True):
        return super().train(False)


class OnlyNorm(nn.Sequential):
    def train(self, mode=True):
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


class AllNorms(nn.Sequential):
    def train(self, mode=True):
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout2d):
                layer.eval()
        return self


class NormBackwards(nn.Sequential):
    def train(self, mode=True):
        super().train(mode)
        self[0][3].eval()
        return self


def held(transfer_net):
    return {"tiny_body": tiny_body, "tiny_head": tiny_head, "transfer_net": transfer_net}


def still(body):
    return body.requires_grad_(False)


# q5 ------------------------------------------------------------------------------------------------------------------


def first_layer(outputs, **options):
    return nn.Conv2d(3, outputs, **options)


def folder_with(
    weight=lambda w, scale: (w * scale[:, None, None]).sum(1, keepdim=True),
    bias=lambda b, w, scale, shift: b + w.sum((2, 3)) @ shift,
    keep=("stride", "padding", "dilation"),
    when_none=True,
    where="away from the border",
):
    def fold_gray(conv, scale, shift):
        options = {name: getattr(conv, name) for name in keep}
        new = nn.Conv2d(1, conv.out_channels, conv.kernel_size, **options)
        with torch.no_grad():
            own = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
            new.weight.copy_(weight(conv.weight, scale))
            new.bias.copy_(bias(own, conv.weight, scale, shift))
            if conv.bias is None and not when_none:
                new.bias.zero_()
        return new

    return folded(fold_gray, where)


def folded(fold_gray, where="away from the border"):
    return {"first_layer": first_layer, "fold_gray": fold_gray, "exact_with_padding": where}


def fold_by_measuring(conv, scale, shift):
    new = copy.deepcopy(conv)
    height, width = (d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    patch = shift[None, :, None, None].expand(1, 3, height, width)
    weight = torch.einsum("ochw,c->ohw", conv.weight.detach(), scale)
    bias = nn.functional.conv2d(patch, conv.weight, conv.bias, dilation=conv.dilation).flatten()
    new.in_channels, new.weight, new.bias = 1, nn.Parameter(weight[:, None]), nn.Parameter(bias.detach())
    return new


@torch.no_grad()
def fold_in_loops(conv, scale, shift):
    new = nn.Conv2d(1, len(conv.weight), conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    for k, kernel in enumerate(conv.weight):
        new.weight[k, 0] = sum(scale[c] * kernel[c] for c in range(3))
        new.bias[k] = sum(shift[c] * kernel[c].sum() for c in range(3)) + (0 if conv.bias is None else conv.bias[k])
    return new


def fold_square(conv, scale, shift):
    new = nn.Conv2d(1, conv.out_channels, conv.kernel_size[0], conv.stride, conv.padding, conv.dilation)
    new.load_state_dict({"weight": torch.zeros_like(new.weight), "bias": conv.weight.sum(dim=(2, 3)) @ shift})
    return new


def fold_exchanged(conv, scale, shift):
    return nn.Conv2d(1, conv.out_channels, conv.kernel_size, conv.dilation, conv.padding, conv.stride)


@torch.no_grad()
def fold_with_bias_like_the_layer(conv, scale, shift):
    options = {name: getattr(conv, name) for name in ("stride", "padding", "dilation")}
    new = nn.Conv2d(1, conv.out_channels, conv.kernel_size, bias=conv.bias is not None, **options)
    new.weight.copy_((conv.weight * scale[:, None, None]).sum(dim=1, keepdim=True))
    new.bias.copy_(conv.weight.sum(dim=(2, 3)) @ shift + conv.bias)
    return new


def fold_without_bias(conv, scale, shift):
    new = folder_with()["fold_gray"](conv, scale, shift)
    new.bias = None
    return new


def fold_in_place(conv, scale, shift):
    with torch.no_grad():
        conv.weight.mul_(scale[:, None, None])
    return folder_with(lambda w, s: w.sum(1, keepdim=True))["fold_gray"](conv, scale, shift)


class Adapted(nn.Module):
    def __init__(self, conv, scale, shift):
        super().__init__()
        self.adapter, self.conv = nn.Conv2d(1, 3, 1), conv
        self.adapter.load_state_dict({"weight": scale[:, None, None, None], "bias": shift})

    def forward(self, x):
        return self.conv(self.adapter(x))


# q6 ------------------------------------------------------------------------------------------------------------------


def bootstrap(
    by="series", percent=(2.5, 97.5), share=False, error=False, replace=True, factor=1, end=None, flip=False, more=0
):
    def interval(right, series, draws, seed):
        rng, right = np.random.default_rng(seed), np.asarray(right) != error
        groups = np.arange(len(series)) if by == "image" else np.asarray(series)
        kinds = np.unique(groups)
        sums = np.array([[right[groups == k].sum(), (groups == k).sum()] for k in kinds], dtype=float)
        sums = sums / sums[:, 1:] if share else sums
        drawn = np.stack([rng.choice(len(kinds), len(kinds) + more, replace=replace) for _ in range(draws)])
        hits = sums[drawn].sum(axis=1)
        rates = factor * hits[:, 0] / hits[:, 1]
        ends = end(rates) if end else np.percentile(rates, percent)
        return ends[::-1] if flip else ends

    return {"interval": interval}


def bootstrap_by_lists(right, series, draws, seed):
    generator = random.Random(seed)
    groups = defaultdict(list)
    for one, fine in zip(series.tolist(), right.tolist(), strict=True):
        groups[one].append(fine)
    rates = []
    for _ in range(draws):
        chosen = [fine for one in generator.choices(list(groups), k=len(groups)) for fine in groups[one]]
        rates.append(sum(chosen) / len(chosen))
    return tuple(np.quantile(rates, [0.025, 0.975]))


def bootstrap_by_torch(right, series, draws, seed):
    generator = torch.Generator().manual_seed(seed)
    right, (_, group) = torch.tensor(right).double(), torch.unique(torch.tensor(series), return_inverse=True)
    hits, sizes = (torch.zeros(int(group.max()) + 1).double().index_add(0, group, v) for v in (right, right * 0 + 1))
    drawn = torch.randint(len(hits), (draws, len(hits)), generator=generator)
    return (hits[drawn].sum(1) / sizes[drawn].sum(1)).quantile(torch.tensor([0.025, 0.975]).double())


def bell(right, series, draws, seed):
    return bootstrap(end=lambda v: (v.mean() - 1.96 * v.std(), v.mean() + 1.96 * v.std()))["interval"](
        right, series, draws, seed
    )


RIGHT = {
    "q1": {
        "cosine": nearest_with(),
        "loops": {"nearest": nearest_in_loops},
        "only the training photos divided": {
            "nearest": lambda train, labels, test: labels[(test @ F.normalize(train).T).argmax(1)]
        },
        "sklearn": {"nearest": nearest_by_sklearn},
    },
    "q2": {
        "repaired": prepared(),
        "numpy": {"prepare": by_numpy},
        "torchvision": {"prepare": by_torchvision},
    },
    "q3": {
        "class by class": splitter(),
        "all classes together": splitter(stratify=False),
        "numpy": {"split": split_with_numpy},
        "torch": {"split": split_with_torch},
        "by digest": {"split": split_by_digest},
        "sorted, through numpy": split_by_numpy(sorted),
        "ties rounded up": splitter(count=lambda share, n: max(1, int(share * n + 0.5))),
    },
    "q4": {
        "a wrapper for the body": held(lambda body, head: nn.Sequential(Held(body), head)),
        "a network with train of its own": held(Whole),
        "train of one object": held(held_by_instance),
        "eval in forward": held(EvalInForward),
    },
    "q5": {
        "sums": folder_with(),
        "measured bias": folded(fold_by_measuring),
        "loops": folded(fold_in_loops, "Away from the border"),
    },
    "q6": {
        "numpy": bootstrap(),
        "lists": {"interval": bootstrap_by_lists},
        "torch": {"interval": bootstrap_by_torch},
    },
}

WRONG = {
    "q1": {
        "products": wrong("Divide each row", **nearest_with(norm=False)),
        "distance": wrong("smallest distance", nearest=nearest_by_distance),
        "farthest": wrong("*least*", **nearest_with(pick=lambda like: like.argmin(1))),
        "positions": wrong("positions", **nearest_with(label=False)),
        "centred": wrong("nothing is subtracted", **nearest_with(center=True)),
        "without sign": wrong("no absolute values", **nearest_with(pick=lambda like: like.abs().argmax(1))),
        "with the other test photos": wrong("the other test photos", nearest=nearest_together),
        "similarities": wrong("*whole*", **nearest_with(pick=lambda like: like.amax(1), label=False)),
        "over the test photos": wrong("", **nearest_with(pick=lambda like: like.argmax(0))),
        "always the first": wrong("A case for paper", **nearest_with(end=lambda found: found * 0)),
    },
    "q2": {
        "as given": wrong("reshape", **prepared(reshape=True, order=True, blue=True)),
        "reshape left": wrong("reshape", **prepared(reshape=True)),
        "order left": wrong("*before*", **prepared(order=True)),
        "colours left": wrong("red and blue", **prepared(blue=True)),
        "order and colours left": wrong("*before*", **prepared(order=True, blue=True)),
        "channels last": wrong("channels must come second", **prepared(last=True)),
        "height and width": wrong("changed places", **prepared(width=True)),
        "bytes": wrong("still in 0..255", **prepared(way=lambda x, m, s: (x - m) / s)),
        "not normalized": wrong("minus the mean", **prepared(way=lambda x, m, s: x / 255)),
        "no std": wrong("std is missing", **prepared(way=lambda x, m, s: x / 255 - m)),
        "256": wrong("white is 255", **prepared(way=lambda x, m, s: (x / 256 - m) / s)),
        "times std": wrong("divide by", **prepared(way=lambda x, m, s: (x / 255 - m) * s)),
        "divided twice, at both ends": wrong("255 twice", **prepared(way=lambda x, m, s: (x / 255 - m) / s / 255)),
        "divided twice, before": wrong("255 twice", **prepared(way=lambda x, m, s: (x / 255 / 255 - m) / s)),
        "divided twice, colours left": wrong(
            "255 twice", **prepared(way=lambda x, m, s: (x.flip(1) / 255 - m) / s / 255)
        ),
        "own statistics": wrong(
            "batch's own",
            **prepared(way=lambda x, m, s: (x - x.mean((0, 2, 3), True)) / x.std((0, 2, 3), keepdim=True)),
        ),
        "doubles": wrong("float32", **prepared(double=True)),
        "an array": wrong("torch tensor", prepare=lambda *given: by_numpy(*given).numpy()),
    },
    "q3": {
        "split by image": wrong("a leak", split=split_by_image),
        "series by the first word": wrong("*last* underscore", **splitter(of=lambda name: name.split("_")[0])),
        "series without class": wrong("same name", **splitter(of=lambda n: series_of(n).split("/")[1], stratify=False)),
        "none at all": wrong("at least one", **splitter(count=lambda share, n: 0)),
        "half": wrong("share of the *series*", **splitter(stratify=False, count=lambda share, n: n // 2)),
        "share of training": wrong("test part's", **splitter(swap=True)),
        "test photos in training": wrong("training *and*", **splitter(overlap=True)),
        "one lost": wrong("in neither part", split=split_without_some),
        "always the same": wrong("another seed", **splitter(fixed=True)),
        "no seed": wrong("same seed", **splitter(seeded=False)),
        "in the order of a set": wrong("after a restart", split=split_by_set),
        "in the order of a set, through numpy": wrong("after a restart", **split_by_numpy(list)),
        "none of a few": wrong("rounded to none", **splitter(stratify=False, count=lambda share, n: round(share * n))),
        "names": wrong("positions", **splitter(what="names")),
        "test part only": wrong("two lists", **splitter(what="test")),
    },
    "q4": {
        "gradients only": wrong("train mode again", **held(lambda body, head: nn.Sequential(still(body), head))),
        "eval once": wrong("train mode again", **held(lambda body, head: nn.Sequential(still(body).eval(), head))),
        "batch norm only": wrong("*dropout*", **held(lambda body, head: OnlyNorm(still(body), head))),
        "dropout only": wrong("batch norm is in train", **held(lambda body, head: NormBackwards(still(body), head))),
        "the head holds still, too": wrong("head must be in train", **held(lambda b, h: NoTrain(still(b), h))),
        "the head's batch norm, too": wrong("head must be in train", **held(lambda b, h: AllNorms(still(b), h))),
        "mode only": wrong("ask for gradients", **held(lambda b, h: nn.Sequential(Held(b).requires_grad_(), h))),
        "all frozen": wrong("exactly the head's", **held(lambda b, h: nn.Sequential(Held(b), still(h)))),
        "the head frozen, the body not": wrong("exactly", **held(lambda b, h: nn.Sequential(b, still(h)))),
        "no head": wrong("head missing", **held(lambda body, head: Held(body))),
        "train mode at first": wrong("before any call", **held(TrainAlone)),
        "as the body came": wrong("before any call", **held(AsItCame)),
        "hidden in a list": wrong("`net.state_dict()` lacks", **held(HiddenInList)),
        "no gradient": wrong("no gradient reaches the head", **held(NoGradient)),
        "body in train mode whatever is called": wrong("after `net.eval()`", **held(BodyForgotten)),
        "softmax at the end": wrong("needs no softmax", **held(lambda b, h: nn.Sequential(Whole(b, h), nn.Softmax(1)))),
        "not a network": wrong("torch.nn.Module", **held(lambda body, head: 3)),
    },
    "q5": {
        "mean of the channels": wrong(
            "not their mean", **folder_with(lambda w, s: (w * s[:, None, None]).mean(1, True))
        ),
        "means": wrong(
            "not their means",
            **folder_with(
                lambda w, s: (w * s[:, None, None]).mean(1, True), lambda b, w, s, t: b + w.sum((2, 3)) @ t / 3
            ),
        ),
        "no scale": wrong("scales are not", **folder_with(lambda w, s: w.sum(1, True))),
        "no shift": wrong("shifts are missing", **folder_with(bias=lambda b, *_: b)),
        "shift meets one element": wrong(
            "*every* element", **folder_with(bias=lambda b, w, s, t: b + w.mean((2, 3)) @ t)
        ),
        "shift scaled": wrong("come after", **folder_with(bias=lambda b, w, s, t: b + w.sum((2, 3)) @ (s * t))),
        "bias lost": wrong("own bias", **folder_with(bias=lambda b, w, s, t: w.sum((2, 3)) @ t)),
        "subtracted": wrong("not subtracted", **folder_with(bias=lambda b, w, s, t: b - w.sum((2, 3)) @ t)),
        "no new bias": wrong("still needs one", **folder_with(when_none=False)),
        "one channel": wrong("only one", **folder_with(lambda w, s: s[0] * w[:, :1])),
        "stride lost": wrong("not the layer's `stride`.", **folder_with(keep=("padding", "dilation"))),
        "padding lost": wrong("not the layer's `padding`.", **folder_with(keep=("stride", "dilation"))),
        "dilation lost": wrong("not the layer's `dilation`.", **folder_with(keep=("stride", "padding"))),
        "square kernel": wrong("not the layer's `kernel_size`.", **folded(fold_square)),
        "stride and dilation exchanged": wrong("`stride` and `dilation`", **folded(fold_exchanged)),
        "bias like the layer": wrong("`conv.bias` is None there", **folded(fold_with_bias_like_the_layer)),
        "no bias ever": wrong("what of the shifts", **folded(fold_without_bias)),
        "scale and shift exchanged": wrong(
            "exchanged", **folded(lambda conv, scale, shift: folder_with()["fold_gray"](conv, shift, scale))
        ),
        "not folded": wrong("single `nn.Conv2d`", **folded(Adapted)),
        "three channels": wrong("*one* channel", **folded(lambda conv, *_: copy.deepcopy(conv))),
        "the layer itself": wrong("changes the layer", **folded(fold_in_place)),
        "over the outputs": wrong("stops with", **folder_with(lambda w, s: (w * s[:, None, None]).sum(0))),
        "everywhere": wrong("padded zero", **folder_with(where="everywhere")),
        "nowhere": wrong("no padding", **folder_with(where="nowhere")),
    },
    "q6": {
        "single photos": wrong("single photos", **bootstrap(by="image")),
        "one standard error": wrong("68 %", **bootstrap(percent=(16, 84))),
        "mean of series": wrong("each *photo*", **bootstrap(share=True)),
        "the error": wrong("the errors", **bootstrap(error=True)),
        "one series too few": wrong("as many series", **bootstrap(more=-1)),
        "without replacement": wrong("*with* replacement", **bootstrap(replace=False)),
        "in percent": wrong("shares from 0 to 1", **bootstrap(factor=100)),
        "high end first": wrong("low end first", **bootstrap(flip=True)),
        "middle": wrong("must be 2 numbers", **bootstrap(end=lambda v: v.mean())),
        "NaN": wrong("NaN", interval=lambda *_: (np.nan, np.nan)),
        "a bell": wrong("lopsided", interval=bell),
        "a standard error": wrong("hardly any width", **bootstrap(end=lambda v: (v.mean(), v.mean()))),
        "no seed": wrong("same seed", interval=lambda *a: bootstrap()["interval"](*a[:3], None)),
        "one seed": wrong("another seed", interval=lambda *a: bootstrap()["interval"](*a[:3], 0)),
        "always 5000 draws": wrong("`draws`", interval=lambda r, s, d, seed: bootstrap()["interval"](r, s, 5000, seed)),
        "lowest and highest": wrong("too wide", **bootstrap(percent=(0, 100))),
        "90 percent": wrong("which percentiles", **bootstrap(percent=(5, 95))),
    },
}
