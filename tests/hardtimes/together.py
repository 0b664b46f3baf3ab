"""All notebooks at once, twice in parallel, in one folder and with one cache: the same results, and nothing broken.

python tests/hardtimes/together.py [01_convolution ...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nbformat

from coursekit.authoring import execute
from tests.hardtimes import common


def as_child(folder: Path, kept: Path, names: list[str]) -> None:
    """Execute notebooks in ``folder``, beside somebody who does the same, and keep their outputs in ``kept``."""
    for name in names:
        notebook = nbformat.read(common.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        result = execute.execute(notebook, name=name, folder=folder, threads=1, timeout=1200)
        nbformat.write(notebook, kept / f"{name}.ipynb")
        print(json.dumps([name, result.error, round(result.seconds)]), flush=True)


def outputs(path: Path) -> list:
    """Return what the cells show, but for those that show times."""
    notebook = execute.normalize(nbformat.read(path, as_version=4))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and not execute.is_measured(cell)]
    return [{**output, "execution_count": None} for cell in cells for output in cell.outputs]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--child", nargs=2, type=Path)
    options.add_argument("names", nargs="*")
    args = options.parse_args()
    names = args.names or sorted(path.stem for path in (common.ROOT / "notebooks").glob("[0-9]*.ipynb"))
    if args.child:
        as_child(*args.child, names)
        return
    wrong, seconds = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch, "folder"), Path(scratch, "cache")
        folder.mkdir(), cache.mkdir()
        environment = common.environment(COURSEKIT_CACHE=str(cache))
        running = {}
        for who in ("first", "second"):
            kept = Path(scratch, who)
            kept.mkdir()
            command = [sys.executable, __file__, "--child", str(folder), str(kept), *names]
            running[kept] = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for kept, process in running.items():
            lines = [json.loads(line) for line in process.communicate()[0].splitlines() if line.startswith("[")]
            seconds = max(seconds, sum(taken for _, _, taken in lines))
            wrong += [f"{kept.name} {name}: {error}" for name, error, _ in lines if error]
            if process.returncode or len(lines) != len(names):
                wrong.append(f"{kept.name}: exit code {process.returncode} after {len(lines)} notebooks")
        first, second = running
        if not wrong:
            files = [f"{name}.ipynb" for name in names]
            wrong += [
                f"{file}: the outputs differ" for file in files if outputs(first / file) != outputs(second / file)
            ]
        parts = [
            path for place in (folder, cache) for path in place.rglob("*") if path.suffix in (".part", ".unpacking")
        ]
        wrong += [f"left behind: {path}" for path in parts]
    print(f"{seconds} s")
    rows = [("notebooks, each run twice at once in one folder with one cache", len(names), "same outputs, cache whole")]
    common.finish(rows if not wrong else [(*rows[0][:2], "WRONG")], wrong)


if __name__ == "__main__":
    main()
