"""Freezing that freezes, heads, rates, and features that equal those computed directly."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset

from coursekit import pretrained, training, transfer
from coursekit.data import ImageSet
from tests import pretend_device


def thin(name="resnet18", classes=4):
    torch.manual_seed(0)
    if name == "resnet18":
        return pretrained.resnet18(0.0625, classes)
    return pretrained.vgg16(0.0625, classes, pooled=1, hidden=8)


def images(count=12, size=32, transform=None):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    return ImageSet(pixels, torch.arange(count) % 2, ("a", "b"), transform=transform)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# Freezing


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_frozen_means_frozen_to_the_last_bit(name):
    """Weights, and the running statistics of batch norm too."""
    model = transfer.replace_head(transfer.freeze(thin(name)), 2)
    body = transfer.backbone(model)
    before, head_before = state(body), state(list(model.children())[-1])
    training.fit(model, images(), epochs=2, batch_size=4)
    after = state(body)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not torch.equal(list(model.children())[-1].weight, head_before["weight"])


def test_a_loop_of_ones_own_moves_the_statistics_of_frozen_layers():
    """The trap that notebook 04 shows: freezing is about gradients."""
    model = transfer.freeze(thin())
    before = model.bn1.running_mean.clone()
    model.train()(torch.rand(4, 3, 32, 32))
    assert not torch.equal(model.bn1.running_mean, before)


def test_unfreeze_and_count():
    model = thin()
    everything = sum(p.numel() for p in model.parameters())
    assert transfer.count(model) == (everything, everything)
    assert transfer.count(transfer.freeze(model)) == (everything, 0)
    assert transfer.unfreeze(model.layer4) is model.layer4
    assert transfer.count(model)[1] == sum(p.numel() for p in model.layer4.parameters())


def test_the_numbers_of_the_lecture():
    """CS3485: 14,780,481 parameters, 65,793 trainable; TU/e: layer4 has 8,393,728."""
    with torch.device("meta"):
        model = pretrained.vgg16()
        transfer.freeze(model.features)
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        transfer.replace_head(model, nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 1)))
        assert transfer.count(model) == (14_780_481, 65_793)
        resnet = transfer.replace_head(pretrained.resnet18(), 1)
    assert transfer.count(transfer.freeze(resnet))[0] == 11_177_025
    assert transfer.count(transfer.unfreeze(resnet.fc) and resnet)[1] == 513
    transfer.unfreeze(resnet.layer4)
    assert transfer.count(resnet)[1] == 8_393_728 + 513


# Heads, backbones, rates


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_backbone_and_head_make_the_model(name):
    model = thin(name).eval()
    batch = torch.rand(3, 3, 40, 40)
    features = transfer.backbone(model)(batch)
    assert features.ndim == 2
    assert torch.equal(list(model.children())[-1](features), model(batch))


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_a_new_head(name):
    model = thin(name)
    features = transfer.backbone(model.eval())(torch.rand(1, 3, 32, 32)).shape[1]
    assert transfer.replace_head(model, 7) is model
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    own = nn.Sequential(nn.Linear(features, 3), nn.ReLU(), nn.Linear(3, 1))
    assert list(transfer.replace_head(model, own).children())[-1] is own
    assert list(transfer.replace_head(model, 5).children())[-1].weight.shape == (5, features)


def test_wrong_heads():
    with pytest.raises(ValueError, match=r"new \(a number of classes, or a module\) must be at least 1"):
        transfer.replace_head(thin(), 0)
    for new in (2.0, "two"):
        with pytest.raises(TypeError, match=r"new \(a number of classes, or a module\) must be a whole number"):
            transfer.replace_head(thin(), new)
    with pytest.raises(ValueError, match="no linear layer"):
        transfer.replace_head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 2)
    with pytest.raises(ValueError, match="two children"):
        transfer.backbone(nn.Linear(3, 4))
    for function in (transfer.freeze, transfer.unfreeze, transfer.count, transfer.backbone):
        with pytest.raises(TypeError, match=r"torch\.nn\.Module, not str"):
            function("vgg16")


FITTING = {"mobilenet_v3_small": 576, "regnet_y_400mf": 440}
OTHERS = ["densenet121", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5"]


@pytest.mark.parametrize("name", [*FITTING, *OTHERS])
def test_a_backbone_has_all_that_comes_before_the_head_or_is_refused(name):
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    batch = torch.rand(2, 3, 64, 64)
    if name in FITTING:
        body = transfer.backbone(model)
        assert model.training
        with torch.no_grad():
            features = body.eval()(batch)
            assert features.shape == (2, FITTING[name])
            torch.testing.assert_close(list(model.children())[-1](features), model.eval()(batch))
    else:
        with pytest.raises(ValueError, match="is not of this layout"):
            transfer.backbone(model)


class Small(nn.Module):
    """A network for digits of 28 pixels, with as much in its forward as is asked for."""

    def __init__(self, between=None, channels=1, size=28):
        super().__init__()
        self.conv, self.flat, self.between = nn.Conv2d(channels, 2, 3, padding=1), nn.Flatten(), between
        self.head = nn.Linear(2 * size**2, 3)

    def forward(self, images):
        x = self.flat(self.conv(images))
        return self.head(x if self.between is None else self.between(x))


def test_what_a_backbone_is_tried_with():
    assert transfer.backbone(Small())(torch.rand(2, 1, 28, 28)).shape == (2, 1568)
    assert transfer.backbone(Small(channels=2, size=50), torch.rand(1, 2, 50, 50)) is not None
    with pytest.raises(ValueError, match=r"takes no images of .*Give some: images="):
        transfer.backbone(Small(size=50))
    for between in (F.relu, lambda x: x * 1.01):
        with pytest.raises(ValueError, match="Small is not of this layout"):
            transfer.backbone(Small(between, size=64))
    with pytest.raises(ValueError, match="Show it an image first"):
        transfer.backbone(transfer.replace_head(thin(), nn.LazyLinear(2)))


def test_a_backbone_is_tried_without_a_trace():
    model = transfer.freeze(thin()).train()
    model.layer1.eval()
    before, modes, numbers = state(model), [part.training for part in model.modules()], torch.get_rng_state()
    transfer.backbone(model)
    assert all(torch.equal(value, before[name]) for name, value in state(model).items())
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), numbers)
    assert transfer.count(model)[1] == 0


def test_a_compiled_model_has_the_backbone_and_head_of_its_own():
    model = thin()
    compiled = torch.compile(model, backend="eager")
    assert transfer.backbone(compiled)[0] is model.conv1
    assert transfer.replace_head(compiled, 2) is compiled
    assert model.fc.out_features == 2
    assert [group["lr"] for group in transfer.parameter_groups(compiled, 1e-2, 1e-3)] == [1e-2, 1e-3]


def test_parameter_groups_hold_each_trainable_parameter_once():
    model = thin()
    groups = transfer.parameter_groups(model, 1e-2, 1e-3)
    assert [group["lr"] for group in groups] == [1e-2, 1e-3]
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in model.fc.parameters()}
    transfer.freeze(transfer.backbone(model))
    (only,) = transfer.parameter_groups(model, 1e-2, 1e-3)
    assert only["lr"] == 1e-2


def test_the_backbone_moves_more_slowly():
    model = thin()
    before = state(model)
    groups = transfer.parameter_groups(model, 1e-2, 1e-5)
    training.fit(model, images(), epochs=1, optimizer=torch.optim.SGD(groups))
    moved = {key: (value - before[key]).abs().max() for key, value in state(model).items() if "running" not in key}
    assert 0 < moved["conv1.weight"] < 1e-3 < moved["fc.weight"]


def test_nothing_to_train():
    with pytest.raises(ValueError, match="nothing to train"):
        transfer.parameter_groups(transfer.freeze(thin()), 1e-3, 1e-4)


# Features


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_features_equal_those_computed_directly(name):
    body, part = transfer.backbone(thin(name)), images()
    found = transfer.features(body, part, batch_size=5)
    with torch.no_grad():
        direct = body.eval()(part.images.float() / 255)
    torch.testing.assert_close(found.tensors[0], direct)
    assert torch.equal(found.tensors[1], part.labels)


def test_a_head_trained_on_features_is_the_head_trained_on_images():
    part = images(16)
    model = transfer.replace_head(transfer.freeze(thin()), 2)
    cached = nn.Linear(model.fc.in_features, 2)
    cached.load_state_dict(model.fc.state_dict())
    training.fit(model, part, epochs=3, batch_size=4, optimizer=torch.optim.SGD(model.fc.parameters(), lr=0.1))
    found = transfer.features(transfer.backbone(model), part)
    training.fit(cached, found, epochs=3, batch_size=4, optimizer=torch.optim.SGD(cached.parameters(), lr=0.1))
    torch.testing.assert_close(cached.weight, model.fc.weight)


class Counting(nn.Module):
    """A backbone that notes how many images come at a time."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat, self._seen = nn.Conv2d(3, 2, 8, stride=8), nn.Flatten(), []

    def forward(self, batch):
        self._seen.append(len(batch))
        return self.flat(self.conv(batch))


