"""Archives and weights that want to do harm: refused with the reason, and nothing is run or written outside.

python tests/stress/hostile.py
"""

import contextlib
import hashlib
import io
import json
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils.data import TensorDataset

from coursekit import pretrained, transfer
from coursekit.data.archives import unpack
from coursekit.data.downloads import DownloadError
from coursekit.pretrained import WeightsError
from coursekit.training import CheckpointError, checkpoints
from tests.stress import common, damage


def refusal(kind: str, expected: type[Exception], said: str, act: Callable[[], object]) -> list[str]:
    """Return nothing if ``act`` raises the expected error with the reason, else what it did."""
    try:
        act()
    except expected as error:
        return [] if re.search(said, str(error), re.IGNORECASE | re.DOTALL) else [f"{kind}: not {said!r}, but {error}"]
    except Exception as error:
        return [f"{kind}: {type(error).__name__}: {str(error)[:200]}"]
    return [f"{kind}: was accepted"]


def files(folder: Path) -> dict[Path, bytes | None]:
    """Return everything below a folder, with the contents of files; a link is not followed."""
    plain = {path: path.is_file() and not path.is_symlink() for path in folder.rglob("*")}
    return {path: path.read_bytes() if readable else None for path, readable in plain.items()}


def written(folder: Path, before: dict[Path, bytes | None], kind: str) -> list[str]:
    """Name what was made or changed below a folder since ``before``, and is no part of the work asked for."""
    after = files(folder)
    changed = [path for path in after if path not in before or before[path] != after[path]]
    return [f"{kind}: wrote {path.relative_to(folder)}" for path in sorted(changed)[:3]]


def refuse_archives(scratch: Path) -> tuple[int, list[str]]:
    """Unpack each, three folders deep, into a folder that must not come to be."""
    wrong = []
    cases = damage.archives(scratch)
    for number, (kind, (ending, make, said)) in enumerate(cases.items()):
        home = scratch / "archives" / str(number) / "deep"
        home.mkdir(parents=True)
        archive, target = home / f"bad.{ending}", home / "made" / "folder"
        make(archive)
        target.parent.mkdir()
        (target.parent / ".folder.lock").touch()
        before = files(scratch)
        wrong += refusal(kind, DownloadError, said, lambda a=archive, t=target: unpack(a, t, max_files=2000))
        wrong += written(scratch, before, kind)
        shutil.rmtree(home.parent)
    return len(cases), wrong


def refuse_safetensors(scratch: Path) -> tuple[int, list[str]]:
    """Store each with a card that fits, so that the checksum does not already give it away; also as cached features."""
    wrong = []
    data = TensorDataset(torch.rand(6, 3, 8, 8), torch.arange(6))
    backbone = torch.nn.Flatten()
    right = transfer.features(backbone, data, device="cpu")
    folder = scratch / "weights"
    folder.mkdir()
    cache = folder / "cache.safetensors"
    for kind, (content, said) in damage.bad_safetensors().items():
        (folder / "bad.safetensors").write_bytes(content)
        card = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (folder / pretrained.CARDS).write_text(json.dumps({"bad": card}))
        cache.write_bytes(content)
        before = files(scratch)
        wrong += refusal(f"weights: {kind}", WeightsError, said, lambda: pretrained.read_weights("bad", folder))
        wrong += written(scratch, before, f"weights: {kind}")
        again = transfer.features(backbone, data, cache=cache, device="cpu")
        if not re.search(rf"the file was damaged \(.*({said})", again.reason, re.IGNORECASE):
            wrong.append(f"cached features: {kind}: not {said!r}, but {again.reason!r}")
        if not all(map(torch.equal, again.tensors, right.tensors)):
            wrong.append(f"cached features: {kind}: other features")
        before[cache] = cache.read_bytes()  # they are computed anew and kept
        wrong += written(scratch, before, f"cached features: {kind}")
    return 2 * len(damage.bad_safetensors()), wrong


def refuse_pickles(scratch: Path) -> tuple[int, list[str]]:
    """Read each as a checkpoint."""
    wrong, bad = [], damage.bad_pickles(scratch)
    path = scratch / "bad.pth"
    for kind, (content, as_checkpoint, _) in bad.items():
        path.write_bytes(content)
        before = files(scratch)
        wrong += refusal(f"checkpoint: {kind}", CheckpointError, as_checkpoint, lambda: checkpoints.load(path))
        wrong += written(scratch, before, f"code that ran: {kind}")
    return len(bad), wrong


PARTS = {
    refuse_archives: "hostile archives: names that lead out, links, devices, bombs",
    refuse_safetensors: "hostile safetensors: lying headers, overlapping offsets, impossible shapes",
    refuse_pickles: "hostile pickles: code, modules, bombs, as checkpoints",
}


def main() -> None:
    """Do everything in one folder, which is also the working directory and the place of temporary files."""
    rows, wrong = [], []
    for part, what in PARTS.items():
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            scratch = Path(name).resolve()
            tempfile.tempdir = str(scratch)
            with contextlib.chdir(scratch):
                number, troubles = part(scratch)
            tempfile.tempdir = None
        outcome = "refused with the reason, nothing run, nothing written outside"
        rows.append((what, number, "WRONG" if troubles else outcome))
        wrong += troubles
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
