"""Freezing that freezes, heads, rates, and features that equal those computed directly."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from coursekit import pretrained, training, transfer
from coursekit.data import ImageSet


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
    before, head_before = state(body), state(transfer.head(model))
    training.fit(model, images(), epochs=2, batch_size=4)
    after = state(body)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not torch.equal(state(transfer.head(model))["weight"], head_before["weight"])


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
    assert torch.equal(transfer.head(model)(features), model(batch))


@pytest.mark.parametrize("name", ["vgg16", "resnet18"])
def test_a_new_head(name):
    model = thin(name)
    features = transfer.backbone(model.eval())(torch.rand(1, 3, 32, 32)).shape[1]
    assert transfer.replace_head(model, 7) is model
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    own = nn.Sequential(nn.Linear(features, 3), nn.ReLU(), nn.Linear(3, 1))
    assert transfer.head(transfer.replace_head(model, own)) is own
    assert transfer.head(transfer.replace_head(model, 5)).weight.shape == (5, features)


def test_wrong_heads():
    for new in (0, -1, 2.0, True, "two"):
        with pytest.raises(ValueError, match="number of classes from 1, or a module"):
            transfer.replace_head(thin(), new)
    with pytest.raises(ValueError, match="no linear layer"):
        transfer.replace_head(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 2)
    with pytest.raises(ValueError, match="two children"):
        transfer.backbone(nn.Linear(3, 4))
    for function in (transfer.freeze, transfer.unfreeze, transfer.count, transfer.head, transfer.backbone):
        with pytest.raises(TypeError, match=r"torch\.nn\.Module, not str"):
            function("vgg16")


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


def test_wrong_rates_and_nothing_to_train():
    with pytest.raises(ValueError, match="must be positive"):
        transfer.parameter_groups(thin(), 0.0, 1e-3)
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
    assert found.reason == "new"


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
    """A backbone that counts its images."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.seen = nn.Conv2d(3, 2, 8, stride=8), nn.Flatten(), 0
        self.largest = 0

    def forward(self, batch):
        self.seen += len(batch)
        self.largest = max(self.largest, len(batch))
        return self.flat(self.conv(batch))


def double(image):
    return image * 2


def make_triple(factor):
    return lambda image: image * factor


def test_the_cache_is_used_again(tmp_path):
    body, part = Counting(), images()
    first = transfer.features(body, part, cache=tmp_path / "folder" / "f.safetensors", batch_size=5)
    assert (first.reason, body.seen, body.largest) == ("new", 12, 5)
    again = transfer.features(body, part, cache=tmp_path / "folder" / "f.safetensors")
    assert (again.reason, body.seen) == ("", 12)
    assert torch.equal(first.tensors[0], again.tensors[0])
    assert torch.equal(first.tensors[1], again.tensors[1])
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["f.safetensors"]


def nudge(body):
    with torch.no_grad():
        body.conv.weight[0, 0, 0, 0] += 1e-3
    return body


STALE = {
    "weights": lambda body, part: ((nudge(body), part, {}), "weights"),
    "precision": lambda body, part: ((body, part, {"amp": torch.bfloat16}), "precision"),
    "images": lambda body, part: ((body, part.subset(slice(1, 12)), {}), "images"),
    "transform": lambda body, part: ((body, part.with_transform(double), {}), "transform"),
    "library's transform": lambda body, part: ((body, part.with_transform(v2.Grayscale(3)), {}), "transform"),
    "closure": lambda body, part: ((body, part.with_transform(make_triple(3.0)), {}), "transform"),
}


@pytest.mark.parametrize("what", STALE)
def test_the_cache_knows_when_it_is_stale(what, tmp_path):
    body, part = Counting(), images()
    cache = tmp_path / "f.safetensors"
    transfer.features(body, part, cache=cache)
    (body, part, options), reason = STALE[what](body, part)
    found = transfer.features(body, part, cache=cache, **options)
    assert found.reason == f"{reason} changed"
    direct = transfer.features(body, part, **options)
    assert torch.equal(found.tensors[0], direct.tensors[0])
    assert transfer.features(body, part, cache=cache, **options).reason == ""