def double(image):
    return image * 2


@pytest.mark.parametrize("home", ["cpu", "pretend"])
def test_the_backbone_is_left_where_it_was(home):
    """The backbone's layers are the model's: a model of which half lies on another device cannot be used."""
    with pretend_device.installed():
        model = thin().to(home)
        body, part = transfer.backbone(model), images(4)
        model.layer2.train(False)
        modes = [module.training for module in model.modules()]
        found = [transfer.features(body, part, device=device) for device in ("pretend", "cpu")]
        assert torch.equal(found[0].tensors[0], found[1].tensors[0])
        with pytest.raises(ValueError, match="cannot take a batch"):
            transfer.features(body, TensorDataset(torch.ones(2, 5, 8, 8), torch.ones(2)), device="pretend")
        assert {value.device.type for value in model.state_dict().values()} == {home}
        assert [module.training for module in model.modules()] == modes


def cached(folder, body, part, key="counting", **options):
    """Return the features, and whether they were computed."""
    before = len(body._seen)
    found = transfer.features(body, part, cache=folder / "f.safetensors", key=key, **options)
    return found, len(body._seen) > before


def test_the_cache_is_used_again(tmp_path):
    body, part, folder = Counting(), images(), tmp_path / "folder"
    first, computed = cached(folder, body, part, batch_size=5)
    assert computed
    assert body._seen == [5, 5, 2]
    again, computed = cached(folder, body, part)
    assert not computed
    assert all(map(torch.equal, first.tensors, again.tensors))
    assert [path.name for path in folder.iterdir()] == ["f.safetensors"]


