"""Gradescope: the archive to upload, and what grades one submission there with the course's own grader.

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
from tools.grading.judge import Judge

USER = 61234  # of nobody else's; it needs no name
_COMMAND = (
    *("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--no-new-privs"),
    *("--bounding-set", "-all", "--inh-caps", "-all", "--"),
)
_LIMITS = sandbox.Limits(seconds=500)  # Gradescope's own limit is ten minutes unless one asks for more
_COPIED = ("coursekit", "tools", "data", "pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT.md")
_SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image.
set -e
apt-get update -qq
apt-get install -y -qq python3 python3-venv python3-pip
python3 -m venv /autograder/venv
cd /autograder/source
/autograder/venv/bin/python -m pip install --quiet --upgrade pip
/autograder/venv/bin/python -m pip install --quiet --editable . --group dev
"""
_RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission.
cd /autograder/source
exec /autograder/venv/bin/python -m tools.grading.gradescope {name} /autograder
"""


def write_archive(path: Path, name: str, master: Path, root: Path) -> None:
    """Write the archive to upload to Gradescope to ``path``: package, tools and data, the lab's master, two scripts."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        _copy(master, source / "notebooks" / "labs" / master.name)
        for copied in _COPIED:
            _copy(root / copied, source / copied)
        for script, text in {"setup.sh": _SETUP, "run_autograder": _RUN.format(name=name)}.items():
            (source / script).write_text(text, encoding="utf-8")
            (source / script).chmod(0o755)
        shutil.make_archive(str(path.with_suffix("")), "zip", source)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def main(name: str, base: Path) -> None:
    """Grade what lies in ``base/submission`` and write ``base/results/results.json``.

    Exits, with nothing written, if the submission could read the course, or if a process of its outlives it.
    """
    lab = load_lab(name)
    (base / "results").mkdir(exist_ok=True)
    results: dict[str, object] = {"score": 0, "output": "There is no file in the submission."}
    handed_in = submissions.find(base / "submission", name)
    if handed_in:
        handed_in.sort(key=lambda submission: (len(submission.problems), -len(submission.cells)))
        with tempfile.TemporaryDirectory(prefix="course-") as course:
            walls = _walls(base, Path(course))
            try:
                outcome = Judge(walls, _LIMITS).judge(handed_in[0].code, lab, _seed(base))
            finally:
                _end_all()
        notes = [f"Graded: {handed_in[0].name}", *handed_in[0].problems, *outcome.problems]
        notes += [f"{other.name} was not graded: hand in one notebook." for other in handed_in[1:]]
        tests = []
        for question, verdict in outcome.verdicts.items():
            of = lab.questions[question]
            test = {"score": verdict["points"], "max_score": of.points, "output": verdict["text"]}
            tests.append({"name": f"{question} {of.title}", "visibility": "visible", **test})
        results = {"tests": tests, "output": "\n".join(notes), "execution_time": round(outcome.seconds)}
    (base / "results" / "results.json").write_text(json.dumps(results), encoding="utf-8")


def _walls(base: Path, course: Path) -> sandbox.Walls:
    """Close the course and the results to the submission's user; copy what it needs to a folder that it can read."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        sys.exit("nothing was graded: it takes root and the program `setpriv` to run a submission as another user.")
    closed = [str(base / "source"), str(base / "results")]
    for folder in closed:
        os.chmod(folder, 0o700)
    for source, inside in sandbox.shown().items():
        _copy(source, course / inside)
    (course / "home").mkdir()
    os.chown(course / "home", USER, USER)
    course.chmod(0o755)
    walls = sandbox.Walls(_COMMAND, str(course), str(course / "home"))
    tried = walls.start("-c", f"import os, sys; sys.exit(any(os.access(path, os.X_OK) for path in {closed}))")
    tried.communicate()
    if tried.returncode != 0:
        sys.exit("nothing was graded: a submission could read the course, or it cannot run as another user.")
    return walls


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


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
