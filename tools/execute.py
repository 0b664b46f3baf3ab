"""Execute notebooks one after the other, each in a fresh kernel, with its time and peak memory."""

from __future__ import annotations

import copy
import hashlib
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi

from coursekit.runtime import known_costs

CELL_TIMEOUT = 300  # seconds; a cell that takes longer hangs, or belongs into a script
MEASURED = "measured"  # the tag of cells that show times: their outputs differ from run to run
_STARTS = 3  # attempts to start a kernel
MARK = "coursekit"  # in the notebook's metadata: which code its outputs are of
_CELL_METADATA = {"tags", "slideshow", "mystnb", "jupyter"}


@dataclass(frozen=True)
class Result:
    """How one notebook went.

    Attributes
    ----------
    name : str
        The file's name without ending.
    seconds : float
        From the kernel's start to the last cell's end.
    megabytes : float
        The kernel's peak memory, its child processes included (sampled ten times a second).
    error : str
        Empty if every cell ran; else which cell failed, and how.
    """

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
    name : str
        The notebook's name, which `coursekit.setup` looks up.
    folder : Path
        The kernel's working directory.
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
    start, error, memory, index = time.perf_counter(), "", None, 0
    try:
        with _kernel(notebook, kernel, folder, timeout, environment) as client, _PeakMemory(client) as memory:
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as failure:
        error = f"cell {index + 1} of {len(notebook.cells)}: {_last_line(failure)}"
    except KernelStartError as failure:
        error = str(failure)
    return Result(name, time.perf_counter() - start, memory.megabytes if memory else 0.0, error)


class KernelStartError(RuntimeError):
    """No kernel came up, in several attempts."""


@contextmanager
def _kernel(notebook: nbformat.NotebookNode, name: str, folder: Path, timeout: float, environment: dict) -> Iterator:
    """Start a kernel, and stop it at the end.

    Its ports are chosen a moment before they are taken, and another program may be quicker: then it is tried again.
    """
    with ExitStack() as stack:
        for attempt in range(_STARTS):
            client = NotebookClient(
                notebook,
                kernel_name=name,
                timeout=timeout,
                record_timing=False,
                resources={"metadata": {"path": str(folder)}},
                extra_arguments=["--log-level=ERROR"],  # ipykernel warns about every local connection
            )
            try:
                stack.enter_context(client.setup_kernel(env=environment))
                break
            except RuntimeError as failure:  # "Kernel died before replying to kernel_info"
                if attempt == _STARTS - 1:
                    raise KernelStartError(f"the kernel did not start: {_last_line(failure)}") from failure
        yield client


def run_all(paths: Iterable[Path], build: Path, jobs: int = 1) -> list[Result]:
    """Execute copies of notebooks into ``build``, and print a line for each and a table.

    A notebook that fails does not stop the others.

    Parameters
    ----------
    paths : iterable of Path
    build : Path
        Made if it is missing.
    jobs : int
        How many notebooks run at once, each in a process of its own. They then share the processor's cores evenly.
    """
    build.mkdir(parents=True, exist_ok=True)
    paths = list(paths)
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None

    def run(path: Path) -> Result:
        notebook = nbformat.read(path, as_version=4)
        result = execute(notebook, name=path.stem, folder=build, threads=threads)
        _write(notebook, build / path.name)
        return result

    costs = known_costs()
    longest_first = sorted(paths, key=lambda path: -costs.get(path.stem, {}).get("seconds", 0))
    print(f"Running {len(paths)} notebooks, {min(jobs, len(paths))} at a time:", flush=True)
    results = {}
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(run, path) for path in longest_first]):
            result = done.result()
            results[result.name] = result
            outcome = f"FAILED\n      {result.error}" if result.error else f"{result.seconds:.0f} s"
            print(f"[{len(results)}/{len(paths)}] {result.name} ... {outcome}", flush=True)
    ordered = [results[path.stem] for path in paths]
    _print_table(ordered)
    print(f"\nExecuted notebooks: {build}{os.sep}")
    return ordered


def execute_in_place(path: Path, *, remeasure: bool = False) -> Result:
    """Execute a notebook and write its outputs back, so that a second run changes no byte.

    The outputs of cells tagged ``measured`` (times, which differ from run to run) are kept from the last run as long
    as no code cell has changed, unless ``remeasure``. If a cell fails, the file is left as it was.
    """
    before = nbformat.read(path, as_version=4)
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
    _write(after, path)
    return result


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Return a short fingerprint of the code cells, outputs not included."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def mark_fresh(notebook: nbformat.NotebookNode, made_on: str | None = None) -> None:
    """Write down in the notebook that its outputs are of its present code, made on a machine like this one."""
    mark = {"made_on": made_on or machine(), "outputs_of": code_digest(notebook)}
    notebook.metadata[MARK] = nbformat.from_dict(mark)


def machine() -> str:
    """Return a fingerprint of what decides over the last bits of a result: processor and versions.

    The same notebook gives the same bytes on two machines with one fingerprint; on others, trained networks differ.
    """
    import torch

    try:
        wanted = ("model name", "cpu family", "model", "stepping", "flags")
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = sorted({line for line in lines if line.split("\t")[0].strip() in wanted})
    except OSError:
        processor = [platform.processor()]
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "numpy", "scipy", "matplotlib")]
    facts = [platform.platform(terse=True), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    return hashlib.sha256("\0".join([*processor, *versions, *facts]).encode()).hexdigest()[:16]


def fresh(notebook: nbformat.NotebookNode) -> bool:
    """Tell whether the outputs were made by the code as it stands."""
    return notebook.metadata.get(MARK, {}).get("outputs_of") == code_digest(notebook)


def is_measured(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell shows times."""
    return cell.cell_type == "code" and MEASURED in cell.metadata.get("tags", [])


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what differs between machines and editors; outputs stay.

    Streams are joined, and metadata is reduced to what the course uses.
    """
    notebook = copy.deepcopy(notebook)
    mark = {MARK: notebook.metadata[MARK]} if MARK in notebook.metadata else {}
    notebook.metadata = nbformat.from_dict(
        {
            **mark,
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in _CELL_METADATA})
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _join_streams(outputs: list) -> list:
    """Join neighbouring pieces of one stream: where a stream is cut depends on the kernel's mood."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _write(notebook: nbformat.NotebookNode, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def _last_line(error: Exception) -> str:
    lines = [line for line in strip_ansi(str(error)).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _print_table(results: list[Result]) -> None:
    width = max(len(result.name) for result in results)
    print(f"\n{'notebook':<{width}}  seconds  peak MB  result")
    for r in results:
        print(f"{r.name:<{width}}  {r.seconds:7.1f}  {r.megabytes:7.0f}  {'FAILED: ' + r.error if r.error else 'ok'}")


class _PeakMemory:
    """Sample the memory of a kernel and its children in a thread while the context is open."""

    def __init__(self, client: NotebookClient, interval: float = 0.1) -> None:
        self.megabytes = 0.0
        self._client, self._interval, self._stop = client, interval, threading.Event()

    def __enter__(self) -> _PeakMemory:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        try:
            kernel = psutil.Process(self._client.km.provisioner.pid)
            stopped = False
            while not stopped:  # so that there is a sample after the last cell, however quick the notebook is
                stopped = self._stop.wait(self._interval)
                family = [kernel, *kernel.children(recursive=True)]
                self.megabytes = max(self.megabytes, sum(p.memory_info().rss for p in family) / 1e6)
        except psutil.Error as error:  # the kernel died: what was seen until then stands
            print(f"memory is no longer measured: {error}", file=sys.stderr)
