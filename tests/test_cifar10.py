"""The benchmark that records the CIFAR-10 curves of notebook 03: what it stores, and what it trains."""

import json

import pytest
import torch

from coursekit import data
from tests.benchmarks import cifar10

NETWORKS = {"osu", "osu + batch norm", "osu + batch norm + dropout", "recipe"}


def test_stored_curves_are_those_that_the_notebook_draws():
    runs = data.curves("cifar10")["runs"]
    assert {run["network"] for run in runs if run["seed"] == 0} == NETWORKS
    for run in runs:
        columns = [run[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr")]
        assert {len(column) for column in columns} == {run["epochs"]}
        assert run["images"] == [40_000, 10_000]
        assert 0.5 < max(run["val_accuracy"]) < 0.95
        assert run["loss"][-1] < run["loss"][0]


def test_a_run_replaces_the_one_of_the_same_network_and_seed(tmp_path):
    path = tmp_path / "curves.json"
    for network, seed, epochs in (("osu", 0, 1), ("osu", 1, 1), ("recipe", 0, 1), ("osu", 0, 2)):
        cifar10.store(path, {"network": network, "seed": seed, "epochs": epochs})
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    assert [tuple(run.values()) for run in runs] == [("osu", 0, 2), ("osu", 1, 1), ("recipe", 0, 1)]


@pytest.mark.parametrize(("batch_norm", "dropout", "parameters"), [(False, False, 545_098), (True, True, 545_546)])
def test_the_network_of_the_lecture(batch_norm, dropout, parameters):
    images = torch.rand(4, 3, 32, 32)
    model = cifar10.osu_network(images, 10, batch_norm, dropout)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(images).shape == (4, 10)
    kinds = {type(module).__name__ for module in model}
    assert ("BatchNorm2d" in kinds, "Dropout" in kinds) == (batch_norm, dropout)
