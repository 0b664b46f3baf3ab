"""The training of the stored curves: it learns, drops blocks, follows paths, writes what notebook 05 reads."""

import re

import pytest
import torch
import torch.nn.functional as F

from coursekit import data, resnet
from coursekit.data import ImageSet
from tools import train_curves


@pytest.fixture
def pictures():
    """Two kinds of pictures, light and dark."""
    labels = torch.arange(240) % 2
    noise = torch.randint(0, 60, (240, 3, 24, 24), dtype=torch.uint8)
    return ImageSet(noise + 150 * labels[:, None, None, None].to(torch.uint8), labels, ("dark", "light"))


@pytest.fixture
def small(monkeypatch):
    for name, value in (("BLOCKS", (1, 2)), ("WIDTH", 4), ("BATCH", 20), ("DRAWS", 2)):
        monkeypatch.setattr(train_curves, name, value)


def test_all_networks_are_trained_and_what_is_asked_of_them_is_stored(pictures, small):
    runs = list(train_curves.train_all(pictures, 200, 2, [0]))
    networks = [("plain", 2), ("residual", 2), ("plain", 1), ("residual", 1)]
    assert [(run["network"], run["blocks"]) for run in runs] == networks
    assert all(len(run["train_error"]) == len(run["test_error"]) == 2 for run in runs)
    assert min(run["train_error"][-1] for run in runs) < 10
    for run in runs:
        assert ("without_one" in run) == (run["blocks"] == 2)
        assert ("path_gradients" in run) == ((run["network"], run["blocks"]) == ("residual", 2))
        if run["blocks"] == 2:
            assert len(run["without_one"]) == 2
            assert [len(errors) for errors in run["without_several"]] == [3, 3]
            assert all(errors[0] == run["test_error"][-1] for errors in run["without_several"])
    again = list(train_curves.train_all(pictures, 200, 2, [0]))
    for run in runs + again:
        del run["seconds"]
    assert runs == again


def test_batches_are_shifted_and_half_of_them_mirrored():
    image = torch.arange(1, 50, dtype=torch.uint8).view(1, 1, 7, 7)
    shifted = train_curves.Shifted(ImageSet(image, torch.tensor([0]), ("one",)))
    padded = F.pad(image, [train_curves.MARGIN] * 4)
    views = padded.unfold(2, 7, 1).unfold(3, 7, 1).reshape(-1, 7, 7)
    possible = {tuple(view.flatten().tolist()) for view in (*views, *views.flip(2))}
    torch.manual_seed(0)
    batch, labels = shifted[[0] * 2000]
    assert batch.shape == (2000, 1, 7, 7)
    assert labels.shape == (2000,)
    assert {tuple(view.flatten().tolist()) for view in batch} == possible


def test_path_gradients_of_one_block_sum_to_the_gradient(small):
    """With one block there are two paths; their gradients are added where it has no ReLU at zero."""
    torch.manual_seed(0)
    model = resnet.tower(1, 2, 3, 4).eval()
    images = ImageSet(torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8), torch.arange(64) % 2, ("a", "b"))
    around, through = (norms[0] for norms in train_curves.path_gradients(model, images, 0))
    x, labels = images[:64]
    start = model[0](x).detach().requires_grad_()
    y = F.relu(start + model[1].branch(start).detach())
    F.cross_entropy(model[2](y), labels).backward()
    assert around == pytest.approx(start.grad.norm().item(), rel=1e-3)
    assert through != around


def test_the_command_writes_what_data_curves_reads(pictures, small, tmp_path, monkeypatch, capsys):
    pictures = ImageSet(F.pad(pictures.images, [4] * 4), pictures.labels, pictures.classes)
    monkeypatch.setattr(data, "cifar10", lambda: data.Splits(pictures, pictures, "cifar10", "drawn"))
    train_curves.main(["--photos", "100", "--epochs", "1", "--seeds", "3", "--into", str(tmp_path)])
    monkeypatch.setattr("coursekit.data.bundled._CURVES", (tmp_path,))
    stored = data.curves("resnet")
    assert stored["card"]["command"] == "python -m tools curves --cifar DIR --photos 100 --epochs 1 --seeds 3"
    assert [run["seed"] for run in stored["runs"]] == [3] * 4
    assert len(re.findall("training error", capsys.readouterr().out)) == 4


def test_the_stored_curves_show_what_the_notebook_says():
    stored = data.curves("resnet")
    error = {(run["network"], run["blocks"]): run["train_error"][-1] for run in stored["runs"]}
    assert set(error) >= {(name, blocks) for name in ("plain", "residual") for blocks in (3, 15)}
    assert all(len(run["train_error"]) == stored["card"]["epochs"] for run in stored["runs"])
    assert error["plain", 15] > error["plain", 3] + 8  # degradation
    assert error["residual", 15] < error["residual", 3] + 5
