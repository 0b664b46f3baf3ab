"""Grades one submission on Gradescope: ``python -m tools.grading.gradescope lab01 /autograder``.

Reads ``submission/`` and writes ``results/results.json`` in Gradescope's format.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from coursekit import labs
from tools.grading import submissions
from tools.grading.classroom import lab_names, load_lab
from tools.grading.judge import Judge, Limits

_SECONDS = 500.0  # Gradescope's own limit is ten minutes unless one asks for more


def main(name: str, base: Path) -> None:
    """Grade what lies in ``base/submission`` and write ``base/results/results.json``."""
    lab, folder = load_lab(name), base / "submission"
    handed_in = [submissions.read(path, folder, name) for path in submissions.find(folder)]
    handed_in.sort(key=lambda submission: (len(submission.problems), -len(submission.cells)))
    if not handed_in:
        return _write(base, {"score": 0, "output": "There is no file in the submission."})
    submission = handed_in[0]
    hidden = [Path(labs.__file__).parent, base / "source" / "notebooks", base / "results"]
    with Judge(lab_names(), [path for path in hidden if path.is_dir()], Limits(seconds=_SECONDS)) as judge:
        outcome = judge.judge(submission, lab, seed=_seed(base))
    tests = []
    for question in lab.questions.values():
        verdict = outcome.verdicts.get(question.name)
        if verdict:
            test = {"score": verdict["points"], "max_score": question.points, "output": verdict["text"]}
            tests.append({"name": f"{question.name} {question.title}", "visibility": "visible", **test})
    notes = [f"Graded: {submission.name}", *outcome.problems]
    notes += [f"{other.name} was not graded: hand in one notebook." for other in handed_in[1:]]
    _write(base, {"tests": tests, "output": "\n".join(notes), "execution_time": round(outcome.seconds)})


def _seed(base: Path) -> int:
    """Return the same seed for every submission, unknown to whoever has not got the master."""
    masters = sorted((base / "source" / "notebooks" / "labs").glob("*.ipynb"))
    return int(hashlib.sha256(b"".join(path.read_bytes() for path in masters)).hexdigest()[:8], 16)


def _write(base: Path, results: dict) -> None:
    (base / "results").mkdir(exist_ok=True)
    (base / "results" / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
