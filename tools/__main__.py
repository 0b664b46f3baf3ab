"""The commands behind the Makefile; ``python -m tools --help`` lists them."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "run": "execute copies of the notebooks into build/, show a table, and build the site",
    "notebooks": "execute the notebooks in place, outputs and all",
    "rules": "say which rules of the course a notebook breaks",
    "links": "find the repository's address, write it into every notebook and the README, and write the students' labs",
    "site": "build the site from the notebooks as they stand",
    "slides": "make the decks of slides from the notebooks as they stand",
    "labs": "make student and instructor copies and Gradescope archives of the labs, and prove that they work",
    "grade": "grade a folder of submissions to a lab",
    "release": "build the package's wheel into dist/, and check that it works",
    "curves": "train plain and residual networks on CIFAR-10, and store their curves for notebook 05",
    "measured": "run the benchmarks, and write the page of measured results",
    "costs": "execute like run, then write seconds and memory into coursekit/costs.json and the README",
}
_NAMES = {"measured": "measurements, such as fit", "labs": "labs, such as lab01"}


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command in the current directory, the course's root; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _carry_out(options, Path.cwd())
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: `make` installs it, from the groups `dev` and `site`.", file=sys.stderr)
        return 1


def _carry_out(options: argparse.Namespace, root: Path) -> int:
    command = options.command
    if command == "site":
        from tools import site

        return site.publish(root)
    if command == "release":
        from tools import release

        return release.release(root)
    if command == "labs":
        from tools import assignments

        return 0 if assignments.make(root, options.names) else 1
    if command == "grade":
        from tools.grading import classroom
        from tools.grading.sandbox import Limits

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is there gets written

        given = {name: getattr(options, name) for name in ("jobs", "roster", "marks", "deadline", "count")}
        limits = Limits(cell_seconds=options.seconds, question_seconds=min(20, options.seconds))
        classroom.grade(options.submissions, options.lab, root, options.output, limits=limits, **given)
        return 0
    if command == "measured":
        more = [f"--{name}={folder}" for name in ("cifar", "photos") if (folder := getattr(options, name))]
        return subprocess.call([sys.executable, root / "tests" / "benchmarks" / "page.py", *options.names, *more])
    if command == "curves":
        from tools import train_curves

        train_curves.main(options.cifar, options.photos, options.epochs, options.seeds, root / "data" / "curves")
        return 0
    paths = find_notebooks(root, options.names, labs=command in ("notebooks", "links", "rules"))
    if command == "rules":
        from tools import rules

        wrong = [f"{path.name}: {fault}" for path in paths for fault in rules.check_all(path, root)]
        print(*wrong, sep="\n", end="\n" if wrong else "")
        return 1 if wrong else 0
    if command == "links":
        from tools import launch

        return launch.renew(root, paths)
    if command == "slides":
        from tools import slides

        return slides.publish(root, paths)
    return _execute(root, paths, options)


def _execute(root: Path, paths: list[Path], options: argparse.Namespace) -> int:
    from tools import costs, execute

    if options.command == "notebooks":
        results = []
        for path in paths:
            print(f"{path.stem} ... ", end="", flush=True)
            results.append(execute.execute_in_place(path, remeasure=options.remeasure))
            print(results[-1].error or f"{results[-1].seconds:.0f} s")
    else:
        build, jobs = Path("build") / "notebooks", getattr(options, "jobs", 1)  # costs are measured one by one
        results = execute.run_all(paths, build, jobs)
        if options.command == "run" and (root / "docs" / "conf.py").exists():
            from tools import site

            site.publish(root, build)
        if options.command == "costs" and not any(result.error for result in results):
            costs.record(root, results)
    return 1 if any(result.error for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "grade":
            command.add_argument("submissions", type=Path, help="the folder with what was handed in")
            command.add_argument("lab", help="such as lab01")
            command.add_argument("--jobs", type=int, default=0, help="submissions at a time (default: all processors)")
            command.add_argument("--output", type=Path, help="where results go (default: build/grades/LAB)")
            beside = "beside the folder, if any"
            command.add_argument("--roster", type=Path, help=f"the class (default: roster.csv {beside})")
            command.add_argument("--marks", type=Path, help=f"marks by hand (default: marks.csv {beside})")
            command.add_argument("--deadline", default="", help='such as "2026-11-30 18:00": says who is late')
            command.add_argument("--count", choices=("best", "last"), default="best", help="which attempt counts")
            command.add_argument("--seconds", type=float, default=150, help="that a cell may take (default: 150)")
        elif name == "curves":
            command.add_argument("--photos", type=int, default=10_000, help="for training (default: 10000)")
            command.add_argument("--epochs", type=int, default=40, help="default: 40")
            command.add_argument("--seeds", type=int, nargs="+", default=[0], help="each trains every network once")
        elif name not in ("site", "release"):
            what = _NAMES.get(name, "notebooks, such as 01_convolution")
            command.add_argument("names", nargs="*", help=f"only these {what}")
        if name in ("curves", "measured"):
            command.add_argument("--cifar", metavar="DIR", help="the folder with CIFAR-10's class folders")
        if name == "measured":
            command.add_argument("--photos", metavar="DIR", help="a folder with photos in train/CLASS and test/CLASS")
        if name == "run":
            command.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
        if name == "notebooks":
            command.add_argument("--remeasure", action="store_true", help="also renew cells that show times")
    return parser


def find_notebooks(root: Path, names: list[str], *, labs: bool = False) -> list[Path]:
    """Return the course's notebooks in order, with or without the masters of the labs, or those named.

    Raises
    ------
    SystemExit
        If there are none, or a name is unknown.
    """
    paths = {path.stem: path for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    if labs:
        paths |= {path.stem: path for path in sorted((root / "notebooks" / "labs").glob("lab[0-9][0-9]_*.ipynb"))}
    if not paths:
        sys.exit("no notebooks here: run this in the course's root folder, where `notebooks` lies.")
    wanted = [Path(name).stem for name in names] or list(paths)
    if unknown := [name for name in wanted if name not in paths]:
        sys.exit(f"unknown notebook: {', '.join(unknown)}. There are: {', '.join(paths)}.")
    return [paths[name] for name in wanted]


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] -- a terminal that lacks a sign shows "?"
    sys.exit(main())
