"""Grades a folder of submissions, several at a time, and goes on where it stopped."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import pkgutil
import queue
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import nbformat

from coursekit import labs
from tools.grading import feedback, submissions
from tools.grading.judge import Judge, Limits
from tools.markup import derive
from coursekit.checks.lab import Lab
from coursekit.runtime import progress_bar


def lab_names() -> list[str]:
    """Return the names of the labs that the package has checks for."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(labs.__file__).parent)]))
    return sorted(name for name in found if re.fullmatch(r"lab\d\d", name))


def load_lab(name: str) -> Lab:
    """Return a lab by its name.

    Raises
    ------
    SystemExit
        If there is none of that name.
    """
    if name not in lab_names():
        sys.exit(f"unknown lab {name!r}; there are {', '.join(lab_names())}.")
    return importlib.import_module(f"coursekit.checks.{name}").lab


def grade(
    folder: Path,
    name: str,
    root: Path,
    output: Path | None = None,
    *,
    jobs: int = 0,
    limits: Limits | None = None,
    seed: int | None = None,
) -> list[dict]:
    """Grade every submission of a folder, write tables, pages and a picture, and return the results.

    A second call grades only what is new or has changed since: a submission, the lab's checks, the limits.

    Parameters
    ----------
    folder : Path
        Notebooks, in folders as deep as you like; each file is one submission.
    name : str
        Of the lab.
    root : Path
        Of the course: its masters are kept from submissions, and tell what was handed out.
    output : Path, optional
        Where results go; ``build/grades/NAME`` in the course's folder without it.
    jobs : int
        Submissions at a time; one per processor without it.
    limits : Limits, optional
        For each submission.
    seed : int, optional
        For the inputs of the checks. Without it, a random one is drawn once for this output folder.

    Raises
    ------
    SystemExit
        If there is no such lab or folder, or nothing in it.
    """
    lab = load_lab(name)
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}: give the folder with the submissions, SUBMISSIONS=folder.")
    if not hasattr(os, "fork"):
        sys.exit("grading needs Linux or macOS: on Windows, use WSL or a container.")
    if not (files := submissions.find(folder)):
        sys.exit(f"the folder {folder} holds no file.")
    output = output or root / "build" / "grades" / name
    results = output / "results"
    results.mkdir(parents=True, exist_ok=True)
    seed = _seed_of(output) if seed is None else seed
    limits = limits or Limits()
    version = _version(lab, limits, seed)
    hidden = [path.resolve() for path in _to_hide(root, folder, output) if path.is_dir()]
    done, waiting = [], []
    handed_in = {read.key: read for read in (submissions.read(path, folder, name) for path in files)}
    for submission in handed_in.values():
        earlier = _earlier(results / f"{submission.key}.json", submission.digest, version)
        (done if earlier else waiting).append(earlier or submission)
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(waiting)))
    if done:
        print(f"{len(done)} submissions are graded already, {len(waiting)} to go.")
    for result in _judge_all(waiting, lab, seed, jobs, hidden, limits):
        result["version"] = version
        done.append(result)
        _write_json(results / f"{result['key']}.json", result)
    done.sort(key=lambda result: result["name"])
    _add_written(done, handed_in, lab, root)
    _write_table(output / "grades.csv", done, lab)
    feedback.write(output, done, lab)
    _report(done, lab, output)
    return done


def _judge_all(waiting: list, lab: Lab, seed: int, jobs: int, hidden: list[Path], limits: Limits) -> Iterator[dict]:
    """Judge in as many threads as jobs, each with a worker process of its own; yield results as they come."""
    judges: queue.SimpleQueue = queue.SimpleQueue()
    owned = [Judge(lab_names(), hidden, limits) for _ in range(jobs)]
    for judge in owned:
        judges.put(judge)

    def one(submission: submissions.Submission) -> dict:
        judge = judges.get()
        try:
            outcome = asdict(judge.judge(submission, lab, seed))
        except Exception as error:  # one submission may not end the others' grading
            outcome = {"verdicts": {}, "problems": [f"not graded, {type(error).__name__}: {error}"], "seconds": 0.0}
            outcome["unconfined"] = ""
        finally:
            judges.put(judge)
        points = sum(verdict["points"] for verdict in outcome["verdicts"].values())
        return {
            "key": submission.key,
            "name": submission.name,
            "digest": submission.digest,
            "points": points,
            **outcome,
        }

    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(one, submission) for submission in waiting]
        with progress_bar(total=len(futures), unit="notebook", desc=lab.name) as bar:
            for future in as_completed(futures):
                yield future.result()
                bar.update()
    finally:  # also when somebody interrupts: what is graded by then is on the disk
        pool.shutdown(wait=False, cancel_futures=True)
        threading.Thread(target=lambda: [judge.close() for judge in owned]).start()


