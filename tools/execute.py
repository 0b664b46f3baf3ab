"""Execute notebooks, each in a fresh kernel, with its time and peak memory."""

from __future__ import annotations

import copy
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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

    def __str__(self) -> str:
        """Return the seconds, or the error."""
        return f"FAILED\n      {self.error}" if self.error else f"{self.seconds:.0f} s"


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

    ``name`` is what `coursekit.setup` looks up, ``folder`` the kernel's working directory, ``timeout`` the seconds for
    one cell. Where ``strict``, for authors and tests, a deprecation is an error, and one thread computes.
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
    start, error, begun, peak = time.perf_counter(), "", [], 0.0
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
        error, peak = _run(client, environment)
        if begun or not error:
            break
    if error:
        error = (f"cell {begun[-1]} of {len(notebook.cells)}: " if begun else "the kernel did not start: ") + error
    return Result(name, time.perf_counter() - start, peak, error)


def _run(client: NotebookClient, environment: dict[str, str]) -> tuple[str, float]:
    """Run the cells; return the error that stopped them in one line, or an empty text, and the peak memory."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        peak, error = pool.submit(_peak_memory, client, over), ""
        try:
            client.execute(env=environment)
        except CellExecutionError as failure:  # the traceback of an unknown magic command is empty
            error = f"{failure.ename}: {failure.evalue}".splitlines()[0]
        except (CellTimeoutError, RuntimeError) as failure:
            error = str(failure).partition("\n")[0]
        finally:
            over.set()
    return error, peak.result()


def _peak_memory(client: NotebookClient, over: threading.Event) -> float:
    """Sample the memory of the kernel and its children, ten times a second; return the largest sum in megabytes."""
    peak = 0.0
    while not over.wait(0.1):
        with suppress(psutil.Error, AttributeError):  # a process has ended meanwhile; there is no kernel yet
            kernel = psutil.Process(client.km.provisioner.pid)  # type: ignore[union-attr]
            family = [kernel, *kernel.children(recursive=True)]
            peak = max(peak, sum(process.memory_info().rss for process in family) / 1e6)
    return peak


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
        print(f"[{len(done)}/{len(paths)}] {result.name} ... {result}", flush=True)
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


def renew(paths: list[Path]) -> int:
    """Execute notebooks in place, one after the other, say how each went, and return the exit code."""
    failed = 0
    for path in paths:
        print(f"{path.stem} ... ", end="", flush=True)
        print(result := execute_in_place(path))
        failed |= bool(result.error)
    return failed


def execute_in_place(path: Path) -> Result:
    """Execute a notebook and write its outputs back, so that a second run changes no byte.

    The outputs of cells tagged ``measured`` (times, which differ from run to run) are kept from the last run as long
    as no code cell has changed; who clears them gets new ones. If a cell fails, the file is left as it was.
    """
    before = read(path)
    after = copy.deepcopy(before)
    with tempfile.TemporaryDirectory() as scratch:
        result = execute(after, name=path.stem, folder=Path(scratch), strict=True)
    if result.error:
        return result
    if fresh(before):
        for earlier, cell in zip(before.cells, after.cells, strict=True):
            if is_measured(cell) and earlier.outputs:
                cell.outputs = earlier.outputs
    after = normalize(after)
    mark_fresh(after)
    write(after, path)
    return result
