# ruff: noqa: NPY002 -- numpy's global generator is what augmentations in the wild draw from
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.training import checkpoints

CPU = torch.device("cpu")


def test_what_was_saved_is_loaded(tmp_path):
    state = {"a": torch.arange(5.0), "b": [1, 2.5, "x", None, (True, {"c": torch.ones(2, dtype=torch.bfloat16)})]}
    checkpoints.save(tmp_path / "new folder" / "ä [1].pt", state)
    loaded = checkpoints.load(tmp_path / "new folder" / "ä [1].pt")
    assert torch.equal(loaded["a"], state["a"])
    assert repr(loaded["b"]) == repr(state["b"])
    assert len(list((tmp_path / "new folder").iterdir())) == 1


@pytest.mark.parametrize("keep", [0, 1, 100, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"weights": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(checkpoints.CheckpointError, match=r"run\.pt is not a whole checkpoint"):
        checkpoints.load(path)


def test_a_file_with_one_wrong_byte_in_the_weights_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"weights": torch.zeros(4000)})
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(checkpoints.CheckpointError, match="not a whole checkpoint"):
        checkpoints.load(path)


class _Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("writer", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    writer({"weights": _Hostile()}, tmp_path / "run.pt")
    with pytest.raises(checkpoints.CheckpointError):
        checkpoints.load(tmp_path / "run.pt")
    assert not (tmp_path / "hostile").exists()


def test_something_else_or_nothing_at_all(tmp_path):
    torch.save(torch.ones(3), tmp_path / "run.pt")
    with pytest.raises(checkpoints.CheckpointError, match="holds a Tensor"):
        checkpoints.load(tmp_path / "run.pt")
    with pytest.raises(FileNotFoundError):
        checkpoints.load(tmp_path / "missing.pt")


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left .* The one before is still there"):
        checkpoints.save(path, {"epoch": 2})
    with pytest.raises(OSError, match="There is none yet"):
        checkpoints.save(tmp_path / "other.pt", {"epoch": 2})
    assert checkpoints.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        checkpoints.save(path, {"epoch": lambda: 2})
    assert checkpoints.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


KILLED = """
    import os, signal, sys, torch
    from coursekit.training import checkpoints
    path = sys.argv[1]
    checkpoints.save(path, {"epoch": 1, "weights": torch.ones(1000)})
    whole = torch.save
    def half(state, file):
        whole(state, file)
        file.truncate(file.tell() // 2)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    torch.save = half
    checkpoints.save(path, {"epoch": 2, "weights": torch.ones(1000)})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_in_the_middle_of_writing_the_previous_file_is_good(tmp_path):
    path = tmp_path / "run.pt"
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2  # the half-written file lies beside it
    assert checkpoints.load(path)["epoch"] == 1
    checkpoints.save(path, {"epoch": 3})
    assert checkpoints.load(path) == {"epoch": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.skipif(os.name != "posix", reason="needs file locks")
def test_a_file_that_another_run_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "run.pt"
    theirs = tmp_path / "run.pt.1234.part"
    with open(theirs, "wb") as file:
        assert checkpoints._lock(file)
        checkpoints.save(path, {"epoch": 1})
        assert theirs.exists()
    checkpoints.save(path, {"epoch": 2})
    assert not theirs.exists()


def test_weights_are_compared_by_name_and_shape():
    model = nn.Linear(2, 3)
    checkpoints.check_weights(model, nn.Linear(2, 3).state_dict(), "a.pt")
    with pytest.raises(
        checkpoints.CheckpointError, match=r"'weight' is \[3, 4\] in the file and \[3, 2\] in the model"
    ):
        checkpoints.check_weights(model, nn.Linear(4, 3).state_dict(), "a.pt")
    with pytest.raises(checkpoints.CheckpointError, match="'bias' is missing in the file"):
        checkpoints.check_weights(model, nn.Linear(2, 3, bias=False).state_dict(), "a.pt")
    with pytest.raises(checkpoints.CheckpointError, match=r"'extra' is \[1\] in the file and missing in the model"):
        checkpoints.check_weights(model, {**model.state_dict(), "extra": torch.ones(1)}, "a.pt")


def draws():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()


def test_random_states_come_back_also_through_a_file(tmp_path):
    np.random.randn()  # numpy keeps the second of two normal numbers for later: that is part of its state
    loader = torch.utils.data.DataLoader(torch.arange(9), shuffle=True, generator=torch.Generator())
    states = checkpoints.random_states(CPU, loader, None)
    checkpoints.save(tmp_path / "states.pt", states)
    expected = draws(), torch.cat(list(loader)).tolist()
    checkpoints.set_random_states(checkpoints.load(tmp_path / "states.pt"), CPU, loader, None)
    assert (draws(), torch.cat(list(loader)).tolist()) == expected


def test_seeded_is_a_world_of_its_own():
    with checkpoints.seeded(1, CPU):
        first = draws()
    outside = draws()
    with checkpoints.seeded(1, CPU):
        assert draws() == first
    assert draws() != outside


@pytest.mark.parametrize("path", [0, 2, True, None, 1.5])
def test_a_number_is_no_path(path):
    """Opened by its number, a file that others use would be closed: 1 is what is printed."""
    with pytest.raises(TypeError):
        checkpoints.load(path)
    os.fstat(0), os.fstat(2)


@pytest.mark.parametrize("state", [None, "text", [1], torch.ones(1)])
def test_only_a_dict_takes_the_place_of_a_checkpoint(state, tmp_path):
    path = tmp_path / "a.pt"
    checkpoints.save(path, {"a": 1})
    with pytest.raises(TypeError, match="state must be a dict"):
        checkpoints.save(path, state)
    assert checkpoints.load(path) == {"a": 1}
