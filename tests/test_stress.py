"""The scripts of tests/stress, each in a small version; and what they found."""

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coursekit.data import archives
from coursekit.data.downloads import DownloadError
from coursekit.pretrained import WeightsError, store
from tests.odd_archives import make_tar, make_zip

SCRIPTS = Path(__file__).parent / "stress"
SMALL = {
    "kill": ["--kills", "4"],
    "downloads": ["--small"],
    "badimages": [],
    "hostile": [],
    "surroundings": ["--small"],
    "together": ["--small"],
}
OTHERS = {"__init__", "common", "damage", "shared_cache"}


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


def test_a_name_that_no_disk_takes_is_the_archives_fault(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"/".join(["d"] * 3000) + "/x": b"deep"})
    with pytest.raises(DownloadError, match=r"is refused: the name 'd/d/.* is too long"):
        archives.unpack(archive, tmp_path / "folder", progress=False)
    assert not (tmp_path / "folder").exists()


def test_other_troubles_with_the_disk_are_the_disks(tmp_path, monkeypatch):
    def closed(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    archive = make_zip(tmp_path / "a.zip")
    monkeypatch.setattr(archives, "_safe_name", closed)
    with pytest.raises(DownloadError, match=r"cannot be written to \(Permission denied\)"):
        archives.unpack(archive, tmp_path / "folder", progress=False)


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
    with pytest.raises(WeightsError, match=why) as caught:
        store.read_torch(path)
    assert "weights_only" not in str(caught.value)
    assert caught.value.__suppress_context__  # torch's advice is not shown above it either


def test_other_reasons_why_weights_are_refused(tmp_path):
    assert store.why_not(EOFError()) == "EOFError: no reason given"
    assert store.why_not(KeyError("a\nb")) == r"KeyError: 'a\nb'"
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(WeightsError, match=r"\(it is a pickle that torch did not write: Unsupported operand 149\)"):
        store.read_torch(path)
