"""Training in several processes: the steps of one process, each sample once, and taken up again after a death."""

import contextlib
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import training

ROOT = Path(__file__).parent.parent
if find_spec("lightning") is None:  # importing it takes seconds, in each worker
    pytest.skip("training in several processes needs the group `lightning`", allow_module_level=True)


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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What each of two processes has found."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, text = start(folder / "out", folder / "run.pt", "--strategy", "ddp_fork")
    assert code == 0, text
    return [torch.load(f"{folder / 'out'}.{rank}") for rank in range(2)]


def test_two_processes_take_the_steps_of_one(undisturbed):
    from tests.fabric_run import run

    alone = run(False, device="cpu")
    first, second = (found["plain"] for found in undisturbed)
    for name, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(first["weights"][name], second["weights"][name])
    assert first["rows"] == second["rows"]
    for row, expected in zip(first["rows"], alone["rows"], strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-5)


@pytest.mark.slow
def test_after_the_death_of_a_process_the_run_goes_on_as_if_nothing_had_happened(undisturbed, tmp_path):
    """With dropout and batch norm, whose random states and statistics are each process's own."""
    code, _ = start(tmp_path / "killed", tmp_path / "run.pt", "--die", 3, 1)
    assert code != 0
    assert not (tmp_path / "killed.0").exists()
    assert len(training.checkpoints.load(tmp_path / "run.pt")["rows"]) == 2, "it was to die in the third epoch"
    code, text = start(tmp_path / "resumed", tmp_path / "run.pt")
    assert code == 0, text
    for rank, whole in enumerate(undisturbed):
        whole, resumed = whole["noisy"], torch.load(f"{tmp_path / 'resumed'}.{rank}")["noisy"]
        assert resumed["rows"] == whole["rows"]
        assert resumed["losses"] == whole["losses"]
        for name, value in whole["weights"].items():
            assert torch.equal(resumed["weights"][name], value), name
    assert not list(tmp_path.glob("*.part"))


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


def test_processes_must_be_started_first():
    from lightning.fabric import Fabric

    data = TensorDataset(torch.rand(20, 3), torch.arange(20) % 2)
    with pytest.raises(RuntimeError, match=r"call `\.launch\(\)`"):
        training.fit(nn.Linear(3, 2), data, epochs=1, fabric=Fabric(accelerator="cpu", devices=2, strategy="ddp"))


# What notebook 03 says about Lightning


@pytest.mark.slow
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
