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
    "labs": "make instructor copies and Gradescope archives of the labs, and prove that they work",
    "grade": "grade a folder of submissions to a lab",
    "release": "build the package's wheel into dist/, and check that it works",
    "curves": "train plain and residual networks on CIFAR-10, and store their curves for notebook 05",
    "measured": "run the benchmarks, and write the page of measured results",
    "costs": "execute like run, then write seconds and memory into coursekit/costs.json and the README",
}
OWN_ARGUMENTS = ("curves", "measured")  # these read theirs themselves
LECTURES, MASTERS = "notebooks/[0-9][0-9]_*.ipynb", "notebooks/labs/lab[0-9][0-9]_*.ipynb"


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command in the current directory, the course's root; return the exit code."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if others and options.command not in OWN_ARGUMENTS:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        return _carry_out(options, others, Path.cwd())
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: `make` installs it, from the groups `dev` and `site`.", file=sys.stderr)
        return 1


def _carry_out(options: argparse.Namespace, others: list[str], root: Path) -> int:
    command = options.command
    if command == "curves":
        from tools import train_curves

        train_curves.main(others)
        return 0
    if command == "measured":
        return subprocess.call([sys.executable, root / "tests" / "benchmarks" / "page.py", *others])
    if command == "site":
        from tools import site

        return site.publish(root)
    if command == "release":
        from tools import release

        return release.release(root)
    if command == "grade":
        from tools.grading import classroom
        from tools.grading.sandbox import Limits

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is there gets written
        given = {name: getattr(options, name) for name in ("jobs", "roster", "marks", "deadline", "count")}
        limits = Limits(cell_seconds=options.seconds, question_seconds=min(20, options.seconds))
        classroom.grade(options.submissions, options.lab, root, options.output, limits=limits, **given)
        return 0
    if command == "labs":
        from tools import assignments

        return assignments.make(root, find_notebooks(root, options.names, MASTERS))
    if command in ("links", "rules", "notebooks"):
        paths = find_notebooks(root, options.names, LECTURES, MASTERS)
    else:
        paths = find_notebooks(root, options.names)
    if command == "slides":
        from tools import slides

        return slides.publish(root, paths)
    if command == "links":
        from tools import launch

        return launch.renew(root, paths)
    if command == "rules":
        from tools import rules

        return rules.report(root, paths)
    from tools import execute

    if command == "notebooks":
        return execute.renew(paths)
    build = Path("build") / "notebooks"
    results = execute.run_all(paths, build, options.jobs if command == "run" else 1)  # costs are measured one by one
    if command == "run" and (root / "docs" / "conf.py").exists():
        from tools import site

        site.publish(root, build)
    failed = any(result.error for result in results)
    if command == "costs" and not failed:
        from tools import costs

        costs.record(root, results)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = {
        name: commands.add_parser(name, help=text, description=text, add_help=name not in OWN_ARGUMENTS)
        for name, text in COMMANDS.items()
    }
    for name in ("run", "notebooks", "rules", "links", "slides", "costs"):
        command[name].add_argument("names", nargs="*", help="only these notebooks, such as 01_convolution")
    command["labs"].add_argument("names", nargs="*", help="only these labs, such as lab01")
    command["run"].add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
    add = command["grade"].add_argument
    add("submissions", type=Path, help="the folder with what was handed in")
    add("lab", help="such as lab01")
    add("--jobs", type=int, default=0, help="submissions at a time (default: all processors)")
    add("--output", type=Path, help="where results go (default: build/grades/LAB)")
    add("--roster", type=Path, help="the class (default: roster.csv beside the folder, if any)")
    add("--marks", type=Path, help="marks by hand (default: marks.csv beside the folder, if any)")
    add("--deadline", default="", help='such as "2026-11-30 18:00": says who is late')
    add("--count", choices=("best", "last"), default="best", help="which attempt counts")
    add("--seconds", type=float, default=150, help="that a cell may take (default: 150)")
    return parser


def find_notebooks(root: Path, names: list[str], *patterns: str) -> list[Path]:
    """Return the lectures, or what the patterns say, in order: all, or those named; exit if a name is unknown."""
    paths = {path.stem: path for pattern in patterns or [LECTURES] for path in sorted(root.glob(pattern))}
    if not paths:
        sys.exit("no notebooks here: run this in the course's root folder, where `notebooks` lies.")
    wanted = {name: [stem for stem in paths if stem.startswith(Path(name).stem)] for name in names or [""]}
    if unknown := [name for name, stems in wanted.items() if not stems]:
        sys.exit(f"unknown notebook: {', '.join(unknown)}. There are: {', '.join(paths)}.")
    return [paths[stem] for stems in wanted.values() for stem in stems]


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] -- a terminal that lacks a sign shows "?"
    sys.exit(main())