def _to_hide(root: Path, folder: Path, output: Path) -> list[Path]:
    """Return what no submission may read: solutions, checks, their tests, what others handed in, grades."""
    return [
        Path(labs.__file__).parent,
        root / "notebooks" / "labs",
        root / "tests",
        root / "build",
        root / ".git",
        folder,
        output,
    ]


def _seed_of(output: Path) -> int:
    path = output / "seed.txt"
    if not path.exists():
        path.write_text(f"{secrets.randbelow(2**31)}\n", encoding="ascii")
    return int(path.read_text(encoding="ascii"))


def _version(lab: Lab, limits: Limits, seed: int) -> str:
    """Return a fingerprint of what a result depends on besides the submission."""
    folder, others = Path(labs.__file__).parent, {*lab_names()} - {lab.name}
    sources = [  # a lab is a module or a folder of them
        path
        for path in sorted(folder.rglob("*.py"))
        if path.relative_to(folder).parts[0].removesuffix(".py") not in others
    ]
    parts = [*(path.read_bytes() for path in sources), repr((limits, seed)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _earlier(path: Path, digest: str, version: str) -> dict | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if result.get("digest") == digest and result.get("version") == version else None


def _add_written(done: list[dict], handed_in: dict, lab: Lab, root: Path) -> None:
    """Add the answers that a person marks, cut out of the notebooks."""
    wanted = [question.name for question in lab.questions.values() if not question.check]
    blank = []
    for master in (root / "notebooks" / "labs").glob(f"{lab.name}_*.ipynb"):
        blank = [cell.source for cell in derive(nbformat.read(master, as_version=4)).student.cells]
    for result in done:
        result["written"] = submissions.written_answers(handed_in[result["key"]], blank, wanted)


def _write_table(path: Path, done: list[dict], lab: Lab) -> None:
    checked = [question for question in lab.questions.values() if question.check]
    by_hand = [question for question in lab.questions.values() if not question.check]
    header = ["submission", "points", "of", *(question.name for question in checked)]
    header += [f"{question.name} (by hand, of {question.points})" for question in by_hand] + ["seconds", "problems"]
    most = sum(question.points for question in checked)
    rows = [
        [
            _as_text(result["name"]),
            result["points"],
            most,
            *(result["verdicts"].get(question.name, {}).get("points", 0) for question in checked),
            *("" for _ in by_hand),
            round(result["seconds"], 1),
            _as_text("; ".join(result["problems"])),
        ]
        for result in done
    ]
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    temporary.replace(path)


def _as_text(value: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    value = " ".join(value.split())
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value


def _write_json(path: Path, result: dict) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(path)


def _report(done: list[dict], lab: Lab, output: Path) -> None:
    most = sum(question.points for question in lab.questions.values() if question.check)
    mean = sum(result["points"] for result in done) / len(done)
    print(f"{len(done)} submissions, on average {mean:.1f} of {most} points.")
    for result in done:
        if result["problems"]:
            print(f"  {_as_text(result['name'])}: {_as_text('; '.join(result['problems']))[:200]}")
    if missing := {result["unconfined"] for result in done if result["unconfined"]}:
        print(f"Without the kernel's protection ({'; '.join(sorted(missing))}): Python's guard alone stood between the")
        print("submissions and your files and network. Grade in a container, or under an account of its own.")
    print(f"Overview: {output / 'index.html'}; table: {output / 'grades.csv'}; for students: {output / 'feedback'}")
