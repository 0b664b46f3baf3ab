"""The commands behind the Makefile; ``python -m coursekit.authoring --help`` lists them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coursekit.authoring import checks, costs, execute, measured, picture


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command in the current directory, the course's root; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.authoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in [
        ("run", "execute copies of the notebooks into build/ and show a table"),
        ("notebooks", "execute the notebooks in place, outputs and all"),
        ("links", "write the repository's address from pyproject.toml into every notebook"),
        ("picture", "draw the README's picture"),
        ("measured", "run the benchmarks, and write the page of measured results"),
        ("costs", "execute like run, then write seconds and memory into coursekit/costs.json and the README"),
    ]:
        command = commands.add_parser(name, help=text, description=text)
        what = "measurements, such as fit" if name == "measured" else "notebooks, such as 01_convolution"
        command.add_argument("names", nargs="*", help=f"only these {what}")
        if name == "measured":
            command.add_argument("--cifar", metavar="DIR", help="the folder with CIFAR-10's class folders")
        if name == "run":
            command.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
        if name == "notebooks":
            command.add_argument("--remeasure", action="store_true", help="also renew cells that show times")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    if options.command == "picture":
        print(picture.overview().save(root / picture.PICTURE))
        return 0
    if options.command == "measured":
        return measured.measure(root, options.cifar, options.names)
    paths = find_notebooks(root, options.names)
    if options.command == "links":
        source = checks.setup_cell(checks.repository(root))
        for path in paths:
            print(f"{path.name}: {'changed' if checks.set_setup_cell(path, source) else 'unchanged'}")
        return 0
    if options.command == "notebooks":
        results = []
        for path in paths:
            print(f"{path.stem} ... ", end="", flush=True)
            results.append(execute.execute_in_place(path, remeasure=options.remeasure))
            print(results[-1].error or f"{results[-1].seconds:.0f} s")
    else:
        jobs = options.jobs if options.command == "run" else 1  # costs are measured one by one
        results = execute.run_all(paths, Path("build") / "notebooks", jobs)
        if options.command == "costs" and not any(result.error for result in results):
            costs.record(root, results)
    return 1 if any(result.error for result in results) else 0


def find_notebooks(root: Path, names: list[str]) -> list[Path]:
    """Return the course's notebooks in order, or those named (with or without ending).

    Raises
    ------
    SystemExit
        If there are none, or a name is unknown.
    """
    paths = {path.stem: path for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        sys.exit("no notebooks here: run this in the course's root folder, where `notebooks` lies.")
    wanted = [Path(name).stem for name in names] or list(paths)
    if unknown := [name for name in wanted if name not in paths]:
        sys.exit(f"unknown notebook: {', '.join(unknown)}. There are: {', '.join(paths)}.")
    return [paths[name] for name in wanted]


if __name__ == "__main__":
    sys.exit(main())
