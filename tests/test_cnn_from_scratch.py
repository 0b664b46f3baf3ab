"""What notebook 03 writes by hand is what torch and the package compute; `test_training` has the loop."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import training
from tests.notebook_functions import functions_of


@pytest.fixture(scope="module")
def notebook():
    found = functions_of("03_cnn_from_scratch")
    found.softmax.__globals__["device"] = torch.device("cpu")
    return found


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def batch(count=20):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, 8, 8, generator=generator), torch.arange(count) % 3


@pytest.mark.parametrize("size", [1.0, 300.0])  # the second overflows where nothing is subtracted
def test_softmax_and_cross_entropy(notebook, size):
    z = size * torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    torch.testing.assert_close(notebook.softmax(z), z.softmax(1))
    if size == 1:
        y = torch.arange(50) % 7
        torch.testing.assert_close(notebook.cross_entropy(z, y), F.cross_entropy(z, y))


@pytest.mark.parametrize("options", [{}, {"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-3}])
def test_adam(notebook, options):
    ours, theirs = network().double(), network().double()
    optimizers = notebook.Adam(ours.parameters(), **options), torch.optim.Adam(theirs.parameters(), **options)
    x, y = batch()
    for model, optimizer in 5 * [(ours, optimizers[0]), (theirs, optimizers[1])]:
        model.zero_grad()
        F.cross_entropy(model(x.double()), y).backward()
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_validation(notebook):
    model, images = network(), TensorDataset(*batch(600))
    loss, accuracy = notebook.validate(model, images)
    expected = training.evaluate(model, images, device="cpu")
    assert (loss, accuracy) == pytest.approx((expected["loss"], expected["accuracy"]))
    assert not model.training


def test_dead_units(notebook):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    nn.init.constant_(model[0].bias, 10.0)
    with torch.no_grad():
        model[0].bias[1] = -10.0
    assert notebook.dead_units(model, batch()[0]) == 0.25
    assert not model[1]._forward_hooks
