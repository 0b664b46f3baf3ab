"""Grades one submission on Gradescope: ``python -m tools.grading.gradescope lab01 /autograder``.

There is no bubblewrap in its containers. The submission runs as a user of its own, who may not read the course or the
results; all processes of that user are ended before results are written. Where this cannot be had, nothing is graded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tools.grading import sandbox, submissions
from tools.grading.classroom import load_lab
from tools.grading.judge import Judge, Limits

USER = 61234  # of nobody else's; it needs no name
_COMMAND = (
    *("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--no-new-privs"),
    *("--bounding-set", "-all", "--inh-caps", "-all", "--"),
)
_SECONDS = 500.0  # Gradescope's own limit is ten minutes unless one asks for more


def main(name: str, base: Path) -> None:
    """Grade what lies in ``base/submission`` and write ``base/results/results.json``.

    Raises
    ------
    SystemExit
        If the submission could read the course or write the results, or if a process of its outlives it.
    """
    lab, folder = load_lab(name), base / "submission"
    (base / "results").mkdir(exist_ok=True)
    handed_in = submissions.find(folder, name)
    handed_in.sort(key=lambda submission: (len(submission.problems), -len(submission.cells)))
    if not handed_in:
        return _write(base, {"score": 0, "output": "There is no file in the submission."})
    with tempfile.TemporaryDirectory(prefix="course-") as course, sandbox.shared_folder() as shared:
        walls = _walls(base, Path(course), shared)
        try:
            outcome = Judge(walls, Limits(seconds=_SECONDS)).judge(handed_in[0].code, lab, _seed(base))
        finally:
            _end_all()
    tests = []
    for question in lab.questions.values():
        if verdict := outcome.verdicts.get(question.name):
            test = {"score": verdict["points"], "max_score": question.points, "output": verdict["text"]}
            tests.append({"name": f"{question.name} {question.title}", "visibility": "visible", **test})
    notes = [f"Graded: {handed_in[0].name}", *handed_in[0].problems, *outcome.problems]
    notes += [f"{other.name} was not graded: hand in one notebook." for other in handed_in[1:]]
    return _write(base, {"tests": tests, "output": "\n".join(notes), "execution_time": round(outcome.seconds)})


def _walls(base: Path, course: Path, shared: str) -> sandbox.Walls:
    """Close the course and the results to the submission's user; copy what it needs to a folder that it can read."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        sys.exit("nothing was graded: it takes root and the program `setpriv` to run a submission as another user.")
    closed = [base / "source", base / "results"]
    for folder in closed:
        folder.chmod(0o700)
    for source, inside in sandbox.shown().items():
        target = course / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (course / "home").mkdir()
    os.chown(course / "home", USER, USER)
    course.chmod(0o755)
    question = f"import os; print(any(os.access(path, os.X_OK) for path in {list(map(str, closed))}))"
    tried = subprocess.run([*_COMMAND, sys.executable, "-c", question], capture_output=True, text=True, cwd="/")
    if tried.stdout.strip() != "False":
        sys.exit(f"nothing was graded: a submission could read the course. {tried.stdout}{tried.stderr}")
    return sandbox.Walls(_COMMAND, str(course), str(course / "home"), shared)


def _end_all() -> None:
    """End every process of the submission's user; exit if one is left."""
    for _ in range(50):
        everybody = psutil.process_iter(["uids", "status"])
        theirs = [one.info["status"] for one in everybody if one.info["uids"] and one.info["uids"].real == USER]
        if all(status == psutil.STATUS_ZOMBIE for status in theirs):
            return
        subprocess.run([*_COMMAND, sys.executable, "-c", "import os; os.kill(-1, 9)"], cwd="/")
        time.sleep(0.1)
    sys.exit("nothing was graded: a process of the submission could not be ended.")


def _seed(base: Path) -> int:
    """Return the same seed for every submission, unknown to whoever has not got the master."""
    masters = sorted((base / "source" / "notebooks" / "labs").glob("*.ipynb"))
    return int(hashlib.sha256(b"".join(path.read_bytes() for path in masters)).hexdigest()[:8], 16)


def _write(base: Path, results: dict) -> None:
    (base / "results" / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
