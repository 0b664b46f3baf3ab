"""The same hour of work where a machine denies something: each time the same results, or a clear error.

One session (photos written, read and looked at; a training saved, stopped and resumed; features kept in a file) runs
undisturbed, and then with a package that cannot be written, without a home, in a folder with an odd name, and so on.
A whole notebook runs in each place, too, and under 4 GB the one that needs the most; but not under the jumping clock,
which its kernel would not see, and not with ``--small``.

    python tests/stress/surroundings.py [--small]
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.stress import common

GIGABYTES = 4
ODD = "Ünï 第一课 'q' $HOME & co"  # spaces, letters of two scripts, and what a shell would read as its own
SAME, WHAT = "same results", "one session of work, and how many results it had"
FIRST, LARGEST = "01_convolution", "04_vgg16_transfer"


# --- In the child: the session


def digest(*arrays) -> str:
    found = hashlib.blake2b(digest_size=8)
    for array in arrays:
        found.update(array.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def session(folder: Path) -> dict[str, str]:
    """Work for a while in ``folder``, and return a digest of each result."""
    import coursekit

    coursekit.setup("mini", seed=0)  # first, as in the notebooks: it also keeps matplotlib from complaining
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from coursekit import critters, figures, pretrained, training, transfer
    from coursekit.data import folders

    photos = critters.write_folder(folder / "photos", {"train": 12}, sides=(70, 90))
    images = folders.read(photos / "train", size=64)
    found = {"photos": digest(images.images, images.labels)}

    figure = figures.images([images.images[0]], ["first"], alt="A drawn animal, photographed.")
    found["figure"] = str(figure.save(folder / "first.png").stat().st_size > 1000)

    # A loader with workers hands tensors over in shared memory, and leaves this system's error where there is none.
    try:
        loaded = [batch for batch, _ in DataLoader(images, batch_size=8, num_workers=2)]
        found["workers"] = digest(*loaded)
    except (RuntimeError, OSError) as error:
        found["workers"] = f"{type(error).__name__}: {error}"

    def train(epochs: int) -> str:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(900, 2))
        options = {"batch_size": 4, "autosave": folder / "run.pt", "resume": True, "device": "cpu"}
        training.fit(model, images, epochs=epochs, **options)
        return digest(*model.parameters())

    train(1)
    found["training, stopped and resumed"] = train(3)

    body = transfer.backbone(pretrained.load("vgg16").model)
    for _ in range(2):
        features = transfer.features(body, images, cache=folder / "features.safetensors", key="vgg16")
    found["features"] = digest(*features.tensors)
    return found


def notebook(name: str, folder: Path) -> dict[str, str]:
    """Run a notebook in ``folder``; return its error, and red text, if there is any."""
    import nbformat

    from tools import execute

    book = nbformat.read(common.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    result = execute.execute(book, name=name, folder=folder, threads=1, timeout=1200)
    red = [o.text for cell in book.cells for o in cell.get("outputs", ()) if o.get("name") == "stderr"]
    return {f"notebook {name}": result.error or "".join(red) or "ran"}


@contextlib.contextmanager
def jumping_clock(folder: Path) -> Iterator[None]:
    """Let the clock jump by up to two days, forward and backward, and the files' times with it."""
    draw, over, real, real_ns = random.Random(0), threading.Event(), time.time, time.time_ns

    def disturb() -> None:
        while not over.wait(0.02):
            with contextlib.suppress(OSError):  # gone again: files are renamed while they are written
                for path in folder.rglob("*"):
                    os.utime(path, (jumped(), jumped()))

    def jumped() -> float:
        return real() + draw.uniform(-2, 2) * 86_400

    time.time, time.time_ns = jumped, lambda: int(jumped() * 1e9)
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        time.time, time.time_ns = real, real_ns


def as_child(folder: Path, jumps: bool, names: list[str]) -> None:
    warnings.simplefilter("error")
    with jumping_clock(folder) if jumps else contextlib.nullcontext():
        found = session(folder)
    for name in names:
        found |= notebook(name, folder)
    print(json.dumps(found))


# --- The surroundings


