"""One cheap and right call of each public function, which `fuzz` then spoils, one or two arguments at a time.

A function that has no entry here, and is not among the `RECORDS` either, fails the test.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import critters, resnet
from coursekit.colorization import Bins, Colorizer, gray_encoder, upsampling_decoder
from coursekit.data import ImageSet
from coursekit.data.folders import Report
from coursekit.figures import Picture
from coursekit.labs.lab import Lab
from coursekit.pretrained import Pretrained, Views
from coursekit.training import History

# The modules that notebooks and docstrings name: not the tools of authors, nor what stands inside of a package only.
MODULES = (
    *("runtime", "figures", "convolution", "photos", "critters", "data", "receptive", "filters", "training"),
    *("pretrained", "transfer", "attribution", "resnet", "colorization"),
    *("data.folders", "data.imagefiles", "data.downloads", "data.archives", "training.checkpoints"),
    *("colorization.stored", "colorization.transposed", "labs.lab"),
)
RECORDS = {  # they hold what they are given, and compute nothing
    *("runtime.Session", "critters.Critter", "critters.Part", "receptive.Field", "pretrained.Pretrained"),
    *("data.folders.Report", "data.folders.Report.summary", "labs.lab.Question", "labs.lab.Verdict"),
}
INNER = {  # the package calls these with what it made itself, and graders with the names of their own questions
    *("data.downloads.locked", "data.downloads.disk_trouble", "data.imagefiles.decode", "receptive.pair"),
    *(f"training.checkpoints.{name}" for name in ("check_members", "check_weights", "random_states", "why_not")),
    *(f"training.checkpoints.{name}" for name in ("set_random_states", "seeded")),
    *(f"labs.lab.Lab{name}" for name in ("", ".question", ".written", ".judge", ".test")),
}
# What a large number of these asks for is a long computation, and not an error.
PATIENT = {"epochs", "steps", "samples", "blocks", "count", "counts", "train", "test", "workers", "limit_per_class"}


def public() -> dict[str, Callable]:
    """Return every public function, class and method of the package by its name, each once."""
    found, seen = {}, set()
    for name in MODULES:
        module = importlib.import_module(f"coursekit.{name}")
        for item in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
            value = getattr(module, item)
            home = getattr(value, "__module__", None) or ""
            ours = home.startswith("coursekit") if hasattr(module, "__all__") else home == module.__name__
            callable_ = inspect.isroutine(value) or inspect.isclass(value)
            if ours and callable_ and id(value) not in seen and not _is_error(value):
                seen.add(id(value))
                found[f"{name}.{item}"] = value
                if inspect.isclass(value):
                    found |= {f"{name}.{item}.{method}": getattr(value, method) for method in _methods(value)}
    return found


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _methods(cls: type) -> list[str]:
    """Return the methods that somebody calls by name or by brackets."""
    return [
        name
        for name, value in vars(cls).items()
        if (name[0] != "_" or name == "__getitem__") and (isinstance(value, classmethod) or inspect.isfunction(value))
    ]


def missing() -> list[str]:
    """Return the public functions without an entry, and the entries without a function."""
    return sorted(public().keys() ^ (ENTRIES.keys() | RECORDS | INNER))


# --- What entries are made of


def gray(height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((height, width))


def photo(count: int | None = None) -> np.ndarray:
    return np.random.default_rng(1).random((6, 6, 3) if count is None else (count, 6, 6, 3))


def batch(count: int = 2, channels: int = 3, side: int = 8) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(OrderedDict(features=features, flat=nn.Flatten(), fc=nn.Linear(4, 2))).eval()


def flat_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2))


def pairs() -> TensorDataset:
    return TensorDataset(batch(4), torch.tensor([0, 1, 0, 1]))


def image_set(count: int = 6) -> ImageSet:
    images = torch.arange(count * 3 * 8 * 8).remainder(251).to(torch.uint8).reshape(count, 3, 8, 8)
    return ImageSet(images, torch.arange(count) % 2, ("cat", "dog"))


def bins() -> Bins:
    return Bins(torch.tensor([[0.0, 0.0], [0.2, 0.1]]), torch.tensor([0.7, 0.3]))


def colorizer() -> Colorizer:
    torch.manual_seed(0)
    return Colorizer(gray_encoder(resnet.ResNet(resnet.BasicBlock, (1, 1), width=2)), upsampling_decoder(0.03)).eval()


def figure(height: float = 1.0) -> Figure:
    made = Figure(figsize=(1.0, height))
    made.subplots().plot([1, 2])
    return made


def history() -> History:
    return History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])


def lab() -> Lab:
    made = Lab("lab00", "A lab")
    made.question("What is x?", points=1)(_q1)
    return made


def _q1(x: object) -> None:
    pass


def folder() -> Path:
    """Two classes of two pictures each."""
    from PIL import Image

    root = Path("pets")
    for number in range(4):
        path = root / ("cats", "dogs")[number % 2] / f"{number}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), (50 * number, 0, 0)).save(path)
    return root


def fresh(name: str) -> Path:
    """Return another path each time: a folder that is there already would be taken as it is."""
    return Path(f"{name}{next(_numbers)}")


_numbers = itertools.count()


def file() -> Path:
    Path("file.bin").write_bytes(b"1234")
    return Path("file.bin")


def archive() -> Path:
    with zipfile.ZipFile("a.zip", "w") as opened:
        opened.writestr("a.txt", "a")
    return Path("a.zip")


def checkpoint() -> Path:
    torch.save({"a": torch.ones(2)}, "a.pt")
    return Path("a.pt")


def critter_file() -> Path:
    return critters.write_folder("heads", {"train": 2}, sides=(32, 32)) / "train" / "cats" / "cat.0.jpg"


ALT = "a picture of something"
KERNEL = ((1.0, 0.0), (0.0, -1.0))
TRANSPOSED = {"stride": 2, "padding": 1, "output_padding": 0, "dilation": 1}
PHOTOS = {"train": 4, "test": 2, "size": 8, "seed": 0, "resize": "crop"}
FITTED = {"optimizer": torch.optim.SGD, "loss": nn.functional.cross_entropy, "batch_size": 2, "seed": 0}


def _transposed() -> dict:
    return {"x": batch(1, 2, 3), "weight": batch(2, 1, 4), **TRANSPOSED}


# Name -> the arguments of a right call; "self" is whose method it is.
ENTRIES: dict[str, Callable[[], dict]] = {
    "runtime.setup": lambda: {"profile": "mini", "seed": 0, "device": "cpu"},
    "runtime.profile": dict,
    "runtime.device": dict,
    "runtime.cache_dir": dict,
    "runtime.lasting_folder": dict,
    "runtime.known_costs": dict,
    "runtime.progress_bar": lambda: {"show": True, "options": {"total": 3}},
    # --- figures
    "figures.Picture": lambda: {"png": b"png", "alt": ALT},
    "figures.Picture.save": lambda: {"self": Picture(b"png", ALT), "path": "picture.png"},
    "figures.show": lambda: {"figure": figure(), "alt": ALT},
    "figures.animation": lambda: {"frames": [figure(), figure()], "alt": ALT, "seconds": 0.5, "loops": 1},
    "figures.curves": lambda: {
        **{"x": [1, 2, 3], "ys": {"a": [1.0, 2.0, 3.0], "b": [[1.0, 2.0, 2.0], [2.0, 1.0, 2.0]]}, "alt": ALT},
        **{"xlabel": "epoch", "ylabel": "loss", "log": "y", "dashed": ["b"], "title": "a", "markers": True},
    },
    "figures.bars": lambda: {
        **{"values": {"a": 1.0, "b": [1.0, 2.0]}, "alt": ALT, "ylabel": "y", "title": "", "limits": (0.0, 3.0)}
    },
    "figures.runs": lambda: {
        **{"values": {"a": [1.0], "b": [1.0, 2.0]}, "alt": ALT, "xlabel": "x", "reference": "a", "title": ""}
    },
    "figures.confusion": lambda: {"matrix": [[3, 1], [0, 2]], "classes": ["cat", "dog"], "alt": ALT, "title": ""},
    "figures.images": lambda: {
        **{"images": [gray(), photo()], "titles": ["a", "b"], "alt": ALT, "columns": 2, "cmap": "gray"},
        **{"limits": (0.0, 1.0), "colorbar": True, "axes": False},
    },
    "figures.kernels": lambda: {"kernels": [gray(2, 3), gray(3, 2)], "titles": ["a", "b"], "alt": ALT, "columns": 2},
    "figures.overlay": lambda: {"photo": photo(), "heat": gray(3, 3), "alt": ALT, "titles": ("a", "b")},
    "figures.before_after": lambda: {"before": photo(), "after": photo()[::-1], "alt": ALT, "titles": ("a", "b")},
    "figures.sliding": lambda: {
        **{"image": gray(3, 3), "kernel": gray(2, 2), "alt": ALT, "stride": 1, "padding": 0, "dilation": 1}
    },
    # --- convolution
    "convolution.output_size": lambda: {"size": 9, "kernel": 3, "stride": 2, "padding": 1, "dilation": 1},
    "convolution.correlate2d": lambda: {
        **{"image": gray(), "kernel": gray(2, 3), "mode": "same", "boundary": "symm", "stride": 1, "dilation": 1}
    },
    "convolution.convolve2d": lambda: {
        **{"image": gray(), "kernel": gray(2, 3), "mode": "full", "boundary": "wrap", "stride": 1, "dilation": 1}
    },
    "convolution.uniform_kernel": lambda: {"size": 3},
    "convolution.gaussian_kernel": lambda: {"size": 3, "sigma": 1.0},
    "convolution.gaussian_mass": lambda: {"size": 3, "sigma": 1.0},
    "convolution.gradient": lambda: {"image": gray()},
    "convolution.gabor_kernel": lambda: {"size": 3, "frequency": 0.25, "theta": 0.5, "sigma": 1.0},
    "convolution.filter_energies": lambda: {"image": gray(), "bank": [gray(2, 2), 1j * gray(3, 3)]},
    # --- photos and critters
    "photos.photo": lambda: {"name": "text", "gray": True},
    "photos.photo_names": dict,
    "critters.draw": lambda: {
        **{"species": "cat", "seed": (0, 1), "size": (32, 40), "difficulty": 0.5, "animal": True, "effects": True},
        **{"shortcut": ("patch", 1), "natural": True, "photos": ["text", "page"]},
    },
    "critters.make": lambda: {
        **{"count": 2, "species": ("cat", "dog"), "seed": 0, "size": 32, "difficulty": 0.5, "shortcut": "patch"},
        **{"shortcut_rate": 0.5, "natural": False, "photos": ["text"]},
    },
    "critters.write_folder": lambda: {
        **{"root": fresh("new"), "counts": {"train": 2}, "species": ("cat", "dog"), "seed": 0, "sides": (32, 33)},
        **{"difficulty": 0.5, "shortcut": "patch", "shortcut_rate": 0.5},
    },
    "critters.truth": lambda: {"path": critter_file()},
    # --- data
    "data.ImageSet": lambda: {
        **{"images": image_set().images, "labels": image_set().labels, "classes": ["cat", "dog"]},
        **{"names": list("abcdef"), "transform": nn.Identity()},
    },
    "data.ImageSet.__getitem__": lambda: {"self": image_set(), "index": 1},
    "data.ImageSet.counts": lambda: {"self": image_set()},
    "data.ImageSet.with_transform": lambda: {"self": image_set(), "transform": nn.Identity()},
    "data.ImageSet.subset": lambda: {"self": image_set(), "indices": [0, 3]},
    "data.ImageSet.split": lambda: {"self": image_set(), "fraction": 0.5, "seed": 0},
    "data.Splits": lambda: {
        **{"train": image_set(), "test": image_set(), "name": "pets", "source": "drawn", "classes": ("cat", "dog")}
    },
    "data.overlap": lambda: {"a": image_set(), "b": image_set()},
    "data.digits": lambda: {"size": 8, "seed": 0},
    "data.critters": lambda: {
        **{"train": 2, "test": 2, "size": 32, "seed": 0, "difficulty": 0.5, "species": ["cat", "fox"], "natural": True}
    },
    "data.photo_crops": lambda: {"train": 2, "test": 2, "size": 8, "seed": 0},
    "data.folder": lambda: {
        **{"train": folder(), "test": None, "size": 8, "test_fraction": 0.5, "seed": 0},
        **{"options": {"resize": "crop", "progress": False}},
    },
    "data.load": lambda: {"task": "digits", "name": "mnist", "options": {"size": 8}},
    "data.mnist": dict,
    "data.fashion_mnist": dict,
    "data.cifar10": dict,
    "data.cats_vs_dogs": lambda: dict(PHOTOS),
    "data.flowers102": lambda: dict(PHOTOS),
    "data.places365": lambda: dict(PHOTOS),
    "data.folders.FolderSet": lambda: {
        **{"images": image_set().images, "labels": image_set().labels, "classes": ["cat", "dog"]},
        **{"names": list("abcdef"), "report": Report("pets")},
    },
    "data.folders.read": lambda: {
        **{"root": folder(), "size": 8, "resize": "crop", "channels": 1, "limit_per_class": 1, "allow_empty": True},
        **{"strict": True, "memory_limit": 10**6, "workers": 1, "progress": False},
    },
    "data.imagefiles.read_image": lambda: {
        **{"path": folder() / "cats" / "0.png", "size": 4, "resize": "crop", "channels": 1}
    },
    "data.imagefiles.check_options": lambda: {"size": 4, "resize": "crop", "channels": 1},
    "data.imagefiles.strict_pillow": dict,
    "data.downloads.fetch": lambda: {
        **{"urls": "http://127.0.0.1:9/file.bin", "path": file(), "sha256": None, "size": 4},
        **{"md5": "81dc9bdb52d04dc20036dbd8313ed055", "progress": False, "timeout": 1.0},
    },
    "data.archives.unpack": lambda: {
        **{
            "archives": [archive()],
            "folder": fresh("unpacked"),
            "max_bytes": 10**6,
            "max_ratio": 10.0,
            "max_files": 10,
        },
        **{"progress": False},
    },
    # --- receptive fields and filters
    "receptive.receptive_field": lambda: {"model": flat_network()},
    "receptive.receptive_field_by_gradient": lambda: {
        **{"model": flat_network(), "shape": (3, 8, 8), "position": (0, 1), "samples": 2}
    },
    "filters.to_batch": lambda: {"image": photo(), "dtype": torch.float64},
    "filters.conv2d_from_kernels": lambda: {
        **{"kernels": [gray(2, 2), gray(2, 2)], "bias": [1.0, 2.0], "stride": 1, "padding": 1, "dilation": (1, 2)},
        **{"padding_mode": "reflect", "dtype": torch.float64},
    },
    "filters.windows": lambda: {"x": batch(), "size": 2, "stride": 2, "padding": (0, 1), "dilation": 2},
    "filters.conv_matrix": lambda: {
        **{"weight": batch(2, 1, 2), "shape": (1, 3, 3), "stride": 1, "padding": 1, "dilation": 1}
    },
    "filters.conv2d_backward": lambda: {
        **{"x": batch(1, 2, 3), "weight": batch(3, 2, 2), "upstream": batch(1, 3, 2)},
        **{"stride": 1, "padding": 0, "dilation": 1},
    },
    "filters.orientation_strength": lambda: {"kernels": batch(2, 1, 3)},
    # --- training
    "training.History": lambda: {"rows": [{"epoch": 1, "loss": 0.5}], "batch_losses": [0.5]},
    "training.History.best": lambda: {"self": history(), "column": "loss"},
    "training.History.__getitem__": lambda: {"self": history(), "key": "loss"},
    "training.fit": lambda: {
        **{"model": network(), "train": pairs(), "val": pairs(), "epochs": 1, **FITTED, "clip": 1.0},
        **{"scheduler": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1), "metrics": None},
        **{"monitor": "val_loss", "keep_best": True, "early_stopping": 1, "autosave": "run.pt", "autosave_every": 1},
        **{"resume": False, "device": "cpu", "amp": False, "channels_last": False},  # not compile, which takes minutes
        **{"after_epoch": repr, "fabric": None},
    },
    "training.evaluate": lambda: {
        **{"model": network(), "data": pairs(), "loss": nn.functional.cross_entropy, "metrics": None},
        **{"batch_size": 2, "device": "cpu", "amp": False},
    },
    "training.predict": lambda: {
        **{"model": network(), "data": pairs(), "batch_size": 2, "device": "cpu", "amp": torch.bfloat16}
    },
    "training.lr_range_test": lambda: {
        **{"model": network(), "train": pairs(), "low": 1e-4, "high": 0.1, "steps": 2, **FITTED, "device": "cpu"}
    },
    "training.checkpoints.save": lambda: {"path": "saved.pt", "state": {"a": torch.ones(2), "b": [1, "c"]}},
    "training.checkpoints.load": lambda: {"path": checkpoint()},
    # --- pretrained and transfer
    "pretrained.vgg16": lambda: {"width": 0.02, "classes": 2, "batch_norm": True, "pooled": 1, "hidden": 4},
    "pretrained.resnet18": lambda: {"width": 0.02, "classes": 2},
    "pretrained.load": lambda: {"name": "resnet18"},
    "pretrained.Pretrained.normalize": lambda: {
        "self": Pretrained(network(), ("cat", "dog"), 8, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "drawn"),
        "images": batch(),
    },
    "pretrained.fold_batch_norm": lambda: {"model": network()},
    "pretrained.insert_batch_norm": lambda: {"model": flat_network(), "images": batch()},
    "pretrained.random_views": lambda: {"images": batch(), "size": 4, "least": 0.5},
    "pretrained.Views": lambda: {"sets": [image_set()], "sizes": [8, 10], "normalize": nn.Identity()},
    "pretrained.Views.__getitem__": lambda: {"self": Views([image_set()], [8]), "indices": [0, 5]},
    "pretrained.Views.loader": lambda: {"self": Views([image_set()], [8]), "batch_size": 2, "seed": 0},
    "transfer.freeze": lambda: {"module": network()},
    "transfer.unfreeze": lambda: {"module": network()},
    "transfer.count": lambda: {"model": network()},
    "transfer.head": lambda: {"model": network()},
    "transfer.replace_head": lambda: {"model": network(), "new": 3},
    "transfer.backbone": lambda: {"model": network()},
    "transfer.parameter_groups": lambda: {"model": network(), "lr": 1e-3, "backbone_lr": 1e-4},
    "transfer.Features": lambda: {"features": torch.rand(2, 3), "labels": torch.tensor([0, 1]), "reason": "new"},
    "transfer.features": lambda: {
        **{"backbone": network(), "data": pairs(), "cache": fresh("features"), "batch_size": 2, "amp": False},
        **{"device": "cpu"},
    },
    # --- attribution
    "attribution.activations": lambda: {"model": network(), "images": batch(), "layers": ["features.0", "fc"]},
    "attribution.grad_cam": lambda: {"model": network(), "images": batch(), "layer": "features.2", "classes": [0, 1]},
    "attribution.maximize": lambda: {
        **{"model": flat_network(), "layer": "0", "channel": 1, "size": 16, "steps": 1, "rate": 0.05, "seed": 0},
        **{"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
    },
    "attribution.hottest": lambda: {"cams": batch()[:, 0]},
    "attribution.pointing_game": lambda: {"cams": batch()[:, 0], "masks": batch()[:, 1] > 0.5},
    "attribution.energy_inside": lambda: {"cams": batch()[:, 0], "masks": batch()[:, 1] > 0.5},
    "attribution.near": lambda: {"points": [[(1.0, 2.0)], []], "radius": 2.0, "size": (4, 5)},
    # --- resnet
    "resnet.same_padding": lambda: {"kernel_size": 3, "dilation": 2},
    "resnet.BasicBlock": lambda: {"inputs": 2, "channels": 3, "stride": 2},
    "resnet.BasicBlock.branch": lambda: {"self": resnet.BasicBlock(3, 3).eval(), "x": batch()},
    "resnet.Bottleneck": lambda: {"inputs": 2, "channels": 3, "stride": 2},
    "resnet.Bottleneck.branch": lambda: {"self": resnet.Bottleneck(3, 3).eval(), "x": batch()},
    "resnet.ResidualBlock": lambda: {"channels": 2, "kernel_size": 3, "dilation": 2, "residual": True, "drop": 0.5},
    "resnet.ResidualBlock.forward": lambda: {"self": resnet.ResidualBlock(3).eval(), "x": batch()},
    "resnet.ResNet": lambda: {
        **{"block": resnet.BasicBlock, "blocks": (1, 1), "classes": 2, "channels": 3, "width": 2}
    },
    "resnet.ResNet.forward": lambda: {
        "self": resnet.ResNet(resnet.BasicBlock, (1, 1), 2, width=2).eval(),
        "x": batch(),
    },
    **{f"resnet.resnet{depth}": lambda: {"classes": 2} for depth in (18, 34, 50, 101, 152)},
    "resnet.resnet9": lambda: {"classes": 2, "channels": 3, "width": 2},
    "resnet.tower": lambda: {"blocks": 2, "classes": 2, "channels": 3, "width": 2, "residual": True, "drop": 0.5},
    "resnet.without": lambda: {"model": resnet.tower(2, 2, width=2), "names": ("1",)},
    # --- colorization
    "colorization.rgb_to_lab": lambda: {"image": photo()},
    "colorization.lab_to_rgb": lambda: {"lab": 50 * photo()},
    "colorization.lab_pairs": lambda: {"images": image_set().images},
    "colorization.pairs_to_rgb": lambda: {"light": batch(2, 1, 4), "ab": batch(2, 2, 4)},
    "colorization.mse": lambda: {"predicted": photo(2), "true": photo(2)[::-1]},
    "colorization.psnr": lambda: {"predicted": photo(2), "true": photo(2)[::-1]},
    "colorization.ciede2000": lambda: {"predicted": photo(2), "true": photo(2)[::-1]},
    "colorization.colourfulness": lambda: {"image": photo(2)},
    "colorization.score": lambda: {"predicted": photo(2), "true": photo(2)[::-1]},
    "colorization.Bins": lambda: {"centres": bins().centres, "shares": bins().shares},
    "colorization.Bins.of": lambda: {"ab": batch(1, 2, 4), "step": 15.0, "least": 1e-4},
    "colorization.Bins.encode": lambda: {"self": bins(), "ab": batch(1, 2, 4)},
    "colorization.Bins.decode": lambda: {"self": bins(), "logits": batch(1, 2, 4), "temperature": 0.5, "boost": 0.5},
    "colorization.gray_encoder": lambda: {"resnet": resnet.ResNet(resnet.BasicBlock, (1, 1), width=2)},
    "colorization.upsampling_decoder": lambda: {"width": 0.03, "outputs": 2},
    "colorization.transposed_decoder": lambda: {"width": 0.03, "outputs": 2, "kernel": 4},
    "colorization.Colorizer": lambda: {"encoder": nn.Identity(), "decoder": nn.Identity(), "mean": 0.4, "std": 0.2},
    "colorization.Colorizer.forward": lambda: {"self": colorizer(), "light": batch(1, 1)},
    "colorization.as_photo": lambda: {"image": photo()},
    "colorization.colorize": lambda: {
        **{"model": nn.Conv2d(1, 2, 1), "image": photo(), "bins": bins(), "size": 4, "temperature": 0.4, "boost": 0.1}
    },
    "colorization.transposed_size": lambda: {"size": 3, "kernel": 4, **TRANSPOSED},
    "colorization.coverage": lambda: {"size": 3, "kernel": 4, "stride": 2, "padding": 1, "output_padding": 0},
    "colorization.checkerboard": lambda: {"maps": batch(2, 1, 12), "period": 2, "margin": 1},
    "colorization.stored.load": dict,
    "colorization.stored.train": lambda: {"images": image_set(64), "epochs": 1, "width": 0.02, "seed": 0},
    "colorization.stored.write": lambda: {
        **{"model": colorizer(), "bins": bins(), "card": {"source": "drawn"}, "into": Path("weights")}
    },
    "colorization.transposed.by_matrix": _transposed,
    "colorization.transposed.by_zeros": _transposed,
    "colorization.transposed.by_gradient": _transposed,
    # --- labs
    "labs.lab.Lab.check": lambda: {"self": lab(), "name": "q1", "namespace": {"x": 1}},
    "labs.lab.Lab.done": lambda: {"self": lab(), "name": "q1", "namespace": {"x": 1}},
    "labs.lab.Lab.progress": lambda: {"self": lab(), "namespace": {"x": 1}},
}
