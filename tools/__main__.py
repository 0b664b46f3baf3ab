"""The commands behind the Makefile; ``python -m tools --help`` lists them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat

from tools import checks, colabcheck, costs, execute, launch, measured, newnotebook, picture, publish


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command in the current directory, the course's root; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in [
        ("run", "execute copies of the notebooks into build/ and show a table"),
        ("notebooks", "execute the notebooks in place, outputs and all"),
        ("links", "write the repository's address from pyproject.toml into every notebook, and the students' labs"),
        ("picture", "draw the README's picture, and that of the modules"),
        ("site", "build the site from the notebooks as they stand"),
        ("slides", "make the decks of slides from the notebooks as they stand"),
        ("new-notebook", "write a notebook to start from"),
        ("colab-check", "run every notebook in an environment with Colab's versions"),
        ("labs", "make student and instructor copies and autograder archives of the labs, and prove that they work"),
        ("grade", "grade a folder of submissions to a lab"),
        ("measured", "run the benchmarks, and write the page of measured results"),
        ("costs", "execute like run, then write seconds and memory into coursekit/costs.json and the README"),
    ]:
        command = commands.add_parser(name, help=text, description=text)
        what = {"measured": "measurements, such as fit", "labs": "labs, such as lab01"}.get(
            name, "notebooks, such as 01_convolution"
        )
        if name == "grade":
            command.add_argument("submissions", type=Path, help="the folder with what was handed in")
            command.add_argument("lab", help="such as lab01")
            command.add_argument("--jobs", type=int, default=0, help="submissions at a time (default: all processors)")
            command.add_argument("--output", type=Path, help="where results go (default: build/grades/LAB)")
            command.add_argument(
                "--roster", type=Path, help="the class (default: roster.csv beside the folder, if any)"
            )
            command.add_argument(
                "--marks", type=Path, help="marks by hand (default: marks.csv beside the folder, if any)"
            )
            command.add_argument("--deadline", default="", help='such as "2026-11-30 18:00": says who is late')
            command.add_argument("--count", choices=("best", "last"), default="best", help="which attempt counts")
            command.add_argument("--seconds", type=float, default=150, help="that a cell may take (default: 150)")
        elif name not in ("picture", "site"):
            command.add_argument("names", nargs="*", help=f"only these {what}")
        if name == "measured":
            command.add_argument("--cifar", metavar="DIR", help="the folder with CIFAR-10's class folders")
            command.add_argument("--photos", metavar="DIR", help="a folder with photos in train/CLASS and test/CLASS")
        if name == "run":
            command.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
        if name == "notebooks":
            command.add_argument("--remeasure", action="store_true", help="also renew cells that show times")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    if options.command == "picture":
        print(picture.overview().save(root / picture.PICTURE))
        print(picture.write_modules(root))
        return 0
    if options.command == "site":
        return publish.site(root)
    if options.command == "new-notebook":
        return newnotebook.write(root, options.names)
    if options.command == "labs":
        from tools import assignments

        return 0 if assignments.make(root, options.names) else 1
    if options.command == "grade":
        from tools.grading import classroom
        from tools.grading.judge import Limits

        given = {name: getattr(options, name) for name in ("jobs", "roster", "marks", "deadline", "count")}
        limits = Limits(cell_seconds=options.seconds, question_seconds=min(20, options.seconds))
        classroom.grade(options.submissions, options.lab, root, options.output, limits=limits, **given)
        return 0
    if options.command == "measured":
        folders = {"CIFAR": options.cifar, "PHOTOS": options.photos}
        return measured.measure(root, {name: path for name, path in folders.items() if path}, options.names)
    paths = find_notebooks(root, options.names, labs=options.command in ("notebooks", "links"))
    if options.command == "links":
        return _renew_links(root, paths)
    if options.command == "slides":
        return publish.slides(root, paths)
    if options.command == "colab-check":
        return colabcheck.check(root, paths)
    if options.command == "notebooks":
        results = []
        for path in paths:
            print(f"{path.stem} ... ", end="", flush=True)
            results.append(execute.execute_in_place(path, remeasure=options.remeasure))
            print(results[-1].error or f"{results[-1].seconds:.0f} s")
    else:
        jobs = options.jobs if options.command == "run" else 1  # costs are measured one by one
        build = Path("build") / "notebooks"
        results = execute.run_all(paths, build, jobs)
        if options.command == "run" and publish.has_site(root):
            publish.site(root, build)
        if options.command == "costs" and not any(result.error for result in results):
            costs.record(root, results)
    return 1 if any(result.error for result in results) else 0


def _renew_links(root: Path, paths: list[Path]) -> int:
    setup, place = checks.setup_cell(checks.repository(root)), launch.fork(root)
    for path in paths:
        changed = checks.set_setup_cell(path, setup)
        notebook = nbformat.read(path, as_version=4)
        if launch.set_links(notebook, launch.source(place, path.relative_to(root))):
            nbformat.write(notebook, path)
            changed = True
        print(f"{path.name}: {'changed' if changed else 'unchanged'}")
    readme = root / "README.md"
    if readme.exists():
        readme.write_text(launch.update_readme(readme.read_text(encoding="utf-8"), place), encoding="utf-8")
    for path in launch.write_student_labs(root):
        print(f"{path.relative_to(root)}: written")
    return 0


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
    sys.exit(main())