def places(scratch: Path) -> Iterator[tuple[str, dict | None]]:
    """Give each surrounding: its name, and how the child is started; None where this system cannot imitate it."""
    yield "nothing amiss", {}
    root = common.ROOT
    prefix = common.mounted(f"--bind '{root}' '{root}'", f"-o remount,ro,bind '{root}'")
    yield "read-only installation", prefix and {"prefix": prefix}

    closed = scratch / "closed"
    closed.mkdir(mode=0o555)
    prefix = common.obedient()
    yield "home without write permission", None if prefix is None else {"prefix": prefix, "home": closed}
    yield "home that does not exist", None if prefix is None else {"prefix": prefix, "home": closed / "nowhere"}

    odd = scratch / ODD
    shutil.copytree(root / "coursekit", odd / "coursekit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests/stress", "notebooks", "data"):
        shutil.copytree(root / name, odd / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(root / "tests/__init__.py", odd / "tests/__init__.py")
    yield "course, home and work in a folder with an odd name", {"root": odd, "home": odd, "work": odd / "work"}

    limit = shutil.which("prlimit") and {"prefix": ("prlimit", f"--data={GIGABYTES * 2**30}"), "largest": True}
    yield f"memory limited to {GIGABYTES} GB", limit
    prefix = common.mounted("-t tmpfs -o size=64k tmpfs /dev/shm")
    yield "hardly any room in /dev/shm", prefix and {"prefix": prefix}
    prefix = common.mounted("-t tmpfs -o ro tmpfs /dev/shm")
    yield "/dev/shm not writable", prefix and {"prefix": prefix}
    yield "a clock that jumps by days, and the files' times with it", {"jumps": True}


def run(how: dict, work: Path, notebooks: bool) -> tuple[dict[str, str], str]:
    """Run the session in a surrounding; return what it found, and what stands on stderr."""
    work = how.get("work", work)
    work.mkdir(parents=True)
    home = how.get("home") or work
    root = how.get("root", common.ROOT)
    names = [LARGEST if how.get("largest") else FIRST] if notebooks and not how.get("jumps") else []
    environment = common.environment(HOME=str(home), PYTHONPATH=str(root), PYTHONDONTWRITEBYTECODE="1")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "COURSEKIT_CACHE", "MPLCONFIGDIR"):
        environment.pop(name, None)
    script = root / "tests" / "stress" / Path(__file__).name
    more = ["--jumps"] if how.get("jumps") else []
    done = common.child(
        script, "--child", work, *more, *names, prefix=how.get("prefix", ()), env=environment, cwd=work, timeout=1200
    )
    lines = done.stdout.splitlines()
    if done.returncode:
        return {}, done.stderr[-400:] or f"exit code {done.returncode}"
    for_terminals = ("IPython parent", "UserWarning: IPython")  # the kernel says it where no student looks
    red = [line for line in done.stderr.splitlines() if not any(part in line for part in for_terminals)]
    return json.loads(lines[-1]), "\n".join(red)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="no notebooks")
    options.add_argument("--child", type=Path)
    options.add_argument("--jumps", action="store_true")
    options.add_argument("names", nargs="*")
    args = options.parse_args()
    if args.child:
        as_child(args.child, args.jumps, args.names)
        return
    rows, wrong, normal = [], [], None
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for number, (name, how) in enumerate(places(scratch)):
            if how is None:
                rows.append((f"{WHAT}: {name}", 0, "cannot be imitated on this system"))
                continue
            found, red = run(how, scratch / f"work{number}", not args.small)
            if not (normal := normal or found):
                sys.exit(f"the undisturbed session failed: {red}")
            outcome, faults = compare(name, found, normal)
            faults += [red] if red and outcome == SAME else []
            wrong += [f"{name}: {fault}" for fault in faults]
            outcome = "what the others are compared with" if found is normal else outcome
            rows.append((f"{WHAT}: {name}", len(found), "WRONG" if faults else outcome))
    common.finish(rows, wrong)


def compare(place: str, found: dict[str, str], normal: dict[str, str]) -> tuple[str, list[str]]:
    """Say how the results compare with those of the undisturbed session, and which are wrong."""
    outcome, faults = SAME, []
    for name, value in normal.items():
        mine = found.get(name, "missing")
        if name.startswith("notebook"):
            continue
        if name == "workers" and "/dev/shm" in place and "Error: " in mine:
            outcome = f"{SAME}; only a DataLoader with workers stops, with {mine.split(':')[0]}"
        elif mine != value:
            faults.append(f"{name} is {mine}, not {value}")
    faults += [f"{name}: {value}" for name, value in found.items() if name.startswith("notebook") and value != "ran"]
    return outcome, faults


if __name__ == "__main__":
    main()
