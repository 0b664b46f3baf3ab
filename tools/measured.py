"""The page of measured results: benchmarks are run by a command, and the page is written from what they print."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tools.measurements import SECTIONS, Measurement

RESULTS = Path("docs") / "measured.json"
PAGE = Path("docs") / "measured.md"
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "lightning", "fastai")


def measure(root: Path, folders: Mapping[str, str], only: list[str]) -> int:
    """Run the benchmarks one after the other, write their results, and renew the page; return the exit code.

    Parameters
    ----------
    root : Path
        The course's root folder.
    folders : mapping
        Where the folders "CIFAR" and "PHOTOS" are, as far as they are here; what needs others keeps its last result.
    only : list of str
        Keys of measurements, or how several begin, such as "stress"; empty for all.
    """
    path = root / RESULTS
    path.parent.mkdir(exist_ok=True)
    failed = 0
    for item in (item for section in SECTIONS for item in section.measurements):
        wanted = not only or item.key in only or item.key.partition("_")[0] in only
        if not wanted or item.needs() - folders.keys():
            continue
        print(f"{item.key} ... ", end="", flush=True)
        command = [sys.executable, *item.command(folders)[1:]]
        done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
        results = _known(path)  # read again: another measurement may have ended meanwhile
        if done.returncode:
            print(f"FAILED with exit code {done.returncode}")
            failed = 1
            if item.key in results:
                results[item.key]["failed"] = _today()
        else:
            results[item.key] = {"result": json.loads(done.stdout.splitlines()[-1]), **_circumstances()}
            print("ok")
        in_order = dict(sorted(results.items()))  # the order inside is that of the rows
        path.write_text(json.dumps(in_order, indent=1) + "\n", encoding="utf-8")
    (root / PAGE).write_text(page(_known(path)), encoding="utf-8")
    return failed


def _known(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def page(results: dict) -> str:
    """Return the page as Markdown; what has not been measured is not there."""
    parts = [
        "# Measured results\n\nWritten by `make measured` from what the benchmarks printed; nothing is typed by hand. "
        "The machines are shared and noisy: compare within a table, and repeat what matters to you.\n"
    ]
    for section in SECTIONS:
        measured = [item for item in section.measurements if item.key in results]
        if measured:
            parts.append(f"## {section.title}\n\n{section.text}\n")
            lines = [section.columns, tuple("---" for _ in section.columns)]
            lines += [row for item in measured for row in item.rows(results[item.key]["result"])]
            parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n")
            commands = "\n".join(_command(item, results[item.key]) for item in measured)
            parts.append(f"```sh\n{commands}\n```\n")
            taken = [results[item.key] for item in measured]
            parts += dict.fromkeys(f"{one['date']}; {one['machine']}; {one['versions']}.\n" for one in taken)
            parts += [
                f"**`{' '.join(item.command())}` failed on {when}**: its rows are of the last run that did not.\n"
                for item in measured
                if (when := results[item.key].get("failed"))
            ]
    return "\n".join(parts)


def _command(item: Measurement, measured: dict) -> str:
    """Write down how a measurement was started."""
    threads = measured.get("threads")
    return f"OMP_NUM_THREADS={threads} " * bool(threads) + " ".join(item.command())


def _circumstances() -> dict[str, str]:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    place = f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "date": _today(),
        "machine": place,
        "versions": ", ".join(versions),
        **({"threads": threads} if threads else {}),
    }


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