def nudged(body):
    with torch.no_grad():
        body.conv.weight[0, 0, 0, 0] += 1e-3
    return body


def with_offset(body, offset):
    body.register_buffer("offset", torch.tensor(offset), persistent=False)
    return body


def reshaped(part):
    return ImageSet(part.images.reshape(12, 3, 16, 64), part.labels, part.classes)


STALE = {
    "weights": lambda body, part, options: (nudged(body), part, options),
    "a buffer": lambda body, part, options: (with_offset(body, 0.50001), part, options),
    "precision": lambda body, part, options: (body, part, options | {"amp": torch.bfloat16}),
    "images": lambda body, part, options: (body, part.subset(slice(1, 12)), options),
    "the same in another order": lambda body, part, options: (body, Subset(part, range(11, -1, -1)), options),
    "the same in another shape": lambda body, part, options: (body, reshaped(part), options),
    "labels": lambda body, part, options: (body, ImageSet(part.images, 1 - part.labels, part.classes), options),
    "transform": lambda body, part, options: (body, part.with_transform(double), options),
    "key": lambda body, part, options: (body, part, options | {"key": "another"}),
}


@pytest.mark.parametrize("what", STALE)
def test_the_cache_is_never_stale(what, tmp_path):
    body, part, options = with_offset(Counting(), 0.5), images(), {"key": "counting"}
    cached(tmp_path, body, part, **options)
    body, part, options = STALE[what](body, part, options)
    found, computed = cached(tmp_path, body, part, **options)
    assert computed
    direct = transfer.features(body, part, amp=options.get("amp", False))
    assert all(map(torch.equal, found.tensors, direct.tensors))
    assert not cached(tmp_path, body, part, **options)[1]


def test_a_transform_that_reads_a_global_makes_no_stale_features(tmp_path, monkeypatch):
    """The same call, the same key, another value: the images differ as they come out of the transform."""
    body, part = Counting(), images(transform=lambda image: image - OFFSET)
    before, _ = cached(tmp_path, body, part)
    monkeypatch.setattr(sys.modules[__name__], "OFFSET", 0.0)
    after, computed = cached(tmp_path, body, part)
    assert computed
    assert not torch.equal(before.tensors[0], after.tensors[0])


OFFSET = 0.5


