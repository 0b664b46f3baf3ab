"""The scripts of tests/stress, each in a small version; and what they found."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from coursekit.pretrained import WeightsError, store
from coursekit.training import CheckpointError, checkpoints

SCRIPTS = Path(__file__).parent / "stress"
SMALL = {
    "kill": ["--kills", "4"],
    "downloads": ["--small"],
    "badimages": [],
    "surroundings": ["--small"],
    "together": ["--small"],
}
OTHERS = {"__init__", "common", "shared_cache"}


def test_every_script_is_tried():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {*SMALL, *OTHERS}


@pytest.mark.skipif(os.name == "nt", reason="forks, mounts and makes pipes")
@pytest.mark.parametrize("name", SMALL)
def test_stress(name):
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", *SMALL[name]], capture_output=True, text=True, check=False
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert done.returncode == 0
    assert sum(number for _, number, _ in result["rows"]) >= 4


# --- What they found


@pytest.mark.parametrize("text", ["[]", "3", '{"x": "text"}', '{"x": {"bytes": 1}}', "[" * 100_000])
def test_cards_that_are_none(tmp_path, text):
    (tmp_path / store.CARDS).write_text(text)
    with pytest.raises(WeightsError, match="Get a fresh copy"):
        store.read_cards(tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_of_torch_are_read_and_nothing_else(tmp_path, legacy):
    path = tmp_path / "a.pth"
    torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=not legacy)
    assert store.read_torch(path)["a"].tolist() == [0, 1, 2]
    for other in (torch.nn.Linear(2, 2), [torch.ones(1)], {"a": 3}, print):
        torch.save(other, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(WeightsError, match="holds no weights to be trusted") as caught:
            store.read_torch(path)
        assert "weights_only=False" not in str(caught.value)  # torch's advice is the wrong one here


def test_packed_checkpoints_are_refused(tmp_path):
    path, packed = tmp_path / "a.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.zeros(100_000)}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name))
    assert torch.load(packed, weights_only=True)["a"].shape == (100_000,)  # torch would unpack it
    with pytest.raises(CheckpointError, match="is packed"):
        checkpoints.load(packed)
    with pytest.raises(WeightsError, match="is packed"):
        store.read_torch(packed)


class Runs:
    """A pickle that asks to run a command."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (Runs(), rf"\(it asks for {os.name}\.system, and may hold tensors and plain values only\)"),
        (torch.nn.Linear(2, 2), r"\(it asks for torch\.nn\.modules\.linear\.Linear, and may hold"),
    ],
)
def test_refused_weights_say_what_they_asked_for(tmp_path, content, why):
    path = tmp_path / "a.pt"
    torch.save(content, path)
    for read, error in ((checkpoints.load, CheckpointError), (store.read_torch, WeightsError)):
        with pytest.raises(error, match=why) as caught:
            read(path)
        assert "weights_only" not in str(caught.value)
        assert caught.value.__suppress_context__  # torch's advice is not shown above it either


def test_other_reasons_why_weights_are_refused(tmp_path):
    assert checkpoints.why_not(EOFError()) == "EOFError: no reason given"
    assert checkpoints.why_not(KeyError("a\nb")) == r"KeyError: 'a\nb'"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(WeightsError, match=r"\(it is a pickle that torch did not write: Unsupported operand 149\)"):
        store.read_torch(path)


def test_a_run_leaves_the_files_of_another_run_beside_it(tmp_path):
    others = [
        tmp_path / name for name in ("run.pt.2.1234.part", "run.pt.part", "run.pt.1234.part.txt", "run_pt.12.part")
    ]
    for path in others:
        path.write_bytes(b"not locked yet")
    (tmp_path / "run.pt.1234.part").write_bytes(b"left by a run that was killed")
    checkpoints.save(tmp_path / "run.pt", {"epoch": 1})
    assert set(tmp_path.iterdir()) == {tmp_path / "run.pt", *others}


@pytest.mark.parametrize("locked", [True, False])
def test_a_file_that_was_taken_for_a_leftover_is_made_again(tmp_path, monkeypatch, locked):
    """Another process that saves to the same path may come between the making of a file and its lock."""
    lock, tries = checkpoints._lock, []

    def late(file):
        tries.append(file.name)
        if len(tries) == 1:
            os.unlink(file.name)
            return locked
        return lock(file)

    monkeypatch.setattr(checkpoints, "_lock", late)
    checkpoints.save(tmp_path / "run.pt", {"epoch": 1})
    assert checkpoints.load(tmp_path / "run.pt") == {"epoch": 1}
    assert len(tries) == 2
