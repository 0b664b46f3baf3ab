"""Grades a folder of submissions, several at a time, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import secrets
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import psutil

import coursekit
from coursekit import checks
from coursekit.checks.lab import Lab
from coursekit.runtime import progress_bar
from tools.grading import gradebook, pages, submissions
from tools.grading.judge import Judge
from tools.grading.sandbox import Limits, bubblewrap
from tools.grading.submissions import Outcome, Submission, printable


def load_lab(name: str) -> Lab:
    """Return a lab by its name; exit if there is none."""
    names = sorted(path.stem for path in Path(checks.__path__[0]).glob("lab[0-9][0-9]*"))
    if name not in names:
        sys.exit(f"unknown lab {name!r}; there are {', '.join(names)}.")
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
    roster: Path | None = None,
    marks: Path | None = None,
    deadline: str = "",
    count: str = "best",
) -> list[Submission]:
    """Grade every submission of a folder, write tables and pages, and return the rows of the table.

    A second call grades only what is new or has changed since: a submission, the checks, the grader, the limits.
    ``python -m tools grade --help`` explains the options, and what holds without them. Without ``seed``, one for the
    inputs of the checks is drawn once for this output folder. Exits if there is no such lab or folder, nothing in it,
    or no sandbox; with 130 after Ctrl-C or SIGTERM, which end the sandboxes: what is there is written.
    """
    lab, output = load_lab(name), output or root / "build" / "grades" / name
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}: give the folder with the submissions, SUBMISSIONS=folder.")
    students = gradebook.read_roster(_beside(folder, "roster.csv", roster))
    rows = submissions.find(folder, name)
    if not rows and not students:
        sys.exit(f"the folder {folder} holds no file.")
    try:
        due = datetime.fromisoformat(deadline).timestamp() if deadline else float("inf")
    except ValueError:
        sys.exit(f"the deadline {deadline!r} must be written like 2026-11-30 18:00.")
    judge, results = Judge(bubblewrap(), limits), output / "results"
    results.mkdir(parents=True, exist_ok=True)
    seed = _seed_of(output) if seed is None else seed
    interrupted = _judge_all(rows, lab, seed, results, judge, jobs)
    for row in rows:
        row.late = round(max(0.0, row.time - due) / 3600, 1)
    _find_owners(rows, students, count)
    given = gradebook.read_marks(_beside(folder, "marks.csv", marks), lab, {row.student for row in rows})
    for row in rows:
        row.marks = given.get(row.student, {}) if row.counts else {}
    pages.write(output, rows, lab, root)
    gradebook.write(output, rows, lab)
    gradebook.draw_guesses(output, rows, lab)
    _report(rows, lab, output)
    if interrupted:
        print("Interrupted: what was graded until then is written. The same command goes on from there.")
        raise SystemExit(130)
    return rows


def _beside(folder: Path, usual: str, given: Path | None) -> Path | None:
    """Return the path of a table: the one that was given, or the usual one beside a folder if it is there."""
    path = Path(os.path.abspath(folder)).parent / usual
    return given or (path if path.is_file() else None)


def _judge_all(rows: list[Submission], lab: Lab, seed: int, results: Path, judge: Judge, jobs: int) -> bool:
    """Judge what has no result yet, in as many threads as jobs; return whether somebody interrupted it."""
    version = _version(judge.limits, seed)
    places = {row.digest: results / f"{row.digest}-{version}.json" for row in rows if row.cells}
    found = {digest: json.loads(place.read_bytes()) for digest, place in places.items() if place.exists()}
    outcomes = {digest: Outcome(**result) for digest, result in found.items()}
    waiting = {row.digest: row.code for row in rows if row.cells and row.digest not in found}  # equal files once
    if found:
        print(f"{len(found)} submissions are graded already, {len(waiting)} to go.")

    def one(digest: str) -> None:
        try:
            outcomes[digest] = judge.judge(waiting[digest], lab, seed)
        except Exception as error:  # one submission may not end the others' grading
            text = printable(f"not graded, {type(error).__name__}: {error}")
            outcomes[digest] = Outcome(problems=[text], sound=False)
        if outcomes[digest].sound:
            temporary = places[digest].with_suffix(".tmp")
            temporary.write_text(json.dumps(asdict(outcomes[digest])), encoding="utf-8")
            temporary.replace(places[digest])

    memory = psutil.virtual_memory().total // (Limits.megabytes * 1_500_000)
    pool, interrupted = ThreadPoolExecutor(jobs or max(1, min(len(os.sched_getaffinity(0)), memory))), False
    try:
        done = as_completed([pool.submit(one, digest) for digest in waiting])
        for future in progress_bar(iterable=done, total=len(waiting), unit="notebook", desc=lab.name):
            future.result()
    except KeyboardInterrupt:
        interrupted = True
        for number in (signal.SIGINT, signal.SIGTERM):  # writing takes a moment
            signal.signal(number, signal.SIG_IGN)
    finally:
        judge.stop.set()
        pool.shutdown(cancel_futures=True)
    for row in rows:
        if row.cells:
            row.outcome = outcomes.get(row.digest) or Outcome(problems=["not graded: interrupted before its turn"])
    return interrupted


def _find_owners(rows: list[Submission], students: list[gradebook.Student], count: str) -> None:
    """Say whose each file is and which attempt counts; add a row for whoever is missing."""
    attempts: dict[str, list[Submission]] = {student.id: [] for student in students}
    for row in rows:
        owners = [student for student in students if student.handed_in(row.path)]
        if len(owners) == 1:
            row.student, row.who = owners[0].id, owners[0].name
            attempts[row.student].append(row)
        elif students:
            row.problems.append("of several students in the roster" if owners else "of nobody in the roster")
    for student in students:
        mine = attempts[student.id]
        best = max(mine, key=lambda row: row.time if count == "last" else row.points, default=None)
        for row in mine:
            row.counts = row is best
            if len(mine) > 1:
                row.problems.append(f"one of {len(mine)} attempts: the {count} one counts")
        if not mine:
            rows.append(
                Submission("", "", "", problems=["nothing was handed in"], student=student.id, who=student.name)
            )


def _seed_of(output: Path) -> int:
    path = output / "seed.txt"
    if not path.exists():
        path.write_text(f"{secrets.randbelow(2**31)}\n", encoding="ascii")
    return int(path.read_text(encoding="ascii"))


def _version(limits: Limits, seed: int) -> str:
    """Return a fingerprint of what a result depends on besides the submission: package, checks, grader, limits."""
    sources = [*Path(coursekit.__path__[0]).rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    parts = [*(path.read_bytes() for path in sorted(sources)), repr((limits, seed)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _report(rows: list[Submission], lab: Lab, output: Path) -> None:
    counting = [row for row in rows if row.counts]
    most = sum(question.points for question in lab.questions.values() if question.check)
    mean = sum(row.points for row in counting) / max(1, len(counting))
    print(f"{len(rows)} submissions, on average {mean:.1f} of {most} points.")
    for row in rows:
        if problems := row.all_problems:
            print(printable(f"  {row.name or row.who}: {'; '.join(problems)}", 220))
    for question in lab.questions.values():
        unmarked = sum(bool(row.outcome.verdicts) and question.name not in row.marks for row in counting)
        if unmarked and not question.check:
            print(f"{unmarked} answers to {question.name} have no mark yet: write marks.csv beside the folder.")
    print(f"In {output}: the table grades.csv, written.html to mark from, feedback.zip for students.")
