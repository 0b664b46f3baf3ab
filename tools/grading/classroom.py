"""Grades a folder of submissions, several at a time, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import queue
import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import nbformat
import psutil

from coursekit import checks
from coursekit.checks.lab import Lab
from coursekit.runtime import progress_bar
from tools.grading import feedback, records, sandbox, submissions
from tools.grading.judge import Judge, Limits, Outcome
from tools.grading.submissions import Submission, printable
from tools.markup import derive


def lab_names() -> list[str]:
    """Return the names of the labs that the package has checks for."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(checks.__file__).parent)]))
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
    roster: Path | None = None,
    marks: Path | None = None,
    deadline: str = "",
    count: str = "best",
) -> list[dict]:
    """Grade every submission of a folder, write tables, pages and a picture, and return the results.

    A second call grades only what is new or has changed since: a submission, the lab's checks, the grader, the limits.

    Parameters
    ----------
    folder, root, output : Path
        Of the submissions; of the course, whose master tells what was handed out; of the results, without it
        ``build/grades/NAME`` in the course's folder.
    jobs : int
        Submissions at a time; as many as processors and memory allow without it.
    seed : int, optional
        For the inputs of the checks. Without it, a random one is drawn once for this output folder.
    roster, marks : Path, optional
        Tables, see `records`; ``roster.csv`` and ``marks.csv`` beside ``folder`` without it, if they are there.
    deadline : str
        Such as ``"2026-11-30 18:00"``, in this machine's time.
    count : {"best", "last"}
        Which of several attempts of a student in the roster counts.

    Raises
    ------
    SystemExit
        If there is no such lab or folder, nothing in it, or no sandbox to grade in.
    """
    lab = load_lab(name)
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}: give the folder with the submissions, SUBMISSIONS=folder.")
    beside = Path(os.path.abspath(folder)).parent
    tables = {}
    for what, path in (("roster", roster), ("marks", marks)):
        usual = beside / f"{what}.csv"
        tables[what] = path or (usual if usual.is_file() else None)
    students = records.read_roster(tables["roster"])
    files = submissions.find(folder)
    if not files and not students:
        sys.exit(f"the folder {folder} holds no file.")
    try:
        due = datetime.fromisoformat(deadline).timestamp() if deadline else None
    except ValueError:
        sys.exit(f"the deadline {deadline!r} must be written like 2026-11-30 18:00.")
    walls, limits = sandbox.bubblewrap(), limits or Limits()
    output = output or root / "build" / "grades" / name
    (output / "results").mkdir(parents=True, exist_ok=True)
    seed = _seed_of(output) if seed is None else seed
    version = _version(lab, limits, seed)
    handed_in = [submissions.read(path, folder, name, others) for path, others in files.items()]
    outcomes = {one.digest: _earlier(output, one.digest, version) for one in handed_in if one.cells}
    waiting = list({one.digest: one for one in handed_in if one.cells and not outcomes[one.digest]}.values())
    if len(waiting) < len(outcomes):
        print(f"{len(outcomes) - len(waiting)} submissions are graded already, {len(waiting)} to go.")
    interrupted = False
    try:
        for digest, outcome in _judge_all(waiting, lab, seed, walls, jobs, limits):
            outcomes[digest] = outcome
            if outcome.sound:
                _write_json(output / "results" / f"{digest}.json", asdict(outcome) | {"version": version})
    except KeyboardInterrupt:
        interrupted = True
    results = [_result(one, outcomes.get(one.digest), lab, due) for one in handed_in]
    results = _by_student(results, students, count)
    _add_marks(results, records.read_marks(tables["marks"], lab, {one["student"] for one in results}))
    blank, guides = _handed_out(root, lab)
    wanted = [question.name for question in lab.questions.values() if not question.check]
    texts = {one.key: submissions.written_answers(one, blank, wanted) for one in handed_in}
    for result in results:
        result["written"] = texts.get(result["key"], {})
        missing = [one["note"] for one in result["written"].values() if one["note"].startswith("the heading")]
        result["problems"] += missing if result["verdicts"] else []
    records.write_tables(output, results, lab)
    feedback.write(output, results, lab, guides, picture=not interrupted)
    _report(results, lab, output, tables, count)
    if interrupted:
        print("Interrupted: what was graded until then is written. The same command goes on from there.")
        raise SystemExit(130)
    return results


def _judge_all(
    waiting: list[Submission], lab: Lab, seed: int, walls: sandbox.Walls, jobs: int, limits: Limits
) -> Iterator[tuple[str, Outcome]]:
    """Judge in as many threads as jobs; yield digests and outcomes as they come."""
    memory = psutil.virtual_memory().total // (limits.megabytes * 1_500_000)
    jobs = min(jobs or max(1, min(len(os.sched_getaffinity(0)), memory)), max(1, len(waiting)))
    judges: queue.SimpleQueue = queue.SimpleQueue()
    owned = [Judge(lab_names(), walls, limits) for _ in range(jobs)]
    for judge in owned:
        judges.put(judge)
    begun = iter(range(len(waiting)))

    def one(submission: Submission) -> tuple[str, Outcome]:
        judge = judges.get()
        try:
            ahead = next(begun) + jobs < len(waiting)
            outcome = judge.judge(submission, lab, seed, ahead=ahead)
        except Exception as error:  # one submission may not end the others' grading
            text = printable(f"not graded, {type(error).__name__}: {error}")
            outcome = Outcome(problems=[text], sound=False)
        finally:
            judges.put(judge)
        return submission.digest, outcome

    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(one, submission) for submission in waiting]
        with progress_bar(total=len(futures), unit="notebook", desc=lab.name) as bar:
            for future in as_completed(futures):
                yield future.result()
                bar.update()
    finally:  # also when somebody interrupts
        pool.shutdown(wait=False, cancel_futures=True)
        for judge in owned:
            judge.close()


