"""Training in several processes: the steps of one process, each sample once, and taken up again after a death."""

import contextlib
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from coursekit import training
from coursekit.training.batches import make_loader
from coursekit.training.processes import Shares, Team

ROOT = Path(__file__).parent.parent
pytest.importorskip("lightning", reason="training in several processes needs the extra `lightning`")


def start(out, *arguments):
    """Run the script in processes of its own, which all end with it, whatever happens."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "fabric_run.py"), str(out), *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        text, _ = process.communicate(timeout=200)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, text


def results(out, processes=2):
    return [torch.load(f"{out}.{rank}") for rank in range(processes)]


def alone(samples):
    """The same run in this process, without Fabric."""
    from tests.fabric_run import Digits, network

    model = network(norm=False, dropout=False)
    history = training.fit(
        model,
        Digits(samples, 1),
        Digits(7, 2),
        epochs=4,
        batch_size=8,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        clip=1.0,
        keep_best=True,
        device="cpu",
    )
    return model.state_dict(), history


@pytest.mark.parametrize("samples", [21, 17])  # the last batch has 5 samples, or one for two processes
def test_two_processes_take_the_steps_of_one(samples, tmp_path):
    code, text = start(tmp_path / "out", "--samples", samples)
    assert code == 0, text
    weights, history = alone(samples)
    first, second = results(tmp_path / "out")
    for name, value in weights.items():
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(first["weights"][name], second["weights"][name])
    assert first["rows"] == second["rows"]
    for row, expected in zip(first["rows"], history.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    assert first["losses"] == pytest.approx(history.batch_losses, rel=1e-5)
    borrowed = 4 if samples == 17 else 0  # one sample in each epoch, with a weight of 0
    assert len(first["seen"]) + len(second["seen"]) == 4 * samples + borrowed
    assert set(first["seen"]) | set(second["seen"]) == set(range(samples))


def test_after_the_death_of_a_process_the_run_goes_on_as_if_nothing_had_happened(tmp_path):
    """With dropout and batch norm, whose random states and statistics are each process's own."""
    how = ("--norm", "--dropout", "--autosave")
    code, text = start(tmp_path / "undisturbed", *how, tmp_path / "a.pt")
    assert code == 0, text
    code, _ = start(tmp_path / "killed", *how, tmp_path / "b.pt", "--die", 3, 1)
    assert code != 0
    assert not (tmp_path / "killed.0").exists()
    saved = training.checkpoints.load(tmp_path / "b.pt")
    assert saved["epoch"] == 2, "it was to die in the third epoch"
    code, text = start(tmp_path / "resumed", *how, tmp_path / "b.pt")
    assert code == 0, text
    for whole, resumed in zip(results(tmp_path / "undisturbed"), results(tmp_path / "resumed"), strict=True):
        assert resumed["rows"] == whole["rows"]
        assert resumed["losses"] == whole["losses"]
        for name, value in whole["weights"].items():
            assert torch.equal(resumed["weights"][name], value), name
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_one_process_of_a_fabric_is_as_good_as_none():
    from lightning.fabric import Fabric

    data = TensorDataset(torch.rand(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2)
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    weights = []
    for settings in ({"fabric": fabric}, {"device": "cpu"}):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        training.fit(model, data, data, epochs=2, batch_size=8, **settings)
        weights.append(model.weight.detach())
    assert torch.equal(*weights)


def test_lightning_is_not_imported_without_a_fabric():
    code = (
        "import sys, torch; from coursekit import training; from torch.utils.data import TensorDataset as T;"
        "training.fit(torch.nn.Linear(2, 2), T(torch.rand(4, 2), torch.tensor([0, 1, 0, 1])), epochs=1, device='cpu');"
        "sys.exit(any(name.startswith('lightning') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# One process's view, without starting others


def team(processes, rank=0):
    made = Team()
    made.processes, made.rank = processes, rank
    return made


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 8, 13])
def test_shares_hold_each_sample_once(processes, count):
    data = TensorDataset(torch.arange(count))
    whole = list(BatchSampler(RandomSampler(data, generator=torch.Generator().manual_seed(3)), 4, drop_last=False))
    found: list = [[] for _ in whole]
    for rank in range(processes):
        sampler = RandomSampler(data, generator=torch.Generator().manual_seed(3))
        shares = Shares(BatchSampler(sampler, 4, drop_last=False), rank, processes)
        drawn = list(shares)
        assert len(shares) == len(drawn) == len(whole)
        for index, (indices, (own, total)) in enumerate(zip(drawn, shares.sizes, strict=True)):
            assert total == len(whole[index])
            assert indices, "nobody may miss a step"
            found[index] += indices[:own]
    assert [sorted(batch) for batch in found] == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_loader_is_shared_whichever_way_it_was_made(in_memory):
    data = TensorDataset(torch.arange(6.0), torch.arange(6))
    loader = make_loader(data, "train", 4) if in_memory else DataLoader(data, 4, shuffle=False)
    batches = [labels.tolist() for _, labels in team(2, 1).share(loader, "train")]
    assert batches == [[1, 3], [5]]
    assert team(1).share(loader, "train") is loader


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