def test_closures_with_other_values_are_other_transforms(tmp_path):
    body, cache = Counting(), tmp_path / "f.safetensors"
    transfer.features(body, images(transform=make_triple(2.0)), cache=cache)
    assert transfer.features(body, images(transform=make_triple(2.0)), cache=cache).reason == ""
    assert transfer.features(body, images(transform=make_triple(3.0)), cache=cache).reason == "transform changed"


def test_a_changed_file_makes_the_cache_stale(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(tmp_path / "photos" / name / "1.png")
    to_float = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    body, cache = Counting(), tmp_path / "f.safetensors"
    photos = ImageFolder(tmp_path / "photos", to_float)
    transfer.features(body, photos, cache=cache)
    assert transfer.features(body, photos, cache=cache).reason == ""
    changed = Path(photos.samples[0][0])
    os.utime(changed, ns=(changed.stat().st_atime_ns, changed.stat().st_mtime_ns + 1))
    assert transfer.features(body, photos, cache=cache).reason == "images changed"
    assert transfer.features(body, Subset(photos, [1]), cache=cache).reason == "images changed"


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", lambda data: b"\xff" * 200])
def test_a_damaged_cache_is_made_anew(damage, tmp_path):
    body, part, cache = Counting(), images(), tmp_path / "f.safetensors"
    transfer.features(body, part, cache=cache)
    cache.write_bytes(damage(cache.read_bytes()))
    assert "damaged" in transfer.features(body, part, cache=cache).reason
    assert transfer.features(body, part, cache=cache).reason == ""


def test_random_transforms_are_refused():
    for transform in (v2.RandomHorizontalFlip(), v2.RandomCrop(16)):
        with pytest.raises(ValueError, match="transform is random"):
            transfer.features(Counting(), images(transform=transform))


def test_looking_for_randomness_draws_no_number():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    transfer._check_not_random(images(transform=lambda image: image + torch.rand(1) * 0))
    assert torch.equal(torch.rand(1), expected)


class Unknown(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.zeros(3, 8, 8), 0


class Shouting:
    def __call__(self, image):
        return image


def test_what_cannot_be_recognized_again_is_not_cached(tmp_path):
    assert len(transfer.features(Counting(), Unknown())) == 2
    with pytest.raises(ValueError, match="whether a Unknown has changed"):
        transfer.features(Counting(), Unknown(), cache=tmp_path / "f")
    with pytest.raises(ValueError, match="whether the transform has changed"):
        transfer.features(Counting(), images(transform=Shouting()), cache=tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_tensors_can_be_cached(tmp_path):
    pairs = TensorDataset(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))
    body = Counting()
    transfer.features(body, pairs, cache=tmp_path / "f")
    assert transfer.features(body, pairs, cache=tmp_path / "f").reason == ""
    pairs.tensors[0][0] += 1
    assert transfer.features(body, pairs, cache=tmp_path / "f").reason == "images changed"


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        transfer.features("resnet18", images())
    with pytest.raises(TypeError, match="must be a Dataset"):
        transfer.features(Counting(), [1, 2])


def test_a_cache_of_something_else_is_made_anew(tmp_path):
    """With the right key, but without features, or with fewer labels than features."""
    body, part, cache = Counting(), images(), tmp_path / "f.safetensors"
    transfer.features(body, part, cache=cache)
    with safe_open(cache, "pt") as file:
        key, whole = file.metadata(), file.get_tensor("features")
    for other in (
        {"features": whole},
        {"features": whole, "labels": torch.arange(3)},
        {"features": whole, "labels": torch.tensor(1)},
    ):
        save_file(other, cache, metadata=key)
        assert "damaged" in transfer.features(body, part, cache=cache).reason
    assert transfer.features(body, part, cache=cache).reason == ""


@pytest.mark.parametrize("labels", [None, [1, 2], torch.tensor(1), torch.arange(3)])
def test_features_need_as_many_labels(labels):
    with pytest.raises((TypeError, ValueError), match="labels"):
        transfer.Features(torch.ones(2, 3), labels, "new")


@pytest.mark.parametrize("rate", [float("inf"), float("nan")])
def test_rates_are_finite(rate):
    with pytest.raises(ValueError, match="lr must be a finite number"):
        transfer.parameter_groups(thin(), rate, 1e-3)
    with pytest.raises(TypeError, match="backbone_lr must be a number"):
        transfer.parameter_groups(thin(), 1e-3, "slow")
