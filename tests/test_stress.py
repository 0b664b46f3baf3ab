"""The scripts of tests/stress, each in a small version; and what they found."""

import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from coursekit.data import archives
from coursekit.data.downloads import DownloadError
from coursekit.training import CheckpointError, checkpoints
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


def test_packed_checkpoints_are_refused(tmp_path):
    path, packed = tmp_path / "a.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.zeros(100_000)}, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name))
    assert torch.load(packed, weights_only=True)["a"].shape == (100_000,)  # torch would unpack it
    with pytest.raises(CheckpointError, match="is packed"):
        checkpoints.load(packed)


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
    with pytest.raises(CheckpointError, match=why) as caught:
        checkpoints.load(path)
    assert "weights_only" not in str(caught.value)
    assert caught.value.__suppress_context__  # torch's advice is not shown above it either


def test_other_reasons_why_checkpoints_are_refused():
    assert checkpoints.why_not(EOFError()) == "EOFError: no reason given"
    assert checkpoints.why_not(KeyError("a\nb")) == r"KeyError: 'a\nb'"


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
