"""Two processes that do the same in one cache at the same moment: as if each were alone, and the cache stays whole.

Three workers do each task of `TASKS`: one alone, in a folder of its own; then two together, several times; then again
the one that was alone, which now finds what the two have left in the cache, and changes none of it. `together` does the
same with whole notebooks.
"""

import contextlib
import hashlib
import io
import multiprocessing
import os
import random
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "no_proxy": "*"}  # a fork must not inherit threads

import torch
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import pretrained, training, transfer
from coursekit.data.downloads import fetch, unpack
from tests import servers
from tests.odd_archives import make_zip

# --- In a worker


def digest(*parts: bytes | torch.Tensor) -> str:
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part if isinstance(part, bytes) else part.detach().contiguous().numpy())
    return found.hexdigest()


def archive(folder: Path, name: str, url: str, sha256: str) -> str:
    """Fetch an archive and unpack it. The name is no matter: both want the same file."""
    photos = folder / "photos"
    unpack([fetch(url, folder / "photos.zip", sha256=sha256)], photos)
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    return digest(*(part for path in files for part in (path.name.encode(), path.read_bytes())))


def weights(folder: Path, name: str, url: str, sha256: str) -> str:
    """Load a network as on the full profile, but from a server of this machine."""
    pretrained._IMAGENET["resnet18"] = SimpleNamespace(url=url, meta={"categories": ["cat", "dog"]})
    pretrained.runtime.cache_dir = lambda: folder
    pretrained.runtime.profile = lambda: "full"
    return digest(*pretrained.load("resnet18").model.state_dict().values())


def features(folder: Path, name: str) -> str:
    torch.manual_seed(0)
    images = TensorDataset(torch.rand(600, 3, 32, 32), torch.arange(600))
    backbone = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Flatten())
    found = transfer.features(backbone, images, cache=folder / "features.safetensors", key="1", device="cpu")
    return digest(*found.tensors)


def train(folder: Path, name: str) -> str:
    """Train for one epoch, then go on in a second call."""
    for epochs in (1, 2):
        torch.manual_seed(0)
        images = TensorDataset(torch.rand(48, 3, 8, 8), torch.arange(48) % 4)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 200), nn.ReLU(), nn.Dropout(0.3), nn.Linear(200, 4))
        options = {"autosave": folder / name, "resume": True, "device": "cpu"}
        training.fit(model, images, epochs=epochs, batch_size=4, **options)
    return digest(*model.parameters())


def work(pipe: Connection) -> None:
    """Do one task after the other, as they come through a pipe, and answer each."""
    while True:
        task, folder, name, delay, *more = pipe.recv()
        time.sleep(delay)
        began, error, found = time.monotonic(), "", ""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = TASKS[task][0](folder, name, *more)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        pipe.send(Answer(found, error, began, time.monotonic()))


@dataclass(frozen=True)
class Answer:
    """What a task gave: a digest of its results, the error or "", and from when to when it took."""

    found: str
    error: str
    began: float
    ended: float


TASKS = {
    # the task: (what a worker does, what it is, what happened)
    "archive": (archive, "the same archive fetched and unpacked", "as alone, asked for once, kept whole"),
    "weights": (weights, "the same weights fetched by pretrained.load", "as alone, asked for once, kept whole"),
    "features": (features, "the same features computed and kept in one file", "as alone, kept whole"),
    "training": (train, "trainings saved side by side under two names, stopped and resumed", "as alone, kept whole"),
}


# --- Those who tell them


class Worker:
    """A fork of this process, which need not import torch again, and waits for tasks."""

    def __init__(self) -> None:
        fork = multiprocessing.get_context("fork")
        self.pipe, end = fork.Pipe()
        self.process = fork.Process(target=work, args=(end,), daemon=True)
        self.process.start()
        end.close()

    def ask(self, task: str, folder: Path, name: str, delay: float, *more: str) -> None:
        self.pipe.send((task, folder, name, delay, *more))

    def answer(self) -> Answer:
        try:
            return self.pipe.recv()
        except EOFError:
            return Answer("", "the process ended", 0, 0)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.join()


def served(scratch: Path, local: servers.LocalServer) -> dict[str, tuple[str, str]]:
    """Put an archive and a file of weights on the server; return the address and checksum for each such task."""
    photos = make_zip(scratch / "photos.zip", {f"{i}.bin": random.Random(i).randbytes(50_000) for i in range(20)})
    torch.manual_seed(0)
    torch.save(pretrained.NETWORKS["resnet18"]().state_dict(), scratch / "weights.pth")
    found = {}
    for task, path, name in (
        ("archive", photos, "/photos.zip"),
        ("weights", scratch / "weights.pth", "/resnet18-{}.pth"),
    ):
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        found[task] = local.serve(name.format(sha256[:8]), partial(slowly, servers.content(data))), sha256
    return found


def slowly(answer: servers.Answer, handler: object) -> None:
    """Wait before the answer, so that the other process asks meanwhile."""
    time.sleep(0.2)
    answer(handler)


def meet(scratch: Path, rounds: int) -> tuple[list[tuple[str, int, str]], list[str]]:
    """Let two workers meet in a cache so many times for each task; return a row for each, and what went wrong."""
    rows, wrong = [], []
    with Worker() as alone, Worker() as first, Worker() as second, servers.LocalServer() as local:
        more = served(scratch, local)
        for task, (_, what, outcome) in TASKS.items():
            troubles, met, number = [], 0, 0
            alone.ask(task, scratch / "alone", "run.pt", 0, *more.get(task, ()))
            right = alone.answer()
            troubles += [f"alone: {right.error}"] if right.error else []
            while met < rounds and number < 5 * rounds:  # on a busy machine one may be over before the other begins
                number += 1
                cache = scratch / "cache" / str(number)
                asked, earlier = len(local.requests), files(cache)
                names = {first: "run.pt", second: "run.pt.2"}  # the second looks like a leftover of the first
                phase = number // 2 / rounds if number % 2 == 0 else 0  # as one, or each time at another moment
                later = phase * (right.ended - right.began)
                for (worker, name), delay in zip(names.items(), (0, later), strict=True):
                    worker.ask(task, cache, name, delay, *more.get(task, ()))
                answers = [worker.answer() for worker in names]
                met += max(a.began for a in answers) < min(a.ended for a in answers)
                kept = files(cache)
                for name in names.values() if task == "training" else ["run.pt"]:
                    alone.ask(task, cache, name, 0, *more.get(task, ()))
                    answers.append(alone.answer())
                troubles += [
                    a.error or f"{a.found}, not {right.found}" for a in answers if a.error or a.found != right.found
                ]
                troubles += [] if kept.keys() - earlier.keys() else ["nothing was kept"]
                troubles += [] if kept == files(cache) else ["what was kept was not found, but made anew"]
                asked = len(local.requests) - asked
                troubles += [] if asked == (task in more) else [f"the server was asked {asked} times"]
            troubles += [] if met == rounds else [f"the two met only {met} times of {number}"]
            rows.append(
                (f"two processes at the same moment in one cache: {what}", met, "WRONG" if troubles else outcome)
            )
            wrong += [f"{task}: {trouble}" for trouble in dict.fromkeys(troubles)]
    return rows, wrong + left_behind(scratch)


def files(folder: Path) -> dict[Path, int]:
    """Return the time of writing of each file below a folder, locks left out."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*") if path.is_file()}


def left_behind(folder: Path) -> list[str]:
    """Name what is half-written below a folder."""
    halves = (".part", ".unpacking", ".tmp")
    return [f"left behind: {path.relative_to(folder)}" for path in folder.rglob("*") if path.suffix in halves]
