"""Judges one submission: has a worker run its cells, asks for its answers, and runs the checks outside of it."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.grading.session import EndedError, Limits, Outcome, Session
from tools.grading.submissions import Submission
from coursekit.checks.lab import Lab

_RESTARTS = 4  # a submission may kill its process so often before its remaining cells are left out


class Judge:
    """Owns one worker and judges submissions with it, one at a time.

    Parameters
    ----------
    labs : sequence of str
        The names of all labs, which are kept from submissions.
    hidden : sequence of Path
        Folders that submissions may not read.
    limits : Limits
    """

    def __init__(self, labs: Sequence[str], hidden: Sequence[Path], limits: Limits | None = None) -> None:
        self._labs, self._hidden, self._limits = list(labs), [str(folder) for folder in hidden], limits or Limits()
        self._worker: subprocess.Popen | None = None
        self._orders: socket.socket | None = None

    def __enter__(self) -> Judge:
        """Return itself; the worker starts with the first submission."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the worker."""
        self.close()

    def close(self) -> None:
        """Stop the worker; the next submission starts another one."""
        if self._worker:
            self._orders.close()
            self._worker.kill()
            self._worker.wait()
        self._worker = self._orders = None

    def judge(self, submission: Submission, lab: Lab, seed: int) -> Outcome:
        """Run and judge one submission.

        Parameters
        ----------
        submission : Submission
        lab : Lab
        seed : int
            For the inputs of the checks, besides those of the instant checks.
        """
        start, outcome, skip = time.monotonic(), Outcome(problems=list(submission.problems)), set()
        questions = [question for question in lab.questions.values() if question.check]
        for question in questions:
            outcome.verdicts[question.name] = {"state": "open", "text": "not reached", "points": 0}
        open_questions = [question.name for question in questions]
        with tempfile.TemporaryDirectory(prefix="coursekit-", ignore_cleanup_errors=True) as scratch:
            for _ in range(_RESTARTS + 1):
                session = Session(*self.start(Path(scratch)), self._limits, start)
                try:
                    outcome.unconfined = session.begin()
                    session.run(submission.cells, skip, outcome)
                    while open_questions:
                        name = open_questions[0]
                        outcome.verdicts[name] = session.judge(lab, name, seed)
                        open_questions.pop(0)
                    break
                except (EndedError, OSError, EOFError, ValueError) as ended:
                    text = str(ended) or "the process ended"
                    if session.cell is not None and session.cell not in skip:
                        skip.add(session.cell)
                        outcome.problems.append(f"cell {session.cell + 1}: {text}; left out")
                    elif session.question:
                        outcome.verdicts[session.question] = {"state": "wrong", "text": text, "points": 0}
                        open_questions.remove(session.question)
                    else:
                        outcome.problems.append(text)
                        break
                    if time.monotonic() - start > self._limits.seconds:
                        outcome.problems.append(f"stopped after {self._limits.seconds:.0f} seconds in all")
                        break
                finally:
                    session.end()
        outcome.seconds = time.monotonic() - start
        outcome.problems = list(dict.fromkeys(outcome.problems))
        return outcome

    def start(self, scratch: Path) -> tuple[socket.socket, int]:
        """Have the worker fork for a notebook; return the socket to it and its process number."""
        for attempt in (1, 2):
            try:
                if self._worker is None:
                    self._start_worker()
                ours, theirs = socket.socketpair()
                limits = self._limits
                job = {
                    "scratch": str(scratch.resolve()),
                    "hidden": self._hidden,
                    "labs": self._labs,
                    "megabytes": limits.megabytes,
                    "seconds": int(limits.seconds),
                    "cell_seconds": limits.cell_seconds,
                    "question_seconds": limits.question_seconds,
                }
                with theirs:
                    socket.send_fds(self._orders, [json.dumps(job).encode()], [theirs.fileno()])
                    self._orders.settimeout(60)
                    return ours, struct.unpack("<Q", self._orders.recv(8))[0]
            except (OSError, struct.error):
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _start_worker(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "tools.grading.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=scrubbed_environment(),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._orders.settimeout(300)
        if self._orders.recv(5) != b"ready":
            raise OSError("the worker of the grader did not start; see the lines above.")


def scrubbed_environment() -> dict[str, str]:
    """Return the environment of a submission: nothing of the lecturer's but where programs lie, and the language."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        "COURSEKIT_PROFILE": "mini",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
    }
