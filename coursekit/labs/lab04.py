"""The checks of lab 4, VGG16 transfer learning."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from coursekit.labs import compare
from coursekit.labs.answers import Function, Hint, Module
from coursekit.labs.lab import Lab

lab = Lab("lab04", "VGG16 transfer learning")
check, done, progress, test = lab.check, lab.done, lab.progress, lab.test


@lab.question("Count a new head", points=2)
def q1(head_parameters: object, rng: np.random.Generator) -> None:
    """Parameters of dense layers with batch norm, behind pooled maps."""
    head_parameters = compare.function(head_parameters, "head_parameters")
    settings = [(512, 1, [], 1), (128, 7, [64], 5), (64, 2, [40, 30], 3)]
    for depth in (1, 1, 2, 3):
        channels, pooled, outputs = rng.integers([40, 2, 1], [300, 8, 12]).tolist()
        settings.append((channels, pooled, rng.integers(10, 200, depth).tolist(), outputs))
    name = "what `head_parameters` returns"
    answers = [compare.as_whole(head_parameters(*setting), name) for setting in settings]

    def each(**slip: object) -> np.ndarray:
        return np.array([_count(*setting, **slip) for setting in settings])

    compare.array(
        np.array(answers),
        f"the list of counts for {len(settings)} heads",
        each(),
        {
            "the batch norms are missing: they learn a scale and a shift for each unit.": each(norm=0),
            "a batch norm's running mean and variance are no parameters: no gradient reaches them.": each(norm=4),
            "each hidden unit has a bias, and *two* numbers of its batch norm: one of the three is missing.": each(
                norm=1
            ),
            "the biases of the linear layers are missing.": each(bias=0),
            "the first layer sees every pixel of every pooled map, not one number per map.": each(power=0),
            "the pooled maps have a height *and* a width.": each(power=1),
            "the last layer, with the outputs, is missing.": each(last=False),
            "no batch norm follows the last layer.": each(last_norm=2),
            "each layer sees the units of the one before it, not the features.": each(chain=False),
        },
        rtol=1e-9,
        calls=[head_parameters.shown(*setting) for setting in settings],
    )


def _count(channels, pooled, hidden, outputs, *, norm=2, bias=1, power=2, last=True, last_norm=0, chain=True) -> int:
    total, inputs = 0, channels * pooled**power
    for units in hidden:
        total += units * (inputs + bias + norm)
        inputs = units if chain else inputs
    return total + last * outputs * (inputs + bias + last_norm)


_BUGS = {
    "reshape": "a reshape only cuts the numbers into other pieces: the axes must change places.",
    "order": "mean and std are those of pixels in 0..1: bring the pixels there *before* you subtract and divide.",
    "blue": "red and blue have changed places: the pictures already come as red, green, blue.",
}


@lab.question("Repair the preprocessing", points=2)
def q2(prepare: object, rng: np.random.Generator) -> None:
    """From bytes with the channels last to what a network expects, three mistakes away."""
    prepare = compare.function(prepare, "prepare")
    shape = (int(rng.integers(2, 5)), *rng.choice(np.arange(5, 12), 2, replace=False).tolist(), 3)
    images = (rng.integers(0, 256, shape) * [0.9, 0.6, 0.3] + [0, 40, 120]).astype(np.uint8)
    mean, std = tuple(rng.uniform(0.3, 0.6, 3).tolist()), tuple(rng.uniform(0.15, 0.35, 3).tolist())
    answer = prepare(images, mean, std)
    mistakes: dict[str, object] = {}
    for number in (3, 2, 1):
        for bugs in combinations(_BUGS, number):
            mistakes[_BUGS[bugs[0]] + " " * len(mistakes)] = _prepare(images, mean, std, bugs)  # a key of its own
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    m, s = (torch.tensor(values, dtype=torch.double)[:, None, None] for values in (mean, std))
    right = (pixels / 255 - m) / s
    own = (pixels / 255 - (pixels / 255).mean((0, 2, 3), True)) / (pixels / 255).std((0, 2, 3), keepdim=True)
    n, height, width, _ = shape
    compare.array(
        answer,
        "the batch",
        right.float(),
        {
            **mistakes,
            "the pixels are still in 0..255.": (pixels - m) / s,
            "the pixels must be in 0..1, and then minus the mean, over the std.": pixels / 255,
            "the std is missing.": pixels / 255 - m,
            "white is 255, and must become 1.": (pixels / 256 - m) / s,
            "divide by the std.": (pixels / 255 - m) * s,
            "these are the batch's own mean and std; the network wants those of *its* training.": own,
        },
        rtol=1e-5,
        dtype=torch.float32,
        shapes={
            (n, height, width, 3): "the channels must come second: [N, 3, H, W].",
            (n, 3, width, height): "height and width have changed places.",
        },
    )


def _prepare(images: np.ndarray, mean: tuple, std: tuple, bugs: tuple[str, ...]) -> Tensor:
    n, height, width, channels = images.shape
    pixels = torch.from_numpy(images).double()
    pixels = pixels.flip(3) if "blue" in bugs else pixels
    pixels = pixels.reshape(n, channels, height, width) if "reshape" in bugs else pixels.permute(0, 3, 1, 2)
    m, s = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return (pixels - m) / s / 255 if "order" in bugs else (pixels / 255 - m) / s


@lab.question("Your own photos", points=4)
def q3(read_folder: object, split: object, rng: np.random.Generator) -> None:
    """Read a folder with odd files in it; split it so that no series is on both sides."""
    read_folder, split = compare.function(read_folder, "read_folder"), compare.function(split, "split")
    size = int(rng.integers(8, 14))
    with tempfile.TemporaryDirectory(prefix="lab04-", ignore_cleanup_errors=True) as folder:
        pictures, classes, bad = _write_photos(Path(folder), rng)
        found = read_folder(folder, size)
    wanted = ("images", "labels", "classes", "names", "bad")
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise Hint(f"`read_folder` must return a dictionary with the keys {', '.join(map(repr, wanted))}.")
    _check_texts(found["classes"], "classes", classes)
    _check_names(found, list(pictures), bad)
    _check_labels(found["labels"], [classes.index(name.split("/")[0]) for name in pictures])
    arrays = [np.array(Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)) for p in pictures.values()]
    right = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    compare.array(
        found["images"],
        "`images`",
        right,
        {
            "red and blue have changed places in `images`.": right.flip(1),
            "height and width have changed places in `images`.": right.transpose(2, 3),
            "the axes of `images` must change places; a reshape scrambles the pixels.": np.stack(arrays).reshape(
                right.shape
            ),
            "`images` holds one channel three times: where are the colours?": right.float()
            .mean(1, True)
            .expand(right.shape),
        },
        rtol=0.05,
        dtype=torch.uint8,
        shapes={tuple(np.stack(arrays).shape): "the channels of `images` must come second: [N, 3, size, size]."},
    )
    for share in (0.2, 0.34, 0.5, 0.1):
        _check_split(split, _series_names(rng), share, rng)


def _write_photos(folder: Path, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Write small pictures in smooth colours, which survive any way of resizing, and files that are none."""
    classes = sorted(rng.choice(["cups", "forks", "keys", "lamps", "pens", "shoes"], 3, replace=False).tolist())
    pictures, bad = {}, []
    for number, name in enumerate(classes):
        (folder / name).mkdir()
        for k, ending in enumerate(rng.permutation(["jpg", "JPG", "png", "jpeg"])):
            (corners := rng.uniform(0, 255, (2, 2, 3)))[0, 0] = (250, 120, 10)
            if k == number:  # a gray one, as scanners make them
                corners = corners[..., :1].repeat(3, axis=2)
            y, x = (np.linspace(0, 1, n)[:, None] for n in rng.integers(30, 60, 2))
            image = np.einsum("hi,wj,ijc->hwc", np.hstack([1 - y, y]), np.hstack([1 - x, x]), corners).astype(np.uint8)
            file = f"thing{k}_{rng.integers(10)}.{ending}"
            picture = Image.fromarray(image[..., 0] if k == number else image)
            picture.save(folder / name / file, format="png" if ending == "png" else "jpeg", quality=95)
            pictures[f"{name}/{file}"] = image
        (folder / name / ".thumbnail.jpg").write_bytes(b"of the system")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "thing1_1.png").write_bytes(next((folder / classes[0]).glob("*.png")).read_bytes())
    bad = [f"{classes[0]}/thing8_1.jpg", f"{classes[2]}/thing9_1.jpg"]
    noise = Image.fromarray(rng.integers(0, 256, (60, 60, 3)).astype(np.uint8))
    noise.save(folder / bad[0])
    whole = (folder / bad[0]).read_bytes()
    (folder / bad[0]).write_bytes(whole[: len(whole) // 2])  # opens, but cannot be read to its end
    (folder / bad[1]).write_text("<html>not found</html>", encoding="utf-8")
    (folder / "readme.txt").write_text("my photos", encoding="utf-8")
    return pictures, classes, bad


def _check_texts(answer: object, name: str, right: list[str]) -> None:
    if not isinstance(answer, list | tuple) or not all(isinstance(text, str) for text in answer):
        raise Hint(f"`{name}` must be a list of texts, not {compare.kind(answer)}.")
    if "readme.txt" in answer:
        raise Hint("only *folders* are classes: a file beside them is none.")
    if any(text.startswith(".") for text in answer):
        raise Hint("a hidden folder (its name begins with a dot) is no class: pass it over.")
    if sorted(answer) == right != list(answer):
        raise Hint(f"`{name}` must be sorted: without that, another computer gives other labels.")
    if list(answer) != right:
        raise Hint(f"`{name}` must be the names of the folders, without their path: found {answer!r:.80}.")


def _check_names(found: dict, right: list[str], bad: list[str]) -> None:
    names, said = found["names"], found["bad"]
    if not all(
        isinstance(part, list | tuple) and all(isinstance(name, str) for name in part) for part in (names, said)
    ):
        raise Hint("`names` and `bad` must be lists of texts.")
    if any("/." in name.replace("\\", "/") for name in [*names, *said]):
        raise Hint("a hidden file (its name begins with a dot) is no photo, and not a bad one either: pass it over.")
    if any(name.replace("\\", "/").count("/") != 1 for name in [*names, *said]):
        raise Hint('a name must be of the form "class/file", without the path before it.')
    if set(names) & set(bad):
        raise Hint("a file that cannot be read to its end is in `names`.")
    if set(right) - set(names):
        lost = {name.rsplit(".", 1)[1] for name in set(right) - set(names)}
        where = "in `bad`, though they are good" if set(right) & set(said) else "missing in `names`"
        raise Hint(f"some photos with the ending {', '.join(sorted(lost))} are {where}.")
    if sorted(said) != bad:
        raise Hint(f"`bad` names {len(said)} files; there are {len(bad)} that cannot be read, and each must be named.")
    if sorted(names) == right != list(names):
        raise Hint("the photos must come class by class, and sorted by name: no folder promises an order of its own.")
    if list(names) != right:
        raise Hint("`names` must name each photo once.")


def _check_labels(labels: object, right: list[int]) -> None:
    wanted = torch.tensor(right)
    hints = {"the labels do not fit to the order of `classes`: the first class is 0.": wanted + 1}
    compare.array(labels, "`labels`", wanted, hints, dtype=torch.int64)


def _series_names(rng: np.random.Generator) -> list[str]:
    """Name photos of several classes: series of unequal length, some with the same name in two classes."""
    names = []
    for folder, count in (("cups", rng.integers(11, 14)), ("keys", rng.integers(6, 9)), ("pens", rng.integers(3, 6))):
        for number in range(count):
            thing = f"old_{number}" if number % 2 else f"thing{number}"
            names += [f"{folder}/{thing}_{shot}.jpg" for shot in range(rng.integers(1, 8))]
    return rng.permutation(names).tolist()


def _check_split(split: Function, names: list[str], share: float, rng: np.random.Generator) -> None:
    seeds = rng.integers(0, 1000, 4).tolist()
    parts = [_parts(split(names, share, seed), len(names)) for seed in seeds]
    of = [name.rsplit("_", 1)[0] for name in names]
    series = {folder: {s for s in of if s.startswith(folder)} for folder in ("cups", "keys", "pens")}
    for train, test in parts:
        if set(train) & set(test):
            raise Hint("a photo is in the training *and* in the test part.")
        if len(train) != len(set(train)) or len(test) != len(set(test)):
            raise Hint("a photo is in a part twice.")
        if len(train) + len(test) < len(names):
            raise Hint("some photos are in neither part.")
        if leaks := {of[k] for k in train} & {of[k] for k in test}:
            raise Hint(f"a leak: the series {sorted(leaks)[0]!r} has photos in both parts.")
        counts = {folder: len({of[k] for k in test} & members) for folder, members in series.items()}
        for folder, members in series.items():
            wanted = max(1, round(share * len(members)))
            if counts[folder] == len(members) - wanted != wanted:
                raise Hint("`share` is the test part's, not the training part's.")
            if counts[folder] != wanted:
                if all(counts.values()):
                    _check_series(names, train, test)
                raise Hint(
                    f"class {folder!r} has {len(members)} series, and {counts[folder]} are in the test part with "
                    f"share {share}: take the share of each class's *series*, rounded, and at least one."
                )
    if _parts(split(names, share, seeds[0]), len(names)) != parts[0]:
        raise Hint("the same seed must give the same split.")
    if all(part == parts[0] for part in parts):
        raise Hint("another seed must give another split.")


def _check_series(names: list[str], train: list[int], test: list[int]) -> None:
    """Say so if other groups than the series were kept together."""
    for cut, hint in (
        (lambda name: name.rsplit("_", 1)[0].split("/")[1], "two classes may have a series of the same name: the class "
         "belongs to it."),
        (lambda name: name.split("_")[0], "the name of a series ends at the *last* underscore, not at the first."),
    ):  # fmt: skip
        if not {cut(names[k]) for k in train} & {cut(names[k]) for k in test}:
            raise Hint(hint)


def _parts(answer: object, count: int) -> tuple[list[int], list[int]]:
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Hint(f"`split` must return two lists, training and test, not {compare.kind(answer)}.")
    parts = [part.tolist() if hasattr(part, "tolist") else part for part in answer]
    for part in parts:
        if not isinstance(part, list | tuple):
            raise Hint(f"`split` must return two lists of positions, not {compare.kind(part)}.")
        for k in part:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k < count:
                raise Hint("`split` must return positions in `names`: whole numbers from 0, not names.")
    return sorted(map(int, parts[0])), sorted(map(int, parts[1]))


def _body(channels: int) -> nn.Sequential:
    layers = [nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.25)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def _head(classes: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Linear(24, classes))


def _given(made: object, own: nn.Module, name: str, rng: np.random.Generator) -> Module:
    """Put the same random weights into a network of the notebook and into our own."""
    model = compare.module(made, name)
    state = {}
    for key, value in own.state_dict().items():
        drawn = torch.from_numpy(np.asarray(rng.normal(size=tuple(value.shape)) * 0.5)).float()
        state[key] = drawn.abs() + 0.5 if "var" in key else drawn if value.is_floating_point() else value
    own.load_state_dict(state)
    own.eval()
    model.load(state)
    return model


@lab.question("Frozen, and holding still", points=3)
def q4(tiny_body: object, tiny_head: object, transfer_net: object, rng: np.random.Generator) -> None:
    """Ask for a body that training cannot move, in whatever mode the network is, and a head that learns as usual."""
    makers = [compare.function(f, name) for f, name in ((tiny_body, "tiny_body"), (tiny_head, "tiny_head"))]
    transfer_net = compare.function(transfer_net, "transfer_net")
    channels, classes = rng.integers([1, 3], [4, 7]).tolist()
    own_body, own_head = _body(channels), _head(classes)
    body = _given(makers[0](channels), own_body, "tiny_body(channels)", rng)
    head = _given(makers[1](classes), own_head, "tiny_head(classes)", rng)
    body.train(bool(rng.integers(2)))
    net = compare.module(transfer_net(body, head), "transfer_net(...)")
    images = torch.from_numpy(rng.normal(size=(9, channels, 8, 10))).float()
    before = net.state()
    net(images)
    first = net.layers()
    net.load(before)
    net.train(False)
    with torch.no_grad():
        features = own_body(images)
        right = own_head(features)
    hints = {"these are the body's features: send them through the head.": features}
    compare.array(net(images), "what the network gives", right, hints, rtol=1e-4)

    needed = Counter(tuple(value.shape) for part in (own_body, own_head) for value in part.state_dict().values())
    if needed - Counter(tuple(value.shape) for value in before.values()):
        raise Hint(
            "`net.state_dict()` lacks some of the weights: they would not be saved, nor follow `net.to(device)`. Is a "
            "part hidden in a list?"
        )
    trainable = sorted(tuple(p["shape"]) for p in net.parameters().values() if p["trainable"])
    parts = [sorted(tuple(p.shape) for p in part.parameters()) for part in (own_body, own_head)]
    if trainable == sorted(parts[0] + parts[1]):
        raise Hint("an optimizer would still train the body: its parameters ask for gradients.")
    if trainable != parts[1]:
        raise Hint("exactly the head's parameters may be trainable; here it is others, or some are missing.")

    if not net.gradients(images):
        raise Hint("no gradient reaches the head: keep `torch.no_grad()` away from it.")
    before = net.state()
    for mode in (True, False, True):
        net.train(mode)
    net(images)
    _check_modes(net.layers())
    moved = {key for key, value in net.state().items() if not torch.equal(value, before[key])}
    if any(before[key].shape == (6,) for key in moved):
        raise Hint("the body's running mean or variance moves in train mode, without any gradient.")
    if not any(before[key].shape == (24,) for key in moved):
        raise Hint("the head's own batch norm no longer learns its mean and variance.")
    _check_body(first, "before any call of `net.train()` or `net.eval()`")


def _check_body(layers: list[dict], when: str = "after `net.train()`") -> None:
    on = {layer["kind"]: layer["settings"].get("training") for layer in layers}
    if on.get("BatchNorm2d"):
        again = " again" if when.startswith("after") else ""
        raise Hint(f"{when} the body's batch norm is in train mode{again}, and goes by the batch's own mean.")
    if on.get("Dropout2d"):
        raise Hint(f"{when} the body's *dropout* is on: the same image gives other features each time.")


def _check_modes(layers: list[dict]) -> None:
    _check_body(layers)
    on = {layer["kind"]: layer["settings"].get("training") for layer in layers}
    if on.get("Dropout") is False or on.get("BatchNorm1d") is False:
        raise Hint("after `net.train()` the head must be in train mode; only the body holds still.")


@lab.question("Gray pictures without copies", points=3)
def q5(first_layer: object, fold_gray: object, exact_with_padding: object, rng: np.random.Generator) -> None:
    """Fold three scales and shifts into a convolution; say where zero padding spoils it."""
    first_layer, fold_gray = compare.function(first_layer, "first_layer"), compare.function(fold_gray, "fold_gray")
    settings = [
        ({"kernel_size": (3, 2), "stride": 1}, True, 0),
        ({"kernel_size": (2, 4), "stride": (2, 1), "bias": False}, True, 0),
        ({"kernel_size": 3, "stride": 1, "dilation": 2}, True, 0),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, False, 0),
        ({"kernel_size": (3, 5), "stride": 1, "padding": (1, 2), "bias": False}, True, 2),
    ]
    answers, cases = [], []
    for options, shifted, rim in settings:
        outputs = int(rng.integers(3, 7))
        conv = nn.Conv2d(3, outputs, **options)
        layer = _given(first_layer(outputs, **options), conv, "first_layer(...)", rng)
        gray = torch.from_numpy(rng.uniform(size=(2, 1, 13, 12))).float()
        scale, shift = (torch.from_numpy(rng.uniform(*span, 3)).float() for span in ((0.5, 4), (-3, -0.5)))
        case = (conv, scale, shift * shifted, gray, rim)
        before = layer.state()
        folded = compare.module(fold_gray(layer, scale, shift * shifted), "fold_gray(...)")
        if any(not torch.equal(value, before[key]) for key, value in layer.state().items()):
            raise Hint("`fold_gray` changes the layer it is given: make a new one.")
        _check_folded(folded)
        answer, right = folded(gray), _gray_output(conv, scale, shift * shifted, gray)
        if not isinstance(answer, Tensor) or answer.shape != right.shape:
            kept = f"(its settings: {', '.join(options)})"
            raise Hint(f"the new layer's output has another shape: keep the layer's settings {kept}.")
        answers.append(_inner(answer, rim))
        cases.append(case)

    def each(slip: str = "") -> Tensor:
        return torch.cat([_inner(_gray_output(*case[:4], slip), case[4]) for case in cases])

    hints = {
        "mean": "a sum over the three channels is needed, not their mean.",
        "means": "sums over the three channels are needed, not their means.",
        "scale": "the scales are not in it: each channel has its own.",
        "shift": "the shifts are missing: they belong into the bias.",
        "kernel": "each shift meets *every* element of its channel's kernel, not one.",
        "scaled": "the shifts come after the scales: do not multiply them.",
        "bias": "the layer's own bias is lost.",
        "minus": "the shifts are added, not subtracted.",
        "first": "only one of the three channels is in it.",
        "no bias": "where the layer has no bias, the new one still needs one for the shifts.",
    }
    mistakes = {hint: lambda slip=slip: each(slip) for slip, hint in hints.items()}
    compare.array(torch.cat(answers), f"the output of {len(settings)} layers", each(), mistakes, rtol=1e-4)
    compare.choice(
        exact_with_padding,
        "`exact_with_padding`",
        "away from the border",
        ("everywhere", "away from the border", "nowhere"),
        {
            "everywhere": "what does a padded zero stand for, before folding and after it? Try it.",
            "nowhere": "where the kernel touches no padding, nothing has changed.",
        },
    )


def _check_folded(folded: Module) -> None:
    layers = folded.layers()
    if len(layers) != 1 or layers[0]["kind"] != "Conv2d":
        raise Hint("`fold_gray` must return a single `nn.Conv2d`, not several layers.")
    if layers[0]["settings"].get("in_channels") != 1:
        raise Hint("the new layer must take *one* channel.")


def _inner(values: Tensor, rim: int) -> Tensor:
    return values[..., rim : values.shape[2] - rim, rim : values.shape[3] - rim].flatten()


def _gray_output(conv: nn.Conv2d, scale: Tensor, shift: Tensor, gray: Tensor, slip: str = "") -> Tensor:
    """Compute the layer's output for ``scale * gray + shift``; with a slip, what a wrongly folded layer gives."""
    options = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    with torch.no_grad():
        if not slip:
            return conv(gray * scale[:, None, None] + shift[:, None, None])
        own = torch.zeros(len(conv.weight)) if conv.bias is None else conv.bias
        weight = conv.weight * (1 if slip == "scale" else scale[:, None, None])
        weight = {"mean": weight.mean(1, True), "means": weight.mean(1, True), "first": weight[:, :1]}.get(
            slip, weight.sum(1, keepdim=True)
        )
        shifts = shift * scale if slip == "scaled" else -shift if slip == "minus" else shift
        sums = conv.weight.sum((2, 3)) if slip != "kernel" else conv.weight.mean((2, 3))
        bias = own * (slip != "bias") + (sums @ shifts) * {"shift": 0, "means": 1 / 3}.get(slip, 1)
        bias = 0 * bias if slip == "no bias" and conv.bias is None else bias
        return F.conv2d(gray, weight, bias, **options)


@lab.question("A probe, and an honest interval", points=3)
def q6(
    prediction: object, tiny_body: object, probe: object, balanced_interval: object, rng: np.random.Generator
) -> None:
    """Compare a bootstrap that draws series, class by class; try a classifier on frozen features."""
    prediction = prediction.item() if getattr(prediction, "shape", None) == () else prediction
    if isinstance(prediction, bool) or not isinstance(prediction, int | float) or not 0 <= prediction <= 1:
        raise Hint(f"`prediction` must be a share from 0 to 1, not {compare.kind(prediction, show=True)}.")
    probe = compare.function(probe, "probe")
    balanced_interval = compare.function(balanced_interval, "balanced_interval")
    _check_probe(probe, compare.function(tiny_body, "tiny_body"), rng)
    _check_interval(balanced_interval, rng)


def _check_probe(probe: Function, tiny_body: Function, rng: np.random.Generator) -> None:
    labels = torch.from_numpy(np.arange(78) % 3)
    apart = False
    while not apart:  # not every random body tells every three colours apart
        own, colours = _body(3), 3 * rng.normal(size=(3, 3, 1, 1))
        body = _given(tiny_body(3), own, "tiny_body(3)", rng)
        images = torch.from_numpy(colours[labels] + rng.normal(size=(78, 3, 8, 9))).float()
        with torch.no_grad():
            seen = own(images)
        apart = _apart(seen, labels, 54)
    body.train(True)
    before = body.state()
    guess = _labels_of(probe(body, images[:54], labels[:54], images[54:]), 24)
    if any(not torch.equal(value, before[key]) for key, value in body.state().items()):
        raise Hint("`probe` changes the body: its batch norm moves unless the body is in eval mode.")
    share = np.mean(guess == labels[54:].numpy())
    if share < 0.9:
        raise Hint(f"`probe` recognizes {share:.0%} of test images that are easy to tell apart.")
    body.train(True)
    alone = _labels_of(probe(body, images[:54], labels[:54], images[54:60]), 6)
    if (alone != guess[:6]).any():
        raise Hint("what `probe` says to an image changes with the other test images, or from call to call.")
    bright = torch.cat([images[54:], 1e7 * images[54:]])
    if (_labels_of(probe(body, images[:54], labels[:54], bright), 48)[:24] != guess).any():
        raise Hint(
            "what `probe` says to an image changes if other test images are very bright: use the training "
            "images alone for means and scales."
        )


def _apart(features: Tensor, labels: Tensor, train: int) -> bool:
    """Tell whether the plainest classifiers, by distance and by a linear score, both recognize all test images."""
    scaled = (features - features[:train].mean(0)) / features[:train].std(0).clamp(min=1e-6)
    for seen in (features, scaled):
        means = torch.stack([seen[:train][labels[:train] == label].mean(0) for label in range(3)])
        if (torch.cdist(seen[train:], means).argmin(1) != labels[train:]).any():
            return False
    return bool(((scaled[train:] @ means.T).argmax(1) == labels[train:]).all())


def _labels_of(answer: object, count: int) -> np.ndarray:
    values = np.asarray(answer) if isinstance(answer, Tensor | np.ndarray | list | tuple) else None
    if values is None or values.shape != (count,):
        what = compare.kind(answer)
        raise Hint(f"`probe` must return one label for each of {count} test images, not {what}.")
    if values.dtype.kind not in "iu":
        raise Hint("`probe` must return labels (whole numbers), not probabilities.")
    return values


def _check_interval(balanced_interval: Function, rng: np.random.Generator) -> None:
    predicted, labels, series = _answers(rng)
    low, high = _ends_of(balanced_interval(predicted, labels, series, 4000, int(rng.integers(1000))))
    if high > 1.3:
        raise Hint("the ends must be shares from 0 to 1.")
    right = (predicted == labels).numpy()

    def ends(how: Callable = _by_series, percent: tuple = (2.5, 97.5)) -> np.ndarray:
        return np.percentile(how(right, labels.numpy(), series.numpy(), np.random.default_rng(0)), percent)

    def by_precision(right: np.ndarray, _: np.ndarray, *rest: object) -> np.ndarray:
        return _by_series(right, predicted.numpy(), *rest)

    expected = ends()
    tolerance = 0.25 * np.ptp(expected) / 3.92

    def away(other: np.ndarray) -> float:
        return float(np.abs(np.array([low, high]) - other).max())

    if away(expected) < tolerance:
        return _check_draws(balanced_interval, rng)
    if high - low < tolerance:
        raise Hint(
            "the interval has hardly any width: are the series drawn *with* replacement? And the ends are percentiles "
            "of the means, not their standard error."
        )
    wrong = {
        "this interval draws single images, as if the photos of a series were independent.": ends(_by_image),
        "this is the plain accuracy: take the mean over classes.": ends(_plain),
        "this covers only about 68 % of the draws.": ends(percent=(16, 84)),
        "within a class each *image* counts the same: take all photos of a drawn series, not one of them, nor the "
        "mean of each series.": ends(_by_share),
        "this groups the photos by what was *predicted*; the accuracy of a class is over the photos that belong to "
        "it.": ends(by_precision),
        "this is about the balanced *error*.": 1 - expected[::-1],
    }
    nearest = min(wrong, key=lambda hint: away(wrong[hint]))
    if away(wrong[nearest]) < tolerance:
        raise Hint(nearest)
    width = (high - low) / np.ptp(expected)
    about = (
        "too narrow" if width < 0.9 else "too wide" if width > 1.1 else "about as wide as it should be, but misplaced"
    )
    raise Hint(f"the interval is {about}.")


def _ends_of(answer: object) -> tuple[float, float]:
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Hint(f"`balanced_interval` must return two numbers, low and high, not {compare.kind(answer)}.")
    low, high = (float(value) for value in answer)
    if not np.isfinite([low, high]).all():
        raise Hint("`balanced_interval` returns NaN: is there a class of which nothing was drawn?")
    if low > high:
        raise Hint("`balanced_interval` must return two numbers: the low end first, then the high one.")
    return low, high


def _check_draws(balanced_interval: Function, rng: np.random.Generator) -> None:
    """Ask for few draws and other seeds, and for a lopsided case: a class of 8 series, one of them wrong."""
    labels = torch.arange(20).repeat_interleave(3) // 8 * 3
    series = torch.arange(20).repeat_interleave(3)
    labels = labels.clamp(max=3)
    predicted = torch.where(series == 0, 3, labels)
    case, seed = (predicted, labels, series), int(rng.integers(1000))
    low, high = _ends_of(balanced_interval(*case, 2000, seed))
    if max(abs(low - (1 + 5 / 8) / 2), abs(high - 1)) > 0.01:  # 3 wrong ones of 8 in 6.7 % of the draws, 4 in 1.1 %
        raise Hint("the means are spread lopsidedly here: take percentiles of them, not mean and standard deviation.")
    low, high = _ends_of(balanced_interval(*case, 1, seed))
    if high - low > 1e-9:
        raise Hint("`draws` is not followed: of a single draw, both percentiles are its mean.")
    case = _answers(rng)
    seeds = [seed, seed, *range(seed + 1, seed + 5)]
    first, again, *others = (_ends_of(balanced_interval(*case, 20, s)) for s in seeds)
    if first != again:
        raise Hint("the same seed must give the same interval.")
    if all(other == first for other in others):
        raise Hint("another seed must draw other series: `seed` is not used.")


def _answers(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw predictions that are right or wrong by whole series; long series are wrong more often.

    The third class has one series, all right: who draws from all classes together often misses it.
    """
    predicted, labels, series = [], [], []
    for label, count, good, other in ((7, 46, 0.9, 9), (2, 24, 0.7, 9), (9, 1, 1, 7)):
        for number in range(count):
            shots = int(rng.integers(2, 12))
            right = number % 10 < 10 * good - (shots > 6) * 3 or good == 1
            series += [number + 100 * label] * shots
            labels += [label] * shots
            predicted += [label if right else other] * shots
    order = rng.permutation(len(labels))
    return tuple(torch.tensor(values)[order] for values in (predicted, labels, series))


def _sums(right: np.ndarray, labels: np.ndarray, series: np.ndarray, label: int) -> np.ndarray:
    of = [series == s for s in np.unique(series[labels == label])]
    return np.array([[right[one].sum(), one.sum()] for one in of])


def _by_series(right, labels, series, rng) -> np.ndarray:
    means = []
    for label in np.unique(labels):
        sums = _sums(right, labels, series, label)
        drawn = sums[rng.integers(0, len(sums), (20_000, len(sums)))].sum(axis=1)
        means.append(drawn[:, 0] / drawn[:, 1])
    return np.mean(means, axis=0)


def _by_image(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, labels, np.arange(len(labels)), rng)


def _plain(right, labels, series, rng) -> np.ndarray:
    return _by_series(right, np.zeros_like(labels), series, rng)


def _by_share(right, labels, series, rng) -> np.ndarray:
    shares = [_sums(right, labels, series, label) for label in np.unique(labels)]
    drawn = [(s[:, 0] / s[:, 1])[rng.integers(0, len(s), (20_000, len(s)))].mean(axis=1) for s in shares]
    return np.mean(drawn, axis=0)


lab.written("q7", "Explain", points=3)
