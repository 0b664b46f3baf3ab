# ruff: noqa: NPY002 -- numpy's global generator is what augmentations in the wild draw from
import collections
import os
import pickle
import random
import signal

import numpy as np
import pytest
import torch

from coursekit.training import checkpoints

CPU = torch.device("cpu")


def test_what_was_saved_is_loaded(tmp_path):
    state = {"a": torch.arange(5.0), "b": [1, 2.5, "x", None, (True, {"c": torch.ones(2, dtype=torch.bfloat16)})]}
    checkpoints.save(tmp_path / "new folder" / "ä [1].pt", state)
    loaded = checkpoints.load(tmp_path / "new folder" / "ä [1].pt")
    assert torch.equal(loaded["a"], state["a"])
    assert repr(loaded["b"]) == repr(state["b"])
    assert len(list((tmp_path / "new folder").iterdir())) == 1


@pytest.mark.parametrize("keep", [0, 1, 0.3, 0.9, -1])
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


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("writer", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    writer({"weights": Hostile()}, tmp_path / "run.pt")
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.load(tmp_path / "run.pt")
    assert not (tmp_path / "hostile").exists()
    assert "weights_only" not in str(caught.value)  # torch's advice is to trust the file
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_disk_that_is_full_leaves_the_old_file_and_the_message_says_so(tmp_path, monkeypatch, broken):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match=r"No space left .* The one before is still there"):
        checkpoints.save(path, {"epoch": 2})
    with pytest.raises(OSError, match="There is none yet"):
        checkpoints.save(tmp_path / "other.pt", {"epoch": 2})
    assert checkpoints.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_nothing_can_fail_after_the_new_file_is_in_place(tmp_path, monkeypatch):
    """Syncing a folder does, on some network drives; then the message would be wrong."""
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1})
    replace, fsync = os.replace, os.fsync

    def renamed(*names):
        replace(*names)

        def fail(*_):
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.setattr(os, "open", fail)

    monkeypatch.setattr(os, "replace", renamed)
    checkpoints.save(path, {"epoch": 2})
    monkeypatch.undo()
    assert os.fsync is fsync
    assert checkpoints.load(path) == {"epoch": 2}


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1})
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        checkpoints.save(path, {"epoch": lambda: 2})
    assert checkpoints.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def die_in_the_middle(path):
    """In a child of this process, which has all imports already."""
    whole = torch.save

    def half(state, file):
        whole(state, file)
        file.truncate(file.tell() // 2)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    try:
        checkpoints.save(path, {"epoch": 2, "weights": torch.ones(1000)})
    finally:
        os._exit(0)


@pytest.mark.skipif(os.name != "posix", reason="forks, and needs SIGKILL")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # newer Pythons: has threads
def test_killed_in_the_middle_of_writing_the_previous_file_is_good(tmp_path):
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"epoch": 1, "weights": torch.ones(1000)})
    child = os.fork()
    if child == 0:
        die_in_the_middle(path)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2  # the half-written file lies beside it
    assert checkpoints.load(path)["epoch"] == 1
    checkpoints.save(path, {"epoch": 3})
    assert checkpoints.load(path) == {"epoch": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_plain_values(tmp_path):
    state = collections.OrderedDict(
        lr=np.float64(0.5), betas=(np.float32(0.5), 0.9), steps=np.arange(3), step=collections.Counter([np.int64(3)]),
        nested=[{"x": np.bool_(True), "decay": len}], weight=torch.nn.Parameter(torch.ones(2)),
    )  # fmt: skip
    found = checkpoints.plain(state)
    weight = found.pop("weight")
    assert torch.equal(weight, torch.ones(2))
    assert repr(dict(found)) == (
        "{'lr': 0.5, 'betas': (0.5, 0.9), 'steps': [0, 1, 2], 'step': Counter({3: 1}), 'nested': [{'x': True}]}"
    )
    checkpoints.save(tmp_path / "a.pt", found)
    assert checkpoints.load(tmp_path / "a.pt") == found


@pytest.mark.parametrize("value", [object(), {"a": [len]}, {3, 4}, [Hostile()]])
def test_what_could_not_be_read_again_is_refused(value):
    with pytest.raises(TypeError, match="a checkpoint can hold tensors, numbers, texts"):
        checkpoints.plain([value])


def draws():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()


def test_random_states_come_back_also_through_a_file(tmp_path):
    np.random.randn()  # numpy keeps the second of two normal numbers for later: that is part of its state
    loader = torch.utils.data.DataLoader(torch.arange(9), shuffle=True, generator=torch.Generator())
    sampler = torch.utils.data.RandomSampler(range(9), generator=torch.Generator())
    other = torch.utils.data.DataLoader(torch.arange(9), sampler=sampler)
    sources = checkpoints.generators(CPU, loader, None, other)
    states = {name: checkpoints.plain(read()) for name, (read, _) in sources.items()}
    checkpoints.save(tmp_path / "states.pt", states)
    expected = torch.cat(list(loader)).tolist(), torch.cat(list(other)).tolist(), draws()
    checkpoints.put_back(sources, checkpoints.load(tmp_path / "states.pt"))
    assert (torch.cat(list(loader)).tolist(), torch.cat(list(other)).tolist(), draws()) == expected


def test_seeded_is_a_world_of_its_own():
    with checkpoints.seeded(1, CPU):
        first = draws()
    outside = draws()
    with checkpoints.seeded(1, CPU):
        assert draws() == first
    assert draws() != outside


def test_losses_are_described_with_their_settings():
    cross_entropy, Loss = torch.nn.functional.cross_entropy, torch.nn.CrossEntropyLoss
    assert checkpoints.describe(cross_entropy) == "cross_entropy {}"
    smooth = checkpoints.partial(cross_entropy, label_smoothing=0.1)
    assert checkpoints.describe(smooth) == "cross_entropy {'label_smoothing': 0.1}"
    assert checkpoints.describe(Loss(label_smoothing=0.1)) != checkpoints.describe(Loss())
    assert checkpoints.describe(Loss()) == checkpoints.describe(Loss())
