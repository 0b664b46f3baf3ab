"""The rehearsal of the full profile: what stops it, what does not, and its account of what was left out."""

import sys
from unittest import mock

import nbformat
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit import training
from tests.notebook_functions import NOTEBOOKS
from tests.rehearse import __main__ as rehearse
from tests.rehearse import files, kernel

SETS = """
from coursekit import data
sets = {name: data.load("digits", name) for name in ("mnist", "fashion_mnist", "cifar10")}
lengths = [len(part) for s in sets.values() for part in (s.train, s.test)]
assert lengths == [60_000, 10_000] * 2 + [50_000, 10_000], lengths
sets["pets"] = data.load("cats_vs_dogs", train=1000, test=150)
sets |= {name: data.load("colour_photos", name) for name in ("flowers102", "places365")}
classes = {name: (len(s.classes), len(s.train.labels.unique())) for name, s in sets.items()}
assert list(classes.values()) == [(10, 10)] * 3 + [(2, 2), (102, 102), (365, 365)], classes
"""
WEIGHTS = """
import torch
from coursekit import pretrained
vgg16, resnet18 = pretrained.load("vgg16"), pretrained.load("resnet18")
assert sum(p.numel() for p in vgg16.model.parameters()) == 138_357_544
assert resnet18.model(torch.zeros(1, 3, 64, 64)).isfinite().all()
import torchvision
served = torchvision.models.resnet18(weights=torchvision.models.ResNet18_Weights.IMAGENET1K_V1)
assert torch.equal(served.fc.weight, resnet18.model.fc.weight)
mobile = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights="DEFAULT")
assert mobile.eval()([torch.zeros(3, 320, 320)])[0]["boxes"].shape[1] == 4
"""
ELSEWHERE = "import urllib.request\nurllib.request.urlopen('http://192.0.2.1/file')"
SETUP = 'import coursekit\nassert coursekit.setup().profile == "full"'


def rehearsed(folder, cells, capsys):
    """Rehearse a notebook of these cells, each with its tags; return the exit code and what was printed."""
    made = [nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for source, tags in cells]
    path = folder / "11_new.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return rehearse.rehearse(NOTEBOOKS.parent, [path]), capsys.readouterr().out


def test_only_what_is_said_of_trained_networks_may_fail(tmp_path, capsys):
    cells = [(SETUP, []), ("assert 1 > 2", ["trained"]), ("done = True", []), ("assert 2 > 3", [])]
    with mock.patch.object(files, "write"):
        code, printed = rehearsed(tmp_path, cells, capsys)
    assert code == 1
    assert "11_new ... cell 4 of 4: AssertionError" in printed
    assert "1 claims about what was trained do not hold here" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "tags", "message"),
    [
        ("assert 1 > 2", ["trained"], "11_new ... ok"),
        ("undefined", ["trained"], "NameError: name 'undefined'"),
        (ELSEWHERE, [], "the rehearsal uses no network"),
    ],
)
def test_what_stops_it(source, tags, message, tmp_path, capsys):
    with mock.patch.object(files, "write"):
        code, printed = rehearsed(tmp_path, [(SETUP, []), (source, tags)], capsys)
    assert code == ("ok" not in message)
    assert message in printed


@pytest.mark.slow
def test_every_set_and_network_of_the_full_profile_is_fetched_and_read(tmp_path, capsys):
    code, printed = rehearsed(tmp_path, [(SETUP, []), (SETS, []), (WEIGHTS, [])], capsys)
    assert code == 0, printed


def settings(size=8, count=320):
    torch.manual_seed(0)
    images, labels = torch.rand(count, 3, size, size), torch.arange(count) % 2
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    return model, TensorDataset(images, labels), TensorDataset(images[: count // 2], labels[: count // 2])


@pytest.fixture
def package():
    """Put back what is replaced in the package."""
    kept = {name: dict(vars(module)) for name, module in sys.modules.items() if name.startswith("coursekit")}
    with mock.patch.object(DataLoader, "__iter__", DataLoader.__iter__):
        yield
    for name, values in kept.items():
        vars(sys.modules[name]).update(values)


@pytest.mark.parametrize(
    ("name", "size", "count"), [("fit", 8, 320), ("fit", 101, 40), ("evaluate", 8, 320), ("predict", 8, 320)]
)
def test_the_account_of_a_part_is_that_of_the_whole(name, size, count, package):
    model, train, val = settings(size, count)
    data, options = ((train, val), {"epochs": 3}) if name == "fit" else ((train,), {})
    with kernel.Meter() as meter:
        _, whole, _ = meter.watch(getattr(training, name), model, *data, batch_size=8, **options)
    with kernel.Meter() as meter:
        kernel._shorten(meter)
        labels = len(train) if name == "predict" else 0  # collected one by one, and counted
        getattr(training, name)(model, *data, batch_size=8, **options)
    products, operations = meter.work + meter.omitted
    assert products == whole[0] > 2 * meter.work[0]
    assert whole[1] <= operations <= whole[1] + 3 * labels + 20  # a look at the first picture


@pytest.mark.parametrize(("size", "count"), [(8, 320), (101, 40)])
def test_a_loop_of_the_notebooks_own_is_shortened_and_accounted_for(size, count, package):
    model, train, _ = settings(size, count)

    def run():
        for images, _ in DataLoader(train, batch_size=16):
            model(images)

    with kernel.Meter() as meter:
        run()
    whole = meter.work
    with kernel.Meter() as meter:
        kernel._shorten(meter)
        run()
    assert len(next(iter(DataLoader(train, batch_size=4)))[0]) == 4
    assert meter.work[0] < whole[0] / 2
    assert (meter.work + meter.omitted)[0] == pytest.approx(whole[0], rel=1e-6)


def test_a_loop_of_thousands_of_steps_is_shortened_and_accounted_for(package):
    model, train, _ = settings()
    images = train.tensors[0][:4]
    with kernel.Meter() as meter:
        few_rounds = kernel._shorten(meter)
        assert few_rounds(2, 1000) == range(2, 1000)
        done = [model(images) is not None for _ in few_rounds(3000)]
    with kernel.Meter() as one:
        model(images)
    assert len(done) == kernel.ROUNDS
    assert tuple(meter.work + meter.omitted) == pytest.approx(tuple(3000 * one.work), rel=1e-6)


def test_predictions_of_a_part_stand_for_the_whole(package):
    model, train, _ = settings()
    kernel._shorten(kernel.Meter())
    outputs, labels = training.predict(model, train)
    assert outputs.shape == (320, 2)
    assert torch.equal(labels, train.tensors[1])


def test_memory_is_that_of_all_tensors_that_live_at_a_time():
    with kernel.Meter() as meter:
        kept = torch.zeros(1000)
        for _ in range(5):
            torch.zeros(2000)
        kept.view(10, 100)
    assert (meter.most, meter.living) == (12_000, 4_000)
