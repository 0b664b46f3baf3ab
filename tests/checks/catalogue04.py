"""Right and wrong answers to lab 4."""

import copy
import hashlib
import math
import os
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.checks.catalogue import wrong

# q1 ------------------------------------------------------------------------------------------------------------------


def count_with(norm=2, bias=1, inner=1, power=2, last=1, last_bias=1, last_norm=0, chain=True):
    def head_parameters(channels, pooled, hidden, outputs):
        total, inputs = 0, channels * pooled**power
        for units in hidden:
            total += units * (inputs + bias * inner) + norm * units
            inputs = units if chain else inputs
        return total + last * outputs * (inputs + bias * last_bias + last_norm)

    return {"head_parameters": head_parameters}


def count_by_building(channels, pooled, hidden, outputs, values=lambda layer: layer.parameters()):
    with torch.device("meta"):
        sizes = [channels * pooled * pooled, *hidden]
        layers = [nn.Linear(*pair) for pair in zip(sizes, [*hidden, outputs], strict=True)]
        layers += [nn.BatchNorm1d(units) for units in hidden]
        return sum(value.numel() for layer in layers for value in values(layer))


def count_by_sums(channels, pooled, hidden, outputs):
    sizes = np.array([channels * pooled**2, *hidden, outputs])
    return (sizes[:-1] * sizes[1:]).sum() + sizes[1:].sum() + 2 * sizes[1:-1].sum()


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


def reader(
    endings=None,
    convert=True,
    load=True,
    errors=(OSError,),
    told=True,
    hidden=False,
    hidden_folders=False,
    only_folders=True,
    order=sorted,
    file_order=None,
    key=lambda file: f"{file.parent.name}/{file.name}",
    axes=(2, 0, 1),
    dtype=torch.uint8,
    change=lambda pixels: pixels,
    labels=torch.tensor,
    paths=False,
    keep_bad=False,
    drop=None,
):
    def read_folder(folder, size):
        entries = [path for path in Path(folder).iterdir() if path.is_dir() or not only_folders]
        entries = [path for path in entries if path.name[0] != "." or hidden_folders]
        classes = order([str(path) if paths else path.name for path in entries])
        images, found, names, bad = [], [], [], []
        for label, name in enumerate(classes):
            files = (file_order or order)(path for path in Path(folder, name).glob("*"))
            for file in files:
                if (file.name.startswith(".") and not hidden) or (endings and file.suffix not in endings):
                    continue
                try:
                    with Image.open(file) as image:
                        if load:
                            image.load()
                            image = image.copy()
                except errors:
                    bad += [key(file)] * told
                    if not keep_bad:
                        continue
                    image = Image.new("RGB", (9, 9))
                if not load:  # the file is decoded where nobody expects that to fail
                    with Image.open(file) as image:
                        image = image.convert("RGB")
                image = (image.convert("RGB") if convert else image).resize((size, size), Image.Resampling.BILINEAR)
                pixels = torch.from_numpy(np.array(image))
                pixels = pixels.permute(axes) if len(axes) == 3 else pixels.reshape(3, size, size)
                images.append(change(pixels))
                found.append(label)
                names.append(key(file))
        result = {"images": torch.stack(images).to(dtype), "labels": labels(found)}
        result |= {"classes": classes, "names": names, "bad": bad}
        return {key: value for key, value in result.items() if key != drop}

    return read_folder


def read_with_os(folder, size):
    from torchvision.transforms.v2.functional import pil_to_tensor, resize

    rows, bad = [], []
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    for label, name in enumerate(classes):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            if file[0] == ".":
                continue
            try:
                with Image.open(os.path.join(folder, name, file)) as image:
                    rows.append((resize(pil_to_tensor(image.convert("RGB")), [size, size]), label, f"{name}/{file}"))
            except Exception:
                bad.append(name + "/" + file)
    images, labels, names = zip(*rows, strict=True)
    made = {"images": torch.stack(images), "labels": torch.LongTensor(labels)}
    return {**made, "classes": classes, "names": names, "bad": bad}


