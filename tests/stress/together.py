"""All notebooks at once, twice in parallel, in one folder and with one cache: the same results, and nothing broken.

Both copies of a notebook run at the same time, and as many notebooks as there is memory for. Their outputs must be
those of an undisturbed run: the ones in the repository, if they were made on a machine like this one, else those of a
run that comes first. What cells show as times is left out. As notebooks on the mini profile keep hardly anything in the
cache, pairs of processes meet there as well (`shared_cache`); with ``--small`` only these.

    python tests/stress/together.py [--at-once 6] [--rounds 10] [--small] [01_convolution ...]
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nbformat
import psutil

from coursekit.runtime import known_costs
from tests.stress import common, shared_cache
from tools import execute, normalform

NOTEBOOKS = common.ROOT / "notebooks"
UNKNOWN = 2500  # MB, for a notebook that was not measured yet


@dataclass
class Run:
    """A copy of a notebook, executed: its outputs, its error or "", and from when to when."""

    outputs: list
    error: str
    began: float
    ended: float


def outputs(notebook: nbformat.NotebookNode) -> list:
    """Return what the cells show, but for those that show times."""
    cells = [cell for cell in normalform.normalize(notebook).cells if cell.cell_type == "code"]
    shown = [output for cell in cells if not normalform.is_measured(cell) for output in cell.outputs]
    return [{**output, "execution_count": None} for output in shown]


def run(name: str, folder: Path) -> Run:
    """Execute a copy of a notebook in ``folder``, as strictly as the outputs in the repository were made."""
    notebook = normalform.read(NOTEBOOKS / f"{name}.ipynb")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    began = time.monotonic()
    result = execute.execute(notebook, name=name, folder=folder, strict=True, timeout=2400)
    return Run(outputs(notebook), result.error, began, time.monotonic())


def undisturbed(name: str, scratch: Path) -> tuple[str, Run]:
    """Return the outputs of a run that nothing disturbed, and where they are from."""
    notebook = normalform.read(NOTEBOOKS / f"{name}.ipynb")
    made_on = notebook.metadata.get(normalform.MARK, {}).get("made_on")
    if normalform.fresh(notebook) and made_on == normalform.machine():
        return "in the repository", Run(outputs(notebook), "", 0, 0)
    folder = scratch / "alone" / name
    folder.mkdir(parents=True)
    return "of a run before, alone", run(name, folder)


def as_many_as_fit(names: list[str]) -> int:
    """Return how many notebooks, two copies of each, fit into the memory that is free, whichever they are."""
    costs, free = known_costs(), 0.9 * psutil.virtual_memory().available / 1e6
    largest = sorted((costs.get(name, {}).get("megabytes", UNKNOWN) for name in names), reverse=True)
    fitting = [count for count in range(1, len(names) + 1) if 2 * sum(largest[:count]) <= free]
    return max(fitting, default=1)


def most_at_once(runs: list[Run]) -> int:
    return max(sum(other.began <= run.began < other.ended for other in runs) for run in runs)


def notebooks(names: list[str], at_once: int, scratch: Path) -> tuple[list[tuple[str, int, str]], list[str]]:
    """Run two copies of each notebook at the same time; return the row, and what went wrong."""
    folder, cache = scratch / "folder", scratch / "notebooks' cache"
    folder.mkdir(), cache.mkdir()
    os.environ |= common.environment(COURSEKIT_CACHE=str(cache))
    costs = known_costs()
    names = sorted(names, key=lambda name: -costs.get(name, {}).get("seconds", 0))
    right = {name: undisturbed(name, scratch) for name in names}

    def pair(name: str) -> list[Run]:
        with ThreadPoolExecutor(2) as two:
            return list(two.map(run, [name] * 2, [folder] * 2))

    with ThreadPoolExecutor(at_once) as pool:
        runs = dict(zip(names, pool.map(pair, names), strict=True))
    wrong = []
    for name, copies in runs.items():
        source, reference = right[name]
        wrong += [f"{name}: {copy.error}" for copy in (reference, *copies) if copy.error]
        if not any(copy.error for copy in copies):
            wrong += [f"{name}: other outputs than those {source}" for c in copies if c.outputs != reference.outputs]
        if max(copy.began for copy in copies) >= min(copy.ended for copy in copies):
            wrong.append(f"{name}: its two copies did not run at the same time")
        print(f"{name:20} {max(c.ended for c in copies) - min(c.began for c in copies):5.0f} s, outputs {source}")
    wrong += shared_cache.left_behind(scratch)
    together = [run for copies in runs.values() for run in copies]
    what = f"runs of {len(names)} notebooks, each twice at the same moment, up to {most_at_once(together)} at once"
    sources = " and ".join(sorted({source for source, _ in right.values()}))
    outcome = "WRONG" if wrong else f"same outputs as those {sources}; nothing left half-written"
    return [(f"{what}, in one folder with one cache", len(together), outcome)], wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--at-once", type=int, help="how many notebooks, two copies of each; else as many as fit")
    options.add_argument("--rounds", type=int, help="how often two processes meet for each task; else 10 times")
    options.add_argument("--small", action="store_true", help="no notebooks, and two rounds if not said otherwise")
    options.add_argument("names", nargs="*", metavar="NOTEBOOK")
    args = options.parse_args()
    names = args.names or sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows, wrong = shared_cache.meet(scratch, args.rounds or (2 if args.small else 10))
        if not args.small:
            more, troubles = notebooks(names, args.at_once or as_many_as_fit(names), scratch)
            rows, wrong = [*more, *rows], [*troubles, *wrong]
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
