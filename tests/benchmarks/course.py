"""The course itself: import time and memory of each module and, if asked for, the commands of the Makefile.

    python tests/benchmarks/course.py [--repeats 5] [--commands run test site]

Every import is a fresh interpreter, in turns with one that imports only torch, which most modules need anyhow. Commands
run once each, as a user would type them. Memory is the largest of one process. Last line: one JSON object.
"""

import argparse
import json
import pkgutil
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import coursekit

ROOT = Path(__file__).parent.parent.parent
NOTHING, TORCH = "nothing (the interpreter alone)", "torch"
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def modules() -> list[str]:
    public = (name for _, name, _ in pkgutil.iter_modules(coursekit.__path__, "coursekit."))
    return ["coursekit", *(name for name in public if name != "coursekit.authoring")]


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


def command(name: str) -> dict:
    """Run ``make name`` in the course's folder."""
    start = time.perf_counter()
    done = subprocess.run(["make", name], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"make {name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of all so far
    print(f"make {name:29s}{seconds:8.0f} s{largest:8.0f} MB", flush=True)
    return {"seconds": round(seconds), "megabytes": round(largest)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--commands", nargs="*", default=[], help="targets of the Makefile to run and time")
    options = parser.parse_args()
    # Commands first: the memory of an earlier child would hide that of a later, smaller one.
    commands = {name: command(name) for name in options.commands}
    print(json.dumps({"imports": imports(options.repeats), "commands": commands}))


if __name__ == "__main__":
    main()