def test_a_cache_needs_a_key_since_code_cannot_be_compared(tmp_path):
    for key in ({}, {"key": ""}, {"key": 3}):
        with pytest.raises(ValueError, match=r"a cache needs a key.*whenever you change it"):
            transfer.features(nn.Flatten(), images(), cache=tmp_path / "f", **key)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_makes_the_cache_stale(tmp_path):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(tmp_path / "photos" / name / "1.png")
    to_float = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    photos, body = ImageFolder(tmp_path / "photos", to_float), Counting()
    assert cached(tmp_path, body, photos)[1]
    assert not cached(tmp_path, body, photos)[1]
    changed = Path(photos.samples[0][0])
    times = changed.stat().st_atime_ns, changed.stat().st_mtime_ns
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(changed)
    os.utime(changed, ns=times)
    assert cached(tmp_path, body, photos)[1]  # whatever its time says


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", lambda data: data[:-1]])
def test_a_damaged_cache_is_made_anew(damage, tmp_path):
    body, part, cache = Counting(), images(), tmp_path / "f.safetensors"
    first, _ = cached(tmp_path, body, part)
    cache.write_bytes(damage(cache.read_bytes()))
    again, computed = cached(tmp_path, body, part)
    assert computed
    assert torch.equal(first.tensors[0], again.tensors[0])
    assert not cached(tmp_path, body, part)[1]


OWN = np.random.default_rng(0)
RARE = 1e-9  # a check that waits for something to happen would wait for ever
RANDOM = {
    "torch's": lambda image: image.flip(2) if torch.rand(()) < RARE else image,
    "numpy's": lambda image: image.flip(2) if np.random.rand() < RARE else image,  # noqa: NPY002
    "Python's": lambda image: image.flip(2) if random.random() < RARE else image,
    "its own": lambda image: image.flip(2) if OWN.random() < 0.1 else image,
    "of another shape": lambda image: image[:, : OWN.integers(1, 30)],
    "late": lambda image: image * torch.rand(()) if image[0, 0, 0] * 255 == 7 else image,
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_transforms_are_refused(name):
    part = images(70, transform=RANDOM[name])
    part.images[:, 0, 0, 0] = 0
    part.images[66, 0, 0, 0] = 7  # behind those that are looked at first
    with pytest.raises(ValueError, match=r"is random.*with_transform"):
        transfer.features(nn.Flatten(), part)


def test_random_transforms_of_the_library_are_refused():
    from torchvision.transforms import v2

    for transform in (v2.RandomErasing(p=0.001), v2.RandomHorizontalFlip(), v2.RandomCrop(16)):
        with pytest.raises(ValueError, match="is random"):
            transfer.features(nn.Flatten(), images(transform=transform))


def test_a_random_backbone_is_refused():
    class Noisy(nn.Flatten):
        def forward(self, batch):
            return F.dropout(super().forward(batch))  # in eval mode, too

    with pytest.raises(ValueError, match="the backbone, is random"):
        transfer.features(Noisy(), images())


class Unknown(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.full((3, 8, 8), index / 2), index


def test_any_data_set_can_be_cached(tmp_path):
    body = Counting()
    assert [cached(tmp_path, body, Unknown())[1] for _ in range(2)] == [True, False]
    pairs = TensorDataset(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    assert [cached(tmp_path, body, pairs)[1] for _ in range(2)] == [True, False]
    pairs.tensors[0][0] += 1
    assert cached(tmp_path, body, pairs)[1]


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        transfer.features("resnet18", images())
    with pytest.raises(TypeError, match="must be a Dataset"):
        transfer.features(Counting(), [1, 2])


@pytest.mark.parametrize("rate", [0.0, float("inf"), float("nan")])
def test_rates_are_positive_and_finite(rate):
    for rates in ((rate, 1e-3), (1e-3, rate)):
        with pytest.raises(ValueError, match="learning rates must be positive"):
            transfer.parameter_groups(thin(), *rates)


class Arrays(Dataset):
    """Images that are arrays of numpy, with one bright pixel in the middle."""

    def __init__(self, bright):
        self.bright = bright

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = np.zeros((3, 32, 32), np.float32)
        image[1, 16, 16] = self.bright
        return image, index % 2


def test_arrays_are_compared_to_the_last_pixel(tmp_path):
    options = {"cache": tmp_path / "features.st", "key": "1", "device": "cpu"}
    found = [transfer.features(nn.Flatten(), Arrays(bright), **options).tensors[0].sum() for bright in (1.0, 2.0, 2.0)]
    assert found == [4.0, 8.0, 8.0]


def test_a_loader_is_no_data_set():
    with pytest.raises(TypeError, match="not a DataLoader"):
        transfer.features(nn.Flatten(), torch.utils.data.DataLoader(images(), 4), device="cpu")


def test_a_cache_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    transfer.features(nn.Flatten(), images(), cache="~/features.st", key="1", device="cpu")
    assert (tmp_path / "features.st").is_file()


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_lazy_head_does_not_know_how_many_features_come_in():
    with pytest.raises(ValueError, match="has no linear layer to tell how many features"):
        transfer.replace_head(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), 3)