def test_what_cannot_be_shared_is_refused():
    data = TensorDataset(torch.arange(6.0), torch.arange(6))
    with pytest.raises(ValueError, match="each process would shuffle train differently"):
        team(2).share(DataLoader(data, 2, shuffle=True), "train")
    for sampler in (WeightedRandomSampler([1.0] * 6, 6), SubsetRandomSampler(range(6))):
        with pytest.raises(ValueError, match=f"give fit the data set itself, or its {type(sampler).__name__} a gen"):
            team(2).share(DataLoader(data, 2, sampler=sampler), "train")
        sampler.generator = torch.Generator()
        assert len(team(2).share(DataLoader(data, 2, sampler=sampler), "train")) == 3
    with pytest.raises(ValueError, match="val cannot be shared among processes: a stream"):
        team(2).share(DataLoader(Stream(), 2), "val")


def fake(**changes):
    values = {
        "world_size": 2, "global_rank": 0, "device": torch.device("cpu"), "setup_module": None, "backward": None,
        "all_reduce": None, "broadcast": None, "strategy": type("DDPStrategy", (), {})(),
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_wrong_fabrics():
    data, model = TensorDataset(torch.rand(4, 2), torch.arange(4) % 2), nn.Linear(2, 2)
    with pytest.raises(TypeError, match="fabric must be a Fabric of Lightning, not int"):
        training.fit(model, data, epochs=1, fabric=2)
    with pytest.raises(ValueError, match=r"call fabric\.launch"):
        training.fit(model, data, epochs=1, fabric=fake())
    with pytest.raises(ValueError, match="cannot use FSDPStrategy"):
        training.fit(model, data, epochs=1, fabric=fake(strategy=type("FSDPStrategy", (), {})()))
    with pytest.raises(ValueError, match="device or fabric, not both"):
        training.fit(model, data, epochs=1, device="cpu", fabric=fake(world_size=1))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_a_fabric_with_a_precision_of_its_own_is_refused(precision):
    from lightning.fabric import Fabric

    data, model = TensorDataset(torch.rand(4, 2), torch.arange(4) % 2), nn.Linear(2, 2)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    with pytest.raises(ValueError, match=rf"cannot use Fabric\(precision='{precision}'\): leave precision out"):
        training.fit(model, data, epochs=1, fabric=fabric)


# What notebook 03 says about Lightning


@pytest.mark.filterwarnings("ignore")  # Lightning gives advice as warnings: more workers, another logger
def test_the_listing_of_notebook_03_runs(tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / "03_cnn_from_scratch.ipynb", as_version=4)
    listings = [part.split("```")[0] for cell in notebook.cells for part in cell.source.split("```python\n")[1:]]
    first = next(number for number, listing in enumerate(listings) if "import lightning as L" in listing)
    listing = "\n".join(listings[first : first + 3]).replace("max_epochs=12", "max_epochs=1")
    assert "max_epochs=1," in listing
    monkeypatch.chdir(tmp_path)
    images, labels = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 10
    data = TensorDataset(images, labels)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = {"model": model, "train": data, "val": data, "torch": torch}
    exec(listing, names)
    assert not torch.equal(model[0].weight, before["0.weight"])
    best = Path(names["best"].best_model_path)
    assert best.is_file()
    assert best.is_relative_to(tmp_path)
