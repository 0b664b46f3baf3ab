"""``python -m tests.rehearse`` runs every notebook on the full profile, without a network, a GPU or the real data.

A server on this machine gives files of the right form (`files`), and each kernel is prepared so that it asks there and
looks at few pictures (`kernel`). What is learned is worthless; that every cell runs is the point.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import nbformat

from tests.rehearse import files
from tests.rehearse.kernel import LARGE, SMALL
from tools import execute
from tools.__main__ import find_notebooks

TRAINED = "trained"  # the tag of cells whose assert speaks of what was trained: here it may fail
T4 = 8.1e12 / 2 * 0.3  # multiply-adds a second: three tenths of the 8.1 TFLOP/s that the T4's data sheet promises
LAUNCH = 12e-6  # seconds that each operation takes at least, for Python and to start it on the GPU
CUDA = 1e9  # bytes that CUDA and its libraries take
MOST_MINUTES, MOST_GB = 30, 12
COLUMNS = ("10^12 multiply-adds", "10^6 operations", "s for reading", "minutes", "GB")
NOTE = f"""
The last two columns say what the notebook would need on a T4 with 16 GB: its multiply-adds at three tenths of the
T4's 8.1 TFLOP/s, {LAUNCH * 1e6:.0f} us for each operation, and what this processor needs to read pictures; downloads
are not in it. Memory is that of all tensors, and 1 GB for CUDA. Networks looked at {SMALL} small or {LARGE} large
pictures of a data set; the account adds the others in proportion."""
STARTUP = """from tests.rehearse import kernel as _rehearsal
_rehearsal.prepare({!r}, {!r}, {!r})
"""


def rehearse(root: Path, paths: list[Path]) -> int:
    """Run notebooks on the full profile, two at a time, and print what failed and what they would need on a GPU.

    Parameters
    ----------
    root : Path
        The course's root folder.
    paths : list of Path
        The notebooks.

    Returns
    -------
    int
        0 where every cell ran and nothing would need too much. A cell tagged ``trained`` may end in an AssertionError.
    """
    print(f"Rehearsing {len(paths)} notebooks on the full profile, two at a time:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch, served = Path(folder), Path(folder) / "files"
        served.mkdir()
        files.write(served)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        startup = scratch / "profile_default" / "startup" / "rehearsal.py"
        startup.parent.mkdir(parents=True)
        address = f"http://127.0.0.1:{server.server_port}"
        startup.write_text(STARTUP.format(address, str(served), folder), encoding="utf-8")
        environment = {
            "COURSEKIT_PROFILE": "full",
            "COURSEKIT_CACHE": folder + "/cache",
            "IPYTHONDIR": folder,
            "PYTHONPATH": str(root.resolve()),
            "NO_PROXY": "127.0.0.1",
        }
        with mock.patch.dict(os.environ, environment), ThreadPoolExecutor(2) as pool:
            costs = execute.known_costs()
            longest_first = sorted(paths, key=lambda path: -costs.get(path.stem, {}).get("seconds", 0))
            done = list(pool.map(partial(_run, scratch=scratch), longest_first))
        server.shutdown()
    print(f"\n{'notebook':24s}" + "".join(f"{column:>21s}" for column in COLUMNS))
    for row, _ in sorted(done):
        print(row)
    print(NOTE)
    return 0 if all(well for _, well in done) else 1


def _run(path: Path, scratch: Path) -> tuple[str, bool]:
    """Run one notebook; return its row of the table, and whether all went well."""
    notebook = nbformat.read(path, as_version=4)
    trained = [cell for cell in notebook.cells if TRAINED in cell.metadata.get("tags", [])]
    for cell in trained:
        cell.metadata.tags.append("raises-exception")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        result = execute.execute(notebook, name=path.stem, folder=Path(folder), threads=1, timeout=900)
    raised = [output for cell in trained for output in cell.outputs if output.output_type == "error"]
    others = [f"{output.ename}: {output.evalue}" for output in raised if output.ename != "AssertionError"]
    error = result.error or "; ".join(others)
    claims = f", {len(raised)} claims about what was trained do not hold here" if raised else ""
    print(f"{path.stem} ... {error or 'ok'} ({result.seconds:.0f} s, {result.megabytes:.0f} MB{claims})", flush=True)
    report = scratch / f"{path.stem}.json"
    if not report.exists():
        return f"{path.stem:24s} did not begin", False
    products, operations, reading, size = json.loads(report.read_text(encoding="utf-8"))
    minutes, gigabytes = (products / T4 + operations * LAUNCH + reading) / 60, (size + CUDA) / 1e9
    fits = minutes <= MOST_MINUTES and gigabytes <= MOST_GB
    numbers = (products / 1e12, operations / 1e6, reading, minutes, gigabytes)
    row = f"{path.stem:24s}" + "".join(f"{number:21,.1f}" for number in numbers)
    return row + ("" if fits else "  TOO MUCH") + ("  (until it failed)" if error else ""), fits and not error


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    sys.exit(rehearse(Path.cwd(), find_notebooks(Path.cwd(), sys.argv[1:])))
