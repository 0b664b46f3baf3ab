"""The course itself: time and memory of each module's import and, if asked for, of notebooks and commands.

    python tests/benchmarks/course.py [--repeats 5] [--notebooks] [--commands run test site]

Every import is a fresh interpreter, in turns with one that imports only torch, which most modules need anyway. Each
notebook runs alone, with one thread. Commands run once each, as a user would type them. Memory is the peak: for an
import that of the interpreter, for a notebook that of its kernel and the kernel's children, for a command that of its
largest process. Last line: one JSON object.
"""

import argparse
import json
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

import coursekit
from tools import execute

ROOT = Path(__file__).parent.parent.parent
NOTHING, TORCH = "nothing (the interpreter alone)", "torch"
# Not `ru_maxrss`, which a child inherits from its parent on Linux.
MEMORY = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def modules() -> list[str]:
    return ["coursekit", *(module.name for module in pkgutil.iter_modules(coursekit.__path__, "coursekit."))]


def one_import(name: str) -> tuple[float, float]:
    """Return seconds and megabytes of an interpreter that imports a module."""
    code = MEMORY if name == NOTHING else f"import {name}; {MEMORY}"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout) / 1024


def imports(repeats: int) -> dict:
    names = [NOTHING, TORCH, *modules()]
    taken: dict[str, list] = {name: [] for name in names}
    for turn in range(repeats + 1):
        for name in names:
            numbers = one_import(name)
            if turn:  # the first turn brings the files into the memory
                taken[name].append(numbers)
    result = {}
    for name, numbers in taken.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*numbers, strict=True))
        result[name] = {"seconds": round(seconds, 2), "megabytes": round(megabytes)}
        print(f"{name:34s}{seconds:8.2f} s{megabytes:8.0f} MB")
    return result


def one_notebook(path: Path) -> dict:
    """Run a notebook from its first cell to its last, in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        result = execute.execute(notebook, name=path.stem, folder=Path(folder), threads=1)
    if result.error:
        raise SystemExit(f"{path.name}: {result.error}")
    print(f"{path.stem:34s}{result.seconds:8.0f} s{result.megabytes:8.0f} MB", flush=True)
    return {"seconds": round(result.seconds), "megabytes": round(result.megabytes)}


def command(name: str) -> dict:
    """Run ``make name`` in the course's folder."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(["make", name], cwd=ROOT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)  # with the memory of this command and what it started, no other's
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"make {name} failed:\n{output.read().decode(errors='replace')[-4000:]}")
    print(f"make {name:29s}{seconds:8.0f} s{usage.ru_maxrss / 1024:8.0f} MB", flush=True)
    return {"seconds": round(seconds), "megabytes": round(usage.ru_maxrss / 1024)}


def main() -> None:
    if not Path("/proc/self/status").exists():
        raise SystemExit("this benchmark reads the memory of processes in /proc: it needs Linux.")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--notebooks", action="store_true", help="run each notebook alone, too")
    parser.add_argument("--commands", nargs="*", default=[], help="targets of the Makefile to run and time")
    options = parser.parse_args()
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")) if options.notebooks else []
    result = {
        "imports": imports(options.repeats),
        "notebooks": {path.stem: one_notebook(path) for path in paths},
        "commands": {name: command(name) for name in options.commands},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
