"""Kill training at random moments, resume it each time, and compare the last bits of the final weights.

Every second kill waits until a checkpoint is being written. The killed process is a fork of this one, so that it need
not import torch each time; it is killed by SIGKILL, which no program can catch.

    python tests/stress/kill.py [--kills 40] [--seed 0]
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["OMP_NUM_THREADS"] = "1"  # a fork must not inherit threads
os.environ["TQDM_DISABLE"] = "1"

import torch
from torch import nn
from torch.utils.data import TensorDataset

from coursekit import training
from coursekit.data import ImageSet
from tests.stress import common

EPOCHS, BATCHES = 6, 12


def network() -> nn.Module:
    """Return a network with all that has a state of its own, large enough that a checkpoint takes a while to write."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * 6 * 6, 1500),
        nn.ReLU(), nn.Linear(1500, 1500), nn.ReLU(), nn.Linear(1500, 4),
    )  # fmt: skip


def pictures() -> tuple[ImageSet, TensorDataset]:
    """Return data for training, with a random transform, and for validation."""
    torch.manual_seed(2)
    images = torch.randint(256, (8 * BATCHES, 1, 8, 8), dtype=torch.uint8)
    labels = torch.randint(4, (len(images),))
    train = ImageSet(images, labels, list("abcd"), transform=lambda image: image + 0.1 * torch.randn_like(image))
    return train, TensorDataset(torch.rand(16, 1, 8, 8), torch.randint(4, (16,)))


def train(folder: Path, autosave: Path | None) -> None:
    """Train, saving and resuming where a file is given, and write the final weights."""
    model = network()
    options = {"autosave": autosave, "resume": True} if autosave else {}
    schedule = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3)
    history = training.fit(
        model, *pictures(), epochs=EPOCHS, batch_size=8, scheduler=schedule, keep_best=True, device="cpu", **options
    )
    final = {"weights": model.state_dict(), "losses": history.batch_losses, "rows": list(history)}
    torch.save(final, folder / "final.pt")


def start(folder: Path, autosave: Path | None) -> int:
    """Train in a fork, and return its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        train(folder, autosave)
        os._exit(0)
    except BaseException as error:
        print(f"the training ended with {type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(1)


def ended(pid: int) -> bool:
    done, code = os.waitpid(pid, os.WNOHANG)
    if done and code:
        raise RuntimeError(f"a training that nobody killed ended with status {code}")
    return bool(done)


def half_written(folder: Path) -> int:
    """Return when the half-written checkpoint was last written to, 0 where there is none."""
    half = folder / "run.pt.part"
    return half.stat().st_mtime_ns if half.exists() else 0


def wait(pid: int, folder: Path, seconds: float, writing: bool) -> bool:
    """Wait so long, or until a new checkpoint is half-written; return False if the training ended before that."""
    until, left = time.perf_counter() + seconds, half_written(folder)
    while time.perf_counter() < until or (writing and half_written(folder) in (0, left)):
        if ended(pid):
            return False
        time.sleep(0.001)
    if writing:
        time.sleep(random.random() * 0.02)
    return True


def same(one: Path, other: Path) -> bool:
    a, b = torch.load(one), torch.load(other)
    equal = all(torch.equal(a["weights"][name], value) for name, value in b["weights"].items())
    return equal and a["losses"] == b["losses"] and a["rows"] == b["rows"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=40)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    random.seed(args.seed)
    kills = halves = compared = 0
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        whole, folder = Path(scratch, "whole"), Path(scratch, "killed")
        whole.mkdir(), folder.mkdir()
        began = time.perf_counter()
        if os.waitpid(start(whole, None), 0)[1]:
            raise RuntimeError("the undisturbed training failed")
        seconds = time.perf_counter() - began
        while True:
            left = half_written(folder)  # by a process that was killed; the next checkpoint takes its place
            pid = start(folder, folder / "run.pt")
            if kills < args.kills and wait(pid, folder, random.uniform(0, 0.6 * seconds), writing=kills % 2 == 1):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                kills += 1
                halves += half_written(folder) not in (0, left)
                continue
            while kills >= args.kills and not ended(pid):
                time.sleep(0.01)
            compared += 1
            if not same(whole / "final.pt", folder / "final.pt"):
                wrong.append(f"after {kills} kills the weights differ")
            if left := sorted(set(os.listdir(folder)) - {"run.pt", "final.pt"}):
                wrong.append(f"left behind: {left}")
            if kills >= args.kills:
                break
            for name in os.listdir(folder):  # it came to its end between the kills: another one begins
                (folder / name).unlink()
    print(f"an undisturbed training takes {seconds:.1f} s; {compared} trainings came to their end")
    outcome = "final weights, losses and history bit-equal, nothing half-written left" if not wrong else "WRONG"
    rows = [
        ("training killed at a random moment, then resumed", kills - halves, outcome),
        ("training killed in the middle of writing a checkpoint, then resumed", halves, outcome),
    ]
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
