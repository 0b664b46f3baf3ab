"""What it costs to grade lab 1: overhead for each notebook, and a class of 60, two at a time.

``python tests/benchmarks/grading.py`` (``20``: for a class of 20) makes it out of the master: right, blank, and a few
that misbehave.
"""

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tools.grading import classroom
from tools.grading.sandbox import Limits
from tools.markup import derive

ROOT = Path(__file__).parent.parent.parent
CLASS = 60
BAD = ["while True: pass", "import os; os._exit(0)", "x = [bytearray(10**8) for _ in range(1000)]", "1 / 0"]


def write_class(folder: Path, size: int, *, misbehave: bool = True) -> None:
    master = next((ROOT / "notebooks" / "labs").glob("lab01_*.ipynb"))
    made = derive(nbformat.read(master, as_version=4))
    for number in range(size):
        notebook = json.loads(nbformat.writes(made.student if number % 10 == 9 else made.instructor))
        if misbehave and number % 15 == 7:
            bad = {
                "cell_type": "code",
                "source": BAD[number // 15 % len(BAD)],
                "outputs": [],
                "metadata": {},
                "execution_count": None,
            }
            notebook["cells"].insert(10, bad)
        notebook["metadata"]["number"] = number  # equal files are graded once
        path = folder / f"student{number:03d}" / "lab01.ipynb"
        path.parent.mkdir()
        path.write_text(json.dumps(notebook), encoding="utf-8")


def seconds_of_cells() -> float:
    """Run the solution's cells alone, in a plain process that has imported everything."""
    master = next((ROOT / "notebooks" / "labs").glob("lab01_*.ipynb"))
    cells = [
        cell.source for cell in derive(nbformat.read(master, as_version=4)).instructor.cells if cell.cell_type == "code"
    ]
    left_out = ("%pip", ".done(", ".check(", ".progress(")
    cells = [cell for cell in cells if not any(word in cell for word in left_out)]
    times = []
    for _ in range(3):
        namespace = {"display": lambda *_: None}
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            for cell in cells:
                exec(cell, namespace)
        times.append(time.perf_counter() - start)
    return min(times)


def main(size: int = CLASS) -> None:
    own = seconds_of_cells()
    with tempfile.TemporaryDirectory() as folder:
        handed_in, output = Path(folder, "in"), Path(folder, "out")
        handed_in.mkdir()
        write_class(handed_in, size)
        start = time.perf_counter()
        rows = classroom.grade(handed_in, "lab01", ROOT, output, jobs=2, limits=Limits(cell_seconds=10))
        total = time.perf_counter() - start
    each = sorted(row.outcome.seconds for row in rows if not row.all_problems)
    print(
        json.dumps(
            {
                "notebook_own_seconds": round(own, 2),
                "notebook_median_seconds": round(each[len(each) // 2], 2),
                "overhead_seconds": round(each[len(each) // 2] - own, 2),
                f"class_of_{size}_seconds": round(total, 1),
                "class_of_300_minutes_estimated": round(total * 300 / size / 60, 1),
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
