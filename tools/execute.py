"""Execute notebooks, each in a fresh kernel, with its time and peak memory."""

from __future__ import annotations

import copy
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

from coursekit.runtime import known_costs
from tools.normalform import fresh, is_measured, mark_fresh, normalize, read, write

CELL_TIMEOUT = 300  # seconds; a cell that takes longer hangs, or belongs into a script
_STARTS = 3  # attempts to start a kernel: its ports are chosen before they are taken, and another may be quicker


@dataclass(frozen=True)
class Result:
    """How one notebook went: its name, seconds, peak memory of the kernel with its children, and what failed, or ""."""

    name: str
    seconds: float
    megabytes: float
    error: str = ""


def execute(
    notebook: nbformat.NotebookNode,
    *,
    name: str,
    folder: Path,
    strict: bool = False,
    threads: int | None = None,
    timeout: float = CELL_TIMEOUT,
    kernel: str = "python3",
) -> Result:
    """Run all cells in a fresh kernel; outputs go into ``notebook``, also those before an error.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place; no execution times are recorded.
    name, folder : str, Path
        The notebook's name, which `coursekit.setup` looks up, and the kernel's working directory.
    strict : bool
        For authors and tests: a deprecation warning is an error, and one thread computes, on every machine.
    threads : int, optional
        How many compute; without it one where strict, else as many as there are cores.
    timeout : float
        Seconds for one cell.
    kernel : str
        The name of an installed kernel; without it, this environment's own.
    """
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not another one of the user's
    environment = {
        **os.environ,
        "JPY_SESSION_NAME": f"{name}.ipynb",
        "COURSEKIT_STRICT": str(int(strict)),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait are slow beside another program
        "TQDM_DISABLE": "1",  # progress bars are for people who watch
    }
    if strict or threads:  # sums depend, in their last digits, on how many threads share them
        environment["OMP_NUM_THREADS"] = str(threads or 1)
    start, begun, peak = time.perf_counter(), [], [0.0]  # seconds, numbers of cells, megabytes
    for _ in range(_STARTS):
        client = NotebookClient(
            notebook,
            kernel_name=kernel,
            timeout=timeout,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
            extra_arguments=["--log-level=ERROR"],  # ipykernel warns about every local connection
            on_cell_start=lambda cell, cell_index: begun.append(cell_index + 1),
        )
        with _memory_measured(client, peak):
            error = _run(client, environment)
        if begun or not error:
            break
    if error:
        error = (f"cell {begun[-1]} of {len(notebook.cells)}: " if begun else "the kernel did not start: ") + error
    return Result(name, time.perf_counter() - start, peak[0], error)


def _run(client: NotebookClient, environment: dict[str, str]) -> str:
    """Run the cells; return the error that stopped them in one line, or an empty text."""
    try:
        client.execute(env=environment)
    except CellExecutionError as failure:  # the traceback of an unknown magic command is empty
        return f"{failure.ename}: {failure.evalue}".splitlines()[0]
    except (CellTimeoutError, RuntimeError) as failure:
        return str(failure).partition("\n")[0]
    return ""


@contextmanager
def _memory_measured(client: NotebookClient, peak: list[float]) -> Iterator[None]:
    """Sample the memory of the kernel and its children, ten times a second, and keep the largest sum in ``peak[0]``."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.1):
            with suppress(psutil.Error):  # a process has ended meanwhile
                if pid := getattr(getattr(client.km, "provisioner", None), "pid", None):  # else there is no kernel yet
                    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
                    peak[0] = max(peak[0], sum(process.memory_info().rss for process in family) / 1e6)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_all(paths: list[Path], build: Path, jobs: int = 1) -> list[Result]:
    """Execute copies of notebooks into ``build``, ``jobs`` at a time, and print a line for each and a table.

    A notebook that fails does not stop the others. Those that run at once share the processor's cores evenly.
    """
    build.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None

    done = []

    def run(path: Path) -> Result:
        notebook = read(path)
        result = execute(notebook, name=path.stem, folder=build, threads=threads)
        write(notebook, build / path.name)
        done.append(result)
        outcome = f"FAILED\n      {result.error}" if result.error else f"{result.seconds:.0f} s"
        print(f"[{len(done)}/{len(paths)}] {result.name} ... {outcome}", flush=True)
        return result

    costs = known_costs()
    longest_first = sorted(paths, key=lambda path: -costs.get(path.stem, {}).get("seconds", 0))
    print(f"Running {len(paths)} notebooks, {min(jobs, len(paths))} at a time:", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        results = sorted(pool.map(run, longest_first), key=lambda result: result.name)
    width = max(len(result.name) for result in results)
    print(f"\n{'notebook':<{width}}  seconds  peak MB  result")
    for r in results:
        print(f"{r.name:<{width}}  {r.seconds:7.1f}  {r.megabytes:7.0f}  {'FAILED: ' + r.error if r.error else 'ok'}")
    print(f"\nExecuted notebooks: {build}{os.sep}")
    return results


def execute_in_place(path: Path, *, remeasure: bool = False) -> Result:
    """Execute a notebook and write its outputs back, so that a second run changes no byte.

    The outputs of cells tagged ``measured`` (times, which differ from run to run) are kept from the last run as long
    as no code cell has changed, unless ``remeasure``. If a cell fails, the file is left as it was.
    """
    before = read(path)
    after = copy.deepcopy(before)
    with tempfile.TemporaryDirectory() as scratch:
        result = execute(after, name=path.stem, folder=Path(scratch), strict=True)
    if result.error:
        return result
    if fresh(before) and not remeasure:
        for earlier, cell in zip(before.cells, after.cells, strict=True):
            if is_measured(cell) and earlier.outputs:
                cell.outputs = copy.deepcopy(earlier.outputs)
    after = normalize(after)
    mark_fresh(after)
    write(after, path)
    return result