def _result(submission: Submission, outcome: Outcome | None, lab: Lab, due: float | None) -> dict:
    """Return the row of one file."""
    if submission.cells and outcome is None:
        outcome = Outcome(problems=["not graded: interrupted before its turn"])
    outcome = outcome or Outcome()
    late = max(0.0, submission.time - due) / 3600 if due and submission.time else 0.0
    return {
        **{"key": submission.key, "name": submission.name, "student": submission.name, "who": submission.name},
        **{"path": submission.path, "counts": True, "missing": False, "marks": {}, "time": submission.time},
        "late": round(late, 1) or "",
        "points": sum(verdict["points"] for verdict in outcome.verdicts.values()),
        "verdicts": outcome.verdicts,
        "problems": list(dict.fromkeys([*submission.problems, *outcome.problems])),
        "seconds": outcome.seconds,
    }


def _by_student(results: list[dict], students: list[records.Student], count: str) -> list[dict]:
    """Say whose each file is, which attempt counts, and who is missing."""
    attempts: dict[str, list[dict]] = {student.id: [] for student in students}
    for result in results:
        owners = [student for student in students if student.handed_in(result["path"])]
        if len(owners) == 1:
            result["student"], result["who"] = owners[0].id, owners[0].name
            attempts[owners[0].id].append(result)
        elif students:
            result["problems"].append("of several students in the roster" if owners else "of nobody in the roster")
    for student in students:
        mine = attempts[student.id]
        order = (lambda one: (one["time"], one["name"])) if count == "last" else (lambda one: one["points"])
        best = max(mine, key=order, default=None)
        for result in mine:
            result["counts"] = result is best
            if len(mine) > 1:
                result["problems"].append(f"one of {len(mine)} attempts: the {count} one counts")
        if not mine:
            empty = _result(Submission("", "", problems=["nothing was handed in"]), None, None, None)
            results.append(empty | {"student": student.id, "who": student.name, "missing": True})
    return results


def _add_marks(results: list[dict], marks: dict[str, dict[str, tuple[float, str]]]) -> None:
    """Add what a person marked; where the checks have judged, too, the person's word counts."""
    for result in results:
        result["marks"] = marks.get(result["student"], {}) if result["counts"] else {}
        reached = {question: verdict["points"] for question, verdict in result["verdicts"].items()}
        reached |= {question: points for question, (points, _) in result["marks"].items()}
        result["total"] = sum(reached.values())


def _handed_out(root: Path, lab: Lab) -> tuple[list, dict[str, str]]:
    """Return the cells of the student's copy, and the marking guide of each written question."""
    for master in (root / "notebooks" / "labs").glob(f"{lab.name}_*.ipynb"):
        made = derive(nbformat.read(master, as_version=4))
        guides = {cell.id.removesuffix("-answer"): cell.source for cell in made.instructor.cells}
        return made.student.cells, guides
    return [], {}


def _seed_of(output: Path) -> int:
    path = output / "seed.txt"
    if not path.exists():
        path.write_text(f"{secrets.randbelow(2**31)}\n", encoding="ascii")
    return int(path.read_text(encoding="ascii"))


def _version(lab: Lab, limits: Limits, seed: int) -> str:
    """Return a fingerprint of what a result depends on besides the submission: checks, grader, limits."""
    folder, others = Path(checks.__file__).parent, {*lab_names()} - {lab.name}
    sources = [  # a lab is a module or a folder of them
        path
        for path in sorted(folder.rglob("*.py"))
        if path.relative_to(folder).parts[0].removesuffix(".py") not in others
    ]
    sources += sorted(Path(__file__).parent.glob("*.py"))
    parts = [*(path.read_bytes() for path in sources), repr((limits, seed)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _earlier(output: Path, digest: str, version: str) -> Outcome | None:
    try:
        result = json.loads((output / "results" / f"{digest}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Outcome(**result) if result.pop("version", "") == version else None


def _write_json(path: Path, result: dict) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(path)


def _report(results: list[dict], lab: Lab, output: Path, tables: dict[str, Path | None], count: str) -> None:
    counting = [result for result in results if result["counts"]]
    most = sum(question.points for question in lab.questions.values() if question.check)
    mean = sum(result["points"] for result in counting) / max(1, len(counting))
    print(f"{len(results)} submissions, on average {mean:.1f} of {most} points.")
    for what, path in tables.items():
        if path:
            print(f"Read: {path}" + (f"; of several attempts the {count} one counts" if what == "roster" else ""))
    for result in results:
        if result["problems"]:
            print(printable(f"  {result['name'] or result['who']}: {'; '.join(result['problems'])}", 220))
    by_hand = [question.name for question in lab.questions.values() if not question.check]
    left = Counter(name for result in counting if result["verdicts"] for name in by_hand if name not in result["marks"])
    for question, number in left.items():
        print(f"{number} answers to {question} have no mark yet: see written.html; write marks.csv beside the folder.")
    print(f"Overview: {output / 'index.html'}; table: {output / 'grades.csv'}; for students: {output / 'feedback.zip'}")