def read_tensors(folder, size, three=False):
    """Read every photo as it is; if they must have three channels, call the others bad."""
    from torchvision.transforms.v2.functional import pil_to_tensor, resize

    images, labels, names, bad = [], [], [], []
    classes = sorted(path.name for path in Path(folder).glob("[!.]*") if path.is_dir())
    for label, name in enumerate(classes):
        for file in sorted(Path(folder, name).glob("[!.]*")):
            try:
                with Image.open(file) as image:
                    pixels = resize(pil_to_tensor(image), [size, size])
                if three and len(pixels) != 3:
                    raise ValueError("not in colour")
            except (OSError, ValueError):
                bad.append(f"{name}/{file.name}")
                continue
            images.append(pixels)
            labels.append(label)
            names.append(f"{name}/{file.name}")
    found = {"images": torch.stack(images), "labels": torch.tensor(labels)}
    return {**found, "classes": classes, "names": names, "bad": bad}


def read_all_names(folder, size):
    return {name: os.listdir(os.path.join(folder, name)) for name in os.listdir(folder)}


def read_by_iterdir(folder, size):
    """Take the folder as the notebook gives it, a `Path`."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    classes = sorted(path.name for path in folders if path.name[0] != ".")
    assert all((folder / name).exists() for name in classes)
    return reader()(folder, size)


def read_by_texts(folder, size):
    return read_with_os("" + folder, size)


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

    return split


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


def photos(read=None, split=None, **options):
    return {"read_folder": read or reader(**options), "split": split or splitter()}


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


def small_body():
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers)


def probe_sklearn(body, train_images, train_labels, test_images):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    body.eval()
    with torch.no_grad():
        train, test = body(train_images).numpy(), body(test_images).numpy()
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(train, train_labels).predict(test)


def probe_with(mode=False, pick=lambda distances: distances.argmin(1), center=False):
    def probe(body, train_images, train_labels, test_images):
        body.train(mode)
        with torch.no_grad():
            train, test = body(train_images), body(test_images)
        if center:
            train, test = train - train.mean(0), test - test.mean(0)
        means = torch.stack([train[train_labels == c].mean(0) for c in train_labels.unique()])
        return pick(torch.cdist(test, means))

    return probe


def probe_copy(body, train_images, train_labels, test_images):
    still = copy.deepcopy(body).eval()
    with torch.inference_mode():
        distances = torch.cdist(still(test_images), still(train_images))
    return train_labels[distances.argmin(1)].tolist()


def probe_untouched(body, train_images, train_labels, test_images):
    with torch.no_grad():
        train, test = body(train_images), body(test_images)
    return train_labels[torch.cdist(test, train).argmin(1)]


def probe_pixels(body, train_images, train_labels, test_images):
    distances = torch.cdist(test_images.mean((2, 3)), train_images.mean((2, 3)))
    return train_labels[distances.argmin(1)]


def probe_shuffled(body, train_images, train_labels, test_images):
    return probe_copy(body, train_images, train_labels.flip(0), test_images)


def bootstrap(
    by="series",
    classes=True,
    percent=(2.5, 97.5),
    replace=True,
    share=False,
    error=False,
    factor=1,
    backwards=False,
    end=None,
):
    def balanced_interval(predicted, labels, series, draws, seed):
        rng = np.random.default_rng(seed)
        right, labels = (predicted == labels).double().numpy(), labels.numpy()
        series = series.numpy() if by == "series" else np.arange(len(labels))
        labels = labels if classes else 0 * labels
        totals = []
        for label in np.unique(labels):
            of = np.unique(series[labels == label])
            sums = np.array([[right[series == s].sum(), (series == s).sum()] for s in of])
            picks = rng.integers(0, len(of), (draws, len(of))) if replace else np.tile(np.arange(len(of)), (draws, 1))
            hits, sizes = sums[picks].transpose(2, 0, 1)
            totals.append((hits / sizes).mean(1) if share else hits.sum(1) / sizes.sum(1))
        values = factor * np.mean(totals, axis=0)
        low, high = np.percentile(1 - values if error else values, percent)
        return end(values) if end else (high, low) if backwards else (low, high)

    return balanced_interval


def bootstrap_together(predicted, labels, series, draws, seed):
    rng, right = np.random.default_rng(seed), (predicted == labels).numpy()
    labels, series, values = labels.numpy(), series.numpy(), []
    groups = [np.flatnonzero(series == s) for s in np.unique(series)]
    for _ in range(draws):
        drawn = np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        values.append(np.mean([right[drawn][labels[drawn] == c].mean() for c in np.unique(labels[drawn])]))
    return np.percentile(values, [2.5, 97.5])


def classes_from_zero(predicted, labels, series, draws, seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, len(series[labels == c].unique()), draws).mean() for c in range(2)]


def bell(predicted, labels, series, draws, seed):
    values = []
    bootstrap(end=lambda v: values.append(v) or (0, 0))(predicted, labels, series, draws, seed)
    return values[0].mean() - 1.96 * values[0].std(), values[0].mean() + 1.96 * values[0].std()


def precision(predicted, labels, series, draws, seed):
    rng, right, means = np.random.default_rng(seed), (predicted == labels).numpy(), []
    for c in labels.unique():
        own = series[predicted == c].unique()
        hits, sizes = (np.array([f[(series == s).numpy()].sum() for s in own]) for f in (right, np.ones(len(right))))
        drawn = rng.integers(0, len(own), (draws, len(own)))
        means.append(hits[drawn].sum(1) / sizes[drawn].sum(1))
    return np.percentile(np.mean(means, 0), [2.5, 97.5])


def probe_standardized_together(body, train_images, train_labels, test_images):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    body.eval()
    with torch.no_grad():
        features = StandardScaler().fit_transform(body(torch.cat([train_images, test_images])).numpy())
    train, test = features[: len(train_images)], features[len(train_images) :]
    return LogisticRegression(max_iter=2000).fit(train, train_labels).predict(test)


def probe_standardized(body, train_images, train_labels, test_images, classifier=None, least=0.0):
    body.eval()
    with torch.no_grad():
        train, test = body(train_images), body(test_images)
    mean, std = train.mean(0), train.std(0).clamp(min=least)
    train, test = (train - mean) / std, (test - mean) / std
    if classifier:
        return classifier.fit(train.numpy(), train_labels.numpy()).predict(test.numpy())
    return train_labels[torch.cdist(test, train).argmin(1)]


def probe_standardized_sklearn(*given):
    from sklearn.linear_model import LogisticRegression

    return probe_standardized(*given, classifier=LogisticRegression(max_iter=2000))


def bootstrap_by_counts(predicted, labels, series, draws, seed):
    draw = torch.Generator().manual_seed(seed)
    classes = []
    for label in labels.unique():
        own, position = series[labels == label].unique(return_inverse=True)
        hits = torch.zeros(len(own)).index_add_(0, position, (predicted == labels)[labels == label].float())
        sizes = position.bincount().float()
        picks = torch.randint(len(own), (draws, len(own)), generator=draw)
        classes.append(hits[picks].sum(1) / sizes[picks].sum(1))
    return torch.stack(classes).mean(0).quantile(torch.tensor([0.025, 0.975]))


def bootstrap_by_lists(predicted, labels, series, draws, seed):
    draw = random.Random(seed)
    groups = defaultdict(lambda: defaultdict(list))
    for guess, label, one in zip(predicted.tolist(), labels.tolist(), series.tolist(), strict=True):
        groups[label][one].append(guess == label)
    pairs = [[(sum(rights), len(rights)) for rights in group.values()] for group in groups.values()]
    values = []
    for _ in range(draws):
        recalls = []
        for own in pairs:
            drawn = draw.choices(own, k=len(own))
            recalls.append(sum(a for a, _ in drawn) / sum(b for _, b in drawn))
        values.append(sum(recalls) / len(recalls))
    values.sort()
    return [values[math.floor(0.025 * draws)], values[math.ceil(0.975 * draws) - 1]]


def probed(probe=None, interval=None, guess=0.9):
    return {
        "prediction": guess,
        "small_body": small_body,
        "probe": probe or probe_with(),
        "balanced_interval": interval or bootstrap(),
    }


RIGHT = {
    "q1": {
        "formula": count_with(),
        "built": {"head_parameters": count_by_building},
        "sums": {"head_parameters": count_by_sums},
    },
    "q2": {
        "repaired": prepared(),
        "numpy": {"prepare": by_numpy},
        "torchvision": {"prepare": by_torchvision},
    },
    "q3": {
        "pathlib": photos(),
        "os and torchvision": photos(read_with_os, split_with_numpy),
        "a path": photos(read_by_iterdir, split_with_torch),
        "by digests": photos(split=split_by_digest),
        "a text, halves up": photos(read_by_texts, splitter(count=lambda share, n: max(1, int(share * n + 0.5)))),
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
        "sklearn": probed(probe_sklearn),
        "nearest mean, counts": probed(interval=bootstrap_by_counts, guess=1),
        "nearest neighbour, lists": probed(probe_copy, bootstrap_by_lists),
        "standardized by hand": probed(lambda *a: probe_standardized(*a, least=1e-6)),
    },
}

WRONG = {
    "q1": {
        "no batch norm": wrong("scale and a shift", **count_with(norm=0)),
        "running statistics": wrong("running mean", **count_with(norm=4)),
        "all of the state": wrong(
            "state_dict",
            head_parameters=lambda *a: count_by_building(*a, values=lambda layer: layer.state_dict().values()),
        ),
        "no bias in the last layer": wrong("biases of the last", **count_with(last_bias=0)),
        "batch norm's shift only": wrong("one of the three", **count_with(norm=1)),
        "no biases": wrong("biases of the linear", **count_with(bias=0)),
        "no bias before a batch norm": wrong("one of the three", **count_with(inner=0)),
        "not flattened": wrong("every pixel", **count_with(power=0)),
        "not squared": wrong("height *and* a width", **count_with(power=1)),
        "no last layer": wrong("last layer", **count_with(last=0)),
        "a batch norm at the end": wrong("no batch norm follows", **count_with(last_norm=2)),
        "not chained": wrong("the one before it", **count_with(chain=False)),
        "a float": wrong("whole number", head_parameters=lambda *_: 513.0),
        "a text": wrong("not a text", head_parameters=lambda *_: "513"),
        "the call is shown": wrong("the first in `head_parameters(512, 1, [], 1)`", head_parameters=lambda *_: 14),
        "hard-coded": wrong("values of the list", head_parameters=lambda *_: 513),
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
        "one ending": wrong("ending", **photos(endings=[".jpg", ".JPG", ".jpeg"])),
        "small letters only": wrong("ending", **photos(endings=[".jpg", ".png", ".jpeg"])),
        "gray crashes": wrong("stops at a gray photo", **photos(convert=False)),
        "gray crashes at the end": wrong("stops at a gray photo", **photos(read_tensors)),
        "gray is bad": wrong("gray photos are in `bad`", **photos(lambda *a: read_tensors(*a, three=True))),
        "opened, not loaded": wrong("breaks off in the middle", **photos(load=False)),
        "opened, not loaded, nor converted": wrong("breaks off", **photos(load=False, convert=False)),
        "nothing caught": wrong("no image at all", **photos(errors=())),
        "nothing caught, hidden files": wrong("at a hidden file", **photos(errors=(), hidden=True)),
        "stops at another file": wrong("beside the class folders", **photos(read_all_names)),
        "stops at all": wrong("stops with ZeroDivisionError", **photos(lambda *_: 1 // 0)),
        "bad ones not named": wrong("each must be named", **photos(told=False)),
        "bad ones as black pictures": wrong("cannot be read to its end", **photos(keep_bad=True)),
        "hidden files": wrong("hidden file", **photos(hidden=True)),
        "a hidden folder": wrong("hidden folder", **photos(hidden_folders=True)),
        "none of a small class": wrong(
            "at least one", **photos(split=splitter(count=lambda share, n: round(share * n)))
        ),
        "a file as class": wrong("only *folders*", **photos(only_folders=False)),
        "unsorted": wrong("sorted", **photos(order=lambda things: sorted(things, reverse=True))),
        "files unsorted": wrong("sorted by name", **photos(file_order=lambda files: sorted(files, reverse=True))),
        "paths as classes": wrong("without their path", **photos(paths=True)),
        "names without class": wrong("class/file", **photos(key=lambda file: file.name)),
        "whole paths": wrong("class/file", **photos(key=str)),
        "channels last": wrong("channels of `images`", **photos(axes=(0, 1, 2))),
        "width first": wrong("height and width", **photos(axes=(2, 1, 0))),
        "reshaped": wrong("scrambles", **photos(axes=())),
        "red and blue": wrong("red and blue", **photos(change=lambda pixels: pixels.flip(0))),
        "gray": wrong("colours", **photos(change=lambda p: p.float().mean(0, True).expand(p.shape).round())),
        "floats": wrong("uint8", **photos(dtype=torch.float32)),
        "labels from 1": wrong("first class is 0", **photos(labels=lambda found: torch.tensor(found) + 1)),
        "labels as a list": wrong("torch tensor", **photos(labels=list)),
        "a key is missing": wrong("with the keys", **photos(drop="bad")),
        "split by image": wrong("a leak", **photos(split=split_by_image)),
        "series by the first word": wrong(
            "*last* underscore", **photos(split=splitter(of=lambda name: name.split("_")[0]))
        ),
        "series without class": wrong(
            "the same name", **photos(split=splitter(of=lambda name: series_of(name).split("/")[1]))
        ),
        "all classes together": wrong("*series*", **photos(split=splitter(stratify=False))),
        "rounded up": wrong("*series*", **photos(split=splitter(count=lambda share, n: math.ceil(share * n)))),
        "share of training": wrong("test part's", **photos(split=splitter(swap=True))),
        "test photos in training": wrong("training *and*", **photos(split=splitter(overlap=True))),
        "always the same": wrong("another seed", **photos(split=splitter(fixed=True))),
        "no seed": wrong("same seed", **photos(split=splitter(seeded=False))),
        "in the order of a set": wrong("after a restart", **photos(split=split_by_set)),
        "names": wrong("positions", **photos(split=splitter(what="names"))),
        "test part only": wrong("two lists", **photos(split=splitter(what="test"))),
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
        "no head": wrong("through the head", **held(lambda body, head: Held(body))),
        "train mode at first": wrong("before any call", **held(TrainAlone)),
        "as the body came": wrong("before any call", **held(AsItCame)),
        "hidden in a list": wrong("`net.state_dict()` lacks", **held(HiddenInList)),
        "no gradient": wrong("no gradient reaches the head", **held(NoGradient)),
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
        "percent": wrong("one number from 0 to 1", **probed(guess=90)),
        "train mode": wrong("eval mode", **probed(probe_with(mode=True))),
        "mode as it comes": wrong("eval mode", **probed(probe_untouched)),
        "probabilities": wrong("one label for each", **probed(probe_with(pick=lambda d: (-d).softmax(1)))),
        "distances": wrong("*whole* numbers", **probed(probe_with(pick=lambda d: d.amin(1)))),
        "farthest": wrong("easy to tell apart", **probed(probe_with(pick=lambda d: d.argmax(1)))),
        "labels in another order": wrong("easy to tell apart", **probed(probe_shuffled)),
        "single images": wrong("single images", **probed(interval=bootstrap(by="image"))),
        "plain accuracy": wrong("plain accuracy", **probed(interval=bootstrap(classes=False))),
        "one standard error": wrong("68 %", **probed(interval=bootstrap(percent=(16, 84)))),
        "mean of series": wrong("each *image*", **probed(interval=bootstrap(share=True))),
        "the error": wrong("*error*", **probed(interval=bootstrap(error=True))),
        "without replacement": wrong("*with* replacement", **probed(interval=bootstrap(replace=False))),
        "in percent": wrong("shares from 0 to 1", **probed(interval=bootstrap(factor=100))),
        "high end first": wrong("low end first", **probed(interval=bootstrap(backwards=True))),
        "middle and width": wrong("must be 2 numbers", **probed(interval=bootstrap(end=lambda v: v.mean()))),
        "pixels in place of features": wrong("does not look at what `body` gives", **probed(probe_pixels)),
        "NaN": wrong("nothing was drawn", **probed(interval=lambda *_: (np.nan, np.nan))),
        "divided by a std of 0": wrong("what is divided by it becomes NaN", **probed(probe_standardized)),
        "divided by a std of 0, sklearn": wrong("X contains NaN", **probed(probe_standardized_sklearn)),
        "another body": wrong("as the notebook gives it", **{**probed(), "small_body": lambda: tiny_head(3)}),
        "standardized together": wrong("other test images", **probed(probe_standardized_together)),
        "centred apart": wrong("other test images", **probed(probe_with(center=True))),
        "drawn from all classes": wrong("the interval is", **probed(interval=bootstrap_together)),
        "a bell": wrong("lopsided", **probed(interval=bell)),
        "precision": wrong("what was *predicted*", **probed(interval=precision)),
        "a standard error": wrong("hardly any width", **probed(interval=bootstrap(end=lambda v: (v.mean(), v.mean())))),
        "no seed": wrong("same seed", **probed(interval=lambda *a: bootstrap()(*a[:4], None))),
        "one seed": wrong("another seed", **probed(interval=lambda *a: bootstrap()(*a[:4], 0))),
        "always 5000 draws": wrong(
            "`draws`", **probed(interval=lambda p, y, s, d, seed: bootstrap()(p, y, s, 5000, seed))
        ),
        "classes 0 and 1": wrong("stops with", **probed(interval=classes_from_zero)),
        "lowest and highest": wrong("too wide", **probed(interval=bootstrap(percent=(0, 100)))),
    },
}
